"""What is known of which pair, in flat arrays: Python objects for 30 pairs a picture would not fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.matching.relations import Verdicts
from modules.records import VERDICT_DTYPE, Kind

Keys = NDArray[np.int64]
Pairs = NDArray[np.int32]


def to_keys(pairs: NDArray[np.integer], count: int) -> Keys:
    """One number a pair, int64 (m,), that sorts as the pairs (m, 2) do; ``count``: pictures there are."""
    return pairs[:, 0].astype(np.int64) * count + pairs[:, 1]


def to_pairs(keys: Keys, count: int) -> Pairs:
    """The pairs, int32 (m, 2), of such numbers."""
    pairs = np.empty((len(keys), 2), dtype=np.int32)
    # Straight into place: two more arrays of 8 bytes a pair would be the peak of all matching.
    np.floor_divide(keys, max(count, 1), out=pairs[:, 0], casting="unsafe")
    np.remainder(keys, max(count, 1), out=pairs[:, 1], casting="unsafe")
    return pairs


def families(pairs: Pairs, count: int) -> NDArray[np.int64]:
    """A number for each picture, (count,), the same for all that the pairs join: connected components."""
    label = np.arange(count, dtype=np.int64)
    while True:
        least = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        before = label.copy()
        for side in (0, 1):
            np.minimum.at(label, pairs[:, side], least)
            np.minimum.at(label, before[pairs[:, side]], least)
        label = label[label]
        if np.array_equal(label, before):
            return label


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found for some pictures. left, right: pairs of rows (m,). asked: the pictures, (k,).

    crowded: bool (k,), whether one has more partners than could be named: it may find others when these are gone.
    """

    left: Pairs
    right: Pairs
    asked: Pairs
    crowded: NDArray[np.bool_]


def best_partners(
    left: NDArray[np.integer], right: NDArray[np.integer], weight: NDArray[np.floating], most: int
) -> tuple[NDArray[np.intp], NDArray[np.integer]]:
    """Which of the pairs (m,) are among the ``most`` heaviest of their left one, each right one counted once.

    Also the left ones that have more than that, ascending. Of equal weights the lower right one comes first.
    """
    order = np.lexsort((-weight, right, left))
    again = (np.diff(left[order], prepend=-1) == 0) & (np.diff(right[order], prepend=-1) == 0)
    order = order[~again]
    order = order[np.lexsort((right[order], -weight[order], left[order]))]
    place = np.arange(len(order)) - np.searchsorted(left[order], left[order])
    return order[place < most], np.unique(left[order[place >= most]])


class PairSet:
    """Collects pairs in any order and number; keeps each once. Holds at most about twice what it returns."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys: Keys = np.zeros(0, dtype=np.int64)
        self._pending: list[Keys] = []
        self._waiting = 0

    def add(self, left: NDArray[np.integer], right: NDArray[np.integer]) -> None:
        """Take pairs of rows, two (m,) arrays; order within a pair does not matter, (i, i) is no pair."""
        apart = left != right
        ends = np.stack([np.minimum(left, right)[apart], np.maximum(left, right)[apart]], axis=1)
        keys = np.unique(to_keys(ends, self._count))
        self._pending.append(keys)
        self._waiting += len(keys)
        if self._waiting > 65_536 + len(self._keys) // 4:
            self._merge()

    def _merge(self) -> None:
        pieces, self._pending, self._waiting = [self._keys, *self._pending], [], 0
        self._keys = np.zeros(0, dtype=np.int64)
        merged = np.concatenate(pieces)
        del pieces
        merged.sort()
        self._keys = merged[np.concatenate([[True], merged[1:] != merged[:-1]])] if len(merged) else merged

    def pairs(self) -> Pairs:
        """All of them, int32 (m, 2), i < j, unique, sorted; the set is empty afterwards."""
        self._merge()
        keys, self._keys = self._keys, np.zeros(0, dtype=np.int64)
        return to_pairs(keys, self._count)


class Ledger:
    """Every pair that was judged, and the verdict of those that are anything to each other."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._known: Keys = np.zeros(0, dtype=np.int64)
        self._related: Keys = np.zeros(0, dtype=np.int64)
        self._verdicts: Verdicts = np.zeros(0, dtype=VERDICT_DTYPE)
        self._fresh: list[tuple[Keys, Keys, Verdicts]] = []

    def __len__(self) -> int:
        self._settle()
        return len(self._known)

    def add(self, pairs: Pairs, verdicts: Verdicts) -> None:
        """Note verdicts (m,) on pairs (m, 2), i < j, none of them noted before."""
        keys = to_keys(pairs, self.count)
        related = verdicts["kind"] != Kind.NONE
        self._fresh.append((keys, keys[related], verdicts[related]))

    def is_unknown(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Which of the pairs, int32 (m, 2), were not judged yet, (m,)."""
        self._settle()
        if not len(self._known):
            return np.ones(len(pairs), dtype=np.bool_)
        keys = to_keys(pairs, self.count)
        places = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        return np.asarray(self._known[places] != keys)

    def unknown(self, pairs: Pairs) -> Pairs:
        """Those of the pairs, int32 (m, 2), that were not judged yet, unique and sorted."""
        fresh = pairs[self.is_unknown(pairs)]
        return to_pairs(np.unique(to_keys(fresh, self.count)), self.count)

    def judged(self) -> Pairs:
        """All pairs, int32 (m, 2), sorted."""
        self._settle()
        return to_pairs(self._known, self.count)

    def related(self) -> tuple[Pairs, Verdicts]:
        """Pairs, int32 (m, 2) sorted, that are anything to each other, and their verdicts (m,)."""
        self._settle()
        return to_pairs(self._related, self.count), self._verdicts

    def verdicts_of(self, pairs: Pairs) -> Verdicts:
        """The verdicts, (m,), of pairs, int32 (m, 2), i < j, that are anything to each other."""
        self._settle()
        return self._verdicts[self._rows(pairs)]

    def replace(self, pairs: Pairs, verdicts: Verdicts) -> None:
        """Note what a closer look says of such pairs, (m, 2): other verdicts, (m,), or that they are nothing."""
        self._settle()
        rows = self._rows(pairs)
        self._verdicts[rows] = verdicts
        kept = np.ones(len(self._related), np.bool_)
        kept[rows] = verdicts["kind"] != Kind.NONE
        self._related, self._verdicts = self._related[kept], self._verdicts[kept]

    def _rows(self, pairs: Pairs) -> NDArray[np.intp]:
        return np.searchsorted(self._related, to_keys(pairs, self.count))

    def _settle(self) -> None:
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, []
        self._known = np.concatenate([self._known, *(keys for keys, _, _ in fresh)])
        self._known.sort()
        related = np.concatenate([self._related, *(keys for _, keys, _ in fresh)])
        verdicts = np.concatenate([self._verdicts, *(rows for _, _, rows in fresh)])
        order = np.argsort(related, kind="stable")
        self._related, self._verdicts = related[order], verdicts[order]
