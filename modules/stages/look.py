"""Look stage: pairs that are about to be joined, by their thumbnails, then by the pictures themselves, read again."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.deduplication import MATCHER_FINGERPRINT
from modules.errors import PictureError
from modules.feature_extraction import small_enough
from modules.features import decode
from modules.features.base import fingerprint
from modules.matching.confidence import SURE
from modules.matching.relations import orient
from modules.matching.second_look import closest_look, look_of_thumbs, looked, needs_pictures
from modules.records import BlobInfo, Kind, LookLevel, UInt8Array
from modules.stages.fetch import read_blob
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

log = logging.getLogger(__name__)

#: Pairs that are looked at before what was found is handed on, and so kept.
BLOCK = 1024
#: Pictures that are read side by side.
AT_ONCE = 32
#: Bytes of decoded pictures that a process holds.
HELD_PIXELS = 96 << 20

Spans = NDArray[np.int64]
Flags = NDArray[np.bool_]


def looks_family(keypoints_family: str) -> str:
    """The shard family of looks that today's matcher takes at pairs that it proposes by these keypoints."""
    return f"looks/{fingerprint('looks', MATCHER_FINGERPRINT, keypoints_family)}"


def thumbs_task(file: KeypointFile, pairs: Pairs, sizes: Pairs, verdicts: Verdicts) -> Verdicts:
    """In a worker process: the verdicts, (m,), on pairs, (m, 2), after a look at their thumbnails."""
    found = verdicts.copy()
    for row, ((a, b), (of_a, of_b)) in enumerate(zip(pairs.tolist(), sizes.tolist(), strict=True)):
        look = look_of_thumbs(held.get(file, a, of_a), held.get(file, b, of_b), found[row])
        looked(found[row], look, LookLevel.THUMBNAILS)
    return found


def pictures_task(path: Path, spans: Spans, max_pixels: int, damaged: Flags, verdicts: Verdicts) -> Verdicts:
    """In a worker process: the same after a look at the pictures.

    spans: start and length of both in the file, int64 (m, 2, 2). damaged: whether each lost data, bool (m, 2).
    """
    found = verdicts.copy()
    for row, (of_a, of_b) in enumerate(spans.tolist()):
        a, b = (_decoded.get(path, span[0], span[1], max_pixels) for span in (of_a, of_b))
        look = closest_look(a, b, found[row], damaged=(bool(damaged[row, 0]), bool(damaged[row, 1])))
        looked(found[row], look, LookLevel.PICTURES)
    return found


