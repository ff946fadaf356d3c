"""A thread-safe queue bounded in items and bytes whose waiting ends when the run does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from modules.errors import InterruptedRunError

T = TypeVar("T")


class Closed(Exception):
    """Every producer is done, the queue is empty, and nobody may give anything back to it."""


class Aborted(Exception):
    """The run was aborted while waiting."""


class Cancellation:
    """One run's way to end early: ``stop`` asks for a clean end, the first error aborts at once."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._wake: list[Callable[[], None]] = []

    @property
    def stopping(self) -> bool:
        """True once no new work is to be begun."""
        return self._stop.is_set() or self.aborted

    @property
    def aborted(self) -> bool:
        """True once nothing is to be waited for any more."""
        return self._error is not None

    @property
    def late(self) -> bool:
        """True once aborted for the time that a clean end took, and for nothing else: what is done may be kept."""
        return isinstance(self._error, InterruptedRunError)

    def on_abort(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` at an abort, so that whoever waits looks up."""
        self._wake.append(wake)

    def fail(self, error: BaseException) -> None:
        """Abort with ``error``; the first one wins."""
        with self._lock:
            if self._error is not None:
                return
            self._error = error
        for wake in list(self._wake):
            wake()

    def interrupt(self) -> None:
        """Abort because a clean end took too long."""
        self.fail(InterruptedRunError("interrupted: run again to resume"))

    def check_abort(self) -> None:
        """Raise Aborted after an abort."""
        if self.aborted:
            raise Aborted

    def check(self) -> None:
        """Raise the first error, or InterruptedRunError when a stop was asked for."""
        if self._error is not None:
            raise self._error
        if self._stop.is_set():
            raise InterruptedRunError("interrupted: run again to resume")


class BoundedQueue(Generic[T]):
    """First in, first out, at most ``max_items`` items and ``max_bytes`` bytes; a larger item passes alone.

    Room can be reserved before an item exists, so that a download counts from its first byte on. ``producers``
    is how many call :meth:`producer_done` before the queue counts as closed. Asynchronous producers all run on
    one loop and are served in the order of their asking.
    """

    def __init__(self, max_items: int, cancel: Cancellation, *, producers: int, max_bytes: int | None = None) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._cancel = cancel
        self._producers = producers
        self._claims = 0
        self._changed = threading.Condition()
        self._items: deque[tuple[T, int]] = deque()
        self._held_items = 0
        self._held_bytes = 0
        self._turn = asyncio.Lock()
        self._room: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        cancel.on_abort(self._notify)

    @property
    def waiting(self) -> int:
        """Items that wait to be taken."""
        return len(self._items)

    def put(self, item: T, weight: int = 0) -> None:
        """Add an item, waiting for room. Raises Aborted."""
        self.put_all([item], weight)

    def put_all(self, items: Sequence[T], weight: int = 0) -> None:
        """Add items of ``weight`` each as there is room, in their order; who waits is woken once. Raises Aborted."""
        with self._changed:
            for number, item in enumerate(items):
                if number and not self._fits(weight):
                    self._changed.notify_all()  # once: those who wait for room as well would wake each other for ever
                while not self._fits(weight):
                    self._cancel.check_abort()
                    self._changed.wait()
                self._hold(weight)
                self._items.append((item, weight))
            self._changed.notify_all()

    async def reserve(self, weight: int) -> None:
        """Wait for room and hold it, for :meth:`deliver` or :meth:`give_back`. Raises Aborted."""
        async with self._turn:
            while True:
                with self._changed:
                    self._cancel.check_abort()
                    if self._fits(weight):
                        self._hold(weight)
                        return
                    event = asyncio.Event()
                    self._room = (asyncio.get_running_loop(), event)
                await event.wait()

    def deliver(self, item: T, weight: int) -> None:
        """Add an item to the room that was reserved for it."""
        with self._changed:
            self._items.append((item, weight))
            self._changed.notify_all()

    def give_back(self, weight: int) -> None:
        """Return room that was reserved and is not needed."""
        with self._changed:
            self._release(weight)

    def get(self) -> T:
        """Take the first item, waiting for one. Raises Closed or Aborted."""
        return self.get_some(1)[0]

    def get_some(self, most: int, max_bytes: int | None = None) -> list[T]:
        """Take what is there: one item at least, ``most`` and ``max_bytes`` at most. Raises Closed or Aborted."""
        with self._changed:
            while not self._items:
                self._wait_for_item(None)
            room = None if max_bytes is None else max_bytes - self._items[0][1]
            taken = [self._take()]
            while self._items and len(taken) < most and (room is None or self._items[0][1] <= room):
                room = None if room is None else room - self._items[0][1]
                taken.append(self._take())
            return taken

    def claim(self, most: int, patience: float) -> list[T]:
        """Take items that may come back: the queue does not close before :meth:`settle` or :meth:`put_back`.

        Waits for ``most`` items, or as many as the queue holds, up to ``patience`` seconds from the first one on; takes
        what is there then, or when nothing more can come. Raises Closed or Aborted.
        """
        enough = min(most, self._max_items)
        with self._changed:
            while True:
                while not self._items:
                    self._wait_for_item(None)
                deadline = time.monotonic() + patience
                while 0 < len(self._items) < enough and self._producers > 0:
                    self._cancel.check_abort()
                    if (left := deadline - time.monotonic()) <= 0:
                        break
                    self._changed.wait(left)
                if self._items:  # another one may have taken them meanwhile
                    self._claims += 1
                    return [self._take() for _ in range(min(most, len(self._items)))]

    def settle(self) -> None:
        """Say that a claim is dealt with."""
        with self._changed:
            self._claims -= 1
            self._changed.notify_all()

    def put_back(self, items: Sequence[T]) -> None:
        """End a claim: its items, which have no weight, are the first ones again, whether there is room or not."""
        with self._changed:
            self._claims -= 1
            for item in reversed(items):
                self._hold(0)
                self._items.appendleft((item, 0))
            self._changed.notify_all()

    def get_within(self, seconds: float | None) -> T | None:
        """Take the first item, None when none came within ``seconds``. Raises Closed or Aborted."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not self._items:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._wait_for_item(left)
            return self._take()

    def add_producers(self, count: int) -> None:
        """Say that so many more will add items; before the queue can have closed."""
        with self._changed:
            self._producers += count

    def producer_done(self) -> None:
        """Say that one producer adds nothing more."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def _wait_for_item(self, seconds: float | None) -> None:
        self._cancel.check_abort()
        if self._producers <= 0 and not self._claims:
            raise Closed
        self._changed.wait(seconds)

    def _take(self) -> T:
        item, weight = self._items.popleft()
        self._release(weight)
        return item

    def _fits(self, weight: int) -> bool:
        if self._held_items == 0:
            return True
        enough = self._max_bytes is None or self._held_bytes + weight <= self._max_bytes
        return enough and self._held_items < self._max_items

    def _hold(self, weight: int) -> None:
        self._held_items += 1
        self._held_bytes += weight

    def _release(self, weight: int) -> None:
        self._held_items -= 1
        self._held_bytes -= weight
        self._notify_locked()

    def _notify(self) -> None:
        with self._changed:
            self._notify_locked()

    def _notify_locked(self) -> None:
        self._changed.notify_all()
        if self._room is not None:
            loop, event = self._room
            self._room = None
            loop.call_soon_threadsafe(event.set)
