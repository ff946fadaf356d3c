"""What a picture's EXIF data tell of it: when it was taken, with which camera, and whether they say where.

Source: EXIF 2.32 (CIPA DC-008), tags of IFD 0, the Exif IFD and the GPS IFD. EXIF data are written by anybody: whatever
they hold, the result is three small clean values and never an error.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

#: Longest make or model that is kept, in characters.
LONGEST = 64
#: Larger EXIF data are not looked at: real ones have 64 kB at most, and every number in them costs an object.
_MOST_BYTES = 1 << 20
_TAKEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized)
_PLACE = (ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLongitude)
# "2024:05:01 12:00:00"; other writers put other signs between the numbers of the date.
_MOMENT = re.compile(r"\s*(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
# What Pillow raises of broken EXIF data.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """taken: local time of the camera, ``2024-05-01 12:00:00``; camera: make and model; both may be empty.

    gps: latitude and longitude are there, as numbers, and not both zero (which cameras without a fix write).
    """

    taken: str = ""
    camera: str = ""
    gps: bool = False


#: What a file may say beside its pixels, by Pillow's names. ``dpi``: the size of a pixel, in JFIF, PNG or EXIF.
_KINDS = ("exif", "icc_profile", "xmp", "photoshop", "comment", "dpi")


def described(image: Image.Image) -> float:
    """How much a loaded picture's file says beside its pixels, 0 to 1: the share of the kinds of metadata it has.

    Platforms and most programs drop them when they save a picture anew, and hardly any adds them. Source: E. Kee,
    M. Johnson, H. Farid, "Digital image authentication from JPEG headers", IEEE Transactions on Information Forensics
    and Security 2011.
    """
    return sum(bool(image.info.get(kind)) for kind in _KINDS) / len(_KINDS)


def read(image: Image.Image) -> Metadata:
    """Metadata of a loaded picture; what cannot be read counts as absent."""
    block = image.info.get("exif")
    if isinstance(block, bytes) and len(block) > _MOST_BYTES:
        return Metadata()
    try:
        exif = image.getexif()
    except BROKEN:
        return Metadata()  # viewers show a picture with unreadable EXIF data as well
    if not exif:
        return Metadata()
    inner = _directory(exif, ExifTags.IFD.Exif)
    return Metadata(_taken(inner, exif), _camera(exif), _has_place(_directory(exif, ExifTags.IFD.GPSInfo)))


def _directory(exif: Image.Exif, which: ExifTags.IFD) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(which)
    except BROKEN:
        return {}


def _value(directory: Mapping[int, Any], tag: int) -> Any:
    """A tag's value, None if it is absent or cannot be decoded (Pillow decodes at the first look)."""
    try:
        return directory.get(tag)
    except BROKEN:
        return None


def _taken(*directories: Mapping[int, Any]) -> str:
    """The first moment that is one. The Exif IFD comes first; TIFF/EP cameras write the same tags into IFD 0."""
    for directory in directories:
        for tag in _TAKEN:
            found = _MOMENT.match(_text(_value(directory, tag)))
            if found is None:
                continue
            try:
                return datetime(*map(int, found.groups())).isoformat(" ")  # type: ignore[arg-type]  # six numbers
            except ValueError:
                continue  # "0000:00:00 00:00:00" stands for unknown
    return ""


def _camera(exif: Mapping[int, Any]) -> str:
    make, model = (_clean(_text(_value(exif, tag))) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _text(value: Any) -> str:
    """A tag's text without what comes behind its end; empty for every other type."""
    if isinstance(value, bytes):
        value = value[: 4 * LONGEST].decode("utf-8", "replace")
    return value.partition("\0")[0][: 4 * LONGEST] if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """One short line of printable characters: no control characters, no marks that turn the text's direction."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:LONGEST].strip()


def _has_place(directory: Mapping[int, Any]) -> bool:
    angles = [_angle(_value(directory, tag)) for tag in _PLACE]
    return all(math.isfinite(angle) for angle in angles) and any(angles)


def _angle(value: Any) -> float:
    """Degrees of an EXIF coordinate (degrees, minutes, seconds), NaN if it is none."""
    if not isinstance(value, tuple) or len(value) != 3:
        return math.nan
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ArithmeticError):
        return math.nan
    return parts[0] + parts[1] / 60 + parts[2] / 3600
