"""From bytes to the working picture: a small RGB picture as a person sees it, whatever the file held."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from modules.errors import PictureError
from modules.features import formats, jpeg, metadata, transparency
from modules.features.metadata import Metadata
from modules.records import Float32Array, UInt8Array

#: Raised by hand when the same bytes would give another working picture, or a failure where there was none.
VERSION = 4
#: Long side of the working picture; smaller pictures stay as they are.
WORKING_SIDE = 512
#: Long side of the picture that hashes, colours, thumbnails and usual keypoints are taken from.
SMALL_SIDE = 160
_NATIVE_SIDE = 512
#: Long side of the part that is looked at in colour.
COLOUR_SIDE = 256
# Light and two colours; grey pictures have one layer, those for print four.
_COLOUR_LAYERS = 3
_WITH_ALPHA = 4
# A JPEG of more pixels is decoded at 1/2, 1/4 or 1/8 of its size, which leaves no part of it at its own size.
_WHOLE_PIXELS = 2_000_000
#: How much smaller a picture may become by linear interpolation alone: all pixels still count about equally.
_BILINEAR = 1.25
#: Opacity from which on lossy formats mean an opaque pixel.
_OPAQUE = 240
#: Pixels that are converted at once: some 50 MB in the dearest form.
_BAND_PIXELS = 4_000_000

#: What Pillow's plugins raise on broken files. MemoryError is left out on purpose: it is not the picture's fault.
BROKEN = (*metadata.BROKEN, EOFError, AssertionError, zlib.error, Image.DecompressionBombError)
_GREY_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True, slots=True)
class DecodedHeader:
    """What the file says of itself.

    width, height: pixels of the full picture with its orientation applied. format: ``JPEG``, ``PNG``, ….
    quantisation: a JPEG's first (luminance) table, 64 numbers in natural order, None for others.
    lossless: the format keeps every pixel. palette: at most 256 colours. chroma: the linear resolution of the file's
    colours beside that of its light: 1, 0.5 where a JPEG or lossy WebP halves both sides, or between.
    described: :func:`modules.features.metadata.described`. damaged: some of a JPEG's pixels were lost.
    """

    width: int
    height: int
    format: str
    quantisation: tuple[int, ...] | None
    lossless: bool
    palette: bool
    chroma: float = 1.0
    described: float = 0.0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """A header and its working picture: RGB uint8 (h, w, 3), long side at most WORKING_SIDE, never enlarged.

    native: a part of the picture at its own size, uint8 (h, w), grey, as stored (not turned upright), cut at multiples
    of 8, sides at most 512; None of JPEG pictures over 2 megapixels and of more than 8 bits of grey. full: the working
    picture has every pixel of the file (it was not made smaller). metadata: what its EXIF data say. grey: the working
    picture's, uint8 (h, w). colour: the middle of the native part in RGB, uint8 (h, w, 3), sides at most COLOUR_SIDE;
    None where there is no native part. alpha: the working picture's opacity, uint8 (h, w), None of an opaque one.
    ground: the grey level that a transparent one is laid on. several: the file may hold more pictures than this one.
    """

    header: DecodedHeader
    rgb: UInt8Array
    grey: UInt8Array
    native: UInt8Array | None
    full: bool
    metadata: Metadata
    colour: UInt8Array | None = None
    alpha: UInt8Array | None = None
    ground: int = transparency.WHITE
    several: bool = False


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for what OpenCV says when it can allocate nothing."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise


@memory_errors()
def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a picture once; the only place that looks at a file's bytes as a picture.

    Animations give their first frame, transparency lies on a ground on which the rest is seen, deep pixels come down
    to 8 bits. Raises PictureError with a one-line reason that is equal for equal bytes, and MemoryError.
    """
    if not data:
        raise PictureError("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns of odd metadata in pictures that it decodes all the same.
        warnings.simplefilter("ignore")
        image = _open(data)
        name = formats.name_of(image)
        _check_size(*image.size, max_pixels)
        if name == "HEIC":
            _check_size(*formats.coded_size(data, image.size), max_pixels)
        try:
            return _decode(image, name, data, max_pixels)
        except BROKEN as error:
            raise failure(name, error) from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise PictureError("the picture has no pixels")
    if width * height > max_pixels:
        raise PictureError(
            f"has {width} x {height} pixels, over the limit of {max_pixels}; raise IMGSIEVE_MAX_IMAGE_PIXELS"
        )


def _open(data: bytes) -> ImageFile.ImageFile:
    name = formats.identify(data)
    try:
        return formats.open_image(data, name)
    except UnidentifiedImageError as error:
        article = "an" if name == "AVIF" else "a"
        raise PictureError(f"truncated or broken header of {article} {name} picture") from error
    except BROKEN as error:
        raise failure(name, error) from error


def failure(name: str, error: BaseException) -> PictureError | MemoryError:
    """One clean line: the same bytes must give the same report, so no memory addresses.

    The native decoders of AVIF and HEIC report a lack of memory as a plain error: that is not the picture's fault.
    """
    text = re.sub(r"\s+", " ", re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "the file", str(error))).strip()
    lower = text.lower()
    if "out of memory" in lower or ("memory allocation error" in lower and "limit exceeded" not in lower):
        return MemoryError(f"{name} picture: {text[:200]}")
    if "truncated" in lower or "end of file" in lower or isinstance(error, EOFError):
        return PictureError(f"truncated {name} picture")
    return PictureError(f"broken {name} picture: {text[:200] or type(error).__name__}")