class _Decoded:
    """Pictures that were looked at last."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[tuple[Path, int], UInt8Array] = OrderedDict()
        self._bytes = 0

    def get(self, path: Path, start: int, length: int, max_pixels: int) -> UInt8Array:
        """The picture whose bytes lie there, RGB uint8 (h, w, 3)."""
        key = path, start
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return self._pictures[key]
        with path.open("rb") as file:
            file.seek(start)
            found = self._pictures[key] = decode.decode(file.read(length), max_pixels).rgb
        self._bytes += found.nbytes
        while self._bytes > HELD_PIXELS and len(self._pictures) > 2:
            self._bytes -= self._pictures.popitem(last=False)[1].nbytes
        return found


_decoded = _Decoded()


def _was_looked(verdicts: Verdicts) -> NDArray[np.bool_]:
    return np.asarray(verdicts["looked"] != LookLevel.NONE)


class Looker:
    """Called with pairs, int32 (m, 2), i < j, and their verdicts; what is found is kept in shards.

    max_bytes, max_pixels: of a picture. The pictures themselves are read once each, into one file of scratch,
    of less than a megabyte a picture.
    """

    def __init__(self, around: PairContext, keypoints: HeldKeypoints, *, max_bytes: int, max_pixels: int) -> None:
        self._around = around
        self._keypoints = keypoints
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._sizes = around.sizes
        # Start and length of each picture in the file; a length of 0 for what was not read, below for what cannot be.
        self._spans: Spans = np.zeros((len(around.pictures), 2), np.int64)
        self._path = around.scratch / "looks.bin"
        self._cached = CachedPairs(around, looks_family(around.keypoints_family), "looks", lasting=_was_looked)
        self.read = 0

    def __call__(self, pairs: Pairs, verdicts: Verdicts) -> Verdicts:
        """The verdicts, VERDICT_DTYPE (m,), with a confidence; NONE where that is too low.

        Raises InterruptedRunError.
        """
        _, swapped = self._around.canonical(pairs)
        before = verdicts.copy()
        before[swapped] = orient(before[swapped])

        def results(ordered: Pairs, rows: NDArray[np.intp]) -> Iterator[Verdicts]:
            for start in range(0, len(ordered), BLOCK):
                block = slice(start, start + BLOCK)
                yield self._look(ordered[block], before[rows[block]])

        found = self._cached.find(pairs, results)
        found["kind"] = np.where(found["confidence"] >= SURE, found["kind"], Kind.NONE)
        return found

    def close(self) -> None:
        """Close the cache's database."""
        self._cached.close()

    def _look(self, pairs: Pairs, verdicts: Verdicts) -> Verdicts:
        """Of one block: all by their thumbnails, then those in doubt by the pictures."""
        file, sizes, pool = self._keypoints.of(pairs), self._sizes, self._around.pool
        blocks = list(tasks_of(len(pairs), pool.workers))
        tasks = ((file, pairs[task], sizes[pairs[task]], verdicts[task]) for task in blocks)
        found = self._mapped(thumbs_task, pairs, blocks, tasks)
        # What cost its process has no transform to be looked at by.
        doubtful = np.flatnonzero(needs_pictures(found, self._around.pictures.damaged[pairs]) & _was_looked(found))
        if len(doubtful):
            readable = self._read(pairs[doubtful])
            # What cannot be read again is not confirmed, in this run.
            found["confidence"][doubtful[~readable]] = 0
            found["looked"][doubtful[~readable]] = LookLevel.NONE
            rows = doubtful[readable]
            if len(rows):
                found[rows] = self._look_closely(pairs[rows], found[rows])
        return found

    def _look_closely(self, pairs: Pairs, verdicts: Verdicts) -> Verdicts:
        path, spans = self._path, self._spans[pairs]
        blocks = list(tasks_of(len(pairs), self._around.pool.workers))
        damaged = self._around.pictures.damaged[pairs]
        tasks = ((path, spans[task], self._max_pixels, damaged[task], verdicts[task]) for task in blocks)
        return self._mapped(pictures_task, pairs, blocks, tasks)

    def _mapped(self, function: Any, pairs: Pairs, blocks: list[slice], tasks: Iterator[tuple[Any, ...]]) -> Verdicts:
        """The results of tasks, (m,), each of a block of pairs, (m, 2)."""
        results = self._around.pool.map(function, tasks, timeout=TASK_TIMEOUT)
        return np.concatenate(
            [self._whole(function, pairs[block], *ended) for block, ended in zip(blocks, results, strict=True)]
        )

    def _whole(
        self, function: Any, pairs: Pairs, task: tuple[Any, ...], result: Verdicts | WorkerCrashedError
    ) -> Verdicts:
        """The result of a task; where it cost its process, that of its pairs one by one."""
        if not isinstance(result, WorkerCrashedError):
            return result

        def arguments(one: slice) -> tuple[Any, ...]:
            return tuple(part[one] if isinstance(part, np.ndarray) else part for part in task)

        return self._around.one_by_one(function, len(pairs), arguments, pairs)

    def _read(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Read the pictures of pairs, (m, 2), that were not read yet; which pairs have both, (m,)."""
        wanted = np.unique(pairs)
        wanted = wanted[self._spans[wanted, 1] == 0]
        for start in range(0, len(wanted), AT_ONCE):
            numbers = wanted[start : start + AT_ONCE]
            blobs = self._around.index.blobs_of(numbers)
            self._append(numbers, blobs, self._around.thread.run(self._fetched(blobs)))
            self._around.cancel.check()
        return np.asarray((self._spans[pairs][..., 1] > 0).all(axis=1))

    async def _fetched(self, blobs: list[BlobInfo]) -> list[bytes | PictureError]:
        store = self._around.thread.store
        results = await asyncio.gather(
            *(read_blob(store, blob, self._max_bytes) for blob in blobs), return_exceptions=True
        )
        found: list[bytes | PictureError] = []
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, PictureError):
                raise result
            found.append(result)
        self.read += len(found)
        return found

    def _append(self, numbers: NDArray[np.int32], blobs: list[BlobInfo], read: list[bytes | PictureError]) -> None:
        """Keep what was read of pictures; what cannot be had is told, once, and not asked for again."""
        tasks = ((data, self._max_pixels) for data in read if isinstance(data, bytes))
        small = (result for _, result in self._around.pool.map(small_enough, tasks, timeout=TASK_TIMEOUT))
        with self._path.open("ab") as file:
            for number, blob, data in zip(numbers.tolist(), blobs, read, strict=True):
                kept = next(small) if isinstance(data, bytes) else data
                if isinstance(kept, bytes):
                    self._spans[number] = file.tell(), len(kept)
                    file.write(kept)
                else:
                    self._spans[number] = 0, -1
                    log.warning("%s %s: it is taken as different from what resembles it", blob.key, kept)
