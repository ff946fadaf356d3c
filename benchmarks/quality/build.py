"""The set of pictures: originals, copies of them by named edits, and hard negatives."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.quality.negatives import TILES, make_negatives
from benchmarks.quality.neutral import renamed, stripped
from benchmarks.quality.truth import ORIGINAL, Row, save
from tests.edits import EDITS

#: The same bytes under another name: the one copy that is no edit.
EXACT = "exact"
PLAIN = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How large a set is: photographs with copies (the others go into negatives), and edits of each.

    ``without``: names of edits that are not dealt. ``neutral``: without metadata, under names by chance; then no exact
    copies, which nothing could tell from originals.
    """

    photos: int
    edits: int
    per_family: int = 12
    blanks: int = 1000
    without: frozenset[str] = frozenset()
    neutral: bool = False


def build(folder: Path, photos: Sequence[Path], wanted: Wanted, seed: int) -> list[Row]:
    """Fill ``folder/images``, write ``folder/truth.csv``, and say what is in it.

    Edits are dealt to the photographs in turn, so that each edit comes about equally often.

    Raises:
        ValueError: too few photographs for the originals and the hard negatives.
    """
    if len(photos) < wanted.photos + TILES:
        raise ValueError(
            f"too few photographs, {len(photos)} for {wanted.photos} originals and at least {TILES} hard negatives: "
            "name a folder with more, or ask for fewer with --photos"
        )
    images = folder / "images"
    images.mkdir(parents=True)
    edits = [name for name in EDITS if name not in wanted.without]
    deck = edits if wanted.neutral else [EXACT, *edits]
    random.Random(seed).shuffle(deck)
    rows: list[Row] = []
    for number, photo in enumerate(photos[: wanted.photos]):
        dealt = [deck[(number * wanted.edits + card) % len(deck)] for card in range(min(wanted.edits, len(deck)))]
        rows += _family(images, photo, f"photo{number:04d}", dealt, seed + number, neutral=wanted.neutral)
    others = photos[wanted.photos :]
    rows += make_negatives(images, others, random.Random(seed), wanted.per_family, wanted.blanks)
    if wanted.neutral:
        rows = renamed(images, rows, random.Random(seed))
    save(folder / "truth.csv", rows)
    return rows


def _family(images: Path, photo: Path, group: str, edits: Sequence[str], seed: int, *, neutral: bool) -> list[Row]:
    original = images / f"{group}.jpg"
    as_jpeg(photo, original)
    if neutral:
        original.write_bytes(stripped(original.read_bytes()))
    rows = [Row(original.name, group, ORIGINAL, ORIGINAL)]
    with Image.open(original) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    for name in edits:
        if name == EXACT:
            shutil.copyfile(original, images / f"{group}_{EXACT}.jpg")
            rows.append(Row(f"{group}_{EXACT}.jpg", group, "easy", EXACT))
            continue
        edit = EDITS[name]
        path = images / f"{group}_{name}{edit.suffix}"
        path.write_bytes(edit.apply(picture, seed))
        rows.append(Row(path.name, group, edit.level, name))
    return rows


def as_jpeg(source: Path, target: Path) -> None:
    """The photograph's own bytes where it is a JPEG, so that its quality is that of real files."""
    if source.suffix.lower() in PLAIN:
        shutil.copyfile(source, target)
        return
    out = io.BytesIO()
    with Image.open(source) as picture:
        picture.convert("RGB").save(out, "JPEG", quality=95)
    target.write_bytes(out.getvalue())