def _decode(image: ImageFile.ImageFile, name: str, data: bytes, max_pixels: int) -> Decoded:
    width, height = image.size
    if name == "JPEG" and width * height > _WHOLE_PIXELS:
        # Lets libjpeg decode at 1/2, 1/4 or 1/8, still no smaller than the working picture.
        image.draft(None, _fit(width, height, WORKING_SIDE))
    palette = image.mode in ("P", "PA", "1")
    several = formats.has_several(image, data)
    shown, damaged = jpeg.load(image, data) if name == "JPEG" else (image, image.load() is None)
    if name == "HEIC":
        # Its size may change by decoding; libheif itself refuses pixels far beyond what the header says.
        _check_size(*image.size, max_pixels)
        width, height = image.size
    tables = getattr(image, "quantization", None)
    table = tuple(int(step) for step in tables[min(tables)]) if name == "JPEG" and tables else None
    lossless = _is_lossless(name, data, str(image.info.get("compression")))
    turn = orientation(image)
    loaded, alpha, ground = _pixels(shown), None, transparency.WHITE
    if loaded.shape[2] == _WITH_ALPHA:
        alpha, ground = _alpha(loaded, turn), transparency.ground_of(loaded)
        loaded = transparency.laid(loaded, ground)
    rgb = orient(_to_working_size(loaded), turn)
    if loaded.shape[:2] == (height, width) and image.mode not in _GREY_DEEP:
        part: UInt8Array | None = loaded[_middle(width, height)]
    else:
        part = _native(shown, ground) if image.size == (width, height) else None
    native = None if part is None else to_grey(part)
    colour = None if part is None else np.ascontiguousarray(part[_middle(part.shape[1], part.shape[0], COLOUR_SIDE)])
    # Of a small picture that is upright they are the same.
    grey = native if native is not None and rgb is loaded and native.shape == rgb.shape[:2] else to_grey(rgb)
    if turn >= 5:
        width, height = height, width
    chroma = _chroma(image, name, lossless)
    header = DecodedHeader(width, height, name, table, lossless, palette, chroma, metadata.described(image), damaged)
    full, told = max(width, height) <= WORKING_SIDE, metadata.read(image)
    return Decoded(header, rgb, grey, native, full, told, colour, alpha, ground, several)


