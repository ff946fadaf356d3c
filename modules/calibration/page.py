"""What ``calibrate`` prints: how the cosines are spread, what thresholds make of them, and the flag to pass."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modules.calibration.cosines import FOUND, WRONG_PARTNERS, Spread, finding, parting, percentiles, share
from modules.calibration.edits import NEXT_SHOT
from modules.log_lines import visible
from modules.matching.scenes import Cosines
from modules.matching.thresholds import Match, Thresholds, default_of

_PERCENTILES = (1, 5, 50, 95, 99, 100)
_HEADINGS = ("1 %", "5 %", "half", "95 %", "99 %", "all")
_ALIKE = 5
#: Pairs below which the tail of their distribution says little.
_FEW_PAIRS = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a threshold would do in the sample.

    extractor, threshold: empty and None for all extractors together. label: where it comes from. copies, next_shots:
    shares that pass, 0 to 1. wrong: different pairs that pass.
    """

    match: Match
    extractor: str
    threshold: float | None
    label: str
    copies: float
    next_shots: float
    wrong: int


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a calibration.

    source: its address. listed: pictures that it has. names: of those measured, below the source. same: pairs of them
    that are the same picture already, left out. unusable, repeated: pictures of the sample that could not be used, and
    that had the bytes of another one. thresholds: in force, by match. by_hand: the match for which a person set them.
    """

    source: str
    listed: int
    names: Sequence[str]
    spread: Spread
    same: int
    unusable: int
    repeated: int
    thresholds: Mapping[Match, Thresholds]

    def suggested(self, match: Match) -> dict[str, float]:
        """A threshold for each extractor."""
        if match == "same-picture":
            return {name: finding(self.spread.all_copies(name)) for name in self.spread.copies}
        return {name: parting(found, self.listed) for name, found in self.spread.different.items()}

    def flags(self, match: Match) -> str:
        """What to pass to ``imgsieve run`` for it."""
        values = ",".join(f"{name}={least:.2f}" for name, least in self.suggested(match).items())
        return f"--match {match} --threshold {shlex.quote(values)}"

    def outcomes(self, match: Match) -> Iterator[Outcome]:
        """Of the thresholds in force and of the suggested ones."""
        now, suggested = self.thresholds[match], self.suggested(match)
        for name, different in self.spread.different.items():
            label = "default" if now.least[name] == default_of(match, name).least else "set"
            label += ", uncalibrated" if name in now.uncalibrated else ""
            for least, said in ((now.least[name], label), (suggested[name], "suggested")):
                yield _outcome(match, (name, least, said), self.spread.copies[name], different, least)
        if match == "same-scene" and len(suggested) > 1:
            for values, said in ((now.least, "now"), (suggested, "suggested")):
                yield _outcome(match, ("", None, said), *self.spread.margins(values), 0.0)

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "source": self.source,
            "listed": self.listed,
            "pictures": len(self.names),
            "different_pairs": len(self.spread.pairs),
            "same_pairs_left_out": self.same,
            "unusable": self.unusable,
            "repeated": self.repeated,
            "percentiles": {
                name: {
                    row: dict(zip(map(str, _PERCENTILES), percentiles(values, _PERCENTILES), strict=True))
                    for row, values in self._rows(name)
                }
                for name in self.spread.copies
            },
            "outcomes": [asdict(outcome) for match in get_args(Match) for outcome in self.outcomes(match)],
            "flags": {match: self.flags(match) for match in get_args(Match)},
        }

    def __rich__(self) -> Group:
        """Tables and text for people."""
        parts: list[RenderableType] = [self._head()]
        for name in self.spread.different:
            parts += [Text(f"\nCosines of {name}, and which share of them lies at or below"), self._spread_table(name)]
            parts += [
                Text(f"Different pictures that are most alike to {name} (one scene, or chance: look at them)"),
                self._alike_table(name),
            ]
        for match in get_args(Match):
            parts += [Text(f"\nWhat thresholds for the {match.replace('-', ' ')} do in this sample")]
            parts += [self._outcome_table(match), Text(self._advice(match))]
            # On one line, however long: it is to be copied.
            parts.append(Text(f"    imgsieve run SOURCE {self.flags(match)}", no_wrap=True, overflow="ignore"))
        return Group(*parts)

    def _head(self) -> Text:
        edits = len(next(iter(self.spread.copies.values())))
        lines = [
            f"{visible(self.source)}: {len(self.names):,} of its {self.listed:,} pictures were measured, with "
            f"{edits} edited copies of each and {len(self.spread.pairs):,} pairs of different ones. (The {NEXT_SHOT} "
            "stands for a burst: turned, moved, zoomed and lit a little otherwise.)"
        ]
        if self.same:
            lines.append(f"Left out were {self.same:,} pairs that are the same picture already, or overlap.")
        if self.unusable or self.repeated:
            lines.append(
                f"{self.unusable:,} more could not be used, {self.repeated:,} more had the bytes of another one."
            )
        if len(self.spread.pairs) < _FEW_PAIRS:
            lines.append("That is little for a threshold of the same scene: 150 pictures or more tell more.")
        return Text("\n".join(lines))

    def _rows(self, extractor: str) -> list[tuple[str, Cosines]]:
        copies = self.spread.copies[extractor]
        different = self.spread.different[extractor]
        return [*copies.items(), ("all copies", self.spread.all_copies(extractor)), ("different pictures", different)]

    def _spread_table(self, extractor: str) -> Table:
        table = Table()
        table.add_column("Picture and its copy by")
        for heading in _HEADINGS:
            table.add_column(heading, justify="right")
        for name, values in self._rows(extractor):
            if name == "all copies":
                table.add_section()
            table.add_row(name, *(f"{value:.3f}" for value in percentiles(values, _PERCENTILES)))
        return table

    def _alike_table(self, extractor: str) -> Table:
        table = Table()
        table.add_column("Cosine", justify="right")
        for heading in ("Picture", "Other picture"):
            table.add_column(heading, overflow="fold")
        for left, right, cosine in self.spread.most_alike(extractor, _ALIKE):
            table.add_row(f"{cosine:.3f}", Text(visible(self.names[left])), Text(visible(self.names[right])))
        return table

    def _outcome_table(self, match: Match) -> Table:
        table = Table()
        table.add_column("Extractor", overflow="fold")
        table.add_column("Threshold", justify="right")
        table.add_column("")
        for heading in ("Copies found", f"By {NEXT_SHOT}", "Different pairs"):
            table.add_column(heading, justify="right")
        for one in self.outcomes(match):
            least = "" if one.threshold is None else f"{one.threshold:.2f}"
            wrong = f"{one.wrong:,} ({100 * one.wrong / len(self.spread.pairs):.2g} %)"
            found = f"{100 * one.copies:.1f} %", f"{100 * one.next_shots:.1f} %"
            table.add_row(Text(one.extractor or "together"), least, one.label, *found, wrong)
        return table

    def _advice(self, match: Match) -> str:
        if match == "same-picture":
            return (
                f"Suggested: the highest that finds {100 * FOUND:g} % of the copies. Pairs that pass are compared in "
                "detail, so a wrong one costs time only; of each picture no more than the k nearest are looked at."
            )
        return (
            f"Suggested: so high that of 100 pictures {100 * WRONG_PARTNERS:g} get a wrong partner in a source of "
            f"{self.listed:,}, going by the most alike pairs above. Pairs that pass, by the mean of cosine less "
            "threshold, are one scene; nothing else is asked."
        )


def _outcome(
    match: Match, said: tuple[str, float | None, str], copies: Mapping[str, Cosines], different: Cosines, least: float
) -> Outcome:
    found = share(np.concatenate(list(copies.values())), least)
    return Outcome(match, *said, found, share(copies[NEXT_SHOT], least), int((different >= least).sum()))
