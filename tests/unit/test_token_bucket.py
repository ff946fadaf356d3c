from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.token_bucket import TokenBucket


class FakeTime:
    """A clock that only sleeping moves; several coroutines may sleep at once, the earliest wakes first."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        self.sleepers.append((self.now + seconds, self._count, future))
        await future

    async def run_until(self, done: Callable[[], bool]) -> None:
        """Let everyone go on, then wake the one whose time comes first, until ``done``."""
        for _ in range(100_000):
            for _ in range(3):
                await asyncio.sleep(0)
            if done():
                return
            self.sleepers = [sleeper for sleeper in self.sleepers if not sleeper[2].done()]
            self.sleepers.sort()
            until, _, future = self.sleepers.pop(0)
            self.now = max(self.now, until)
            future.set_result(None)
        raise AssertionError("never done")


def make(rate: float, burst: float) -> tuple[TokenBucket, FakeTime]:
    time = FakeTime()
    return TokenBucket(rate, burst, clock=time.clock, sleep=time.sleep, async_sleep=time.async_sleep), time


def test_burst_then_rate() -> None:
    bucket, time = make(10, 3)
    stamps = []
    for _ in range(6):
        bucket.acquire()
        stamps.append(time.now - 1000)
    assert stamps == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_rest_saves_up_no_more_than_the_burst() -> None:
    bucket, time = make(10, 3)
    time.now += 1000
    for _ in range(4):
        bucket.acquire()
    assert time.now == pytest.approx(2000.1)


@given(
    rate=st.floats(0.1, 5000),
    burst=st.floats(1, 200),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=150),
    pauses=st.dictionaries(st.integers(0, 149), st.floats(0, 5), max_size=4),
)
def test_no_window_grants_more_than_burst_and_rate(
    rate: float, burst: float, gaps: list[float], pauses: dict[int, float]
) -> None:
    bucket, time = make(rate, burst)
    stamps = []
    for number, gap in enumerate(gaps):
        time.now += gap
        if number in pauses:
            bucket.pause(pauses[number])
        bucket.acquire(priority=number % 7 == 0)
        stamps.append(time.now)
    for first in range(len(stamps)):
        for last in range(first, len(stamps)):
            granted = last - first + 1
            assert granted <= burst + rate * (stamps[last] - stamps[first]) + 1e-3


def test_first_come_first_served_and_priority_before_all() -> None:
    async def main() -> list[str]:
        bucket, time = make(10, 1)
        order: list[str] = []

        async def take(name: str, *, priority: bool = False) -> None:
            await bucket.acquire_async(priority=priority)
            order.append(name)

        tasks = [asyncio.create_task(take(f"n{number}")) for number in range(5)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(take("p0", priority=True)), asyncio.create_task(take("p1", priority=True))]
        await time.run_until(lambda: len(order) == len(tasks))
        assert time.now == pytest.approx(1000.6, abs=0.02)
        return order

    assert asyncio.run(main()) == ["n0", "p0", "p1", "n1", "n2", "n3", "n4"]


def test_who_gives_up_holds_nobody_up() -> None:
    async def main() -> None:
        bucket, time = make(10, 1)
        bucket.acquire()
        cancelled = asyncio.create_task(bucket.acquire_async())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(bucket.acquire_async())
        await asyncio.sleep(0)
        cancelled.cancel()
        await time.run_until(waiting.done)
        assert cancelled.cancelled()
        assert time.now <= 1000.2

    asyncio.run(main())


def test_pause_holds_all_but_priority_and_is_followed_by_no_burst() -> None:
    bucket, time = make(10, 50)
    bucket.pause(5)
    bucket.pause(1)  # a shorter one changes nothing
    bucket.acquire(priority=True)
    assert time.now < 1001
    bucket.acquire()
    assert time.now == pytest.approx(1005)
    for _ in range(10):
        bucket.acquire()
    assert time.now == pytest.approx(1006)


def test_many_threads_share_one_bucket() -> None:
    lock = threading.Lock()
    time = FakeTime()

    def sleep(seconds: float) -> None:
        with lock:
            time.now += seconds / 50

    bucket = TokenBucket(1000, 5, clock=time.clock, sleep=sleep)
    counts: list[int] = []

    def work() -> None:
        for _ in range(50):
            bucket.acquire()
            counts.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(counts) == 400
    assert 5 + 1000 * (time.now - 1000) + 1e-3 >= 400


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0.5), (float("nan"), 1)])
def test_bounds_that_grant_nothing_are_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        TokenBucket(rate, burst)
