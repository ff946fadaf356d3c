"""Verification stage: pairs of pictures to verdicts, from the cache or from their keypoints in worker processes."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.bounded_queue import Cancellation
from modules.deduplication import MATCHER_FINGERPRINT, verify_pairs
from modules.errors import RetryLaterError
from modules.features.base import fingerprint
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.relations import demand, orient
from modules.records import VERDICT_DTYPE, Grade, Pictures
from modules.state.arrays import load_verdicts
from modules.state.index import ScratchIndex
from modules.state.keypoint_file import KeypointFile
from modules.state.schemas import verdicts_table
from modules.state.shards import ShardWriter, read_family
from modules.state.verdict_cache import VerdictCache
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

#: Pairs of one task, at least and at most (the way to it costs as much as one pair), and the share of a process's part
#: of what is left that a task is made of: the last ones are small, so that no process waits long for another.
LEAST_PAIRS, MOST_PAIRS, SHARE = 16, 256, 1 / 4
#: Pairs that a process looks at together, and bytes of the pictures that it holds unpacked, some 150 kB each.
BLOCK_PAIRS, HELD_BYTES = 32, 128 << 20
#: Seconds that one task may take; a healthy one needs a thousandth of it.
TASK_TIMEOUT = 120.0

Pairs = NDArray[np.int32]
Verdicts = NDArray[Any]


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
            verify_pairs([(_held.get(file, a, of_a), _held.get(file, b, of_b)) for (a, b), (of_a, of_b) in tasks])
        )
    return np.concatenate(found)


class _Held:
    """Pictures that were compared last, unpacked: one is compared with many others, most often soon after."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[tuple[KeypointFile, int], Evidence] = OrderedDict()
        self._bytes = 0

    def get(self, file: KeypointFile, picture: int, size: Sequence[int]) -> Evidence:
        """The evidence of one; size: (width, height)."""
        key = file, picture
        found = self._pictures.get(key)
        if found is not None:
            self._pictures.move_to_end(key)
            return found
        found = self._pictures[key] = evidence_of(file.read(picture), (size[0], size[1]))
        self._bytes += found.nbytes
        while self._bytes > HELD_BYTES:
            self._bytes -= self._pictures.popitem(last=False)[1].nbytes
        return found


_held = _Held()


def _neighbours_together(pairs: Pairs) -> NDArray[np.intp]:
    """An order of pairs, (m, 2), in which those that share pictures, directly or by others, follow each other.

    What makes but one task stays as it is.

    Source: E. Cuthill and J. McKee, "Reducing the bandwidth of sparse symmetric matrices", 1969.
    """
    if len(pairs) <= MOST_PAIRS:
        return np.arange(len(pairs))
    from scipy.sparse import coo_array  # noqa: PLC0415 - the processes that verify pairs need no SciPy
    from scipy.sparse.csgraph import reverse_cuthill_mckee  # noqa: PLC0415 - as above

    pictures, ends = np.unique(pairs, return_inverse=True)
    rows, columns = ends.reshape(-1, 2).T
    both = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    joined = coo_array((np.ones(len(both[0]), np.int8), both), shape=(len(pictures), len(pictures)))
    place = np.argsort(reverse_cuthill_mckee(joined.tocsr(), symmetric_mode=True))
    last, first = np.maximum(place[rows], place[columns]), np.minimum(place[rows], place[columns])
    return np.lexsort((last, first))


def tasks_of(pairs: int, processes: int) -> Iterator[slice]:
    """The pairs of each task, in order; their cost differs much.

    Source: guided self-scheduling, C. Polychronopoulos and D. Kuck, IEEE Transactions on Computers 36 (1987).
    """
    start = 0
    while start < pairs:
        wanted = int(SHARE * (pairs - start) / processes)
        task = slice(start, min(pairs, start + min(max(wanted, LEAST_PAIRS), MOST_PAIRS)))
        yield task
        start = task.stop


class Verifier:
    """Called with pairs, int32 (m, 2), i < j, as often as matching wants; every verdict is kept in shards.

    A pair is always verified from the lower SHA-256 to the higher one, so that its verdict does not depend on which
    other pictures there are. least: the grade that counts; verdicts of all grades are kept. clock: monotonic seconds.
    advance: told how many pairs are done.
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
        least: Grade = Grade.NORMAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thread = thread
        self._state_prefix = state_prefix
        self._writer = writer
        self._index = index
        self._pictures = pictures
        self._keypoints_family = keypoints_family
        self._verdicts_family = verdicts_family(keypoints_family)
        self._pool = pool
        self._cancel = cancel
        self._scratch = scratch
        self._shard_rows = shard_rows
        self._shard_seconds = shard_seconds
        self._advance = advance
        self._least = least
        self._clock = clock
        self._sizes = np.stack([pictures.width, pictures.height], axis=1)
        self._file: KeypointFile | None = None
        self._held = np.zeros(len(pictures), np.bool_)
        self._cache = VerdictCache(scratch / "verdicts.sqlite")
        for pairs, verdicts in load_verdicts(index, thread, state_prefix, self._verdicts_family):
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
        return demand(verdicts, self._least)

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
        together = _neighbours_together(pairs)
        pairs, ordered = pairs[together], ordered[together]
        blocks = (ordered[task] for task in tasks_of(len(ordered), self._pool.workers))
        tasks = ((file, block, self._sizes[block]) for block in blocks)
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
            if self._file is None:
                path = self._scratch / "keypoints.bin"
                self._file = KeypointFile.build(path, tables, self._index.indices, wanted)
            else:
                self._file = self._file.grow(tables, self._index.indices, wanted)
            self._held = wanted
        return self._file

    def _commit(self, pairs: Pairs, ordered: Pairs, found: list[Verdicts]) -> None:
        verdicts = np.concatenate(found)
        sha = self._pictures.sha
        table = verdicts_table(sha[ordered[:, 0]], sha[ordered[:, 1]], verdicts)
        self._writer.write(self._verdicts_family, 0, table)
        self._cache.add(pairs, verdicts)
