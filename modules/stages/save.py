"""Save stage: finished pictures are gathered by listing part and committed as shards, by rows, bytes or seconds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from modules.records import Processed
from modules.state.commit import Families, add_commit, commit_rows
from modules.state.index import ScratchIndex
from modules.state.shards import ShardWriter

#: The first shards of a start close at this fraction of rows and seconds, each next one at twice as much, so that a
#: job that is killed again and again soon after its start still advances.
FIRST_SHARD = 1 / 16


class ShardSaver:
    """Holds at most ``shard_rows`` pictures over all parts: what a kill can cost beside those in flight.

    decoder: what failures are believed of, as the index knows it. clock: monotonic seconds.
    """

    def __init__(
        self,
        writer: ShardWriter,
        index: ScratchIndex,
        families: Families,
        *,
        decoder: str,
        shard_rows: int,
        shard_bytes: int,
        shard_seconds: float,
        advance: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._index = index
        self._families = families
        self._decoder = decoder
        self._shard_rows = shard_rows
        self._shard_bytes = shard_bytes
        self._shard_seconds = shard_seconds
        self._share = FIRST_SHARD
        self._advance = advance
        self._clock = clock
        self._parts: defaultdict[int, list[Processed]] = defaultdict(list)
        self._rows = 0
        self._bytes = 0
        self._since = 0.0

    def add(self, finished: Processed) -> None:
        """Take one picture; commits when it makes the open shards due."""
        self._advance(1)
        if finished.failure is not None and not finished.permanent:
            self._index.set_unfetched(finished.item.blob.key, finished.failure)
            return
        if not self._rows:
            self._since = self._clock()
        self._parts[finished.item.part].append(finished)
        self._rows += 1
        self._bytes += _weight(finished)
        if self._rows >= self._share * self._shard_rows or self._bytes >= self._shard_bytes or self.due_in() == 0.0:
            self.flush()

    def due_in(self) -> float | None:
        """Seconds until the oldest row is to be committed, None while there is none."""
        if not self._rows:
            return None
        return max(0.0, self._since + self._share * self._shard_seconds - self._clock())

    def flush(self) -> None:
        """Commit what is open, one set of shards a part."""
        for part, rows in sorted(self._parts.items()):
            commit = commit_rows(self._writer, self._families, part, rows, self._decoder)
            add_commit(self._index, self._families, commit)
        if self._rows:
            self._share = min(1.0, 2 * self._share)
        self._parts.clear()
        self._rows = self._bytes = 0


def _weight(finished: Processed) -> int:
    """Bytes, about, that a row takes in shards."""
    total = 500 + sum(vector.nbytes for vector in finished.vectors.values())
    keypoints = finished.analysis.keypoints if finished.analysis else None
    if keypoints is not None:
        total += keypoints.points.nbytes + keypoints.descriptors.nbytes
        total += len(keypoints.thumb) + len(keypoints.alpha) + len(keypoints.frames)
    return total
