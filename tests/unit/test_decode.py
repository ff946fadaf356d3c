"""Pictures as a person sees them, and bytes that are none."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from modules.errors import PictureError
from modules.features.decode import WORKING_SIDE, Decoded, decode, shrink
from modules.records import UInt8Array

LIMIT = 10_000_000


def reference() -> UInt8Array:
    """A smooth picture without any symmetry, 90 x 60."""
    y, x = np.mgrid[0:60, 0:90].astype(np.float32)
    planes = [255 * x / 89, 255 * y / 59, 127 + 100 * np.sin(x / 17 + y / 11)]
    return np.asarray(np.stack(planes, axis=-1), np.uint8)


def grey_reference() -> UInt8Array:
    return np.asarray(cv2.cvtColor(reference(), cv2.COLOR_RGB2GRAY), np.uint8)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "HEIF" if name == "HEIC" else name, **options)
    return stream.getvalue()


def difference(got: Decoded, wanted: UInt8Array) -> float:
    if wanted.ndim == 2:
        wanted = np.repeat(wanted[:, :, None], 3, axis=2)
    assert got.rgb.shape == wanted.shape
    assert got.rgb.dtype == np.uint8
    return float(np.abs(got.rgb.astype(int) - wanted).mean())


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIC"])
def test_every_format(name: str) -> None:
    lossy = name in ("JPEG", "WEBP", "AVIF", "HEIC")
    options = {"quality": 95} if lossy else {}
    got = decode(saved(Image.fromarray(reference()), name, **options), LIMIT)
    assert (got.header.width, got.header.height, got.header.format) == (90, 60, name)
    assert got.full
    assert difference(got, reference()) < (8 if name == "GIF" else 3)
    assert got.header.lossless == (not lossy)
    assert (got.header.quantisation is not None) == (name == "JPEG")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(name: str, orientation: int) -> None:
    upright = reference()
    undo = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    got = decode(
        saved(stored, name, exif=exif.tobytes(), **({"quality": 95} if name not in ("PNG", "TIFF") else {})), LIMIT
    )
    assert (got.header.width, got.header.height) == (90, 60)
    assert difference(got, upright) < 3


def test_modes() -> None:
    rgb, grey = Image.fromarray(reference()), Image.fromarray(grey_reference())
    assert difference(decode(saved(grey, "PNG"), LIMIT), grey_reference()) == 0
    assert difference(decode(saved(rgb.convert("CMYK"), "JPEG", quality=95), LIMIT), reference()) < 4
    assert difference(decode(saved(rgb.convert("CMYK"), "TIFF"), LIMIT), reference()) < 2
    assert difference(decode(saved(rgb.convert("LAB"), "TIFF"), LIMIT), reference()) < 40
    one_bit = decode(saved(grey.point(lambda v: 255 * (v > 127), "1"), "PNG"), LIMIT)
    assert difference(one_bit, np.asarray((grey_reference() > 127) * 255, np.uint8)) == 0
    assert one_bit.header.palette


def test_transparency_lies_on_white() -> None:
    alpha = np.full((60, 90), 255, np.uint8)
    alpha[:30], alpha[30:40] = 0, 128
    wanted = reference().astype(float)
    wanted = wanted * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    rgba = Image.fromarray(np.dstack([reference(), alpha]))
    assert difference(decode(saved(rgba, "PNG"), LIMIT), np.asarray(wanted, np.uint8)) < 1
    assert difference(decode(saved(rgba, "WEBP", lossless=True), LIMIT), np.asarray(wanted, np.uint8)) < 1
    grey = Image.fromarray(np.dstack([grey_reference(), alpha]))
    assert decode(saved(grey, "PNG"), LIMIT).rgb[:30].min() == 255
    palette = Image.fromarray(np.repeat([[0], [1]], 8, axis=1).astype(np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    got = decode(saved(palette, "PNG", transparency=0), LIMIT)
    assert (got.rgb[0] == 255).all()
    assert (got.rgb[1] == (200, 100, 50)).all()


@pytest.mark.parametrize("name", [".png", ".tiff"])
@pytest.mark.parametrize("colour", [False, True])
def test_sixteen_bit(name: str, colour: bool) -> None:
    wanted = reference() if colour else grey_reference()
    deep = wanted.astype(np.uint16) * 257
    done, data = cv2.imencode(name, deep[..., ::-1] if colour else deep)
    assert done
    assert difference(decode(data.tobytes(), LIMIT), wanted) < 1


@pytest.mark.parametrize("scale", [1 / 255, 1.0, 257.0])
def test_float_pixels(scale: float) -> None:
    image = Image.fromarray((grey_reference() * scale).astype(np.float32))
    assert difference(decode(saved(image, "TIFF"), LIMIT), grey_reference()) <= 1


@pytest.mark.parametrize(("name", "tolerance"), [("GIF", 8), ("WEBP", 5), ("PNG", 0), ("AVIF", 5), ("HEIC", 5)])
def test_first_frame_of_an_animation(name: str, tolerance: float) -> None:
    black = Image.new("RGB", (90, 60))
    data = saved(Image.fromarray(reference()), name, save_all=True, append_images=[black, black])
    assert difference(decode(data, LIMIT), reference()) <= tolerance


def test_working_picture_of_a_large_one() -> None:
    large = cv2.resize(reference(), (2400, 1600), interpolation=cv2.INTER_CUBIC)
    wanted = cv2.resize(large, (512, 341), interpolation=cv2.INTER_AREA)
    for name in ("JPEG", "PNG"):
        got = decode(saved(Image.fromarray(large), name), LIMIT)
        assert (got.header.width, got.header.height, got.full) == (2400, 1600, False)
        assert max(got.rgb.shape) == WORKING_SIDE
        assert difference(got, wanted) < 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "1", "P", "CMYK", "LAB", "I;16", "I", "F"])
def test_bands_do_not_show(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = cv2.resize(reference(), (2311, 1777), interpolation=cv2.INTER_CUBIC)
    if mode in ("I;16", "I", "F"):
        deep = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((wide[..., 0].astype(np.float32) * 250 - (mode == "I")).astype(deep))
    else:
        image = Image.fromarray(wide).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(wide[..., 1]))
    data = saved(image, "TIFF")
    pieces: list[UInt8Array] = []
    for pixels in (10**9, 20_000):
        monkeypatch.setattr("modules.features.decode._BAND_PIXELS", pixels)
        pieces.append(decode(data, 10**9).rgb)
    assert np.array_equal(pieces[0], pieces[1])


def test_refusals() -> None:
    picture = saved(Image.fromarray(reference()), "PNG")
    for data, reason in [
        (b"", "the file is empty"),
        (b"hello, I am a text", "not a picture format that is read here"),
        (b"%PDF-1.4", "not a picture format that is read here"),
        (picture[:20], "truncated PNG picture"),
        (b"GIF89a", "truncated or broken header of a GIF picture"),
    ]:
        with pytest.raises(PictureError, match=f"^{reason}$"):
            decode(data, LIMIT)
    with pytest.raises(PictureError, match=r"^has 90 x 60 pixels, over the limit of 5399; raise IMGSIEVE_MAX_"):
        decode(picture, 5399)
    assert decode(picture, 5400).full


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIC"])
def test_truncated(name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), name)
    with pytest.raises(PictureError) as caught:
        decode(data[: len(data) // 2], LIMIT)
    text = str(caught.value)
    assert name in text
    assert "\n" not in text
    assert "0x" not in text


def test_bombs_in_metadata() -> None:
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 50_000_000))
    with pytest.raises(PictureError, match="broken PNG picture"):
        decode(saved(Image.fromarray(reference()), "PNG", pnginfo=info), LIMIT)


def test_a_file_of_several_jpegs_gives_its_first() -> None:
    data = saved(
        Image.fromarray(reference()), "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (90, 60))]
    )
    got = decode(data, LIMIT)
    assert got.header.format == "JPEG"
    assert difference(got, reference()) < 3


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_transparency_and_grey_of_newer_formats(name: str) -> None:
    alpha = np.full((60, 90), 255, np.uint8)
    alpha[:28] = 0
    rgba = Image.fromarray(np.dstack([reference(), alpha]))
    got = decode(saved(rgba, name, quality=95), LIMIT).rgb
    assert got[:24].min() > 245
    assert np.abs(got[34:].astype(int) - reference()[34:]).mean() < 3
    assert difference(decode(saved(Image.fromarray(grey_reference()), name, quality=95), LIMIT), grey_reference()) < 3


def test_heic_of_more_than_8_bits() -> None:
    deep = Image.fromarray(grey_reference().astype(np.uint16) * 257)
    got = decode(saved(deep, "HEIC", quality=95), LIMIT)
    assert difference(got, grey_reference()) < 3
    assert got.native is None


def boxed(brand: bytes, *others: bytes) -> bytes:
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + b"".join(others)


def test_files_of_one_container_are_told_apart_by_their_brands() -> None:
    for name, own in (("AVIF", b"avif"), ("HEIC", b"heic")):
        data = saved(Image.fromarray(reference()), name, quality=95)
        size = int.from_bytes(data[:4], "big")
        for head in (boxed(own), boxed(b"mif1", b"miaf", own)):
            padding = size - len(head)
            assert padding >= 0
            spare = (head + padding * b"\0")[4:] if padding % 4 else head[4:] + (padding // 4) * own
            assert decode(size.to_bytes(4, "big") + spare + data[size:], LIMIT).header.format == name
    for head in (boxed(b"isom", b"mp42"), boxed(b"qt  "), boxed(b"crx ", b"isom")):
        with pytest.raises(PictureError, match=r"^not a picture format that is read here$"):
            decode(head + bytes(100), LIMIT)
    for head, name in ((boxed(b"avif"), "an AVIF"), (boxed(b"heic"), "a HEIC"), (boxed(b"mif1")[:13], "a HEIC")):
        with pytest.raises(PictureError, match=f"^truncated or broken header of {name} picture$"):
            decode(head, LIMIT)


def claiming(data: bytes, width: int, height: int) -> bytes:
    """The file with another size in its header's ``ispe`` boxes."""
    claim = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    changed = bytearray(data)
    place = data.find(b"ispe")
    while place >= 0:
        changed[place + 8 : place + 16] = claim
        place = data.find(b"ispe", place + 4)
    return bytes(changed)


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_bombs_are_refused_by_their_header(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(reference()), name)
    with pytest.raises(PictureError, match=r"^has 90 x 60 pixels, over the limit of 5399; raise IMGSIEVE_MAX_"):
        decode(data, 5399)

    def never(image: Image.Image) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(f"PIL.{name.title()}ImagePlugin.AvifImageFile.load" if name == "AVIF" else HEIF_LOAD, never)
    with pytest.raises(PictureError, match=r"^has 9000 x 8000 pixels, over the limit"):
        decode(claiming(data, 9000, 8000), LIMIT)


