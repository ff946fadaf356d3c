"""The frozen listing of an epoch: parts of about 2,000 blobs, written once, complete when a part has no marker.

Parts have fixed names, so a listing that was killed goes on behind the last one present, and a zombie cannot add to it
unnoticed. The checksum is over the rows and lies inside the file, as there is no place for it in the name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from modules.errors import ConditionFailedError, LeaseHeldError, StateError
from modules.records import BlobInfo, Content
from modules.state.schemas import listing_rows, listing_table
from modules.state.shards import from_parquet, read_blobs, to_parquet
from modules.store_thread import StoreThread

_NAME = re.compile(r"p(\d{5,})\.parquet")
_HEAD, _CHECKSUM = b"imgsieve", b"imgsieve.sha256"


@dataclass(frozen=True, slots=True)
class ListingPart:
    """One part.

    marker: continues the listing behind it, None on the last part. excluded: prefixes left out so far. companions:
    stems of the files in it that belong to pictures, :func:`modules.state.companions.companion_stem`.
    """

    part: int
    blobs: list[BlobInfo]
    marker: str | None
    excluded: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()


def write_listing_part(thread: StoreThread, state_prefix: str, epoch: int, part: ListingPart) -> None:
    """Commit one part. Raises LeaseHeldError when another process has written other rows under its name.

    A zombie's equal part is fine. Raises StateError for a name that is not valid UTF-8.
    """
    table = listing_table(part.blobs)
    told = {"part": part.part, "marker": part.marker, "excluded": part.excluded, "companions": part.companions}
    head = json.dumps(told, sort_keys=True)
    table = table.replace_schema_metadata({_HEAD: head.encode(), _CHECKSUM: _checksum(head.encode(), table)})
    key = f"{_folder(state_prefix, epoch)}p{part.part:05d}.parquet"
    try:
        thread.run(thread.store.write(key, to_parquet(table), if_absent=True))
    except ConditionFailedError as error:
        raise LeaseHeldError(f"another job wrote {thread.store.address(key)}; only one may run") from error


def read_listing_parts(thread: StoreThread, state_prefix: str, epoch: int) -> Iterator[ListingPart]:
    """All parts of a complete listing, in order, a few in flight. Raises StateError when one is damaged or absent."""
    keys = _keys(thread, state_prefix, epoch)
    complete = False
    for number, (key, content) in enumerate(read_blobs(thread, keys)):
        part = _decode(thread, number, key, content)
        complete = part.marker is None
        yield part
    if not complete:  # or pictures would be missing without a word, and their copies be taken away
        raise _parts_missing(thread, _folder(state_prefix, epoch))


def last_listing_part(thread: StoreThread, state_prefix: str, epoch: int) -> ListingPart | None:
    """The last part present: a killed listing goes on behind it. None when there is none yet."""
    keys = _keys(thread, state_prefix, epoch)
    for key, content in read_blobs(thread, keys[-1:]):
        return _decode(thread, len(keys) - 1, key, content)
    return None


def _folder(state_prefix: str, epoch: int) -> str:
    return f"{state_prefix}runs/e{epoch:04d}/listing/"


def _keys(thread: StoreThread, state_prefix: str, epoch: int) -> Sequence[str]:
    """Keys of the parts by number, from 0 without a gap."""
    folder = _folder(state_prefix, epoch)
    found = thread.run(_find(thread, folder))
    if sorted(found) != list(range(len(found))):
        raise _parts_missing(thread, folder)
    return [found[part] for part in range(len(found))]


def _parts_missing(thread: StoreThread, folder: str) -> StateError:
    address = thread.store.address(folder)
    return StateError(f"parts of the listing in {address} are missing; delete that folder and run again")


async def _find(thread: StoreThread, folder: str) -> dict[int, str]:
    found = {}
    async for page in thread.store.list(folder):
        for blob in page.blobs:
            if match := _NAME.fullmatch(blob.key[len(folder) :]):
                found[int(match[1])] = blob.key
    return found


def _decode(thread: StoreThread, part: int, key: str, content: Content) -> ListingPart:
    try:
        table = from_parquet(content.data)
        packed = table.schema.metadata[_HEAD]
        head = json.loads(packed)
        if table.schema.metadata[_CHECKSUM] != _checksum(packed, table) or head["part"] != part:
            raise ValueError("checksum")
        return ListingPart(
            part, listing_rows(table), head["marker"], tuple(head["excluded"]), tuple(head["companions"])
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        folder = thread.store.address(key.rpartition("/")[0])
        raise StateError(f"{thread.store.address(key)} is damaged; delete {folder} and run again") from error


def _checksum(head: bytes, table: pa.Table) -> bytes:
    """Hex SHA-256 over the head and the rows."""
    rows = json.dumps([table.column(name).to_pylist() for name in table.column_names], default=bytes.hex)
    return hashlib.sha256(head + b"\n" + rows.encode()).hexdigest().encode()
