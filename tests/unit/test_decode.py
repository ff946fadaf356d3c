"""Pictures as a person sees them, and bytes that are none."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from modules.errors import PictureError
from modules.features.decode import WORKING_SIDE, Decoded, decode
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
    image.save(stream, name, **options)
    return stream.getvalue()


def difference(got: Decoded, wanted: UInt8Array) -> float:
    if wanted.ndim == 2:
        wanted = np.repeat(wanted[:, :, None], 3, axis=2)
    assert got.rgb.shape == wanted.shape
    assert got.rgb.dtype == np.uint8
    return float(np.abs(got.rgb.astype(int) - wanted).mean())


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format(name: str) -> None:
    options = {"quality": 95} if name in ("JPEG", "WEBP") else {}
    got = decode(saved(Image.fromarray(reference()), name, **options), LIMIT)
    assert (got.header.width, got.header.height, got.header.format) == (90, 60, name)
    assert got.full
    assert difference(got, reference()) < (8 if name == "GIF" else 3)
    assert got.header.lossless == (name not in ("JPEG", "WEBP"))
    assert (got.header.quantisation is not None) == (name == "JPEG")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
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
    got = decode(saved(stored, name, exif=exif, **({"quality": 95} if name in ("JPEG", "WEBP") else {})), LIMIT)
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


@pytest.mark.parametrize(("name", "tolerance"), [("GIF", 8), ("WEBP", 5), ("PNG", 0)])
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


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
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