HEIF_LOAD = "pillow_heif.as_plugin._LibHeifImageFile.load"


def test_a_crop_does_not_hide_a_bomb() -> None:
    data = saved(Image.new("RGB", (2999, 1999), "navy"), "HEIC")
    assert b"clap" in data
    assert decode(data, 3100 * 2100).header.width == 2999
    crop = data.index(b"clap") + 4
    left_and_top = b"".join(n.to_bytes(4, "big", signed=True) for n in (90, 1, 60, 1, 90 - 3000, 2, 60 - 2000, 2))
    tiny = data[:crop] + left_and_top + data[crop + 32 :]
    got = decode(tiny, LIMIT)
    assert (got.header.width, got.header.height) == (90, 60)
    with pytest.raises(PictureError, match=r"^has 3\d\d\d x 2\d\d\d pixels, over the limit of 1000000;"):
        decode(tiny, 1_000_000)


def test_heic_whose_pixels_are_more_than_its_header_says() -> None:
    data = saved(Image.new("RGB", (3000, 2000), "navy"), "HEIC")
    with pytest.raises(PictureError, match=r"^broken HEIC picture: .*limit"):
        decode(claiming(data, 60, 40), LIMIT)


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_damaged_files_are_pictures_or_one_clean_line(name: str) -> None:
    random = np.random.default_rng(4)
    data = saved(Image.fromarray(reference()), name)
    reasons = set()
    for _ in range(150):
        broken = bytearray(data)
        for place in random.integers(0, min(len(data), 700), 3):
            broken[place] = random.integers(0, 256)
        try:
            decode(bytes(broken), LIMIT)
        except PictureError as error:
            reasons.add(str(error))
    assert len(reasons) > 1
    assert all(reason.isprintable() and "0x" not in reason for reason in reasons)


