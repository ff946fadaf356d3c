"""Pictures that tell nothing of themselves but their pixels: no metadata, and names by chance."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from benchmarks.quality.truth import Row

# Markers of a JPEG (ITU-T T.81, table B.1): application data but Adobe's, which says what the colours are, comments,
# and the start of the pixels.
_KEPT_APPLICATION, _COMMENT, _SCAN = 0xEE, 0xFE, 0xDA


def stripped(data: bytes) -> bytes:
    """A JPEG, its pixels as they are, without metadata."""
    parts, place = [data[:2]], 2
    while data[place + 1] != _SCAN:
        marker = data[place + 1]
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _KEPT_APPLICATION or not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
            parts.append(data[place:end])
        place = end
    return b"".join([*parts, data[place:]])


def renamed(images: Path, rows: list[Row], rng: random.Random) -> list[Row]:
    """The same rows, their files under names that tell neither the group nor the edit."""
    numbers = rng.sample(range(len(rows)), len(rows))
    found = []
    for row, number in zip(rows, numbers, strict=True):
        name = f"{number:06d}{Path(row.name).suffix}"
        (images / row.name).rename(images / name)
        found.append(replace(row, name=name))
    return found
