"""Verification stage: pairs of pictures to verdicts, from the cache or from their keypoints in worker processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.bounded_queue import Cancellation
from modules.deduplication import MATCHER_FINGERPRINT, verify_pairs
from modules.errors import RetryLaterError
from modules.matching.relations import orient
from modules.records import VERDICT_DTYPE, Pictures
from modules.state.arrays import load_verdicts
from modules.state.index import ScratchIndex
from modules.state.keypoint_file import KeypointFile
from modules.state.schemas import verdicts_table
from modules.state.shards import ShardWriter, read_family
from modules.state.verdict_cache import VerdictCache
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

VERDICTS_FAMILY = f"verdicts/{MATCHER_FINGERPRINT}"
#: Pairs of one task: some tenth of a second of work, so that the way to the process costs nothing beside it.
TASK_PAIRS = 64
#: Seconds that one task may take; a healthy one needs a thousandth of it.
TASK_TIMEOUT = 120.0

Pairs = NDArray[np.int32]
Verdicts = NDArray[Any]


def verify_task(file: KeypointFile, pairs: Pairs, sizes: Pairs) -> Verdicts:
    """In a worker process: verdicts, (m,), of pairs, (m, 2); sizes: their (width, height), (m, 2, 2)."""
    keypoints = {int(picture): file.read(int(picture)) for picture in np.unique(pairs)}
    shapes = sizes.tolist()
    return verify_pairs(
        [
            (keypoints[a], keypoints[b], (size[0][0], size[0][1]), (size[1][0], size[1][1]))
            for (a, b), size in zip(pairs.tolist(), shapes, strict=True)
        ]
    )


class Verifier:
    """Called with pairs, int32 (m, 2), i < j, as often as matching wants; every verdict is kept in shards.

    A pair is always verified from the lower SHA-256 to the higher one, so that its verdict does not depend on which
    other pictures there are. clock: monotonic seconds. advance: told how many pairs are done.
    """

    def __init__(
        self,
        thread: StoreThread,
        *,
        state_prefix: str,
        writer: ShardWriter,
        index: ScratchIndex,
        pictures: Pictures,
        keypoints_family: str,
        pool: WorkerPool,
        cancel: Cancellation,
        scratch: Path,
        shard_rows: int,
        shard_seconds: float,
        advance: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thread = thread
        self._state_prefix = state_prefix
        self._writer = writer
        self._index = index
        self._pictures = pictures
        self._keypoints_family = keypoints_family
        self._pool = pool
        self._cancel = cancel
        self._scratch = scratch
        self._shard_rows = shard_rows
        self._shard_seconds = shard_seconds
        self._advance = advance
        self._clock = clock
        self._sizes = np.stack([pictures.width, pictures.height], axis=1)
        self._file: KeypointFile | None = None
        self._held = np.zeros(len(pictures), np.bool_)
        self._cache = VerdictCache(scratch / "verdicts.sqlite")
        for pairs, verdicts in load_verdicts(index, thread, state_prefix, VERDICTS_FAMILY):
            self._cache.add(np.sort(pairs, axis=1), verdicts)

    def __call__(self, pairs: Pairs) -> Verdicts:
        """Verdicts, VERDICT_DTYPE (m,), with a = the first picture of each pair. Raises InterruptedRunError."""
        known, _ = self._cache.look_up(pairs)
        self._advance(int(known.sum()))
        ordered, swapped = self._canonical(pairs)
        if not known.all():
            self._verify_new(pairs[~known], ordered[~known])
        _, verdicts = self._cache.look_up(pairs)
        verdicts[swapped] = orient(verdicts[swapped])
        return verdicts

    def close(self) -> None:
        """Close the cache's database."""
        self._cache.close()

    def _canonical(self, pairs: Pairs) -> tuple[Pairs, NDArray[np.bool_]]:
        """The pairs with the lower SHA-256 first, and which of them that swapped."""
        words = self._pictures.sha.view(">u8")  # big-endian words compare as the bytes do
        left, right = words[pairs[:, 0]], words[pairs[:, 1]]
        rows, column = np.arange(len(pairs)), (left != right).argmax(axis=1)
        swapped = left[rows, column] > right[rows, column]
        return np.where(swapped[:, None], pairs[:, ::-1], pairs), swapped

    def _verify_new(self, pairs: Pairs, ordered: Pairs) -> None:
        """Verify pairs that no cache knows, in tasks, and commit their verdicts as they come."""
        file = self._keypoints_of(pairs)
        starts = range(0, len(pairs), TASK_PAIRS)
        tasks = (
            (file, ordered[start : start + TASK_PAIRS], self._sizes[ordered[start : start + TASK_PAIRS]])
            for start in starts
        )
        begun = done = 0
        verdicts: list[Verdicts] = []
        since = self._clock()
        try:
            for found in self._results(tasks):
                verdicts.append(found)
                done += len(found)
                self._advance(len(found))
                if done - begun >= self._shard_rows or self._clock() - since >= self._shard_seconds:
                    self._commit(pairs[begun:done], ordered[begun:done], verdicts)
                    begun, verdicts, since = done, [], self._clock()
                self._cancel.check()
        finally:
            # What is verified is kept when a stop ends the loop; after a lost lease nothing may be written.
            if verdicts and not self._cancel.aborted:
                self._commit(pairs[begun:done], ordered[begun:done], verdicts)

    def _results(self, tasks: Iterator[tuple[KeypointFile, Pairs, Pairs]]) -> Iterator[Verdicts]:
        for task, result in self._pool.map(verify_task, tasks, timeout=TASK_TIMEOUT):
            yield self._one_by_one(*task) if isinstance(result, WorkerCrashedError) else result

    def _one_by_one(self, file: KeypointFile, pairs: Pairs, sizes: Pairs) -> Verdicts:
        """A task that cost its process: every pair alone, so that only the guilty one is taken as different.

        Raises RetryLaterError when processes keep being killed from outside, for want of memory most often.
        """
        verdicts = np.zeros(len(pairs), VERDICT_DTYPE)
        for n in range(len(pairs)):
            one = slice(n, n + 1)
            try:
                verdicts[one] = self._pool.run(verify_task, file, pairs[one], sizes[one], timeout=TASK_TIMEOUT)
            except WorkerCrashedError as error:
                if not error.permanent:
                    # The pair says nothing of itself here, and a verdict would be believed for ever.
                    raise RetryLaterError(f"comparing pictures: {error}, twice: see to its memory, run again") from None
                a, b = (self._pictures.sha[picture].tobytes().hex() for picture in pairs[n])
                log.warning("comparing pictures %s and %s: %s; taken as different", a, b, error)
        return verdicts

    def _keypoints_of(self, pairs: Pairs) -> KeypointFile:
        """A local file with the keypoints of these pictures and all before; later rounds ask for few new ones."""
        wanted = self._held.copy()
        wanted[pairs] = True
        if self._file is None or (wanted & ~self._held).any():
            tables = read_family(self._thread, self._state_prefix, self._keypoints_family)
            path = self._scratch / f"keypoints-{int(wanted.sum())}.bin"
            self._file = KeypointFile.build(path, tables, self._index.indices, wanted)
            self._held = wanted
        return self._file

    def _commit(self, pairs: Pairs, ordered: Pairs, found: list[Verdicts]) -> None:
        verdicts = np.concatenate(found)
        sha = self._pictures.sha
        self._writer.write(VERDICTS_FAMILY, 0, verdicts_table(sha[ordered[:, 0]], sha[ordered[:, 1]], verdicts))
        self._cache.add(pairs, verdicts)