def _alpha(rgba: UInt8Array, turn: int) -> UInt8Array | None:
    """Opacity as :attr:`Decoded.alpha` has it, of a loaded picture, RGBA uint8 (h, w, 4)."""
    alpha = np.ascontiguousarray(rgba[:, :, 3])
    return orient(_to_working_size(alpha), turn) if alpha.min(initial=255) < _OPAQUE else None


def _native(image: Image.Image, ground: int) -> UInt8Array | None:
    """The middle of a loaded picture, as :attr:`Decoded.native`, but in colour: RGB uint8 (h, w, 3)."""
    if image.mode in _GREY_DEEP:
        return None
    rows, columns = _middle(*image.size)
    return _flat(_band(image.crop((columns.start, rows.start, columns.stop, rows.stop)), 1), ground)


def _chroma(image: Image.Image, name: str, lossless: bool) -> float:
    """As :attr:`DecodedHeader.chroma` has it: by a JPEG's sampling factors (ITU-T T.81, B.2.2); VP8 halves always."""
    if name == "WEBP":
        return 1.0 if lossless else 0.5
    layers = getattr(image, "layer", ()) if name == "JPEG" else ()
    if len(layers) != _COLOUR_LAYERS:
        return 1.0
    light, *colours = (across * down for _, across, down, _ in layers)
    return min(1.0, (min(colours) / light) ** 0.5) if light else 1.0


