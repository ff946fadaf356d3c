"""Groups that a contender found, held against the truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from benchmarks.quality.truth import Row

#: The family of everything that is no hard negative.
PHOTOGRAPHS = "photographs"
BLANK = "blank"
#: 95 % of a normal distribution lie within so many standard deviations.
DEVIATIONS = 1.959964


@dataclass(slots=True)
class Share:
    """``hits`` of ``tries``."""

    hits: int = 0
    tries: int = 0

    @property
    def value(self) -> float:
        """The share; 1 of no tries at all, for nothing went wrong."""
        return self.hits / self.tries if self.tries else 1.0

    def add(self, hit: bool) -> None:
        """Count one more try."""
        self.hits += hit
        self.tries += 1

    def interval(self) -> tuple[float, float]:
        """Where the true share lies with 95 % confidence, for tries that do not depend on each other.

        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
        """
        if not self.tries:
            return 0.0, 1.0
        square = DEVIATIONS**2
        centre = self.value + square / (2 * self.tries)
        spread = DEVIATIONS * ((self.value * (1 - self.value) + square / (4 * self.tries)) / self.tries) ** 0.5
        scale = 1 + square / self.tries
        return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@dataclass(slots=True)
class Score:
    """What one contender's groups are worth.

    ``edits``: copies in their original's group, by (level, edit). ``pairs``: joined pairs, and those that are right.
    ``wrong``: wrong pairs by the families of both. ``impure``: groups of different pictures. ``kept``: originals among
    the kept ones, of those with a copy found; ``instead``: what was kept in their place, by edit. ``absent``: pictures
    without an answer; each counts as a group of its own.
    """

    edits: dict[tuple[str, str], Share] = field(default_factory=lambda: defaultdict(Share))
    pairs: Share = field(default_factory=Share)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    impure: int = 0
    kept: Share | None = None
    instead: Counter[str] = field(default_factory=Counter)
    absent: int = 0

    def level(self, level: str) -> Share:
        """Copies of a level that were found."""
        shares = [share for (own, _), share in self.edits.items() if own == level]
        return Share(sum(share.hits for share in shares), sum(share.tries for share in shares))

    @property
    def wrong_per_thousand(self) -> float:
        """Wrong joined pairs for 1,000 right ones."""
        return 1000 * self.wrong.total() / max(1, self.pairs.hits)

    @property
    def without_blanks(self) -> float:
        """The same without pairs of blank pictures, which hide all else where they melt into one group."""
        others = sum(count for families, count in self.wrong.items() if BLANK not in families)
        return 1000 * others / max(1, self.pairs.hits)


def score(rows: list[Row], groups: Mapping[str, str], best: Set[str] | None = None) -> Score:
    """Hold the ``groups`` of names, and the names that were kept if there are any, against the truth."""
    found = {row.name: groups.get(row.name, f"alone {row.name}") for row in rows}
    originals = {row.group: row.name for row in rows if row.is_original}
    result = Score(absent=sum(row.name not in groups for row in rows))
    for row in rows:
        if row.is_copy:
            result.edits[row.level, row.transform].add(found[row.name] == found[originals[row.group]])
    members: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        members[found[row.name]].append(row)
    for group in members.values():
        _count_pairs(result, group)
    if best is not None:
        result.kept = _kept(result, members, originals, best)
    return result


def _count_pairs(result: Score, group: list[Row]) -> None:
    """Counted, not listed: a thousand blank pictures in one group are half a million pairs."""
    true = Counter(row.group for row in group)
    right, joined = sum(map(_pairs_of, true.values())), _pairs_of(len(group))
    result.pairs.hits += right
    result.pairs.tries += joined
    result.impure += len(true) > 1
    if right == joined:
        return
    families = Counter(_family(row) for row in group)
    together = Counter((row.group, _family(row)) for row in group)
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    for (picture, family), count in together.items():
        by_group[picture][family] = count
    for first, second in combinations_with_replacement(sorted(families), 2):
        every = _pairs_between(families, first, second)
        result.wrong[first, second] += every - sum(_pairs_between(own, first, second) for own in by_group.values())
    result.wrong += Counter()  # drops what is zero


def _family(row: Row) -> str:
    return PHOTOGRAPHS if row.is_copy or row.is_original else row.transform


def _pairs_of(count: int) -> int:
    return count * (count - 1) // 2


def _pairs_between(counts: Counter[str], first: str, second: str) -> int:
    return _pairs_of(counts[first]) if first == second else counts[first] * counts[second]


def _kept(result: Score, members: Mapping[str, list[Row]], originals: Mapping[str, str], best: Set[str]) -> Share:
    kept = Share()
    for group in members.values():
        names = {row.name for row in group}
        for original in group:
            copies = [row for row in group if row.is_copy and row.group == original.group]
            if not original.is_original or not copies:
                continue
            kept.add(original.name in best)
            if original.name not in best:
                result.instead.update(row.transform for row in group if row.name in names & best)
    return kept
