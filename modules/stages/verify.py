"""Verification stage: pairs of pictures to verdicts, from the cache or from their keypoints in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.deduplication import MATCHER_FINGERPRINT, verify_pairs
from modules.features.base import fingerprint
from modules.matching.relations import demand
from modules.records import Grade
from modules.stages.pair_work import (
    TASK_TIMEOUT,
    CachedPairs,
    HeldKeypoints,
    PairContext,
    Pairs,
    Verdicts,
    held,
    tasks_of,
)
from modules.state.keypoint_file import KeypointFile
from modules.worker_pool import WorkerCrashedError

#: Pairs that a process looks at together.
BLOCK_PAIRS = 32


def verdicts_family(keypoints_family: str) -> str:
    """The shard family of verdicts that today's matcher finds by these keypoints."""
    return f"verdicts/{fingerprint('verdicts', MATCHER_FINGERPRINT, keypoints_family)}"


def verify_task(file: KeypointFile, pairs: Pairs, sizes: Pairs) -> Verdicts:
    """In a worker process: verdicts, (m,), of pairs, (m, 2); sizes: their (width, height), (m, 2, 2)."""
    found = []
    for start in range(0, len(pairs), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        tasks = zip(pairs[block].tolist(), sizes[block].tolist(), strict=True)
        found.append(
            verify_pairs([(held.get(file, a, of_a), held.get(file, b, of_b)) for (a, b), (of_a, of_b) in tasks])
        )
    return np.concatenate(found)


class Verifier:
    """Called with pairs, int32 (m, 2), i < j, as often as matching wants; every verdict is kept in shards.

    least: the grade that counts; verdicts of all grades are kept.
    """

    def __init__(self, around: PairContext, keypoints: HeldKeypoints, least: Grade = Grade.NORMAL) -> None:
        self._around = around
        self._least = least
        self._keypoints = keypoints
        self._sizes = around.sizes
        self._cached = CachedPairs(around, verdicts_family(around.keypoints_family), "verdicts")

    def __call__(self, pairs: Pairs) -> Verdicts:
        """Verdicts, VERDICT_DTYPE (m,), with a = the first picture of each pair. Raises InterruptedRunError."""
        return demand(self._cached.find(pairs, self._results), self._least)

    def close(self) -> None:
        """Close the cache's database."""
        self._cached.close()

    def _results(self, pairs: Pairs, rows: NDArray[np.intp]) -> Iterator[Verdicts]:
        del rows
        file, sizes = self._keypoints.of(pairs), self._sizes
        blocks = (pairs[task] for task in tasks_of(len(pairs), self._around.pool.workers))
        tasks = ((file, block, sizes[block]) for block in blocks)
        for task, result in self._around.pool.map(verify_task, tasks, timeout=TASK_TIMEOUT):
            yield self._one_by_one(*task) if isinstance(result, WorkerCrashedError) else result

    def _one_by_one(self, file: KeypointFile, pairs: Pairs, sizes: Pairs) -> Verdicts:
        def arguments(one: slice) -> tuple[Any, ...]:
            return file, pairs[one], sizes[one]

        return self._around.one_by_one(verify_task, len(pairs), arguments, pairs)