def test_a_lack_of_memory_is_not_the_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(image: Image.Image) -> None:
        raise RuntimeError("Memory allocation error: Unspecified: out of memory")

    data = saved(Image.fromarray(reference()), "HEIC")
    monkeypatch.setattr(HEIF_LOAD, starve)
    with pytest.raises(MemoryError, match="HEIC"):
        decode(data, LIMIT)


def test_native_part() -> None:
    large = cv2.resize(reference(), (1600, 1203), interpolation=cv2.INTER_CUBIC)
    got = decode(saved(Image.fromarray(large), "PNG"), LIMIT).native
    assert got is not None
    assert got.shape == (512, 512)
    wanted = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)[344 : 344 + 512, 544 : 544 + 512]
    assert np.array_equal(got, wanted)
    halved = decode(saved(Image.fromarray(large), "JPEG", quality=95), LIMIT).native
    assert halved is not None
    assert np.abs(halved.astype(int) - wanted).mean() < 2
    huge = cv2.resize(reference(), (2400, 1600), interpolation=cv2.INTER_CUBIC)
    assert decode(saved(Image.fromarray(huge), "JPEG"), LIMIT).native is None
    small = decode(saved(Image.fromarray(reference()), "PNG"), LIMIT).native
    assert small is not None
    assert np.array_equal(small, grey_reference())


