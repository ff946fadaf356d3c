"""The gate that every attempt of every request to a remote store passes, whatever library sends it.

Bound of requests in flight, rate limit, deadlines, counters, and the pause that a throttling service asks for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from modules.azure_errors import NOT_NOW, THROTTLED, retry_after
from modules.retry import Retry, RetryOptions
from modules.token_bucket import TokenBucket

#: No service is obeyed that asks to wait longer than this, in seconds.
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """How a remote store is used.

    connections: sockets, one of them kept for requests with priority. requests_per_second, burst: see TokenBucket.
    attempt_seconds: deadline of an attempt until its answer begins, and once more until the answer's body is there.
    bytes_per_second: slowest transfer that is waited for, on top of those.
    """

    connections: int = 32
    requests_per_second: float = 1000.0
    burst: int = 100
    attempt_seconds: float = 30.0
    bytes_per_second: float = 100_000.0
    retry: RetryOptions = field(default_factory=RetryOptions)


@dataclass(frozen=True, slots=True)
class Operation:
    """What the attempts made in this context belong to. seconds: deadline of an attempt, None for the usual one."""

    kind: str
    priority: bool = False
    seconds: float | None = None


_OTHER = Operation("other")
OPERATION: ContextVar[Operation] = ContextVar("operation", default=_OTHER)


class Response(Protocol):
    """What the gate needs of an answer whose headers are there."""

    @property
    def status_code(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, looked up without regard to case."""

    async def read(self) -> bytes:
        """The whole body; the answer keeps it."""

    async def close(self) -> None:
        """Give back the connection."""


R = TypeVar("R", bound=Response)


class Gate:
    """One per store. ``kinds`` counts attempts by the kind of operation that they belong to."""

    def __init__(self, options: RequestOptions, retry: Retry) -> None:
        self.kinds: Counter[str] = Counter()
        self._options = options
        self._retry = retry
        self._slots = asyncio.Semaphore(max(1, options.connections - 1))
        self._bucket = TokenBucket(
            options.requests_per_second,
            options.burst,
            clock=options.retry.clock,
            async_sleep=options.retry.sleep,
        )

    async def attempt(self, send: Callable[[], Awaitable[R]], upload: int) -> R:
        """Send once and read the whole body, so that its deadline and its errors count for the attempt.

        upload: bytes that the request carries. Raises TimeoutError when a deadline passes.
        """
        operation = OPERATION.get()
        async with AsyncExitStack() as stack:
            if not operation.priority:
                await stack.enter_async_context(self._slots)
            await self._bucket.acquire_async(priority=operation.priority)
            self.kinds[operation.kind] += 1
            return await self._exchange(send, upload, operation.seconds or self._options.attempt_seconds)

    async def _exchange(self, send: Callable[[], Awaitable[R]], upload: int, seconds: float) -> R:
        clock = asyncio.get_running_loop().time
        rate = self._options.bytes_per_second
        response: R | None = None
        try:
            async with asyncio.timeout(seconds + upload / rate) as deadline:
                response = await send()
                self._heard(response)
                length = int(response.headers.get("Content-Length") or 0)
                deadline.reschedule(clock() + seconds + length / rate)
                await response.read()
                return response
        except TimeoutError:
            late = "no answer" if response is None else "the body did not arrive"
            raise TimeoutError(f"{late} in time") from None
        finally:
            if response is not None:
                await response.close()

    def _heard(self, response: Response) -> None:
        self._retry.answered(good=response.status_code not in NOT_NOW)
        after = retry_after(response.headers)
        if response.status_code in THROTTLED and after is not None:
            self._bucket.pause(min(after, LONGEST_PAUSE))