def _middle(width: int, height: int, most: int = _NATIVE_SIDE) -> tuple[slice, slice]:
    """Rows and columns of the middle of a picture, cut at multiples of 8."""
    left, top = (max(0, side - most) // 2 // 8 * 8 for side in (width, height))
    return slice(top, min(top + most, height)), slice(left, min(left + most, width))


def to_grey(rgb: UInt8Array) -> UInt8Array:
    """The grey levels, uint8 (h, w), of an RGB picture, uint8 (h, w, 3)."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrink(picture: UInt8Array, side: int) -> UInt8Array:
    """Area-averaged down to a long side of ``side`` pixels; a smaller picture stays as it is.

    By a whole number first, which is many times faster, without the last pixels that this leaves over.
    """
    if max(picture.shape[:2]) <= side:
        return picture
    size = _fit(picture.shape[1], picture.shape[0], side)
    return np.asarray(cv2.resize(_shrink_whole(picture, side), size, interpolation=cv2.INTER_AREA), np.uint8)


def _to_working_size(picture: UInt8Array) -> UInt8Array:
    """As :func:`shrink`, but what a whole number leaves to do, by less than two, is done by linear interpolation.

    At twice the size first where pixels would be passed over. Two to five times faster than averaging by areas, and
    nearly the same; for the small picture, in which single pixels count, it is not near enough.
    """
    if max(picture.shape[:2]) <= WORKING_SIDE:
        return picture
    size = _fit(picture.shape[1], picture.shape[0], WORKING_SIDE)
    picture = _shrink_whole(picture, WORKING_SIDE)
    if max(picture.shape[:2]) <= _BILINEAR * WORKING_SIDE:
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    picture = cv2.resize(picture, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _shrink_whole(picture: UInt8Array, side: int) -> UInt8Array:
    """Averaged by the largest whole number that leaves a long side of ``side`` pixels or more."""
    height, width = picture.shape[:2]
    factor = min(max(width, height) // side, width, height)
    if factor < 2:
        return picture
    picture = picture[: height // factor * factor, : width // factor * factor]
    size = width // factor, height // factor
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_lossless(name: str, data: bytes, compression: str) -> bool:
    if name == "WEBP":
        return _webp_is_lossless(data)
    if name == "TIFF":
        return "jpeg" not in compression and compression != "webp"
    return name not in ("JPEG", "AVIF", "HEIC")


def _webp_is_lossless(data: bytes) -> bool:
    """Whether the first frame is a VP8L chunk (WebP container specification, RFC 9649)."""
    place = 12
    while place + 8 <= len(data):
        tag = data[place : place + 4]
        if tag in (b"VP8 ", b"VP8L"):
            return tag == b"VP8L"
        if tag == b"ANMF":
            place += 8 + 16
            continue
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Asked after loading: PNG may keep it behind the pixels, TIFF is turned by Pillow."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1  # viewers show a picture with unreadable EXIF as it is stored
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orient(picture: UInt8Array, turn: int) -> UInt8Array:
    """Turn stored pixels upright (EXIF 2.32, tag 0x0112)."""
    if turn >= 5:
        picture = np.swapaxes(picture, 0, 1)
    if turn in (3, 4, 7, 8):
        picture = picture[::-1]
    if turn in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def to_rgb(image: Image.Image, ground: int) -> UInt8Array:
    """A loaded picture of any Pillow mode as RGB uint8 (h, w, 3), perhaps smaller; ``ground``: what it is laid on."""
    return _flat(_pixels(image), ground)


def _flat(pixels: UInt8Array, ground: int) -> UInt8Array:
    return transparency.laid(pixels, ground) if pixels.shape[2] == _WITH_ALPHA else pixels


def _pixels(image: Image.Image) -> UInt8Array:
    """Any Pillow mode to RGB uint8, or RGBA where it has transparency, in bands, so that a big picture is not held
    in several forms at once.

    Pictures of plain modes and with transparency are box-averaged first. Every band is a whole number of boxes
    high: the result is the same as in one piece.
    """
    if image.mode in _GREY_DEEP:
        return np.repeat(shrink(_deep_to_uint8(image), WORKING_SIDE)[:, :, None], 3, axis=2)
    plain = image.has_transparency_data or image.mode in ("L", "RGB", "CMYK", "YCbCr")
    factor = max(1, max(image.size) // (2 * WORKING_SIDE)) if plain else 1
    if factor == 1 and image.mode == "RGB" and not image.has_transparency_data:
        return np.asarray(image, np.uint8)  # by far the most pictures: no band, no copy of it
    layers = _WITH_ALPHA if image.has_transparency_data else 3
    pixels = np.empty((-(-image.height // factor), -(-image.width // factor), layers), np.uint8)
    for top, bottom in _bands(image, factor):
        band = image.crop((0, top, image.width, bottom))
        pixels[top // factor : -(-bottom // factor)] = _band(band, factor)
    return pixels


def _bands(image: Image.Image, step: int = 1) -> Iterator[tuple[int, int]]:
    """First row and row behind the last of every band; all but the last are a multiple of ``step`` high."""
    height = max(1, _BAND_PIXELS // (image.width * step)) * step
    return ((top, min(image.height, top + height)) for top in range(0, image.height, height))


def _band(image: Image.Image, factor: int) -> UInt8Array:
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA").reduce(factor), np.uint8)
    if factor > 1:
        image = image.reduce(factor)
    if image.mode == "LAB":
        image = (
            ImageCms.profileToProfile(
                image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            or image
        )
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _deep_to_uint8(image: Image.Image) -> UInt8Array:
    """Grey pixels of more than 8 bits. 16 bit: 65535 is white. Others: the narrowest usual range that holds
    them (0..1 for floats, 0..255, 0..65535), else their own minimum to maximum.
    """

    def pixels(band: tuple[int, int]) -> Float32Array:
        values = np.asarray(image.crop((0, band[0], image.width, band[1])), dtype=np.float32)
        return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)

    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        ends = [(float(part.min()), float(part.max())) for part in map(pixels, _bands(image))]
        low, high = min(first for first, _ in ends), max(last for _, last in ends)
        if low >= 0 and high <= 65535:
            tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
            low, high = 0.0, next(top for top in tops if high <= top)
    grey = np.empty((image.height, image.width), np.uint8)
    for band in _bands(image):
        grey[band[0] : band[1]] = np.rint((pixels(band) - low) * (255.0 / max(high - low, 1e-12)))
    return grey