def test_shrinking_what_is_small_enough_changes_nothing() -> None:
    large = cv2.resize(reference(), (1001, 667), interpolation=cv2.INTER_CUBIC)
    small = shrink(large, 160)
    assert small.shape == (107, 160, 3)
    assert shrink(small, 160) is small
    wanted = cv2.resize(large, (160, 107), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize("width", [513, 640, 768, 770, 960, 1023])
def test_a_working_picture_passes_over_no_pixel(width: int) -> None:
    stripes = np.zeros((300, width, 3), np.uint8)
    stripes[:, ::2] = 240  # a pixel wide: what is passed over would show
    working = decode(saved(Image.fromarray(stripes), "PNG"), LIMIT).rgb
    wanted = cv2.resize(stripes, (512, working.shape[0]), interpolation=cv2.INTER_AREA)
    assert working.shape[1] == 512
    assert abs(float(working.mean()) - float(stripes.mean())) < 3
    assert working.std() <= 1.3 * wanted.std() + 5


@pytest.mark.parametrize("size", [(96, 64), (700, 400), (2400, 1600)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_grey_levels_are_those_of_the_working_picture(size: tuple[int, int], orientation: int) -> None:
    picture = cv2.resize(reference(), size, interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(saved(Image.fromarray(picture), "JPEG", exif=exif), LIMIT)
    assert np.array_equal(decoded.grey, cv2.cvtColor(decoded.rgb, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(("subsampling", "chroma"), [(0, 1.0), (1, 0.5**0.5), (2, 0.5)])
def test_the_header_says_how_finely_a_jpeg_keeps_colours(subsampling: int, chroma: float) -> None:
    picture = Image.fromarray(reference())
    got = decode(saved(picture, "JPEG", subsampling=subsampling), LIMIT)
    assert got.header.chroma == pytest.approx(chroma)
    assert decode(saved(picture.convert("L"), "JPEG"), LIMIT).header.chroma == 1.0


def test_the_middle_of_a_picture_is_at_hand_in_colour_on_its_own_grid() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (300, 700, 3)).astype(np.uint8)
    got = decode(saved(Image.fromarray(pixels), "PNG"), LIMIT)
    assert got.colour is not None
    assert got.native is not None
    # The native part begins at column 88, its middle 128 columns further on and 16 rows down.
    assert np.array_equal(got.colour, pixels[16:272, 216:472])
