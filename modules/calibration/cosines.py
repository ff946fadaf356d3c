"""What a sample's cosines say: how copies and different pictures are spread, and which threshold parts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.base import Extractor
from modules.matching.ledger import Pairs
from modules.matching.scenes import Cosines, cosines, margin

#: Share of the copies that a suggested threshold for the same picture still proposes. Geometry decides afterwards, so a
#: wrong pair costs a millisecond, and a lost one is lost.
FOUND = 0.99
#: Wrong partners that a suggested threshold for the same scene lets a picture of the source have, on average.
WRONG_PARTNERS = 0.02
#: Pairs of different pictures that are compared, at most: every one of a sample of 1,000.
MOST_PAIRS = 500_000
#: Share of the most alike pairs that are looked at in detail: some may be the same picture after all. As long as some
#: are, as many of the rest are looked at.
SUSPECT = 0.05
#: Share of the different pairs that the tail of their distribution is fitted to.
_TAIL = 0.01
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Spread:
    """Cosines of one sample, per extractor.

    copies: per edit, of each picture with its edited copy, float64 (n,); n alike for all extractors, in one order.
    pairs: rows of different pictures, int32 (m, 2). different: their cosines, float64 (m,).
    """

    copies: Mapping[str, Mapping[str, Cosines]]
    pairs: Pairs
    different: Mapping[str, Cosines]

    def all_copies(self, extractor: str) -> Cosines:
        """Of every edit, one after the other."""
        return np.concatenate(list(self.copies[extractor].values()))

    def most_alike(self, extractor: str, count: int) -> list[tuple[int, int, float]]:
        """The pairs of different pictures with the highest cosines: two rows and the cosine, highest first."""
        found = self.different[extractor]
        order = np.argsort(-found, kind="stable")[:count]
        return [(int(self.pairs[n, 0]), int(self.pairs[n, 1]), float(found[n])) for n in order]

    def suspects(self) -> NDArray[np.intp]:
        """Places in ``pairs`` of the most alike ones to any extractor, ascending."""
        few = max(1, math.ceil(SUSPECT * len(self.pairs)))
        places = [np.argsort(-found, kind="stable")[:few] for found in self.different.values()]
        return np.unique(np.concatenate(places))

    def without(self, places: NDArray[np.intp]) -> Spread:
        """The same, but for these places of ``pairs``."""
        different = {name: np.delete(found, places) for name, found in self.different.items()}
        return replace(self, pairs=np.delete(self.pairs, places, axis=0), different=different)

    def margins(self, least: Mapping[str, float]) -> tuple[dict[str, Cosines], Cosines]:
        """Of the copies by each edit, and of different pictures: by how much all extractors together let them pass."""
        edits = next(iter(self.copies.values()))
        copies = {edit: margin({name: found[edit] for name, found in self.copies.items()}, least) for edit in edits}
        return copies, margin(self.different, least)


def share(values: Cosines, least: float) -> float:
    """Share of the values from ``least`` on, 0 to 1; 0 of none."""
    return float((values >= least).mean()) if len(values) else 0.0


def finding(copies: Cosines, found: float = FOUND) -> float:
    """The highest cosine in hundredths that at least the share ``found`` of the copies (n,), n > 0, reach."""
    last = np.sort(copies)[::-1][max(0, math.ceil(found * len(copies)) - 1)]
    return max(-1.0, math.floor(float(last) * 100) / 100)


def parting(different: Cosines, pictures: int, partners: float = WRONG_PARTNERS) -> float:
    """The cosine in hundredths that keeps different pictures apart; 1.0 at most.

    different: cosines of pairs, (m,), m > 0. pictures: that the source has. partners: that each of them may wrongly
    have on average. A sample is too small to show how rare that is, so beyond the 99th percentile the distribution is
    taken as exponential (peaks over threshold: J. Pickands, "Statistical Inference Using Extreme Order Statistics",
    Annals of Statistics 1975).
    """
    wanted = min(_TAIL, partners / max(1, pictures - 1))
    start = float(np.quantile(different, 1 - _TAIL))
    excess = float((different[different >= start] - start).mean())
    return min(1.0, math.ceil(100 * (start + excess * math.log(_TAIL / wanted))) / 100)


def pairs_of(count: int, most: int = MOST_PAIRS) -> Pairs:
    """Pairs of rows i < j, int32 (m, 2), sorted: all of them up to ``most``, else each row with those next to it.

    Rows of a sample are in the order of a hash, so what lies next to each other there does so by chance.
    """
    reach = max(1, most // count) if count * (count - 1) // 2 > most else count - 1
    left = np.repeat(np.arange(count, dtype=np.int32), reach)
    right = left + np.tile(np.arange(1, reach + 1, dtype=np.int32), count)
    return np.stack([left, right], axis=1)[right < count]


def cosines_of(pairs: Pairs, vectors: NDArray[Any], extractor: Extractor, advance: Callable[[int], None]) -> Cosines:
    """Of each pair of rows, float64 (m,); vectors: float16 (n, d) of length 1. advance: told of each block."""
    found = np.zeros(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        found[start : start + _BLOCK] = cosines(extractor, vectors[block[:, 0]], vectors[block[:, 1]])
        advance(len(block))
    return found


def percentiles(values: Cosines, at: Sequence[float]) -> list[float]:
    """Of values (n,), n > 0, at percentages ``at``."""
    return [float(value) for value in np.percentile(values, at)]
