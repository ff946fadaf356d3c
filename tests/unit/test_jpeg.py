"""JPEGs that lost data are told from whole ones, and their pixels are those that Pillow decodes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.features.decode import decode
from modules.features.jpeg import is_loss, load
from tests.drawings import leaves
from tests.pictures import encode

LIMIT = 10_000_000
LAYOUTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "progressive": {"progressive": True},
    "fine colours": {"subsampling": 0},
    "wide colours": {"subsampling": 1},
    "with restarts": {"restart_marker_rows": 2},
}


def scan_of(data: bytes) -> int:
    """Where the entropy-coded data of the first scan begin."""
    place = data.index(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def with_hole(data: bytes, share: float = 0.4, size: int = 200) -> bytes:
    """Zeros in place of some bytes of the pixels, as a broken copy leaves them."""
    start = scan_of(data)
    start += round(share * (len(data) - start))
    return data[:start] + bytes(size) + data[start + size :]


def with_end_lost(data: bytes) -> bytes:
    """Half of the pixels, and the end marker: what recovery programs write."""
    start = scan_of(data)
    return data[: start + (len(data) - start) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(480, 360), (333, 251), (2100, 1500)])
def test_pixels_are_those_of_pillow(layout: str, mode: str, size: tuple[int, int]) -> None:
    data = encode(leaves(1, size).convert(mode), quality=85, **LAYOUTS[layout])
    for box in (size, (300, 200)):
        ours, theirs = (Image.open(io.BytesIO(data)) for _ in range(2))
        for one in (ours, theirs):
            one.draft(None, box)
        shown, lost = load(ours, data)
        assert not lost
        assert shown is not ours
        assert np.array_equal(np.asarray(shown), np.asarray(theirs))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_hole_in_the_pixels_is_seen(layout: str, share: float) -> None:
    whole = encode(leaves(2), quality=85, **LAYOUTS[layout])
    assert not decode(whole, LIMIT).header.damaged
    got = decode(with_hole(whole, share), LIMIT)
    assert got.header.damaged
    assert got.rgb.shape == (360, 480, 3)


def test_a_lost_end_is_seen() -> None:
    whole = encode(leaves(3), quality=90)
    assert decode(with_end_lost(whole), LIMIT).header.damaged


def test_other_bytes_are_mostly_seen_the_more_the_surer() -> None:
    """Where decoding falls into step again at the right place, libjpeg has nothing to warn of."""
    rng = np.random.default_rng(1)
    seen = {}
    for size in (64, 2048):
        found = []
        for seed in range(20):
            whole = encode(leaves(seed, (360, 270)), quality=85)
            place = int(rng.integers(scan_of(whole), len(whole) - size - 2))
            place += whole[place - 1] == 0xFF  # whose zero says that it starts no marker
            noise = rng.integers(0, 255, size, np.uint8).tobytes()  # no 0xFF
            found.append(decode(whole[:place] + noise + whole[place + size :], LIMIT).header.damaged)
        seen[size] = np.mean(found)
    assert seen[64] >= 0.5
    assert seen[2048] >= 0.9


@pytest.mark.parametrize("options", [{}, {"quality": 5}, {"optimize": True}])
def test_colours_for_print_are_left_to_pillow(options: dict[str, Any]) -> None:
    data = encode(leaves(5).convert("CMYK"), **options)
    with Image.open(io.BytesIO(data)) as image:
        assert load(image, data) == (image, False)


def test_what_cameras_fill_up_and_what_is_behind_the_end_is_no_loss() -> None:
    whole = encode(leaves(6), quality=85)
    filled = whole[:-2] + bytes(37) + whole[-2:]
    rest = whole[:-2] + bytes(range(37)) + whole[-2:]
    assert [decode(one, LIMIT).header.damaged for one in (filled, rest, whole + b"more")] == [False, True, False]


@pytest.mark.parametrize(
    ("warning", "loss"),
    [
        ("Corrupt JPEG data: premature end of data segment", True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("Premature end of JPEG file", True),
        ("Corrupt JPEG data: found marker 0xd3 instead of RST2", True),
        ("Corrupt JPEG data: bad ICC marker", False),
        ("Unknown Adobe color transform code 7", False),
        ("Unsupported color conversion request", False),
    ],
)
def test_only_warnings_of_lost_pixels_count(warning: str, loss: bool) -> None:
    assert is_loss(warning, b"") == loss
