"""Drawn pictures with known content, and the way from a picture to what matching needs of it."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw

from modules.feature_extraction import Analyser
from modules.matching.evidence import Evidence, evidence_of
from modules.records import Analysis


def leaves(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Overlapping coloured shapes of all sizes ("dead leaves"): has the statistics of a photograph."""
    rng = random.Random(seed)
    picture = Image.new("RGB", size, "grey")
    pen = ImageDraw.Draw(picture)
    for _ in range(350):
        radius = 4 / rng.uniform(0.06, 1.0) ** 1.2
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        colour = tuple(rng.randrange(256) for _ in range(3))
        box = (x - radius, y - radius * rng.uniform(0.4, 1), x + radius, y + radius)
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=colour)
    return picture


def page(seed: int, size: tuple[int, int] = (600, 800)) -> Image.Image:
    """A page of printed text: the same layout for every seed, other words."""
    rng = random.Random(seed)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for line in range(30):
        words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(9)]
        pen.text((50, 50 + line * 23), " ".join(words)[:62], fill="black", font_size=15)
    return picture


def as_png(picture: Image.Image) -> bytes:
    """The picture's file, without loss."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def analysed(data: bytes) -> Analysis:
    """Facts and keypoints of a file."""
    return Analyser((), 100_000_000).analyse(data, facts=True, keypoints=True, extractors=frozenset())


def evidence(data: bytes) -> Evidence:
    """What is compared of a file."""
    found = analysed(data)
    assert found.keypoints is not None
    assert found.facts is not None
    return evidence_of(found.keypoints, (found.facts.width, found.facts.height))
