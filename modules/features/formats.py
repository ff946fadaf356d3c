"""Which format a file's first bytes say it is, and the one Pillow plug-in that may then read it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice

import pillow_heif
import simplejpeg
from PIL import AvifImagePlugin, Image, ImageFile
from PIL import __version__ as pillow_version

from modules.errors import PictureError

#: What reads the pictures; a failure is only believed as long as these stay as they are.
LIBRARIES = f"pillow-{pillow_version}-heif-{pillow_heif.__version__}-simplejpeg-{simplejpeg.__version__}"

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
}
# Brands of the ISO base media file format (ISO/IEC 14496-12, 23008-12 annex B; AVIF specification, section 6).
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_OPEN_BRANDS = frozenset((b"mif1", b"msf1"))
_MOST_BRANDS = 64
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21

# Names that differ between the report and Pillow. JPEG's plug-in sees to multi-picture files.
_PLUGINS = {"HEIC": "HEIF"}
_NAMES = {"HEIF": "HEIC", "MPO": "JPEG"}

# One thread each, because there are as many decode workers as cores; only the picture itself is of use here.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
# The pixel limit is the caller's and is checked before decoding; Pillow's own one would only warn.
Image.MAX_IMAGE_PIXELS = None


def identify(data: bytes) -> str:
    """The name of a file's format. Raises PictureError if it is none that is read here."""
    known = next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)
    if known == "WEBP" and data[8:12] != b"WEBP":
        known = None
    if data[4:8] == b"ftyp":
        known = _by_brand(data)
    if known is None:
        raise PictureError("not a picture format that is read here")
    return known


def _by_brand(data: bytes) -> str | None:
    """AVIF or HEIC by the file type box; a major brand that leaves the coding open is explained by the others."""
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MOST_BRANDS, len(data))
    major, others = data[8:12], {data[place : place + 4] for place in range(16, end, 4)}
    brands = others if major in _OPEN_BRANDS else {major}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS or major in _OPEN_BRANDS else None


def open_image(data: bytes, name: str) -> ImageFile.ImageFile:
    """The file with its header read, no pixel decoded yet, by the plug-in of the format ``name`` and no other.

    Raises what that plug-in raises of broken files.
    """
    return Image.open(io.BytesIO(data), formats=(_PLUGINS.get(name, name),))


def coded_size(data: bytes, shown: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the largest image that a HEIC file's properties announce, at least ``shown``.

    A crop (``clap``) makes the shown picture small while all of the coded one is decoded; libheif decodes no more than
    the announced size. Looks for the property itself (ISO/IEC 23008-12, 6.5.3 ``ispe``) wherever it lies.
    """
    largest, place = shown, data.find(b"ispe", 4)
    while place >= 0:
        # A box with its size in 64 bits has eight bytes more before its content.
        start = place + (16 if data[place - 4 : place] == b"\0\0\0\1" else 8)
        # A box has less than 16 MB and version 0: so that the same letters among pixels do not pass for one.
        if data[place - 4] == data[start - 4] == 0 and len(data) >= start + 8:
            size = int.from_bytes(data[start : start + 4], "big"), int.from_bytes(data[start + 4 : start + 8], "big")
            largest = max(largest, size, key=lambda pair: pair[0] * pair[1])
        place = data.find(b"ispe", place + 4)
    return largest


def name_of(image: Image.Image) -> str:
    """The format of an opened file, by the name that the report shows."""
    return _NAMES.get(str(image.format), str(image.format))


def has_several(image: Image.Image, data: bytes) -> bool:
    """Whether an opened file may hold more pictures than its first, by its header; no pixel is decoded."""
    if image.format == "GIF":
        return len(list(islice(gif_frames(data), 2))) > 1
    return bool(getattr(image, "is_animated", False)) or has_track(data)


def gif_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Right and bottom of every frame of a GIF file, pixels, without decoding any; ends where the file does.

    A later frame may claim more than the first: Pillow would make room for it. Source: GIF89a, CompuServe 1990.
    """
    place = 13 + _table(data[10:11])
    while place < len(data):
        block = data[place]
        if block == _GIF_IMAGE and place + 10 < len(data):
            left, top, width, height = (
                int.from_bytes(data[at : at + 2], "little") for at in range(place + 1, place + 9, 2)
            )
            yield left + width, top + height
            place += 11 + _table(data[place + 9 : place + 10])
        elif block == _GIF_EXTENSION:
            place += 2
        else:
            return
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1


def _table(flags: bytes) -> int:
    """Bytes of the colour table that a GIF's packed field announces."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 128 else 0


def has_track(data: bytes) -> bool:
    """Whether a HEIC file holds a sequence of pictures beside its items, which pillow-heif does not read.

    Source: ISO/IEC 23008-12, clause 7: sequences are tracks, in a top level box ``moov``.
    """
    place = 0
    while data[4:8] == b"ftyp" and identify(data) == "HEIC" and place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"moov":
            return True
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        if size < 8:  # to the end of the file, or no box
            return False
        place += size
    return False
