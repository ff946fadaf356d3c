"""Taking files of ours away, and with that what finished epochs leave: their listings, and plans no longer read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from modules.errors import ConditionFailedError, LeaseHeldError, StoreError, TransientError
from modules.io_utils import Store
from modules.records import BlobInfo
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)

#: Requests at a time; the store's own bounds hold beside it.
_AT_ONCE = 16


def remove_past_runs(thread: StoreThread, state_prefix: str, epoch: int, plan: Collection[str]) -> int:
    """Remove the listings and plans of epochs before ``epoch``, and its own plans but for the shards in ``plan``.

    Comes when an epoch is finished: caches stay, and so does all that proves its decisions. A file that the store
    refuses to remove stays, with a warning. Returns how many went.
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
    count = 0
    for start in range(0, len(past), _AT_ONCE):
        count += sum(await asyncio.gather(*(_delete(store, blob) for blob in past[start : start + _AT_ONCE])))
    return count


async def _delete(store: Store, blob: BlobInfo) -> bool:
    try:
        refusal = await remove(store, blob.key, etag=blob.etag)
    except ConditionFailedError:
        return False  # another job is at work on the state: its files are its own
    if refusal is not None:
        log.warning("not tidied away: %s", refusal)
    return refusal is None


async def remove(store: Store, key: str, *, etag: str) -> str | None:
    """Remove a file of ours; None when it is gone, else why the store refuses: a snapshot, a lease, a policy.

    Raises ConditionFailedError when it is not ``etag`` any more, AccessError, TransientError and StoreAwayError.
    """
    try:
        await store.delete(key, if_match=etag)
    except (ConditionFailedError, TransientError):
        raise
    except LeaseHeldError:  # no job leases anything but its lock
        return f"{store.address(key)} is under a lease of another tool"
    except StoreError as error:
        return str(error)
    return None
