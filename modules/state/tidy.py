"""Taking away what finished epochs leave: their listings, and plans that no attempt reads any more."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from modules.errors import ConditionFailedError
from modules.io_utils import Store
from modules.records import BlobInfo
from modules.store_thread import StoreThread

#: Requests at a time; the store's own bounds hold beside it.
_AT_ONCE = 16


def remove_past_runs(thread: StoreThread, state_prefix: str, epoch: int, plan: Collection[str]) -> int:
    """Remove the listings and plans of epochs before ``epoch``, and its own plans but for the shards in ``plan``.

    Comes when an epoch is finished: caches stay, and so does all that proves its decisions. Returns how many files.
    """
    return thread.run(_remove(thread.store, f"{state_prefix}runs/", epoch, frozenset(plan)))


async def _remove(store: Store, prefix: str, epoch: int, plan: frozenset[str]) -> int:
    current = f"{prefix}e{epoch:04d}/"
    past: list[BlobInfo] = []
    async for page in store.list(prefix):
        for blob in page.blobs:
            own_plan = blob.key.startswith(f"{current}plan/") and blob.key not in plan
            if own_plan or not blob.key.startswith(current):
                past.append(blob)
    for start in range(0, len(past), _AT_ONCE):
        await asyncio.gather(*(_delete(store, blob) for blob in past[start : start + _AT_ONCE]))
    return len(past)


async def _delete(store: Store, blob: BlobInfo) -> None:
    try:
        await store.delete(blob.key, if_match=blob.etag)
    except ConditionFailedError:
        return  # another job is at work on the state: its files are its own
