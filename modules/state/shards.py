"""Shards: immutable Parquet files under the state prefix whose presence commits their rows.

The name carries listing part, epoch, attempt, a sequence number and a checksum of the file. The attempt is raised at
every start, so no two starts ever write under one name; the checksum is verified on every read.

Shards of one commit share part, epoch, attempt and sequence number: their *stem*. That is how the index knows which
families a catalogue row was committed with, without downloading the large ones: see :mod:`modules.state.commit`.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import itertools
import logging
import re
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from modules.errors import ConditionFailedError, LeaseHeldError, NotFoundError, StateError
from modules.records import Content
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)

ROW_GROUP = 512
"""Rows of a row group: at 25 kB of keypoints a row, some 12 MB for whoever reads a part of a shard."""

READ_AHEAD = 3
"""Shards in flight while a family is read: at the default shard size of 64 MiB, at most 192 MiB."""

_NAME = re.compile(r"(?P<stem>p\d{5,}-e\d{4,}-a\d{4,}-\d{5,})-(?P<checksum>[0-9a-f]{16})\.parquet")


@dataclass(frozen=True, slots=True)
class ShardName:
    """What the last segment of a shard's key says. checksum: 16 hex digits of the file's SHA-256."""

    stem: str
    checksum: str

    @classmethod
    def of(cls, key: str) -> ShardName | None:
        """Parse a key; None when it is not a shard's."""
        match = _NAME.fullmatch(key.rpartition("/")[2])
        return cls(match["stem"], match["checksum"]) if match else None


class ShardWriter:
    """Writes the shards of one attempt; every method may be called from any thread."""

    def __init__(self, thread: StoreThread, state_prefix: str, epoch: int, attempt: int) -> None:
        self._thread = thread
        self._prefix = state_prefix
        self._place = f"e{epoch:04d}-a{attempt:04d}"
        self._sequence = itertools.count()  # next() on it is atomic in CPython

    def stem(self, part: int) -> str:
        """A fresh stem for the shards of one commit."""
        return f"p{part:05d}-{self._place}-{next(self._sequence):05d}"

    def write(self, family: str, part: int, table: pa.Table, *, stem: str | None = None) -> str:
        """Write one shard and return its key; when this returns, the rows are committed.

        ``stem`` (of :meth:`stem`) joins several families to one commit. Raises LeaseHeldError when another process
        wrote other bytes under this name, and what a store's write raises.
        """
        data = to_parquet(table)
        name = f"{stem or self.stem(part)}-{_checksum(data)}.parquet"
        key = f"{self._prefix}{family}/{name}"
        try:
            self._thread.run(self._thread.store.write(key, data, if_absent=True))
        except ConditionFailedError as error:
            raise LeaseHeldError(f"another job wrote {self._thread.store.address(key)}; only one may run") from error
        return key


def list_shards(thread: StoreThread, state_prefix: str, family: str) -> list[str]:
    """Keys of a family's shards, sorted by name, that is by listing part first. Files of other names are ignored."""
    return thread.run(_list_shards(thread, f"{state_prefix}{family}/"))


def read_blobs(
    thread: StoreThread, keys: Sequence[str], *, ahead: int = READ_AHEAD
) -> Generator[tuple[str, Content], None, None]:
    """Key and bytes of many state files in the given order, ``ahead`` of them in flight; StateError if one is gone."""
    waiting: collections.deque[tuple[str, Future[Content]]] = collections.deque()
    rest = iter(keys)
    try:
        while True:
            for key in itertools.islice(rest, ahead - len(waiting)):
                waiting.append((key, asyncio.run_coroutine_threadsafe(_fetch(thread, key), thread.loop)))
            if not waiting:
                return
            key, future = waiting.popleft()
            yield key, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def read_shards(
    thread: StoreThread, keys: Sequence[str], columns: Sequence[str] | None = None, *, ahead: int = READ_AHEAD
) -> Generator[tuple[str, pa.Table], None, None]:
    """Key and rows of many shards in the given order, checksums verified, ``ahead`` of them in flight.

    Raises StateError for one that is damaged or gone.
    """
    for key, content in read_blobs(thread, keys, ahead=ahead):
        yield key, _decode(thread, key, content, columns)


def read_family(thread: StoreThread, state_prefix: str, family: str) -> Generator[pa.Table, None, None]:
    """Rows of a whole family, shard by shard in the order of :func:`list_shards`; a few shards in memory at once.

    A SHA-256 may come twice (a kill between a family's shard and its catalogue shard): the first row counts.
    """
    for _, table in read_shards(thread, list_shards(thread, state_prefix, family)):
        yield table


def to_parquet(table: pa.Table) -> bytes:
    """A table as Parquet, zstd; equal tables give equal bytes for one version of pyarrow."""
    sink = pa.BufferOutputStream()
    # Dictionaries help names and formats; on SHA-256 sums and descriptors they only cost time.
    repeated = [field.name for field in table.schema if not pa.types.is_fixed_size_binary(field.type)]
    repeated = [name for name in repeated if not pa.types.is_binary(table.schema.field(name).type)]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP,
        use_dictionary=repeated,
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def from_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The inverse of :func:`to_parquet`. Raises pyarrow.ArrowException or OSError when the bytes are damaged."""
    wanted = None if columns is None else list(columns)
    return pq.read_table(pa.BufferReader(data), columns=wanted, page_checksum_verification=True)


async def _list_shards(thread: StoreThread, prefix: str) -> list[str]:
    keys = []
    async for page in thread.store.list(prefix):
        for blob in page.blobs:
            if "/" not in blob.key[len(prefix) :] and ShardName.of(blob.key):
                keys.append(blob.key)
            else:
                log.warning("%s is no shard; ignored", thread.store.address(blob.key))
    return sorted(keys)


async def _fetch(thread: StoreThread, key: str) -> Content:
    try:
        return await thread.store.read(key)
    except NotFoundError as error:
        raise StateError(f"{thread.store.address(key)} was removed while imgsieve ran; run again") from error


def _decode(thread: StoreThread, key: str, content: Content, columns: Sequence[str] | None) -> pa.Table:
    name = ShardName.of(key)
    if name is None or name.checksum != _checksum(content.data):
        log.error("damaged shard: %s", thread.store.address(key))
        raise StateError(
            f"{thread.store.address(key)} is damaged; delete it and run again: its rows are computed again"
        )
    return from_parquet(content.data, columns)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
