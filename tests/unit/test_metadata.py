"""What EXIF data tell, and EXIF data that want to do harm."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image, ImageCms

from modules.features.decode import decode
from modules.features.metadata import LONGEST, Metadata, described
from tests.pictures import draw

LIMIT = 10_000_000
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")
ASCII, SHORT, LONG, RATIONAL, DOUBLE = 2, 3, 4, 5, 12
PLACE: dict[int, Any] = {1: "N", 2: (48.0, 8.0, 1.0), 3: "E", 4: (11.0, 34.0, 2.0)}


def exif(first: dict[int, Any], inner: dict[int, Any] | None = None, gps: dict[int, Any] | None = None) -> bytes:
    """EXIF data by Pillow: IFD 0, the Exif IFD and the GPS IFD."""
    made = Image.Exif()
    for tag, value in first.items():
        made[tag] = value
    made.get_ifd(0x8769).update(inner or {})
    if gps is not None:
        made.get_ifd(0x8825).update(gps)
    return made.tobytes()


def raw(entries: list[tuple[int, int, int, bytes]], tail: bytes = b"") -> bytes:
    """EXIF data byte by byte: tag, type, count and the four bytes of the value or its offset; then whatever."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHL4s", tag, kind, count, value) for tag, kind, count, value in entries)
    return b"Exif\0\0II*\0" + struct.pack("<L", 8) + directory + bytes(4) + tail


def told(data: bytes, name: str = "JPEG") -> Metadata:
    """What is read of a picture with these EXIF data; that it is read at all is half of every test here."""
    stream = io.BytesIO()
    draw(1, (60, 40)).save(stream, name, **({"exif": data} if data else {}))
    return decode(stream.getvalue(), LIMIT).metadata


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "MPO"])
def test_every_format_tells_when_with_what_and_where(name: str) -> None:
    data = exif(
        {0x010F: "Canon", 0x0110: "Canon EOS 5D", 0x0132: "2025:01:01 01:01:01"}, {0x9003: "2024:05:01 12:00:00"}, PLACE
    )
    assert told(data, name) == Metadata("2024-05-01 12:00:00", "Canon EOS 5D", True)
    assert told(b"", name) == Metadata("", "", False)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Apple", "iPhone 15 Pro", "Apple iPhone 15 Pro"),
        ("NIKON CORPORATION", "", "NIKON CORPORATION"),
        ("", "DSC-F1", "DSC-F1"),
        ("canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("  Sony \n", "A7\r\n=1+1\t", "Sony A7 =1+1"),
        ("A\x1b[31mB\x07", "\u202e", "A [31mB"),
        ("M" * 5000, "", "M" * LONGEST),
        ("Make\0hidden", "Model\0" + "x" * 100, "Make Model"),
    ],
)
def test_the_camera_is_one_clean_line(make: str, model: str, camera: str) -> None:
    encoded = {
        tag: text.encode("latin-1", "ignore").decode("latin-1") for tag, text in ((0x010F, make), (0x0110, model))
    }
    found = told(exif({tag: text for tag, text in encoded.items() if text})).camera
    assert found == camera
    assert found.isprintable()


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({0x9003: "2024:05:01 12:00:00"}, "2024-05-01 12:00:00"),
        ({0x9003: "2024-05-01T12:00:00.123Z"}, "2024-05-01 12:00:00"),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "1999:12:31 23:59:59"}, "1999-12-31 23:59:59"),
        ({0x9003: "2024:02:30 12:00:00"}, ""),
        ({0x9003: "    :  :     :  :  "}, ""),
        ({0x9003: "2024:05:01"}, ""),
        ({0x9003: "9" * 10_000}, ""),
        ({0x9003: "=cmd|' /C calc'!A0"}, ""),
        ({0x9003: "20\xb24:05:01 12:00:00"}, ""),
        ({0x9003: 20240501}, ""),
    ],
)
def test_the_moment_is_one_or_nothing(tags: dict[int, Any], taken: str) -> None:
    assert told(exif({}, tags)).taken == taken


