"""The run lock: a store lease that keeps a second job out, renewed in the background on the store's loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

from modules.errors import ImgsieveError, LeaseHeldError, TransientError
from modules.io_utils import Lease
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds beyond a lease's length to wait for a killed predecessor's to run out."""

RETRY = 1.0
"""Seconds between tries to acquire or, after a network failure, to renew."""


class RunLock:
    """Holds ``key`` for as long as the run lasts.

    seconds: length of the lease; it is renewed three times as often. away: seconds that renewing may fail before the
    lock counts as lost; behind the lease's end it is still ours if nobody else took it, and the manifest's fence keeps
    a job out that somebody else's has replaced. clock: monotonic seconds. sleep: for the caller's
    thread in :meth:`acquire`. pause: the same on the store's loop. on_lost: called once, on the store's thread, with
    the error that the run should end with; it must not block.
    """

    def __init__(
        self,
        thread: StoreThread,
        key: str,
        *,
        on_lost: Callable[[LeaseHeldError], None],
        seconds: int = 15,
        away: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._thread = thread
        self._key = key
        self._on_lost = on_lost
        self._seconds = seconds
        self._away = max(away, seconds)
        self._clock = clock
        self._sleep = sleep
        self._pause = pause
        self._lease: Lease | None = None
        self._renewals: concurrent.futures.Future[None] | None = None

    def acquire(self) -> None:
        """Take the lock and start to renew it.

        A predecessor that was killed still holds its lease for some seconds: it is waited out, at most ``seconds`` +
        PATIENCE; then LeaseHeldError. A store that says "not now" is asked again as long as renewing may fail.
        """
        began = self._clock()
        deadline = began + self._seconds + PATIENCE
        waiting = away = False
        while True:
            asked = self._clock()
            try:
                self._lease = self._thread.run(self._thread.store.lease(self._key, self._seconds))
                break
            except LeaseHeldError as error:
                if self._clock() >= deadline:
                    raise LeaseHeldError(f"another job holds {self._address}; let it finish first") from error
                if not waiting:
                    log.info("%s is held; waiting up to %.0f s for it", self._address, self._seconds + PATIENCE)
                    waiting = True
            except TransientError as error:
                if self._clock() - began >= self._away:
                    raise
                log.log(logging.DEBUG if away else logging.WARNING, "the lock is asked for again: %s", error)
                away = True
            self._sleep(RETRY)
        renewals = asyncio.run_coroutine_threadsafe(self._renew(self._lease, asked), self._thread.loop)
        renewals.add_done_callback(self._ended)
        self._renewals = renewals

    def release(self) -> None:
        """Stop to renew and give the lock back; fine when it is lost or was never acquired.

        Where the store is out of reach, or refuses, it runs out by itself: that is logged, so as not to hide how the
        run ended.
        """
        if self._renewals is not None:
            self._renewals.cancel()
            self._renewals = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                self._thread.run(lease.release())
            except ImgsieveError as error:
                log.warning("the lock is not given back, it runs out in %d s: %s", self._seconds, error)

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def _address(self) -> str:
        return self._thread.store.address(self._key)

    async def _renew(self, lease: Lease, asked: float) -> None:
        """Renew until the lease is lost. ``asked``: when the request that began the hold was sent."""
        held_from = asked
        wait = self._seconds / 3
        while True:
            await self._pause(wait)
            asked = self._clock()
            try:
                # A request that hangs as long as the hold lasts is as good as a failed one.
                async with asyncio.timeout(self._seconds):
                    await lease.renew()
            except (TransientError, TimeoutError) as error:
                if self._clock() - held_from >= self._away:
                    raise
                log.warning("the lock could not be renewed, trying again: %s", error)
                wait = min(RETRY, self._seconds / 3)
                continue
            held_from = asked
            wait = self._seconds / 3

    def _ended(self, renewals: concurrent.futures.Future[None]) -> None:
        """Tell the run why the renewals ended; whatever it was, the lock can no longer be relied on."""
        if renewals.cancelled():
            return
        cause = renewals.exception()
        if isinstance(cause, LeaseHeldError):
            lost = cause
        else:
            reason = cause if isinstance(cause, ImgsieveError) else repr(cause)
            lost = LeaseHeldError(f"the lock {self._address} ran out and could not be renewed: {reason}")
            lost.__cause__ = cause
        log.error("%s", lost)
        self._on_lost(lost)
