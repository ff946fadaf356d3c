"""Golden pairs judged by today's matcher, kept in ``verdicts.csv``, and compared with what is kept."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from PIL import Image

from modules.feature_extraction import Analyser
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.relations import Verdicts
from modules.matching.verdicts import verify_pair
from modules.records import Effort, Grade, Kind
from tests.golden.pairs import Make, Pair

FILE = Path(__file__).with_name("verdicts.csv")
COMMAND = "python -m tests.golden"
#: Shares this far apart are the same: processors differ by less.
NEAR = 0.02
_HEAD = "# matcher version "


@dataclass(frozen=True, slots=True)
class Golden:
    """A pair's verdict as the file holds it. Shares are rounded to hundredths, and 0 where the pictures are apart."""

    pair: str
    family: str
    kind: str
    grade: str
    mirrored: bool
    agreement: float
    cover_a: float
    cover_b: float

    @property
    def verdict(self) -> str:
        """For people."""
        if self.kind == "none":
            return self.kind
        mirrored = " mirrored" if self.mirrored else ""
        return f"{self.kind} {self.grade}{mirrored} {self.agreement:.2f} of {self.cover_a:.2f}, {self.cover_b:.2f}"

    def same_as(self, other: Golden) -> bool:
        """Whether the two say the same of their pair."""
        if (self.kind, self.grade, self.mirrored) != (other.kind, other.grade, other.mirrored):
            return False
        shares = zip(self._shares(), other._shares(), strict=True)
        return all(abs(own - its) < NEAR + 1e-9 for own, its in shares)

    def _shares(self) -> tuple[float, float, float]:
        return self.agreement, self.cover_a, self.cover_b


class Judge:
    """Judges pairs; what is found of a picture is kept, so that each is made and looked at once for each effort."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._known: dict[tuple[str, Effort], Evidence] = {}

    def evidence(self, picture: tuple[str, Make], effort: Effort) -> Evidence:
        """What is compared of a picture."""
        name, make = picture
        if (name, effort) not in self._known:
            data = self._files.setdefault(name, b"") or make()
            self._files[name] = data
            found = Analyser((), 10_000_000, effort).analyse(data, facts=False, keypoints=True, extractors=frozenset())
            assert found.keypoints is not None
            with Image.open(io.BytesIO(data)) as opened:
                self._known[name, effort] = evidence_of(found.keypoints, opened.size)
        return self._known[name, effort]

    def judge(self, pair: Pair) -> Verdicts:
        """Today's verdict on a pair."""
        return verify_pair(self.evidence(pair.a, pair.effort), self.evidence(pair.b, pair.effort))


def golden(pair: Pair, verdict: Verdicts) -> Golden:
    """A verdict as the file holds it."""
    kind = Kind(int(verdict["kind"])).name.lower()
    grade = Grade(int(verdict["grade"])).name.lower()
    apart = verdict["kind"] == Kind.NONE
    shares = (0.0 if apart else round(float(verdict[name]), 2) for name in ("agreement", "cover_a", "cover_b"))
    return Golden(pair.name, pair.family, kind, grade, bool(verdict["mirrored"]), *shares)


def save(rows: Sequence[Golden], version: int) -> None:
    """Write the file."""
    with FILE.open("w", newline="", encoding="utf-8") as file:
        file.write(f"{_HEAD}{version}; made by {COMMAND}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Golden))
        writer.writerows(astuple(row) for row in rows)


def load() -> tuple[int, dict[str, Golden]]:
    """The matcher's version that the file was made with, and its rows by pair."""
    with FILE.open(newline="", encoding="utf-8") as file:
        version = int(file.readline().removeprefix(_HEAD).partition(";")[0])
        rows = [
            Golden(
                row["pair"],
                row["family"],
                row["kind"],
                row["grade"],
                row["mirrored"] == "True",
                *(float(row[name]) for name in ("agreement", "cover_a", "cover_b")),
            )
            for row in csv.DictReader(file)
        ]
    return version, {row.pair: row for row in rows}


def changes(before: Mapping[str, Golden], after: Mapping[str, Golden]) -> Iterator[str]:
    """The lines that say what moved: families, and under each its pairs with both verdicts."""
    moved: dict[str, list[str]] = defaultdict(list)
    for name in [*before, *(name for name in after if name not in before)]:
        own, its = before.get(name), after.get(name)
        if own is None or its is None or not own.same_as(its):
            family = (its or own or after[name]).family
            said = [row.verdict if row is not None else "not there" for row in (own, its)]
            moved[family].append(f"  {name}: {said[0]} -> {said[1]}")
    for family, lines in sorted(moved.items()):
        yield f"{family}: {len(lines)}"
        yield from lines
