"""What a file holds beside its first picture: an animation over its time, a document by its pages."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from modules.errors import ImgsieveError, PictureError
from modules.features import decode, formats
from modules.records import Float32Array, UInt8Array

# What changes these planes raises VERSION of keypoints.py, with which they are kept.
#: Parts of equal length that an animation's time is divided into; what shows during each is averaged. With 16, another
#: scene for a fiftieth of the time was seen wherever it lay, for a hundredth not; 8 miss twice as much.
MOMENTS = 16
#: Pages of a document that are looked at, evenly spread where it has more.
MOST_PAGES = 32
#: Long sides of the planes: as the thumbnail of a still picture; words of a page need more.
_MOMENT_SIDE, _PAGE_SIDE = 128, 256
#: Pixels and frames of one file that are decoded at most, 6 to 22 s by format (24 to 93 million pixels a second were
#: measured, PNG the slowest): GIF, WebP, PNG and AVIF build each frame on the last, so that none can be passed over.
MOST_PIXELS, MOST_FRAMES = 1 << 29, 4096
#: Milliseconds that browsers show a frame whose file says 10 or less.
_SHORTEST, _INSTEAD = 10, 100
#: Of a page beside the first, least area: what is smaller is a preview, a gain map or a map of depth.
_LEAST_AREA = 0.5
#: TIFF 6.0, NewSubfileType and SubfileType: bits of a reduced page and of a mask, number of a reduced page.
_NEW_SUBFILE, _SUBFILE, _REDUCED_OR_MASK, _OLD_REDUCED = 254, 255, 0b101, 2
#: Letters by which the metadata of a JPEG in a JPEG tell that it is no picture of its own, and where they lie.
_AUXILIARY = (b"hdrgm:", b"hdrgainmap", b"urn:iso:std:iso:ts:21496", b"aux:depth", b"aux:disparity")
_METADATA_BYTES = 1 << 16
_SEVERAL = 2
_TIMED = frozenset(("GIF", "WEBP", "PNG", "AVIF"))
_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")
_UNSEEN, _MOMENTS_KIND, _PAGES_KIND = range(3)


@dataclass(frozen=True, slots=True)
class Frames:
    """What a file of several pictures shows. timed: over time, else by its pages. count: how many pictures it has.

    planes: grey levels, uint8 (h, w) each, of :data:`MOMENTS` moments or of the pages that were looked at. None where
    not all could be looked at: such a file is like no other.
    """

    timed: bool
    count: int
    planes: tuple[UInt8Array, ...] | None


def packed(data: bytes, ground: int, max_pixels: int) -> bytes:
    """What a file of several pictures shows, for :func:`unpacked`; empty where the others do not count.

    ground: the grey level that transparent ones are laid on. What cannot be read ends it, as viewers have it. Raises
    MemoryError.
    """
    name = formats.identify(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = _frames(formats.open_image(data, name), name, data, ground, max_pixels)
        except decode.BROKEN:
            return b""
    if found is None:
        return b""
    kind = _UNSEEN if found.planes is None else _MOMENTS_KIND if found.timed else _PAGES_KIND
    parts = [_HEADER.pack(kind, found.count)]
    for plane in found.planes or ():
        parts += [_LENGTH.pack(len(code := encoded(plane))), code]
    return b"".join(parts)


def unpacked(data: bytes) -> Frames | None:
    """The inverse of :func:`packed`, but for what JPEG loses. Raises ImgsieveError for bytes that are none."""
    if not data:
        return None
    kind, count = _HEADER.unpack_from(data)
    planes, place = [], _HEADER.size
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size + length
        planes.append(decoded(data[place - length : place]))
    return Frames(kind == _MOMENTS_KIND, count, None if kind == _UNSEEN else tuple(planes))


def encoded(plane: UInt8Array) -> bytes:
    """Grey levels, uint8 (h, w), as a small JPEG. Raises PictureError."""
    done, code = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise PictureError("a small picture could not be encoded")
    return bytes(code.tobytes())


def decoded(code: bytes) -> UInt8Array:
    """The inverse of :func:`encoded`. Raises ImgsieveError where it is not a picture."""
    plane: UInt8Array | None = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_GRAYSCALE)
    if plane is None:
        raise ImgsieveError("a cached small picture cannot be decoded; remove the keypoints shards to make them anew")
    return plane


def _frames(image: ImageFile.ImageFile, name: str, data: bytes, ground: int, most: int) -> Frames | None:
    if formats.has_track(data):
        return Frames(timed=True, count=0, planes=None)
    if name == "GIF":
        sizes = list(formats.gif_frames(data))
        if any(right * bottom > most for right, bottom in sizes):
            return Frames(timed=True, count=len(sizes), planes=None)
        count, area = len(sizes), max((right * bottom for right, bottom in sizes), default=0)
    else:
        count, area = int(getattr(image, "n_frames", 1)), 0
    area = max(area, image.width * image.height)
    if name in _TIMED:
        if count > MOST_FRAMES or count * area > MOST_PIXELS:
            return Frames(timed=True, count=count, planes=None)
        return _animation(image, name, count, ground)
    return _document(image, name, data, ground, most)


def _animation(image: ImageFile.ImageFile, name: str, count: int, ground: int) -> Frames | None:
    """Every frame is decoded: a part of the time may hold a picture that shows in no other."""
    shown: list[UInt8Array] = []
    lengths: list[float] = []
    for place in range(count):
        plane = _plane(image, name, ground, _MOMENT_SIDE) if _sought(image, place) else None
        if plane is None:
            break
        if shown and plane.shape != shown[0].shape:
            plane = np.asarray(cv2.resize(plane, shown[0].shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        shown.append(plane)
        length = float(image.info.get("duration") or 0)
        lengths.append(length if length > _SHORTEST else _INSTEAD)
    if len(shown) < _SEVERAL:
        return None
    return Frames(timed=True, count=len(shown), planes=_moments(shown, np.array(lengths)))


def _sought(image: ImageFile.ImageFile, place: int) -> bool:
    """Whether the file has a picture there; none of its pixels is decoded but where frames build on each other."""
    try:
        image.seek(place)
    except decode.BROKEN:
        return False
    return True


def _plane(image: ImageFile.ImageFile, name: str, ground: int, side: int) -> UInt8Array | None:
    """The grey levels of the picture that was sought, uint8 (h, w), upright; None where it is broken.

    Raises MemoryError.
    """
    try:
        image.load()
    except decode.BROKEN as error:
        failure = decode.failure(name, error)
        if isinstance(failure, MemoryError):
            raise failure from error
        return None
    grey = decode.to_grey(decode.to_rgb(image, ground))
    scale = min(1.0, side / max(grey.shape))
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    # In one step, unlike :func:`decode.shrink`: what that leaves out at the ends moves words by more than a letter.
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    return decode.orient(small, decode.orientation(image))


def _moments(shown: list[UInt8Array], lengths: NDArray[np.float64]) -> tuple[UInt8Array, ...]:
    """What shows, on average, in each of MOMENTS parts of the time. shown: uint8 (h, w) each; lengths: of each.

    Unlike a frame at a time, this sees all of them, and hangs little on how times are rounded, or frames that are
    alike are made one.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    borders = np.linspace(0.0, ends[-1], MOMENTS + 1)
    planes = []
    for begin, end in pairwise(borders):
        shares = np.clip(np.minimum(ends, end) - np.maximum(starts, begin), 0.0, None) / (end - begin)
        mean: Float32Array = np.zeros(shown[0].shape, np.float32)
        for place in np.flatnonzero(shares):
            mean += np.float32(shares[place]) * shown[place]
        planes.append(np.clip(np.rint(mean), 0, 255).astype(np.uint8))
    return tuple(planes)


