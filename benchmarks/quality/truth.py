"""What is known of a set of pictures: one row for each, in ``truth.csv`` beside the folder of pictures."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

COLUMNS = ("name", "group", "level", "transform")
ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Row:
    """One picture: pictures of one ``group`` show the same, all others must not be joined.

    ``level`` is ``original`` for what is no copy: the originals themselves (``GROUP.jpg``) and hard negatives, whose
    family is the ``transform``.
    """

    name: str
    group: str
    level: str
    transform: str

    @property
    def is_original(self) -> bool:
        """Whether copies of this picture were made."""
        return self.transform == ORIGINAL

    @property
    def is_copy(self) -> bool:
        """Whether this is an edit of the group's original."""
        return self.level != ORIGINAL


def save(path: Path, rows: Iterable[Row]) -> None:
    """Write as CSV with the columns name, group, level, transform."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def load(path: Path) -> list[Row]:
    """Read what ``save`` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(*(row[column] for column in COLUMNS)) for row in csv.DictReader(file)]
