"""Families read back as arrays by picture number, for matching."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modules.errors import StateError
from modules.features.codes import MAX_CODES, ROW_BYTES
from modules.matching.local_neighbours import LocalCodes
from modules.records import VERDICT_DTYPE
from modules.state.index import ScratchIndex
from modules.state.schemas import shas_of, vectors_of, verdicts_of
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


def load_codes(index: ScratchIndex, thread: StoreThread, state_prefix: str, family: str, scratch: Path) -> LocalCodes:
    """Codes of all numbered pictures, in a file of 1,120 bytes a picture that is mapped into memory.

    scratch: that file, which does not exist yet. Raises StateError when a picture's are missing.
    """
    count = index.numbered()
    codes = np.memmap(scratch, np.uint8, "w+", shape=(max(count, 1), MAX_CODES, ROW_BYTES))[:count]
    counts = np.zeros(count, np.uint8)
    found = np.zeros(count, np.bool_)
    for table in read_family(thread, state_prefix, family):
        numbers = index.indices(shas_of(table))
        for number, data in zip(numbers.tolist(), table.column("codes").to_pylist(), strict=True):
            if number >= 0:
                rows = np.frombuffer(data, np.uint8).reshape(-1, ROW_BYTES)
                codes[number, : len(rows)], counts[number], found[number] = rows, len(rows), True
    if lost := int(np.count_nonzero(~found)):
        raise StateError(f"the codes of {lost} pictures are missing from {family}; run again")
    return LocalCodes(codes, counts)


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
