"""The photographs that a set is made of: a folder's, or a self-made folder of them; and its two halves."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from benchmarks.quality.negatives import TEXTURES
from scripts.make_sample import photographs as packaged
from tests.drawings import leaves

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
DRAWN = 65
SIZES = ((480, 360), (500, 333), (375, 500), (640, 427))


def find_photographs(folder: Path, half: str | None, seed: int) -> list[Path]:
    """The folder's pictures in an order of their own by ``seed``; half ``a`` or ``b`` of them, None for all.

    The halves do not depend on the seed: what was tuned on one was never tuned on the other.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = found if half is None else found[half == "b" :: 2]
    random.Random(seed).shuffle(chosen)
    return chosen


def make_photographs(folder: Path) -> None:
    """Fill ``folder`` with what serves where no photographs are at hand: 80 pictures, the same every time.

    15 photographs that scikit-image and scikit-learn carry, and drawn pictures with the statistics of photographs.
    """
    folder.mkdir(parents=True)
    for name, source in packaged():
        if Path(name).stem in TEXTURES:
            continue
        with Image.open(source) as picture:
            colour = picture.convert("RGB")
            colour.thumbnail((640, 640))
            colour.save(folder / f"{Path(name).stem}.jpg", quality=92)
    for number in range(DRAWN):
        leaves(900 + number, SIZES[number % len(SIZES)]).save(folder / f"drawn{number:03d}.jpg", quality=92)
