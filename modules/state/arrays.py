"""Families read back as arrays by picture number, for matching."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from modules.errors import StateError
from modules.records import VERDICT_DTYPE
from modules.state.index import ScratchIndex
from modules.state.schemas import vectors_of, verdicts_of
from modules.state.shards import read_family
from modules.store_thread import StoreThread


def load_vectors(
    index: ScratchIndex, thread: StoreThread, state_prefix: str, family: str, dim: int
) -> NDArray[np.float16]:
    """Vectors of all numbered pictures, (n, dim). Raises StateError when one is missing or of another length."""
    vectors = np.zeros((index.numbered(), dim), np.float16)
    found = np.zeros(len(vectors), np.bool_)
    for table in read_family(thread, state_prefix, family):
        shas, rows = vectors_of(table)
        if rows.shape[1] != dim:
            address = thread.store.address(f"{state_prefix}{family}/")
            raise StateError(f"{address} holds vectors of {rows.shape[1]} numbers, not {dim}; delete it and run again")
        numbers = index.indices(shas)
        fresh = np.flatnonzero(numbers >= 0)
        fresh = fresh[~found[numbers[fresh]]]
        # Backwards, so that of two rows for one picture in a table the first one stays.
        vectors[numbers[fresh[::-1]]] = rows[fresh[::-1]]
        found[numbers[fresh]] = True
    if lost := int(np.count_nonzero(~found)):
        raise StateError(f"the vectors of {lost} pictures are missing from {family}; run again")
    return vectors


def load_verdicts(
    index: ScratchIndex, thread: StoreThread, state_prefix: str, family: str
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.void]]]:
    """Cached verdicts among the numbered pictures, shard by shard.

    Pairs int32 (m, 2) of picture numbers, and VERDICT_DTYPE (m,) from the first to the second of each, as they were
    verified; the first may be the greater number. Verdicts on pictures of other runs are left out.
    """
    for table in read_family(thread, state_prefix, family):
        sha_a, sha_b, verdicts = verdicts_of(table)
        pairs = np.stack([index.indices(sha_a), index.indices(sha_b)], axis=1)
        current = (pairs >= 0).all(axis=1)
        yield pairs[current], verdicts[current].astype(VERDICT_DTYPE, copy=False)
