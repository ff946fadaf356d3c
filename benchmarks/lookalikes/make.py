"""A folder of look-alikes: pictures, easy true copies of some of them, and the truth about all."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from PIL import Image, ImageEnhance

from benchmarks.held_out import held_out
from benchmarks.lookalikes import FAMILIES, pictures
from benchmarks.lookalikes.base import Photos
from training.pictures import load_photos

TRUTH = "truth.csv"
#: Says that a folder was made here, and how; real look-alikes come without it.
MADE = "made.json"
ORIGINAL = "original"
#: What programs save without loss; all else is a JPEG.
_LOSSLESS = frozenset(
    ["app-screens", "web-pages", "charts", "boards", "maps", "icons", "flags", "transparent", "calendars", "faces"]
)
_QUALITIES = (60, 75, 85, 90, 95)
#: Every so many pictures get a copy.
_COPIED = 3
#: Below so many pixels a side a copy of 70 % is hardly to be recognised.
_LEAST_SIDE = 48


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: ``path`` below the folder, as FAMILY/NAME; two show the same picture where their ``id`` is equal."""

    path: str
    id: str
    family: str
    edit: str


def load_truth(folder: Path) -> list[Entry]:
    """What ``folder/truth.csv`` says. Raises OSError, KeyError (a column is missing)."""
    with (folder / TRUTH).open(newline="", encoding="utf-8") as file:
        return [Entry(**{one.name: row[one.name] for one in fields(Entry)}) for row in csv.DictReader(file)]


def named(families: str) -> list[str]:
    """The families that the words mean: names between commas, ``tuning``, ``held-out`` or ``all``.

    Raises:
        ValueError: a name that is none.
    """
    away = held_out("lookalikes")
    groups = {"all": set(FAMILIES), "tuning": set(FAMILIES) - away, "held-out": set(FAMILIES) & away}
    wanted: set[str] = set()
    for name in families.split(","):
        if name not in groups and name not in FAMILIES:
            raise ValueError(f"no family of look-alikes is called {name!r}; there are {', '.join(FAMILIES)}")
        wanted |= groups.get(name, {name})
    return [name for name in FAMILIES if name in wanted]


def find_photos(folder: Path | None) -> list[Image.Image]:
    """The photographs in a folder, by name, without it those that the installed packages carry; all RGB.

    Raises:
        ValueError: the folder holds none.
    """
    if folder is None:
        return [Image.fromarray(one) for one in load_photos()]
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            with Image.open(path) as opened:
                found.append(opened.convert("RGB"))
    if not found:
        raise ValueError(f"{folder} holds no photographs (.jpg, .jpeg, .png)")
    return found


def make(folder: Path, families: Sequence[str], seed: int, size: tuple[int, int], photos: Photos) -> list[Entry]:
    """Fill ``folder``, which must not be there; size: scenes of each family, pictures of each scene.

    Raises:
        FileExistsError: the folder is there.
        ValueError: see ``pictures``.
    """
    folder.mkdir(parents=True)
    entries = []
    for family in families:
        (folder / family).mkdir()
        entries += list(_family(folder, family, seed, size, photos))
    with (folder / TRUTH).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([one.name for one in fields(Entry)])
        writer.writerows(map(astuple, entries))
    about = {"seed": seed, "scenes": size[0], "each": size[1], "families": list(families)}
    (folder / MADE).write_text(json.dumps(about), encoding="utf-8")
    return entries


def _family(folder: Path, family: str, seed: int, size: tuple[int, int], photos: Photos) -> Iterator[Entry]:
    rng = random.Random(f"files of {family} {seed}")
    number = 0
    for scene in range(size[0]):
        # Where there are enough, no two scenes share a photograph: they would resemble each other in earnest.
        share = photos[scene :: size[0]]
        for picture in pictures(family, seed, scene, size[1], share if len(share) >= size[1] else photos):
            name, suffix = f"{number:03d}", ".png" if family in _LOSSLESS else ".jpg"
            own = f"{family} {seed} {scene} {number}"
            path = folder / family / f"{name}{suffix}"
            picture.save(path, quality=rng.choice(_QUALITIES))
            yield Entry(f"{family}/{path.name}", own, family, ORIGINAL)
            if number % _COPIED == 0 and min(picture.size) >= _LEAST_SIDE:
                edit = _edit_for(picture, number // _COPIED)
                copy = _copy(path, edit)
                yield Entry(f"{family}/{copy.name}", own, family, edit)
            number += 1


def _edit_for(picture: Image.Image, turn: int) -> str:
    edits = ("smaller", "brighter") if picture.mode == "RGBA" else ("jpeg70", "smaller", "brighter")
    return edits[turn % len(edits)]


def _copy(path: Path, edit: str) -> Path:
    """An edit of a file, beside it."""
    with Image.open(path) as picture:
        if edit == "jpeg70":
            target = path.with_name(f"{path.stem}_{edit}.jpg")
            picture.save(target, quality=70)
            return target
        target = path.with_name(f"{path.stem}_{edit}{path.suffix}")
        if edit == "smaller":
            size = round(0.7 * picture.width), round(0.7 * picture.height)
            picture.resize(size, Image.Resampling.LANCZOS).save(target, quality=90)
        else:
            _brighter(picture).save(target, quality=90)
        return target


def _brighter(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return ImageEnhance.Brightness(picture).enhance(1.15)
    lit = ImageEnhance.Brightness(picture.convert("RGB")).enhance(1.15)
    lit.putalpha(picture.getchannel("A"))
    return lit
