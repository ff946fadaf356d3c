"""Hard negatives: pictures that share something, and are not the same picture.

    python -m benchmarks.quality.negatives PHOTOS FOLDER [--per-family N] [--blanks N] [--seed N]

Two kinds. *Around photographs*: the same logo, frame, screenshot chrome and so on with different photographs. Their
group is the photograph's: two families' pictures of one photograph are copies of each other, two of different
photographs must not be joined. *Drawn*: pages, icons, skies, blank pictures; each is a group of its own.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.quality import drawn
from benchmarks.quality.truth import ORIGINAL, Row, save
from scripts.make_sample import photographs as packaged
from tests.compositions import caption, screenshot

#: A photograph and the family's random numbers, started anew for each picture: what is drawn is the same every time.
Around = Callable[[Image.Image, random.Random], Image.Image]
TILES = 4
#: Photographs of one texture that scikit-image carries; no self-made set has them as originals.
TEXTURES = ("brick", "grass", "gravel")

AROUND: dict[str, Around] = {
    "logo": drawn.logo,
    "caption": caption,
    "frame": drawn.frame,
    "emoji": drawn.emoji,
    "watermark": drawn.watermark,
    "screenshot": screenshot,
}
#: How each is drawn from random numbers alone, and its format: drawings and pages come without loss as often as not.
DRAWN: dict[str, tuple[Callable[[random.Random], Image.Image], str]] = {
    "sky": (drawn.sky, ".jpg"),
    "wall": (drawn.wall, ".jpg"),
    "near-empty": (drawn.near_empty_page, ".png"),
    "scan": (drawn.scan, ".jpg"),
    "icon": (drawn.icon, ".png"),
    "flat": (drawn.flat_drawing, ".png"),
}


def make_negatives(
    folder: Path, photos: Sequence[Path], rng: random.Random, per_family: int = 12, blanks: int = 1000
) -> list[Row]:
    """Write hard negatives into ``folder`` and say what they are.

    ``photos``: at least four that the set does not use otherwise; families take them in turn. ``per_family``: pictures
    of each family but the blank ones, at most. A row's ``transform`` is its family, its ``level`` is ``original``: none
    of them counts as a copy to be found.

    Raises:
        ValueError: fewer than four photographs.
    """
    if len(photos) < TILES:
        raise ValueError(f"hard negatives need {TILES} photographs, here are {len(photos)}: name a folder with more")
    folder.mkdir(parents=True, exist_ok=True)
    seed = rng.getrandbits(64)
    rows = [*_around_photographs(folder, photos, seed, per_family), *_collages(folder, photos, per_family)]
    for family, (draw, suffix) in DRAWN.items():
        for number in range(per_family):
            rows.append(_write(folder, family, number, draw(random.Random(f"{seed} {family} {number}")), suffix))
    rows += _textures(folder, seed, per_family)
    for number in range(blanks):
        blank = drawn.blank(number, random.Random(f"{seed} blank {number}"))
        rows.append(_write(folder, "blank", number, blank, (".jpg", ".png")[number % 2]))
    return rows


def _around_photographs(folder: Path, photos: Sequence[Path], seed: int, count: int) -> Iterator[Row]:
    for turn, (family, draw) in enumerate(AROUND.items()):
        for number in range(min(count, len(photos))):
            source = photos[(turn * count + number) % len(photos)]
            picture = draw(_open(source), random.Random(f"{seed} {family}"))
            yield _write(folder, family, number, picture, ".jpg", group=_group(source))


def _collages(folder: Path, photos: Sequence[Path], count: int) -> Iterator[Row]:
    """Four photographs in one picture, and the four beside it: neither may stand for the other."""
    for number in range(min(count, len(photos) // TILES)):
        sources = photos[-TILES * (number + 1) :][:TILES]
        pictures = [_open(source) for source in sources]
        yield _write(folder, "collage", number, drawn.collage(pictures), ".jpg")
        for place, (source, picture) in enumerate(zip(sources, pictures, strict=True)):
            yield _write(folder, "collage-part", number * TILES + place, picture, ".jpg", group=_group(source))


def _textures(folder: Path, seed: int, count: int) -> Iterator[Row]:
    """Frames of one texture that do not overlap."""
    if count == 0:
        return
    for kind in drawn.TEXTURES:
        frames = drawn.texture_frames(kind, random.Random(f"{seed} {kind}"), -(-count // len(drawn.TEXTURES)))
        for number, frame in enumerate(frames):
            yield _write(folder, f"drawn-{kind}", number, frame, ".jpg")
    for name, path in packaged():
        if Path(name).stem in TEXTURES:
            sheet = _open(path)
            middle = sheet.width // 2
            for number in range(4):
                left, top = number % 2 * middle, number // 2 * middle
                frame = sheet.crop((left, top, left + middle, top + middle))
                yield _write(folder, f"photographed-{Path(name).stem}", number, frame, ".jpg")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def _group(photo: Path) -> str:
    return f"neg_{photo.stem}"


def _write(folder: Path, family: str, number: int, picture: Image.Image, suffix: str, *, group: str = "") -> Row:
    name = f"neg_{family}_{number:04d}"
    picture.save(folder / f"{name}{suffix}", quality=88)
    return Row(f"{name}{suffix}", group or name, ORIGINAL, family)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path, help="gets images/ and truth.csv")
    parser.add_argument("--per-family", type=int, default=12)
    parser.add_argument("--blanks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    photos = sorted(path for path in asked.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    rng = random.Random(asked.seed)
    rows = make_negatives(asked.folder / "images", photos, rng, asked.per_family, asked.blanks)
    save(asked.folder / "truth.csv", rows)
    print(f"{len(rows)} pictures in {asked.folder / 'images'}, {len({row.group for row in rows})} different ones")


if __name__ == "__main__":
    main()
