"""Neighbours among perceptual hashes in linear work, however many pictures share one hash."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: Bits by which two hashes may differ.
MAX_DISTANCE = 8
#: Partners to which a picture is compared in each of the four orders: one more round finds who stands behind it.
_WINDOW = 1
_CHUNK = 16

Rows = NDArray[np.int32]


def hash_neighbours(phash: NDArray[np.uint64], rank: Rows, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows with equal or near hashes, in pieces of two (m,) arrays.

    phash: uint64 (n,). rank: int32 (n,), 0 for the best one. Of equal hashes each picture meets the best one and its
    neighbours in order, so thousands of equal hashes make thousands of pairs, not millions. Near hashes are
    found where they agree in one of four 16-bit chunks and lie next to each other when sorted by that chunk
    first (the sorted-neighbourhood method: Hernandez and Stolfo, "The Merge/Purge Problem", 1995).
    """
    if len(rows) < 2:
        return
    # Best first within equal hashes: the sort below is stable.
    rows = rows[np.argsort(rank[rows], kind="stable")]
    hashes = phash[rows]
    for turn in range(0, 64, _CHUNK):
        turned = hashes if turn == 0 else (hashes << np.uint64(turn)) | (hashes >> np.uint64(64 - turn))
        order = np.argsort(turned, kind="stable")
        if turn == 0:
            yield _with_best(hashes[order], rows[order])
        yield from _with_next(hashes[order], rows[order])


def _with_best(hashes: NDArray[np.uint64], rows: Rows) -> tuple[Rows, Rows]:
    """Each picture with the first one of its run of equal hashes."""
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    lengths = np.diff(np.append(starts, len(hashes)))
    return np.repeat(rows[starts], lengths), rows


def _with_next(hashes: NDArray[np.uint64], rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    for step in range(1, _WINDOW + 1):
        near = np.bitwise_count(hashes[step:] ^ hashes[:-step]) <= MAX_DISTANCE
        yield rows[:-step][near], rows[step:][near]
