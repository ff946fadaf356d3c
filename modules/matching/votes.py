"""Votes for pairs of pictures, counted by what they say of how one picture lies on the other.

Two codes that are near each other make a vote: a place, a scale and an angle in one picture and in the other. Votes
of chance contradict each other; those of a copy all speak of one similarity transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.features.codes import SCALE_STEPS
from modules.records import Float32Array

#: Votes of a pair that are compared with each other, at most: the strongest ones.
_COMPARED = 12
#: How far two votes may differ: in angle (of 256 to a turn), in scale (steps, three quarters of an octave), and in
#: where one puts the other's place (a share of the distance and of the long side, whose length is _LONG).
_ANGLE, _SCALE, _SHARE, _SLACK = 20, 3 * SCALE_STEPS // 4, 0.25, 0.04
_LONG = 255.0
#: Places nearer than this to each other, in one picture, are one.
_APART = 5.0
# Whole numbers over a power of two: the last digit of a cosine, which differs between machines, decides nothing.
_COSINES = (np.rint(4096 * np.cos(np.arange(256) * (2 * np.pi / 256))) / 4096).astype(np.float32)
_GROWTH = (np.rint(4096 * np.exp2(np.arange(-255, 256) / SCALE_STEPS)) / 4096).astype(np.float32)

Int64Array = NDArray[np.int64]
#: x, y (long side _LONG), scale (steps) and angle (of 256) of keypoints, float32 (m, 4).
Places = Float32Array


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes, sorted by nothing. pair: what they are for (m,). weight: float32 (m,). asking, found: places (m, 4)."""

    pair: Int64Array
    weight: Float32Array
    asking: Places
    found: Places

    def of(self, which: NDArray[np.integer] | NDArray[np.bool_]) -> Votes:
        """Some of them."""
        return Votes(self.pair[which], self.weight[which], self.asking[which], self.found[which])


def count(votes: Votes) -> tuple[Int64Array, Float32Array]:
    """Each pair that two votes or more agree on, ascending, and the weight of the largest set that agrees with one.

    After H. Jegou et al., "Hamming embedding and weak geometric consistency for large scale image search", ECCV 2008,
    with places: D. Lowe's clusters of votes (IJCV 2004), by pairs of votes in place of bins.
    """
    votes = _strongest(votes)
    starts = np.flatnonzero(np.diff(votes.pair, prepend=-1))
    left, right = _two_of_each(starts, len(votes.pair))
    agreed = _agree(votes, left, right)
    left, right = left[agreed], right[agreed]
    total = votes.weight.astype(np.float64)
    total += np.bincount(left, votes.weight[right], len(total)) + np.bincount(right, votes.weight[left], len(total))
    supported = np.zeros(len(total), np.bool_)
    supported[left] = supported[right] = True
    total[~supported] = 0
    best = np.maximum.reduceat(total, starts) if len(starts) else total
    return votes.pair[starts][best > 0], best[best > 0].astype(np.float32)


def _strongest(votes: Votes) -> Votes:
    """Those that are compared, sorted by pair."""
    votes = votes.of(np.lexsort((-votes.weight, votes.pair)))
    starts = np.searchsorted(votes.pair, votes.pair)
    return votes.of(np.arange(len(votes.pair)) - starts < _COMPARED)


def _two_of_each(starts: Int64Array, length: int) -> tuple[Int64Array, Int64Array]:
    """Places of every two votes for one pair, the first before the second."""
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=length))
    places = np.arange(length)
    left, right = [], []
    for step in range(1, _COMPARED):
        both = places[:-step][group[step:] == group[:-step]]
        left.append(both)
        right.append(both + step)
    return np.concatenate(left), np.concatenate(right)


def _agree(votes: Votes, left: Int64Array, right: Int64Array) -> NDArray[np.bool_]:
    """Whether two votes speak of one transform, and of two places in both pictures."""
    turn = (votes.found[:, 3] - votes.asking[:, 3]).astype(np.int64)
    growth = (votes.found[:, 2] - votes.asking[:, 2]).astype(np.int64)
    bend = (turn[right] - turn[left] + 128) % 256 - 128
    near = (np.abs(bend) <= _ANGLE) & (np.abs(growth[right] - growth[left]) <= _SCALE)
    left, right, bend = left[near], right[near], bend[near]
    angle = turn[left] + bend // 2
    cosine, sine = _COSINES[angle % 256], _COSINES[(angle - 64) % 256]
    factor = _GROWTH[(growth[left] + growth[right]) // 2 + 255]
    x, y = (votes.asking[right, :2] - votes.asking[left, :2]).T
    found_x, found_y = (votes.found[right, :2] - votes.found[left, :2]).T
    put_x, put_y = factor * (cosine * x - sine * y), factor * (sine * x + cosine * y)
    error = np.hypot(found_x - put_x, found_y - put_y)
    distance = np.hypot(put_x, put_y)
    apart = (np.hypot(x, y) >= _APART) & (np.hypot(found_x, found_y) >= _APART * np.minimum(factor, 1))
    agreed: NDArray[np.bool_] = near.copy()
    agreed[near] = apart & (error <= _SHARE * distance + _SLACK * _LONG)
    return agreed
