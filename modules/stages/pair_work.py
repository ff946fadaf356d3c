"""What the stages that compare pairs share: records from the cache, else from worker processes, kept in shards."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.bounded_queue import Cancellation
from modules.errors import RetryLaterError
from modules.matching.evidence import Evidence, evidence_of
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

#: Pairs of one task, at least and at most (the way to it costs as much as one pair), and the share of a process's part
#: of what is left that a task is made of: the last ones are small, so that no process waits long for another.
LEAST_PAIRS, MOST_PAIRS, SHARE = 16, 256, 1 / 4
#: Bytes of the pictures that a process holds unpacked, some 150 kB each.
HELD_BYTES = 128 << 20
#: Seconds that one task may take; a healthy one needs a thousandth of it.
TASK_TIMEOUT = 120.0

Pairs = NDArray[np.int32]
Verdicts = NDArray[Any]


class Held:
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


held = Held()


def neighbours_together(pairs: Pairs) -> NDArray[np.intp]:
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


@dataclass(frozen=True, slots=True)
class PairContext:
    """What a stage of pairs works with. advance: told how many pairs are done. clock: monotonic seconds.

    keypoints_family: shards that the thumbnails and keypoints of the pictures lie in.
    """

    thread: StoreThread
    state_prefix: str
    writer: ShardWriter
    index: ScratchIndex
    pictures: Pictures
    keypoints_family: str
    pool: WorkerPool
    cancel: Cancellation
    scratch: Path
    shard_rows: int
    shard_seconds: float
    advance: Callable[[int], None]
    clock: Callable[[], float] = time.monotonic

    @property
    def sizes(self) -> Pairs:
        """Width and height of the pictures, int32 (n, 2)."""
        return np.stack([self.pictures.width, self.pictures.height], axis=1)

    def canonical(self, pairs: Pairs) -> tuple[Pairs, NDArray[np.bool_]]:
        """The pairs with the lower SHA-256 first, and which of them that swapped.

        So what is found of a pair does not depend on which other pictures there are.
        """
        words = self.pictures.sha.view(">u8")  # big-endian words compare as the bytes do
        left, right = words[pairs[:, 0]], words[pairs[:, 1]]
        rows, column = np.arange(len(pairs)), (left != right).argmax(axis=1)
        swapped = left[rows, column] > right[rows, column]
        return np.where(swapped[:, None], pairs[:, ::-1], pairs), swapped

    def one_by_one(
        self, function: Callable[..., Verdicts], count: int, arguments: Callable[[slice], tuple[Any, ...]], shas: Pairs
    ) -> Verdicts:
        """A task of ``count`` pairs that cost its process: every pair alone, so that only the guilty one is different.

        Raises RetryLaterError when processes keep being killed from outside, for want of memory most often.
        """
        verdicts = np.zeros(count, VERDICT_DTYPE)
        for n in range(count):
            one = slice(n, n + 1)
            try:
                verdicts[one] = self.pool.run(function, *arguments(one), timeout=TASK_TIMEOUT)
            except WorkerCrashedError as error:
                if not error.permanent:
                    # The pair says nothing of itself here, and a verdict would be believed for ever.
                    raise RetryLaterError(f"comparing pictures: {error}, twice: see to its memory, run again") from None
                a, b = (self.pictures.sha[picture].tobytes().hex() for picture in shas[n])
                log.warning("comparing pictures %s and %s: %s; taken as different", a, b, error)
        return verdicts


class HeldKeypoints:
    """A local file with the keypoints of the pictures that were asked for so far; later rounds ask for few new ones."""

    def __init__(self, around: PairContext) -> None:
        self._around = around
        self._file: KeypointFile | None = None
        self._held = np.zeros(len(around.pictures), np.bool_)

    def of(self, pairs: Pairs) -> KeypointFile:
        """The file, with those of the pictures of pairs, (m, 2), in it."""
        around, wanted = self._around, self._held.copy()
        wanted[pairs] = True
        if self._file is None or (wanted & ~self._held).any():
            tables = read_family(around.thread, around.state_prefix, around.keypoints_family)
            if self._file is None:
                path = around.scratch / "keypoints.bin"
                self._file = KeypointFile.build(path, tables, around.index.indices, wanted)
            else:
                self._file = self._file.grow(tables, around.index.indices, wanted)
            self._held = wanted
        return self._file


class CachedPairs:
    """Records of pairs in one shard family: those that are known, and those that are found and kept now."""

    def __init__(
        self,
        around: PairContext,
        family: str,
        name: str,
        *,
        lasting: Callable[[Verdicts], NDArray[np.bool_]] | None = None,
    ) -> None:
        """name: of the database in the scratch folder, which does not exist yet. lasting: which records are kept in
        shards, (m,); the others are of this run alone. None for all.
        """
        self._around = around
        self._lasting = lasting
        self._family = family
        self._cache = VerdictCache(around.scratch / f"{name}.sqlite")
        for pairs, verdicts in load_verdicts(around.index, around.thread, around.state_prefix, family):
            self._cache.add(np.sort(pairs, axis=1), verdicts)

    def find(self, pairs: Pairs, compute: Callable[[Pairs, NDArray[np.intp]], Iterator[Verdicts]]) -> Verdicts:
        """Verdicts, VERDICT_DTYPE (m,), on pairs, int32 (m, 2), i < j, with a = the first picture of each.

        compute: yields the verdicts on pairs, (k, 2) with the lower SHA-256 first, piece by piece in their order; it is
        told their rows in ``pairs`` as well, (k,). Raises InterruptedRunError.
        """
        known, _ = self._cache.look_up(pairs)
        self._around.advance(int(known.sum()))
        ordered, swapped = self._around.canonical(pairs)
        if not known.all():
            self._compute(pairs, ordered, np.flatnonzero(~known), compute)
        _, verdicts = self._cache.look_up(pairs)
        verdicts[swapped] = orient(verdicts[swapped])
        return verdicts

    def close(self) -> None:
        """Close the cache's database."""
        self._cache.close()

    def _compute(
        self,
        pairs: Pairs,
        ordered: Pairs,
        rows: NDArray[np.intp],
        compute: Callable[[Pairs, NDArray[np.intp]], Iterator[Verdicts]],
    ) -> None:
        """Find what no cache knows, and commit it as it comes."""
        around = self._around
        rows = rows[neighbours_together(pairs[rows])]
        pairs, ordered = pairs[rows], ordered[rows]
        begun = done = 0
        verdicts: list[Verdicts] = []
        since = around.clock()
        try:
            for found in compute(ordered, rows):
                verdicts.append(found)
                done += len(found)
                around.advance(len(found))
                if done - begun >= around.shard_rows or around.clock() - since >= around.shard_seconds:
                    self._commit(pairs[begun:done], ordered[begun:done], verdicts)
                    begun, verdicts, since = done, [], around.clock()
                around.cancel.check()
        finally:
            # What is found is kept when a stop ends the loop; after a lost lease nothing may be written.
            if verdicts and not around.cancel.aborted:
                self._commit(pairs[begun:done], ordered[begun:done], verdicts)

    def _commit(self, pairs: Pairs, ordered: Pairs, found: list[Verdicts]) -> None:
        verdicts, sha = np.concatenate(found), self._around.pictures.sha
        self._cache.add(pairs, verdicts)
        if self._lasting is not None:
            kept = self._lasting(verdicts)
            ordered, verdicts = ordered[kept], verdicts[kept]
        if len(verdicts):
            table = verdicts_table(sha[ordered[:, 0]], sha[ordered[:, 1]], verdicts)
            self._around.writer.write(self._family, 0, table)
