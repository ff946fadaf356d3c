"""Publishing: copy what the plan has and the output lacks, remove what earlier plans left, and nothing else ever.

Every batch is written ahead to the journal, so a kill at any point loses nothing but the time since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from modules.errors import ConditionFailedError, NotFoundError, RetryLaterError, StoreError
from modules.io_utils import Store
from modules.outputs.journal import BATCH, write_journal
from modules.outputs.layout import Layout
from modules.outputs.ledger import Copy, Ledger
from modules.records import Failure
from modules.state.schemas import JournalRow
from modules.state.shards import ShardWriter
from modules.state.tidy import remove
from modules.store_thread import StoreThread

T = TypeVar("T")
Act = Callable[[], Coroutine[Any, Any, JournalRow | None]]
log = logging.getLogger(__name__)

JOURNAL_SECONDS = 20.0
"""How often copies that are done are written down while a batch goes on."""


COPY_SECONDS = 10.0
"""How long a copy under way is waited for when the run is to end; containers grant 30 seconds in all."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """copied, removed: by this attempt. failed: pictures that could not be published; the ledger has them."""

    copied: int
    removed: int
    failed: int


class Publisher:
    """Carries out a survey.

    fence: raises when another job has taken over; asked before every batch. stop: raises when the run is to end, from
    any thread; copies under way are finished and written down, if they do not take long. connections: copies at a time.
    advance: told of every copy and removal that is over, from any thread. batch: copies of one batch.
    """

    def __init__(
        self,
        thread: StoreThread,
        layout: Layout,
        writer: ShardWriter,
        ledger: Ledger,
        *,
        fence: Callable[[], None],
        stop: Callable[[], None],
        connections: int,
        advance: Callable[[], None],
        batch: int = BATCH,
    ) -> None:
        self._thread = thread
        self._layout = layout
        self._writer = writer
        self._ledger = ledger
        self._fence = fence
        self._stop = stop
        self._advance = advance
        self._batch = batch
        self._slots = asyncio.Semaphore(connections)
        self._ended = False

    def publish(self) -> PublishResult:
        """Do what the ledger's survey found; ``_SUCCESS`` goes first when anything is to change.

        A source that changed or vanished since the listing, and a copy that the store refuses, become failures; a copy
        that it refuses to remove stays, with a warning.
        Raises what fence and stop raise, AccessError, StoreAwayError and LeaseHeldError.
        """
        ledger = self._ledger
        for batch in self._batches(ledger.adopted()):
            write_journal(self._writer, batch)
        for batch in self._batches(ledger.altered()):
            self._forget(batch)
        if ledger.count("copies") or ledger.count("outdated"):
            remove_success(self._thread, self._layout, self._fence)
        copied = removed = 0
        for copies in self._batches(ledger.copies()):
            write_journal(self._writer, [_intent(copy) for copy in copies])
            copied += self._carry_out(partial(self._copy, copy) for copy in copies)
        for rows in self._batches(ledger.outdated()):
            removed += self._carry_out(partial(self._remove, row) for row in rows)
        return PublishResult(copied, removed, ledger.count("failures"))

    def _batches(self, rows: Iterator[T]) -> Iterator[list[T]]:
        """Batches, each one only if the run is to go on and still is the one at work."""
        while batch := list(islice(rows, self._batch)):
            self._stop()
            self._fence()
            yield batch

    def _forget(self, rows: list[JournalRow]) -> None:
        """Copies that somebody has changed and that the plan does not need are not ours any more; they stay."""
        for row in rows:
            self._leave(row.target)
        write_journal(self._writer, [replace(row, removed=True) for row in rows])

    def _leave(self, target: str) -> None:
        log.warning("left alone, changed since imgsieve wrote it: %s", self._thread.store.address(target))

    def _carry_out(self, acts: Iterable[Act]) -> int:
        """Run acts side by side, write down what they did, and only then raise what ended one of them."""
        running = {asyncio.run_coroutine_threadsafe(self._perform(act), self._thread.loop) for act in acts}
        count = 0
        error: BaseException | None = None
        while running:
            finished, running = wait(running, JOURNAL_SECONDS)
            error = error or next((found for future in finished if (found := future.exception())), None)
            done = [row for future in finished if not future.exception() and (row := future.result())]
            try:
                write_journal(self._writer, sorted(done, key=lambda row: row.target))
            except BaseException:
                self._ended = True
                wait(running)
                raise
            count += len(done)
        if error is not None:
            raise error
        return count

    async def _perform(self, act: Act) -> JournalRow | None:
        """One act in its turn; None when it failed, or when another one has ended the run."""
        async with self._slots:
            if self._ended:
                return None
            try:
                self._stop()
                return await self._unless_late(act())
            except BaseException:
                self._ended = True
                raise
            finally:
                self._advance()

    async def _unless_late(self, act: Coroutine[Any, Any, JournalRow | None]) -> JournalRow | None:
        """Finish an act, unless the run is to end and it takes long: pending in the service, or waiting for it.

        Its intent is in the journal, so the next start finds out what came of it.
        """
        task = asyncio.create_task(act)
        try:
            while True:
                await asyncio.wait({task}, timeout=COPY_SECONDS)
                if task.done():
                    break
                self._stop()
                if self._ended:
                    return None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return task.result()

    async def _copy(self, copy: Copy) -> JournalRow | None:
        """Our outdated copy goes first, so that only an empty place is written to."""
        store = self._thread.store
        try:
            if copy.replaces is not None and (refusal := await remove(store, copy.target, etag=copy.replaces)):
                self._fail(copy, f"its outdated copy cannot be removed: {refusal}")
                return None
            etag = await store.copy(copy.source, copy.target, source_etag=copy.source_etag)
        except StoreError as error:
            self._fail(copy, await _reason(store, copy, error))
            return None
        return replace(_intent(copy), target_etag=etag)

    def _fail(self, copy: Copy, reason: str) -> None:
        self._ledger.add_failure(Failure(copy.source, copy.size, reason))

    async def _remove(self, row: JournalRow) -> JournalRow | None:
        try:
            refusal = await remove(self._thread.store, row.target, etag=row.target_etag or "")
        except ConditionFailedError:
            self._leave(row.target)
            return None
        if refusal is not None:
            log.warning("an outdated copy stays: %s", refusal)
            return None
        return replace(row, removed=True)


def remove_success(thread: StoreThread, layout: Layout, fence: Callable[[], None]) -> None:
    """Take the completion marker away, because what it vouches for is about to change.

    It goes only as it was before the fence, so that a zombie cannot take another job's. Raises what fence raises.
    """
    found = thread.run(thread.store.stat(layout.success))
    fence()
    if found is not None:
        with unchanged(thread, layout.success, fence):
            thread.run(thread.store.delete(layout.success, if_match=found.etag))


@contextmanager
def unchanged(thread: StoreThread, key: str, fence: Callable[[], None]) -> Iterator[None]:
    """Around a conditional change of an output's own file: whoever got there first is another job, or a person."""
    try:
        yield
    except ConditionFailedError as error:
        fence()
        raise RetryLaterError(f"{thread.store.address(key)} was changed while imgsieve ran: run again") from error


async def _reason(store: Store, copy: Copy, error: StoreError) -> str:
    """Why a copy failed, for failed.csv."""
    if isinstance(error, NotFoundError):
        return "it was removed while imgsieve ran: run again"
    if isinstance(error, ConditionFailedError):
        source = await store.stat(copy.source)
        if source is None or source.etag != copy.source_etag:
            return "it was changed while imgsieve ran: run again"
        return f"something else lies at {store.address(copy.target)}: move it away and run again"
    return f"it could not be copied: {error}"


def _intent(copy: Copy) -> JournalRow:
    return JournalRow(copy.target, copy.source, copy.source_etag, None, sha=copy.sha)
