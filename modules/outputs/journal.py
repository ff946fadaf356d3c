"""The journal of publishing: what this output got from us, so that nothing else is ever overwritten or removed.

An intent is written before a copy is begun, the copy's ETag after it is done. Between the two a kill leaves intents,
which are settled by looking at what lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modules.errors import StateError
from modules.state.schemas import JournalRow, journal_rows, journal_table
from modules.state.shards import ShardName, ShardWriter, list_shards, read_shards
from modules.store_thread import StoreThread

FAMILY = "journal"
BATCH = 1000
"""Copies whose intents are written together: what a kill leaves to be settled."""


def read_journal(thread: StoreThread, state_prefix: str) -> Iterator[JournalRow]:
    """All rows of all attempts, oldest first. Raises StateError when a shard is damaged: nothing computes it again."""
    keys = sorted(list_shards(thread, state_prefix, FAMILY), key=_age)
    try:
        for _, table in read_shards(thread, keys):
            yield from journal_rows(table)
    except StateError as error:
        address = thread.store.address(f"{state_prefix}{FAMILY}")
        raise StateError(
            f"{address} has a damaged shard: restore it; or remove that folder, best/ and duplicates/ and run again"
        ) from error


def write_journal(writer: ShardWriter, rows: Sequence[JournalRow]) -> None:
    """Commit rows; nothing is written for none."""
    if rows:
        writer.write(FAMILY, 0, journal_table(rows))


def _age(key: str) -> list[int]:
    """Epoch, attempt and sequence number as numbers: written ones lose their order beyond four digits."""
    name = ShardName.of(key)
    return [int(word[1:]) if word[0].isalpha() else int(word) for word in name.stem.split("-")] if name else []
