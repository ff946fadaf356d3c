"""A store in memory: the fake that ships for tests. It keeps the whole contract and counts what it is asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.errors import ConditionFailedError, LeaseHeldError, NotFoundError, UsageError
from modules.records import BlobInfo, Content, ListPage

if TYPE_CHECKING:
    from modules.io_utils import Lease


@dataclass(slots=True)
class _Hold:
    owner: object
    until: float


class MemoryStore:
    """Blobs in a dict, key ``container/name``.

    modified: when each blob was written last, nanoseconds of the wall clock; tests may set it. on_request: called with
    (operation, key) before each request; what it raises is the request's failure. reads, copies, writes, deletes: what
    was asked so far, failures included. requests: how many requests of any kind.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.blobs: dict[str, Content] = {}
        self.modified: dict[str, int] = {}
        self.reads: list[str] = []
        self.copies: list[tuple[str, str]] = []
        self.writes: list[str] = []
        self.deletes: list[str] = []
        self.requests = 0
        self.on_request: Callable[[str, str], None] | None = None
        self._clock = clock
        self._holds: dict[str, _Hold] = {}
        self._versions = 0

    def _request(self, operation: str, key: str) -> None:
        self.requests += 1
        if self.on_request is not None:
            self.on_request(operation, key)

    def _put(self, key: str, data: bytes) -> str:
        self._versions += 1
        self.blobs[key] = Content(data, f"0x{self._versions:016X}")
        self.modified[key] = time.time_ns()
        return self.blobs[key].etag

    def _get(self, key: str, etag: str | None) -> Content:
        content = self.blobs.get(key)
        if content is None:
            raise NotFoundError(f"there is no blob {self.address(key)}")
        if etag is not None and content.etag != etag:
            raise ConditionFailedError(f"{self.address(key)} has changed")
        return content

    def _info(self, key: str) -> BlobInfo:
        content = self.blobs[key]
        md5 = hashlib.md5(content.data, usedforsecurity=False).digest()
        kind, modified = "application/octet-stream", self.modified.get(key, 0)
        return BlobInfo(key, len(content.data), content.etag, md5, kind, modified_ns=modified)

    def address(self, key: str) -> str:
        """See :meth:`Store.address`."""
        return f"mem://{key}"

    async def check(self, prefix: str) -> None:
        """See :meth:`Store.check`; a container is there as soon as a blob of it is."""
        self._request("check", prefix)
        container = prefix.partition("/")[0]
        if not any(key.startswith(f"{container}/") for key in self.blobs):
            raise UsageError(f"there is no container {container}")

    async def list(self, prefix: str, *, marker: str | None = None, page_size: int = 2000) -> AsyncIterator[ListPage]:
        """See :meth:`Store.list`."""
        keys = sorted(key for key in self.blobs if key.startswith(prefix) and key > (marker or ""))
        for start in range(0, max(1, len(keys)), page_size):
            self._request("list", prefix)
            page = keys[start : start + page_size]
            more = start + page_size < len(keys)
            blobs = [self._info(key) for key in page if key in self.blobs]
            yield ListPage(blobs, page[-1] if more else None)

    async def read(self, key: str, *, if_match: str | None = None, part: tuple[int, int] | None = None) -> Content:
        """See :meth:`Store.read`."""
        self.reads.append(key)
        self._request("read", key)
        content = self._get(key, if_match)
        return content if part is None else Content(content.data[part[0] : sum(part)], content.etag)

    async def stat(self, key: str) -> BlobInfo | None:
        """See :meth:`Store.stat`."""
        self._request("stat", key)
        return self._info(key) if key in self.blobs else None

    async def write(self, key: str, data: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """See :meth:`Store.write`."""
        self.writes.append(key)
        self._request("write", key)
        data = data if isinstance(data, bytes) else data.read_bytes()
        present = self.blobs.get(key)
        taken = if_absent and present is not None
        changed = if_match is not None and (present is None or present.etag != if_match)
        if taken or changed:
            if present is not None and present.data == data:
                return present.etag
            raise ConditionFailedError(f"{self.address(key)} is not what it was expected to be")
        return self._put(key, data)

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        """See :meth:`Store.copy`."""
        self.copies.append((source, target))
        self._request("copy", source)
        data, present = self._get(source, source_etag).data, self.blobs.get(target)
        if present is None:
            return self._put(target, data)
        if present.data != data:
            raise ConditionFailedError(f"{self.address(target)} is not what it was expected to be")
        return present.etag

    async def delete(self, key: str, *, if_match: str) -> None:
        """See :meth:`Store.delete`."""
        self.deletes.append(key)
        self._request("delete", key)
        if key in self.blobs:
            self._get(key, if_match)
            del self.blobs[key]

    async def lease(self, key: str, seconds: int) -> Lease:
        """See :meth:`Store.lease`."""
        self._request("lease", key)
        if key not in self.blobs:
            self._put(key, b"")
        lease = _MemoryLease(self, key, seconds)
        hold = self._holds.get(key)
        if hold is not None and self._clock() < hold.until:
            raise LeaseHeldError(f"another job holds {self.address(key)}")
        self._holds[key] = _Hold(lease, self._clock() + seconds)
        return lease

    def renew_hold(self, key: str, owner: object, seconds: int) -> None:
        """For the lease: put off its end. Raises LeaseHeldError when another owner has the key."""
        self._request("renew", key)
        hold = self._holds.get(key)
        if hold is None or hold.owner is not owner:
            raise LeaseHeldError(f"another job holds {self.address(key)}")
        hold.until = self._clock() + seconds

    def drop_hold(self, key: str, owner: object) -> None:
        """For the lease: end it, if ``owner`` still has it."""
        self._request("release", key)
        hold = self._holds.get(key)
        if hold is not None and hold.owner is owner:
            del self._holds[key]

    async def close(self) -> None:
        """Nothing is held open."""


class _MemoryLease:
    def __init__(self, store: MemoryStore, key: str, seconds: int) -> None:
        self._store, self._key, self._seconds = store, key, seconds

    async def renew(self) -> None:
        self._store.renew_hold(self._key, self, self._seconds)

    async def release(self) -> None:
        self._store.drop_hold(self._key, self)