def _document(image: ImageFile.ImageFile, name: str, data: bytes, ground: int, most: int) -> Frames | None:
    """The pages alone are decoded that are looked at; one that is broken leaves the document unseen."""
    primary, first = image.tell(), image.width * image.height
    pages = [
        (place, image.width * image.height)
        for place in range(int(getattr(image, "n_frames", 1)))
        if _sought(image, place) and (place == primary or _is_page(image, name, data, first))
    ]
    if len(pages) < _SEVERAL:
        return None
    chosen = [pages[round(place)] for place in np.linspace(0, len(pages) - 1, min(len(pages), MOST_PAGES))]
    unseen = Frames(timed=False, count=len(pages), planes=None)
    if max(pixels for _, pixels in chosen) > most or sum(pixels for _, pixels in chosen) > MOST_PIXELS:
        return unseen
    planes = []
    for place, _ in chosen:
        plane = _plane(image, name, ground, _PAGE_SIDE) if _sought(image, place) else None
        if plane is None:
            return unseen
        planes.append(plane)
    return Frames(timed=False, count=len(pages), planes=tuple(planes))


def _is_page(image: ImageFile.ImageFile, name: str, data: bytes, first: int) -> bool:
    """Whether the picture that was sought, beside a first one of ``first`` pixels, is one for people."""
    if name == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return not (tags.get(_NEW_SUBFILE, 0) & _REDUCED_OR_MASK or tags.get(_SUBFILE, 0) == _OLD_REDUCED)
    if image.width * image.height < _LEAST_AREA * first:
        return False
    if name != "JPEG":
        return True
    place = image.offset  # type: ignore[attr-defined]
    kind = image.mpinfo[0xB002][image.tell()]["Attribute"]["MPType"]  # type: ignore[attr-defined]
    head = data[place : place + _METADATA_BYTES]
    return "Thumbnail" not in kind and not any(letters in head for letters in _AUXILIARY)
