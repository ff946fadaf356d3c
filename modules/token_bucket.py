"""Rate limit: a token bucket that every attempt of a request passes, from any thread or coroutine.

First come, first served; callers with priority (lease renewal) go before all others. Over any window of w seconds
at most ``burst + rate * w`` tokens are granted. Clock and sleep are injected.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable

#: Slack for the rounding of waiting times, in tokens; what it lends is taken back at the next grant.
_SLACK = 1e-9


class TokenBucket:
    """Grants ``rate`` tokens a second, at most ``burst`` at once after a rest.

    clock: monotonic seconds. sleep, async_sleep: wait that many seconds. Raises ValueError for bounds that grant
    nothing.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not (rate > 0 and burst >= 1):
            raise ValueError(f"a rate above 0 and a burst of at least 1 are needed, not {rate} and {burst}")
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._sleep = sleep
        self._async_sleep = async_sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._filled_at = clock()
        self._paused_until = self._filled_at
        self._queues: dict[bool, deque[object]] = {True: deque(), False: deque()}

    def acquire(self, *, priority: bool = False) -> None:
        """Take one token, blocking this thread until it is there."""
        ticket = self._enter(priority)
        try:
            while (seconds := self._try(ticket, priority)) > 0:
                self._sleep(seconds)
        finally:
            self._leave(ticket, priority)

    async def acquire_async(self, *, priority: bool = False) -> None:
        """Take one token, letting the event loop go on until it is there."""
        ticket = self._enter(priority)
        try:
            while (seconds := self._try(ticket, priority)) > 0:
                await self._async_sleep(seconds)
        finally:
            self._leave(ticket, priority)

    def pause(self, seconds: float) -> None:
        """Grant nothing for ``seconds``, and no burst behind that; callers with priority still pass at the rate.

        A shorter pause than the one that holds changes nothing.
        """
        with self._lock:
            until = self._clock() + seconds
            if until > self._paused_until:
                self._paused_until = until
                self._fill()
                self._tokens = min(self._tokens, 1.0)

    def _enter(self, priority: bool) -> object:
        ticket = object()
        with self._lock:
            self._queues[priority].append(ticket)
        return ticket

    def _leave(self, ticket: object, priority: bool) -> None:
        """Also for a caller that was cancelled while it waited: it must not hold up those behind it."""
        with self._lock:
            if ticket in self._queues[priority]:
                self._queues[priority].remove(ticket)

    def _fill(self) -> None:
        now = self._clock()
        room = 1.0 if now < self._paused_until else self.burst
        self._tokens = min(max(room, self._tokens), self._tokens + (now - self._filled_at) * self.rate)
        if self._filled_at < self._paused_until <= now:  # what was saved up during the pause is no burst
            self._tokens = min(self._tokens, 1.0 + (now - self._paused_until) * self.rate)
        self._filled_at = now

    def _try(self, ticket: object, priority: bool) -> float:
        """Take a token if it is this ticket's turn (0), else say how many seconds to wait before asking again."""
        with self._lock:
            self._fill()
            ahead = self._queues[priority].index(ticket) + (0 if priority else len(self._queues[True]))
            held = 0.0 if priority else max(0.0, self._paused_until - self._filled_at)
            missing = ahead + 1 - self._tokens
            if held == 0 and ahead == 0 and missing <= _SLACK:
                self._tokens -= 1
                self._queues[priority].popleft()
                return 0.0
            return max(held, missing / self.rate, 0.1 / self.rate)
