"""Figures of a run, kept in a file, and held against those of a later run on the same pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quality.page import LEVELS
from benchmarks.quality.score import Score, Share

#: What must be equal for figures to be comparable: options of the command line, and how many pictures it made.
Conditions = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Figure:
    """``hits`` of ``tries``; a figure of another source (look-alikes wrongly set aside, ...) is one more of these.

    name: unique in a run. more_is_better: of copies found it is, of wrong pairs it is not.
    """

    name: str
    hits: int
    tries: int
    more_is_better: bool

    @property
    def share(self) -> Share:
        """The figure as a share, with its interval."""
        return Share(self.hits, self.tries)

    def is_worse_than(self, baseline: Figure) -> bool:
        """Whether the share lies outside of the 95 % interval (Wilson) of ``baseline``, on the worse side.

        Pairs of one group depend on each other, so the interval of wrong pairs is too narrow: it rather complains.
        """
        low, high = baseline.share.interval()
        return self.share.value < low if self.more_is_better else self.share.value > high


@dataclass(frozen=True, slots=True)
class Baseline:
    """Figures, and what they were measured under."""

    conditions: Conditions
    figures: Sequence[Figure]

    def save(self, path: Path) -> None:
        """Write as JSON, a figure a line."""
        figures = ",\n  ".join(json.dumps(asdict(figure)) for figure in self.figures)
        text = f'{{"conditions": {json.dumps(self.conditions)},\n "figures": [\n  {figures}\n]}}\n'
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read what ``save`` wrote. Raises OSError, and ValueError for a file that is no baseline."""
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            return cls(dict(read["conditions"]), [Figure(**figure) for figure in read["figures"]])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no baseline: {error!r}") from error

    def refuse_other(self, conditions: Conditions) -> None:
        """Raises ValueError, naming what differs, where ``conditions`` are not those of this baseline."""
        differing = [
            name for name in {**self.conditions, **conditions} if not _equal(name, self.conditions, conditions)
        ]
        if differing:
            said = ", ".join(f"{name} {self.conditions.get(name)} not {conditions.get(name)}" for name in differing)
            raise ValueError(f"the baseline was made otherwise ({said}): its figures cannot be compared")

    def complaints(self, figures: Sequence[Figure]) -> Iterator[str]:
        """A line for each figure of the baseline that is worse now beyond its interval, or was not measured."""
        today = {figure.name: figure for figure in figures}
        for before in self.figures:
            now = today.get(before.name)
            if now is None:
                yield f"worse: {before.name}: not measured, in the baseline {_said(before)}"
            elif now.is_worse_than(before):
                low, high = before.share.interval()
                yield f"worse: {before.name}: {_said(now)}, in the baseline {_said(before)}, {low:.4f} to {high:.4f}"


def figures_of(contender: str, score: Score) -> Iterator[Figure]:
    """What a contender's score is worth, in figures that can be compared; only those that had any tries."""
    measured = [(f"{level} copies found", score.level(level), True) for level in LEVELS]
    measured.append(("joined pairs that are wrong", Share(score.wrong.total(), score.pairs.tries), False))
    if score.kept is not None:
        measured.append(("originals kept", score.kept, True))
    for name, share, more_is_better in measured:
        if share.tries:
            yield Figure(f"{contender}: {name}", share.hits, share.tries, more_is_better)


def _equal(name: str, one: Conditions, other: Conditions) -> bool:
    return name in one and name in other and one[name] == other[name]


def _said(figure: Figure) -> str:
    return f"{figure.hits:,} of {figure.tries:,} ({figure.share.value:.4f})"
