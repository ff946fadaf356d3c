"""Stores: the one protocol that every place of pictures speaks, and the folder store.

A key is a store's own full name of a blob: ``container/name`` in Azure, an absolute POSIX path in a folder.
An address is what people read and write: ``az://container/name``, or the path itself.
"""

from __future__ import annotations

import asyncio
import errno
import filecmp
import os
import shutil
import stat
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from modules.errors import (
    ConditionFailedError,
    LeaseHeldError,
    NotFoundError,
    TransientError,
)
from modules.folder_errors import os_errors
from modules.folder_files import check_folder, describe, etag_of, walk
from modules.location import Location
from modules.records import BlobInfo, Content, ListPage
from modules.request_gate import RequestOptions
from modules.retry import RetryOptions

if TYPE_CHECKING:
    from modules.settings import AzureCredentials

__all__ = ["FolderStore", "Lease", "Location", "Store", "open_store"]


class Lease(Protocol):
    """An exclusive hold on a key, kept alive by :meth:`renew`."""

    async def renew(self) -> None:
        """Extend the hold. Raises LeaseHeldError when another job has it now, TransientError when unreachable."""

    async def release(self) -> None:
        """Give the hold back; never raises for a hold that is lost already."""


class Store(Protocol):
    """A place of blobs. Every method may raise AccessError, TransientError and StoreAwayError."""

    @property
    def requests(self) -> int:
        """Requests made so far, every attempt counted."""

    def address(self, key: str) -> str:
        """The address of a key, as the report shows it; never carries a secret."""

    async def check(self, prefix: str) -> None:
        """Prove that ``prefix`` can be listed: UsageError names a missing container, account or folder."""

    def list(self, prefix: str, *, marker: str | None = None, page_size: int = 2000) -> AsyncIterator[ListPage]:
        """Blobs whose key starts with ``prefix``, in key order, in pages of at most ``page_size`` names.

        ``marker`` (of a ListPage) continues an earlier listing behind that page.
        """

    async def read(self, key: str, *, if_match: str | None = None, part: tuple[int, int] | None = None) -> Content:
        """A whole blob, or a ``part`` of it: from which byte on (inside the blob) and how many, fewer at its end.

        Raises NotFoundError, and ConditionFailedError when its ETag is not ``if_match``.
        """

    async def stat(self, key: str) -> BlobInfo | None:
        """What a listing would say of one blob now, None where there is none."""

    async def write(self, key: str, data: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write a whole blob (bytes, or a local file's) so that readers see the old one or the new one.

        Returns the new ETag. ``if_match`` / ``if_absent`` make it conditional: ConditionFailedError when the
        condition does not hold, unless the blob already is what was to be written (a retry whose answer was lost).
        """

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        """Copy a blob inside the store, byte for byte, to a place where nothing lies. Returns the copy's ETag.

        Raises NotFoundError, and ConditionFailedError when the source is not ``source_etag`` or other bytes lie there.
        """

    async def delete(self, key: str, *, if_match: str) -> None:
        """Remove a blob if it still is ``if_match``: ConditionFailedError otherwise; absent already is fine."""

    async def lease(self, key: str, seconds: int) -> Lease:
        """Hold ``key`` (made if absent) for ``seconds``. Raises LeaseHeldError at once when another one has it."""

    async def close(self) -> None:
        """Give back connections."""


class FolderStore:
    """Folders of the local file system; keys are absolute paths, an ETag is ``{mtime in ns}-{size}``.

    A file name that is not valid UTF-8 is listed with its odd bytes shown as ``\\xNN``, so that it can be written to
    any state and report; reading it is a NotFoundError that says so. Linked files are followed, linked folders are
    not. Conditional writes are atomic against this store's other writers; other processes are kept out by the lease.
    """

    requests = 0  # a folder is not asked over a network

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def address(self, key: str) -> str:
        """The path itself."""
        return key

    async def check(self, prefix: str) -> None:
        """See :meth:`Store.check`."""
        await asyncio.to_thread(check_folder, prefix)

    async def list(self, prefix: str, *, marker: str | None = None, page_size: int = 2000) -> AsyncIterator[ListPage]:
        """See :meth:`Store.list`; the marker is the last key. One folder's names are held at a time, one page ahead."""
        files = walk(prefix[: prefix.rindex("/") + 1], prefix, marker or "")
        page = await asyncio.to_thread(lambda: [*islice(files, page_size)])
        while True:
            following = await asyncio.to_thread(lambda: [*islice(files, page_size)])
            yield ListPage(page, page[-1].key if following else None)
            if not following:
                return
            page = following

    async def read(self, key: str, *, if_match: str | None = None, part: tuple[int, int] | None = None) -> Content:
        """See :meth:`Store.read`."""
        return await asyncio.to_thread(_read_file, key, if_match, part)

    async def stat(self, key: str) -> BlobInfo | None:
        """See :meth:`Store.stat`."""
        with os_errors("look at", key):
            return await asyncio.to_thread(describe, key, key)

    async def write(self, key: str, data: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """See :meth:`Store.write`."""
        return await asyncio.to_thread(self._write, key, data, if_match, if_absent)

    def _write(self, key: str, data: bytes | Path, if_match: str | None, if_absent: bool) -> str:
        with _temporary(key) as temporary:
            if isinstance(data, bytes):
                temporary.write_bytes(data)
            else:
                shutil.copyfile(data, temporary)
            with self._writing:
                present = describe(key, key) if if_absent or if_match is not None else None
                if (if_absent and present is not None) or (
                    if_match is not None and (present is None or present.etag != if_match)
                ):
                    if present is not None and filecmp.cmp(temporary, key, shallow=False):
                        return present.etag
                    raise ConditionFailedError(f"{key} is not what it was expected to be")
                return _commit(temporary, key, exclusive=if_absent)

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        """See :meth:`Store.copy`; the copy keeps the source's time of change, hence its ETag."""
        return await asyncio.to_thread(_copy_file, source, target, source_etag)

    async def delete(self, key: str, *, if_match: str) -> None:
        """See :meth:`Store.delete`."""
        await asyncio.to_thread(self._delete, key, if_match)

    def _delete(self, key: str, if_match: str) -> None:
        with self._writing, os_errors("remove", key):
            present = describe(key, key)
            if present is None:
                return
            if present.etag != if_match:
                raise ConditionFailedError(f"{key} has changed")
            os.unlink(key)

    async def lease(self, key: str, seconds: int) -> Lease:
        """See :meth:`Store.lease`; the system gives it back when the process ends, however it ends."""
        return await asyncio.to_thread(_FolderLease, key)

    async def close(self) -> None:
        """Nothing is held open."""


class _FolderLease:
    """A lock on a file by the operating system, gone with the process; it needs no renewal, only a look."""

    def __init__(self, key: str) -> None:
        self._key = key
        with os_errors("lock", key):
            os.makedirs(os.path.dirname(key), exist_ok=True)
            self._lock = FileLock(key, thread_local=False, fallback_to_soft=False)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise LeaseHeldError(f"another job holds {key}") from None
            self._file = os.stat(key)

    async def renew(self) -> None:
        try:
            lost = not os.path.samestat(self._file, await asyncio.to_thread(os.stat, self._key))
        except FileNotFoundError:
            lost = True
        if lost or not self._lock.is_locked:
            raise LeaseHeldError(f"the lock file {self._key} was removed or replaced")

    async def release(self) -> None:
        await asyncio.to_thread(self._lock.release)


def _read_file(key: str, if_match: str | None, part: tuple[int, int] | None) -> Content:
    start, length = part or (0, -1)
    with os_errors("read", key):
        for _ in range(3):
            with open(key, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                status = os.fstat(file.fileno())
                etag = etag_of(status)
                if not stat.S_ISREG(status.st_mode):
                    raise NotFoundError(f"{key} is no file any more")  # a pipe: reading it would wait for ever
                if if_match is not None and etag != if_match:
                    raise ConditionFailedError(f"{key} has changed")
                file.seek(start)
                data = file.read(length)
                if etag_of(os.fstat(file.fileno())) == etag:
                    return Content(data, etag)
    raise TransientError(f"{key} keeps changing while it is read")


def _copy_file(source: str, target: str, source_etag: str) -> str:
    with _temporary(target) as temporary:
        with os_errors("read", source):
            before = os.stat(source)
            if etag_of(before) == source_etag:
                shutil.copyfile(source, temporary)
            if etag_of(before) != source_etag or etag_of(os.stat(source)) != source_etag:
                raise ConditionFailedError(f"{source} has changed")
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        try:
            return _commit(temporary, target, exclusive=True)
        except ConditionFailedError:
            if not filecmp.cmp(temporary, target, shallow=False):
                raise
            return etag_of(os.stat(target))


@contextmanager
def _temporary(key: str) -> Iterator[Path]:
    """A new name beside ``key`` to write to before :func:`_commit`; nothing is left there afterwards.

    A killed process may leave one, which no listing shows: :data:`modules.local_files.HALF_WRITTEN`.
    """
    folder = os.path.dirname(key)
    temporary = Path(folder, f".imgsieve-{uuid.uuid4().hex}")
    with os_errors("write", key):
        os.makedirs(folder, exist_ok=True)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _commit(temporary: Path, key: str, *, exclusive: bool) -> str:
    """Flush to disk, then give the file its name in one step."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    etag = etag_of(os.stat(temporary))
    if not exclusive:
        os.replace(temporary, key)
        return etag
    try:
        os.link(temporary, key)
    except FileExistsError:
        raise ConditionFailedError(f"{key} exists already") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # No hard links on this file system (exFAT, some network shares). A name that is claimed first and filled then
        # would be an empty file of ours after a kill; other jobs are kept out by the lease, so a look is enough.
        if os.path.lexists(key):
            raise ConditionFailedError(f"{key} exists already") from None
        os.replace(temporary, key)
    return etag


def open_store(
    location: Location,
    credentials: AzureCredentials | None = None,
    *,
    connections: int = 32,
    requests_per_second: float = 1000.0,
    burst: int = 100,
    store_away_seconds: float = 300.0,
) -> Store:
    """The store that holds ``location``; makes no request yet.

    connections, requests_per_second, burst, store_away_seconds: bounds of an Azure store. Raises
    UsageError when Azure credentials are missing or malformed.
    """
    match location.scheme:
        case "folder":
            return FolderStore()
        case "mem":
            from modules.memory_store import MemoryStore  # noqa: PLC0415 - only where wanted

            return MemoryStore()
        case "azure":
            from modules.azure_utils import open_azure_store  # noqa: PLC0415 - heavy: only where wanted

            options = RequestOptions(
                connections, requests_per_second, burst, retry=RetryOptions(away=store_away_seconds)
            )
            return open_azure_store(location, credentials, options)
