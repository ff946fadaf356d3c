from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator

import pytest

from modules.errors import (
    AccessError,
    InterruptedRunError,
    LeaseHeldError,
    StoreAwayError,
    StoreError,
    TransientError,
)
from modules.memory_store import MemoryStore
from modules.state.lock import RunLock
from modules.store_thread import StoreThread

KEY = "c/out/_state/lock"
PATIENT = 10  # seconds that a test waits for the store's thread before it counts as failed


class Clock:
    """Time that passes only when someone sleeps; ``pause`` lets the test decide when each renewal is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.pauses: queue.SimpleQueue[tuple[float, asyncio.Future[None]]] = queue.SimpleQueue()
        self.due: tuple[float, asyncio.Future[None]] | None = None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def pause(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.pauses.put((seconds, future))
        await future

    def until_paused(self) -> float:
        """Wait until the renewals pause; the seconds that they mean to."""
        self.due = self.pauses.get(timeout=PATIENT)
        return self.due[0]

    def wake(self) -> None:
        assert self.due is not None
        seconds, future = self.due
        self.now += seconds
        future.get_loop().call_soon_threadsafe(future.set_result, None)


class House:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.thread = StoreThread(self.store)
        self.lost: queue.SimpleQueue[LeaseHeldError] = queue.SimpleQueue()

    def lock(self, clock: Clock | None = None) -> RunLock:
        clock = clock or self.clock
        return RunLock(
            self.thread,
            KEY,
            on_lost=self.lost.put,
            seconds=15,
            away=20.0,
            clock=clock,
            sleep=clock.sleep,
            pause=clock.pause,
        )


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.thread.close()


def test_it_renews_three_times_a_lease_and_gives_back(house: House) -> None:
    renewals: list[float] = []
    house.store.on_request = lambda what, key: renewals.append(house.clock.now) if what == "renew" else None
    lock = house.lock()
    with lock:
        for _ in range(4):
            assert house.clock.until_paused() == 5
            house.clock.wake()
        house.clock.until_paused()
    assert renewals == [5, 10, 15, 20]
    house.lock().acquire()
    assert house.clock.slept == []
    assert house.lost.empty()


def test_a_killed_predecessors_lease_is_waited_out(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.thread.run(house.store.lease(KEY, 15))
    with caplog.at_level("INFO"):
        lock = house.lock()
        lock.acquire()
    assert 14 <= house.clock.now <= 20
    assert len([r for r in caplog.records if "waiting up to 20 s" in r.message]) == 1
    lock.release()


def test_a_busy_store_is_asked_again_for_the_lock(house: House) -> None:
    answers = iter([TransientError("503 ServerBusy"), TransientError("503 ServerBusy")])

    def on_request(what: str, key: str) -> None:
        if what == "lease" and (error := next(answers, None)):
            raise error

    house.store.on_request = on_request
    lock = house.lock()
    lock.acquire()
    assert house.clock.now == 2
    lock.release()


def test_a_store_that_stays_busy_ends_the_wait_for_the_lock(house: House) -> None:
    def on_request(what: str, key: str) -> None:
        raise TransientError("503 ServerBusy")

    house.store.on_request = on_request
    with pytest.raises(TransientError, match="503 ServerBusy"):
        house.lock().acquire()
    assert house.clock.now == 20  # as long as renewing may fail, here


def test_a_living_job_keeps_it(house: House) -> None:
    owner = house.lock()
    owner.acquire()
    house.clock.until_paused()
    lease = owner._lease
    assert lease is not None

    def sleep(seconds: float) -> None:
        house.clock.now += seconds
        house.thread.run(lease.renew())

    second = RunLock(house.thread, KEY, on_lost=house.lost.put, clock=house.clock, sleep=sleep)
    with pytest.raises(LeaseHeldError, match=r"another job holds mem://c/out/_state/lock; let it finish"):
        second.acquire()
    assert 20 <= house.clock.now <= 21
    owner.release()


def test_a_taken_lease_is_told_once(house: House) -> None:
    lock = house.lock()
    lock.acquire()
    house.clock.until_paused()
    house.clock.now += 100  # this process was suspended; meanwhile another one took the lock
    house.thread.run(house.store.lease(KEY, 60))
    house.clock.wake()
    assert "another job holds" in str(house.lost.get(timeout=PATIENT))
    lock.release()
    assert house.lost.empty()


def test_a_network_failure_is_tried_again_while_the_lease_lasts(house: House) -> None:
    failures = iter([True, True, False])

    def on_request(what: str, key: str) -> None:
        if what == "renew" and next(failures, False):
            raise TransientError("the network is away")

    house.store.on_request = on_request
    lock = house.lock()
    lock.acquire()
    pauses = []
    for _ in range(4):
        pauses.append(house.clock.until_paused())
        house.clock.wake()
    house.clock.until_paused()
    assert pauses == [5, 1, 1, 5]
    assert house.lost.empty()
    lock.release()


def test_a_lease_that_ran_out_in_an_outage_is_taken_up_again(house: House) -> None:
    def on_request(what: str, key: str) -> None:
        if what == "renew" and house.clock.now < 17:
            raise TransientError("the network is away")

    house.store.on_request = on_request
    lock = house.lock()
    lock.acquire()
    for _ in range(13):  # 5 s, then each second up to 17
        house.clock.until_paused()
        house.clock.wake()
    assert house.clock.until_paused() == 5
    assert house.lost.empty()
    lock.release()


def test_a_network_failure_that_outlasts_the_patience_ends_the_run(house: House) -> None:
    def on_request(what: str, key: str) -> None:
        if what == "renew":
            raise TransientError("the network is away")

    house.store.on_request = on_request
    lock = house.lock()
    lock.acquire()
    for _ in range(16):  # 5 s, then each second up to 20
        house.clock.until_paused()
        assert house.lost.empty()
        house.clock.wake()
    error = house.lost.get(timeout=PATIENT)
    assert house.clock.now == 20
    assert "ran out and could not be renewed: the network is away" in str(error)
    lock.release()


def test_an_unexpected_error_ends_the_run_too(house: House) -> None:
    def on_request(what: str, key: str) -> None:
        if what == "renew":
            raise ZeroDivisionError

    house.store.on_request = on_request
    lock = house.lock()
    lock.acquire()
    house.clock.until_paused()
    house.clock.wake()
    assert "ZeroDivisionError" in str(house.lost.get(timeout=PATIENT))
    lock.release()


def test_release_without_acquire_is_fine(house: House) -> None:
    house.lock().release()
    assert house.store.requests == 0


@pytest.mark.parametrize(
    "away",
    [TransientError("reset"), StoreAwayError("no answer"), AccessError("the SAS has expired"), StoreError("409 Other")],
)
def test_a_store_out_of_reach_at_the_end_does_not_hide_how_the_run_ended(
    house: House, caplog: pytest.LogCaptureFixture, away: Exception
) -> None:
    def fail(what: str, key: str) -> None:
        if what == "release":
            raise away

    house.store.on_request = fail
    with pytest.raises(InterruptedRunError), house.lock():
        raise InterruptedRunError("interrupted")
    assert f"the lock is not given back, it runs out in 15 s: {away}" in caplog.text
