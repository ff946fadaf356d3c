import asyncio
import threading

import pytest

from modules.bounded_queue import Aborted, BoundedQueue, Cancellation, Closed
from modules.errors import InterruptedRunError, StoreAwayError


def make_queue(max_items: int = 2, max_bytes: int | None = None, producers: int = 1) -> BoundedQueue[str]:
    return BoundedQueue(max_items, Cancellation(threading.Event()), producers=producers, max_bytes=max_bytes)


def test_items_come_out_in_order_and_the_end_is_told() -> None:
    queue = make_queue(max_items=3)
    for item in "abc":
        queue.put(item)
    queue.producer_done()
    assert [queue.get(), *queue.get_some(5)] == ["a", "b", "c"]
    with pytest.raises(Closed):
        queue.get()


def test_queue_is_closed_only_when_every_producer_is_done() -> None:
    queue = make_queue(producers=2)
    queue.producer_done()
    assert queue.get_within(0.0) is None
    queue.producer_done()
    with pytest.raises(Closed):
        queue.get_within(None)


def test_queue_stays_open_while_a_claim_may_come_back_and_takes_it_in_front() -> None:
    queue = make_queue(max_items=3)
    for item in "abc":
        queue.put(item)
    claimed = queue.claim(2, patience=0.0)
    queue.put("d")
    queue.put("e")
    queue.producer_done()
    assert [queue.get(), queue.get(), queue.get()] == ["c", "d", "e"]
    assert queue.get_within(0.0) is None
    queue.put_back(claimed)
    assert queue.claim(5, patience=60.0) == ["a", "b"]
    assert queue.get_within(0.0) is None
    queue.settle()
    with pytest.raises(Closed):
        queue.claim(1, patience=60.0)


def test_claim_waits_for_enough_items_or_the_end_or_its_patience() -> None:
    queue = make_queue(max_items=3)
    queue.put("a")
    assert queue.claim(2, patience=0.0) == ["a"]

    def produce() -> None:
        for item in "bcde":
            queue.put(item)
        queue.producer_done()

    producer = threading.Thread(target=produce)
    producer.start()
    assert queue.claim(3, patience=60.0) == ["b", "c", "d"]
    assert queue.claim(3, patience=60.0) == ["e"]
    producer.join()


async def reserves_at_once(queue: BoundedQueue[str], weight: int) -> bool:
    task = asyncio.ensure_future(queue.reserve(weight))
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        return True
    task.cancel()
    return False


def test_bytes_bound_what_may_be_held_and_a_larger_item_passes_alone() -> None:
    async def scenario() -> None:
        queue = make_queue(max_items=10, max_bytes=100)
        assert await reserves_at_once(queue, 500)
        assert not await reserves_at_once(queue, 1)
        queue.give_back(500)
        assert await reserves_at_once(queue, 60)
        assert not await reserves_at_once(queue, 41)
        assert await reserves_at_once(queue, 40)

    asyncio.run(scenario())


def test_taking_an_item_from_another_thread_wakes_an_asynchronous_producer() -> None:
    async def scenario() -> list[str]:
        queue = make_queue(max_items=1)
        await queue.reserve(0)
        queue.deliver("first", 0)
        waiting = asyncio.ensure_future(queue.reserve(0))
        await asyncio.sleep(0)
        assert not waiting.done()
        taken = [await asyncio.to_thread(queue.get)]
        await waiting
        queue.deliver("second", 0)
        return [*taken, queue.get()]

    assert asyncio.run(scenario()) == ["first", "second"]


def test_abort_wakes_threads_and_coroutines_that_wait() -> None:
    cancel = Cancellation(threading.Event())
    full: BoundedQueue[str] = BoundedQueue(1, cancel, producers=1)
    empty: BoundedQueue[str] = BoundedQueue(1, cancel, producers=1)
    full.put("held")
    outcomes: list[str] = []

    def wait_for_item() -> None:
        try:
            empty.get()
        except Aborted:
            outcomes.append("get")

    def wait_for_room() -> None:
        try:
            full.put("more")
        except Aborted:
            outcomes.append("put")

    async def wait_to_reserve() -> None:
        try:
            await full.reserve(0)
        except Aborted:
            outcomes.append("reserve")

    threads = [
        threading.Thread(target=wait_for_item),
        threading.Thread(target=wait_for_room),
        threading.Thread(target=lambda: asyncio.run(wait_to_reserve())),
    ]
    for thread in threads:
        thread.start()
    cancel.fail(StoreAwayError("away"))
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["get", "put", "reserve"]


def test_first_error_wins_and_a_stop_alone_is_an_interruption() -> None:
    stop = threading.Event()
    cancel = Cancellation(stop)
    cancel.check()
    stop.set()
    assert cancel.stopping
    assert not cancel.aborted
    with pytest.raises(InterruptedRunError):
        cancel.check()
    cancel.fail(StoreAwayError("first"))
    cancel.fail(ValueError("second"))
    with pytest.raises(StoreAwayError, match="first"):
        cancel.check()


def test_some_items_are_as_many_as_their_bytes_allow_and_one_at_least() -> None:
    queue = make_queue(max_items=9)
    for item, weight in (("a", 9), ("b", 2), ("c", 3), ("d", 1), ("e", 0)):
        queue.put(item, weight)
    assert queue.get_some(9, max_bytes=5) == ["a"]
    assert queue.get_some(9, max_bytes=5) == ["b", "c"]
    assert queue.get_some(1, max_bytes=5) == ["d"]
    assert queue.get_some(9, max_bytes=5) == ["e"]


def test_items_put_together_pass_a_queue_that_has_room_for_fewer() -> None:
    queue = make_queue(max_items=2)

    def produce() -> None:
        queue.put_all("abcde")
        queue.producer_done()

    producer = threading.Thread(target=produce)
    producer.start()
    assert [queue.get() for _ in range(5)] == list("abcde")
    producer.join()
    with pytest.raises(Closed):
        queue.get()


def test_who_waits_for_room_wakes_others_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that wait and woke each other at every look would never rest."""
    queue = make_queue(max_items=2)
    queue.put("held")
    calls: list[str] = []

    def wait(timeout: float | None = None) -> bool:
        calls.append("wait")
        if calls.count("wait") == 3:
            raise Aborted
        return True

    monkeypatch.setattr(queue._changed, "wait", wait)
    monkeypatch.setattr(queue._changed, "notify_all", lambda: calls.append("notify"))
    with pytest.raises(Aborted):
        queue.put_all("abc")
    assert calls == ["notify", "wait", "wait", "wait"]
    calls.clear()
    with pytest.raises(Aborted):
        queue.put("d")
    assert calls == ["wait", "wait", "wait"]