def test_a_moment_in_the_first_directory_counts_but_not_that_of_the_last_change() -> None:
    assert told(exif({0x9003: "2024:05:01 12:00:00"})).taken == "2024-05-01 12:00:00"
    assert told(exif({0x0132: "2024:05:01 12:00:00"})).taken == ""


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {0: b"\2\3\0\0"},
        {1: "N", 3: "E"},
        {1: "N", 2: (48.0, 8.0, 1.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {2: (48.0, 8.0), 4: (11.0, 3.0)},
    ],
)
def test_gps_data_without_a_place_are_none(gps: dict[int, Any]) -> None:
    assert not told(exif({0x010F: "Canon"}, {}, gps)).gps


def test_rationals_without_a_value_are_no_place() -> None:
    zero = struct.pack("<6L", 0, 0, 0, 0, 0, 0)
    gps = struct.pack("<H", 2) + struct.pack("<HHLL", 2, RATIONAL, 3, 56) + struct.pack("<HHLL", 4, RATIONAL, 3, 56)
    assert not told(raw([(0x8825, LONG, 1, struct.pack("<L", 26))], gps + bytes(4) + zero)).gps
    letters = gps.replace(struct.pack("<HL", RATIONAL, 3), struct.pack("<HL", ASCII, 24)) + bytes(4) + b"48.1" * 6
    assert not told(raw([(0x8825, LONG, 1, struct.pack("<L", 26))], letters)).gps
    there = struct.pack("<6L", 48, 1, 8, 1, 1, 1)
    assert told(raw([(0x8825, LONG, 1, struct.pack("<L", 26))], gps + bytes(4) + there)).gps


NAN = struct.pack("<d", float("nan"))
HOSTILE = {
    "not a header": b"Exif\0\0" + b"\xff" * 40,
    "nothing behind the header": b"Exif\0\0II*\0\x08\0\0\0",
    "first directory outside": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "more entries than bytes": b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    "text far outside": raw([(0x010F, ASCII, 2**32 - 1, b"\x08\0\0\0")]),
    "make is a number": raw([(0x010F, SHORT, 1, b"\1\0\0\0")]),
    "make is many numbers": raw([(0x010F, DOUBLE, 3, struct.pack("<L", 26))], NAN * 3),
    "unknown type": raw([(0x010F, 99, 1, b"abcd")]),
    "inner directory is itself": raw([(0x8769, LONG, 1, b"\x08\0\0\0"), (0x8825, LONG, 1, b"\x08\0\0\0")]),
    "inner directory outside": raw([(0x8769, LONG, 1, b"\xff\xff\xff\xff"), (0x8825, LONG, 1, b"\xff\xff\xff\x7f")]),
    "inner directory is a text": raw([(0x8769, ASCII, 4, b"abc\0"), (0x8825, ASCII, 4, b"abc\0")]),
    "inner directory is a fraction": raw([(0x8769, RATIONAL, 1, struct.pack("<L", 26))], bytes(8)),
    "inner directory is nowhere": raw([(0x8769, DOUBLE, 1, struct.pack("<L", 26))], NAN),
    "all entries one place": raw([(tag, ASCII, 60_000, b"\x08\0\0\0") for tag in range(1, 4000)], b"x" * 12_000),
}


# Pillow does not write data without a header into AVIF files, and libavif refuses such files whole.
PAIRS = [(kind, name) for kind in HOSTILE for name in FORMATS if (kind, name) != ("not a header", "AVIF")]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_hostile_data_leave_the_picture_alone(kind: str, name: str) -> None:
    assert told(HOSTILE[kind], name) == Metadata("", "", False)


def test_huge_data_are_not_looked_at() -> None:
    data = exif({0x010F: "Canon"}) + bytes(2 << 20)
    assert told(data, "PNG") == Metadata("", "", False)
    assert told(exif({0x010F: "Canon"}), "PNG").camera == "Canon"


def test_what_a_file_says_beside_its_pixels_is_counted_by_kinds() -> None:
    picture = Image.new("RGB", (20, 20), "red")
    plain, rich = io.BytesIO(), io.BytesIO()
    picture.save(plain, "JPEG")
    picture.save(rich, "JPEG", dpi=(300, 300), comment=b"a wall", icc_profile=PROFILE)
    with Image.open(plain) as opened:
        assert described(opened) == 0
    with Image.open(rich) as opened:
        assert described(opened) == 0.5
    stream = io.BytesIO()
    picture.save(stream, "PNG", dpi=(72, 72))
    with Image.open(stream) as opened:
        assert 0 < described(opened) < 0.5
