"""How near the next shots of a scene and different pictures lie to each other, by extractor and kind of next shot.

    python -m benchmarks.bursts PHOTOS [--half a|b] [--features descriptor] [--weights NAME=FILE] [--seed 0]

Of each of PHOTOS (a folder) one next shot of every kind is made: the camera moved, zoomed in, the light changed, a
subject moved (an oval of the picture itself, laid elsewhere than in the first shot), and all of it at once. Then for a
row of thresholds: which share of next shots lies at or above it, and how many pairs of different photographs do. It
tells what ``--match same-scene`` would join at that threshold, and what it would wrongly.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.quality.photographs import find_photographs
from modules.devices import devices_for
from modules.feature_extraction import Analyser
from modules.features.base import Extractor
from modules.features.registry import needs_models, resolve
from modules.hardware import MODEL_MEMORY, keep_freed_memory, tune_environment
from modules.matching.scenes import cosines
from modules.matching.thresholds import default_of
from modules.records import UInt8Array

THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
Cosines = NDArray[np.float64]


def _window(picture: Image.Image, rng: random.Random, side: float) -> Image.Image:
    """A part of ``side`` of width and height, somewhere, at the size of the whole."""
    width, height = round(picture.width * side), round(picture.height * side)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return picture.resize(picture.size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))


def _camera_moved(picture: Image.Image, rng: random.Random) -> Image.Image:
    turned = picture.rotate(rng.uniform(-4, 4), Image.Resampling.BICUBIC)
    return _window(turned, rng, 0.8)


def _zoomed(picture: Image.Image, rng: random.Random) -> Image.Image:
    return _window(picture, rng, 1 / rng.uniform(1.3, 1.7))


def _light_changed(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Exposure by up to a stop, warmer or colder, as when a cloud or a flash comes in between."""
    warm = rng.choice([0.85, 1.15])
    red, green, blue = picture.split()
    toned = Image.merge("RGB", (red.point(lambda v: v * warm), green, blue.point(lambda v: v / warm)))
    return ImageEnhance.Brightness(toned).enhance(rng.choice([0.5, 0.7, 1.4, 1.8]))


def _subject_moved(picture: Image.Image, rng: random.Random) -> Image.Image:
    """An oval of 10 to 30 % of the area laid elsewhere in it, its edge soft."""
    side = rng.uniform(0.36, 0.62)  # of width and height: 0.785 times its square is the oval's share
    size = round(picture.width * side), round(picture.height * side)
    places = [tuple(rng.randint(0, whole - part) for whole, part in zip(picture.size, size, strict=True)) for _ in "ab"]
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((2, 2, size[0] - 3, size[1] - 3), fill=255)
    (left, top), to = places
    moved = picture.copy()
    subject = picture.crop((left, top, left + size[0], top + size[1]))
    moved.paste(subject, (to[0], to[1]), mask.filter(ImageFilter.GaussianBlur(3)))
    return moved


def _all(picture: Image.Image, rng: random.Random) -> Image.Image:
    return _light_changed(_camera_moved(_subject_moved(picture, rng), rng), rng)


SHOTS: Mapping[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "camera moved": _camera_moved,
    "zoomed in": _zoomed,
    "light changed": _light_changed,
    "subject moved": _subject_moved,
    "all but the zoom": _all,
}


def shots(photo: Path, seed: int) -> list[bytes]:
    """The photograph and a next shot of each kind, as JPEG files; the same seed makes the same bytes."""
    with Image.open(photo) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((1024, 1024))
    made = [picture, *(draw(picture, random.Random(f"{seed} {name} {photo.name}")) for name, draw in SHOTS.items())]
    return [_encoded(one) for one in made]


def _encoded(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def vectors(extractor: Extractor, files: Sequence[bytes]) -> NDArray[np.float16]:
    """float16 (n, d), as a state keeps them."""
    analyser = Analyser((extractor,), 10**9)
    names = frozenset({extractor.name})
    seen = [analyser.analyse(data, facts=False, keypoints=False, extractors=names).pixels for data in files]
    inputs: UInt8Array = np.stack([one[extractor.name] for one in seen])
    extractor.setup(devices_for(["auto"], None, 0.9, 32, models=needs_models([extractor]))[0])
    return extractor.embed(inputs).astype(np.float16)


def measure(extractor: Extractor, bursts: Sequence[Sequence[bytes]]) -> tuple[dict[str, Cosines], Cosines]:
    """Cosines of first and next shots by kind, (photographs,) each, and of the pairs of different first shots."""
    found = vectors(extractor, [data for burst in bursts for data in burst]).reshape(len(bursts), 1 + len(SHOTS), -1)
    first = found[:, 0]
    near = {name: cosines(extractor, first, found[:, place]) for place, name in enumerate(SHOTS, start=1)}
    left, right = np.triu_indices(len(first), k=1)
    return near, np.concatenate([cosines(extractor, first[left[n::64]], first[right[n::64]]) for n in range(64)])


def page(extractor: Extractor, near: Mapping[str, Cosines], different: Cosines) -> str:
    """A Markdown table, a row for each threshold."""
    default = default_of("same-scene", extractor.name)
    thresholds = sorted({*THRESHOLDS, default.least})
    head = ["Threshold", *SHOTS, f"different pairs of {len(different):,}"]
    rows = [
        [f"{least:.2f}" + (" (default)" if least == default.least else "")]
        + [f"{100 * np.mean(values >= least):.1f} %" for values in near.values()]
        + [f"{np.sum(different >= least):,}"]
        for least in thresholds
    ]
    lines = [head, ["---"] * len(head), *rows]
    return f"{extractor.name}\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("a", "b"))
    parser.add_argument("--features", type=lambda text: text.split(","), default=["descriptor"])
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tune_environment()  # as a job does
    keep_freed_memory(MODEL_MEMORY)
    bursts = [shots(photo, asked.seed) for photo in find_photographs(asked.folder, asked.half, asked.seed)]
    print(f"python -m benchmarks.bursts {' '.join(sys.argv[1:])}\n{len(bursts)} photographs")
    for extractor in resolve(asked.features, asked.weights):
        print("\n" + page(extractor, *measure(extractor, bursts)))


if __name__ == "__main__":
    main()
