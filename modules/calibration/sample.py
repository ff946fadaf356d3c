"""A sample of a listing that depends on the names alone: not on their order, nor on the time, nor on the store."""

from __future__ import annotations

import hashlib
import heapq

from modules.records import BlobInfo


class Sample:
    """Keeps those ``count`` blobs whose names hash lowest (bottom-k sampling); holds no more of a listing than them.

    prefix: what the keys begin with; only what follows it counts, so that a folder and its copy in a container give
    the same sample.
    """

    def __init__(self, count: int, prefix: str) -> None:
        self._count = count
        self._prefix = prefix
        self._kept: list[tuple[int, str, BlobInfo]] = []
        self.seen = 0

    def add(self, blob: BlobInfo) -> None:
        """Take one blob of the listing."""
        self.seen += 1
        # Negative, because the heap gives away its least item. Keys differ, so blobs are never compared.
        item = (-self._place(blob.key), blob.key, blob)
        if len(self._kept) < self._count:
            heapq.heappush(self._kept, item)
        else:
            heapq.heappushpop(self._kept, item)

    def blobs(self) -> list[BlobInfo]:
        """The sample, the lowest hash first."""
        return [blob for _, _, blob in sorted(self._kept, key=lambda item: -item[0])]

    def _place(self, key: str) -> int:
        name = key.removeprefix(self._prefix).encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
