"""What publishing would do: the plan, the journal and what lies in the output, set against each other. Reads only."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modules.errors import ConditionFailedError, NotFoundError
from modules.io_utils import Store
from modules.outputs.journal import read_journal
from modules.outputs.layout import Layout
from modules.outputs.ledger import Ledger, Unsettled
from modules.outputs.plan import PlanRow
from modules.records import Failure
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)

_READS = 4
"""Copies that are read at once to prove them ours; each costs one picture's bytes."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What publishing has to do: copies, removals of our outdated ones, and places that it must leave alone."""

    copies: int
    removals: int
    foreign: int


def survey(thread: StoreThread, layout: Layout, ledger: Ledger, rows: Iterator[PlanRow]) -> Survey:
    """Fill the ledger (a new one) and say what is to do. The output is listed once; nothing is written.

    A planned copy in whose place lies something that imgsieve did not write becomes a failure. Raises StateError when
    the journal is damaged.
    """
    ledger.add_plan(rows)
    thread.run(_list(thread.store, layout, ledger))
    ledger.replay(read_journal(thread, layout.state))
    thread.run(_settle(thread.store, ledger))
    ledger.decide()
    for target, source, size in ledger.foreigners():
        address = thread.store.address(target)
        reason = f"something that imgsieve did not write lies at {address}: move it away and run again"
        ledger.add_failure(Failure(source, size, reason))
    return Survey(ledger.count("copies"), ledger.count("outdated"), ledger.count("foreigners"))


async def _list(store: Store, layout: Layout, ledger: Ledger) -> None:
    for prefix in (layout.best, layout.duplicates):
        async for page in store.list(prefix):
            ledger.add_listed(page.blobs)


async def _settle(store: Store, ledger: Ledger) -> None:
    """Adopt what a killed attempt copied without getting to say so.

    Where the service has not ended a copy, or it failed, an empty blob lies, which no picture is: it is copied to
    again, and :meth:`Store.copy` finds out what it is.
    """
    reads = asyncio.Semaphore(_READS)
    unsettled = ledger.unsettled()
    results = await asyncio.gather(*(_is_ours(store, reads, case) for case in unsettled))
    for case, ours in zip(unsettled, results, strict=True):
        if ours:
            ledger.adopt(replace(case.intent, target_etag=case.found.etag))
        elif case.found.size == 0:
            ledger.reopen(case.found.key)


async def _is_ours(store: Store, reads: asyncio.Semaphore, case: Unsettled) -> bool:
    """Whether what lies at an intent's target is the copy that was intended.

    A folder's copies keep their time of change, Azure's keep Content-MD5. Without either, or when the source has
    changed since, the bytes decide.
    """
    if case.found.etag == case.intent.source_etag:
        return True
    if case.md5 is not None and case.found.md5 is not None:
        return case.found.md5 == case.md5 and case.found.size == case.size
    if case.size is not None and case.found.size != case.size:
        return False
    async with reads:
        try:
            content = await store.read(case.found.key, if_match=case.found.etag)
        except (NotFoundError, ConditionFailedError):
            log.warning("%s changed while it was looked at", store.address(case.found.key))
            return False
    return await asyncio.to_thread(lambda: hashlib.sha256(content.data).digest()) == case.intent.sha
