import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from modules.bounded_queue import Cancellation
from modules.devices import DeviceLostError
from modules.distributed_processor import _NO_MEMORY, BUNDLE, BUNDLE_BYTES, Bounds, Embed, Stream, next_worker_count
from modules.errors import InterruptedRunError, PictureError, RetryLaterError, StoreAwayError
from modules.memory_store import MemoryStore
from modules.records import Analysis, BlobInfo, Fetched, Processed, WorkItem
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

BOUNDS = Bounds(
    min_download_workers=2,
    max_download_workers=4,
    num_process_workers=2,
    batch_size=4,
    queue_items=4,
    queue_bytes=1000,
    picture_timeout=60.0,
)


def no_setup() -> None:
    """The initializer of these tests' worker processes."""


def analyse(data: bytes, wanted: frozenset[str]) -> Analysis:
    """Stands for a decoder: does to the run what the picture's bytes say."""
    if data == b"broken":
        raise PictureError("truncated")
    if data == b"crash":
        os._exit(70)
    if data == b"huge":
        raise MemoryError
    if data == b"hang":
        threading.Event().wait()
    if data.startswith(b"killed until ") and not os.path.exists(mark := data[13:]):
        os.mkdir(mark)
        os.kill(os.getpid(), signal.SIGKILL)
    return Analysis(None, None)


class Collector:
    def __init__(self, rows: int = 1000) -> None:
        self.rows = rows
        self.open: list[Processed] = []
        self.saved: list[Processed] = []

    def add(self, finished: Processed) -> None:
        self.open.append(finished)
        if len(self.open) >= self.rows:
            self.flush()

    def due_in(self) -> float | None:
        return None

    def flush(self) -> None:
        self.saved += self.open
        self.open = []


def items(*names: str) -> list[WorkItem]:
    return [WorkItem(0, BlobInfo(f"c/{n}-{name}", len(name), "1"), frozenset()) for n, name in enumerate(names)]


async def fetch(item: WorkItem) -> Fetched | Processed:
    """Stands for a download: the blob's name is its content."""
    name = item.blob.key.split("-", 1)[1]
    if name == "gone":
        return Processed(item, None, None, failure="gone", permanent=False)
    if name == "away":
        raise StoreAwayError("away")
    await asyncio.sleep(0)
    return Fetched(item, b"sha", name.encode())


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, no_setup) as workers:
        yield workers


@pytest.fixture
def thread() -> Iterator[StoreThread]:
    owner = StoreThread(MemoryStore())
    yield owner
    owner.close()


def run(
    work: Iterator[WorkItem], pool: WorkerPool, thread: StoreThread, bounds: Bounds = BOUNDS, stop: bool = False
) -> Collector:
    event = threading.Event()
    if stop:
        event.set()
    saver = Collector()
    stream = Stream(thread, bounds, pool, Cancellation(event))
    stream.run(work, fetch=fetch, analyse=analyse, embedders=[lambda batch: batch], saver=saver)
    return saver


def test_every_item_reaches_the_saver_once_and_is_flushed(pool: WorkerPool, thread: StoreThread) -> None:
    work = items(*["picture"] * 40, "gone")
    saver = run(iter(work), pool, thread)
    assert sorted(one.item.blob.key for one in saver.saved) == sorted(item.blob.key for item in work)
    assert [one.failure for one in saver.saved if one.failure] == ["gone"]


def test_broken_crashing_and_huge_pictures_become_rows(pool: WorkerPool, thread: StoreThread) -> None:
    saver = run(iter(items("good", "broken", "crash", "huge", *["good"] * 10)), pool, thread)
    failures = {one.item.blob.key: (one.failure, one.permanent) for one in saver.saved if one.failure}
    assert failures == {
        "c/1-broken": ("truncated", True),
        "c/2-crash": ("decoding it: the worker process died (exit code 70)", True),
        "c/3-huge": (f"decoding it: {_NO_MEMORY[0]}", False),
    }
    assert len(saver.saved) == 14


def test_hanging_picture_costs_itself_only(pool: WorkerPool, thread: StoreThread) -> None:
    impatient = Bounds(2, 4, 2, 4, 4, 1000, picture_timeout=0.5)
    saver = run(iter(items("hang", "good", "good")), pool, thread, impatient)
    assert [one.failure for one in saver.saved if one.failure] == ["decoding it: took longer than 0.5 s"]
    assert len(saver.saved) == 3


def test_process_killed_from_outside_costs_no_picture(pool: WorkerPool, tmp_path: Path) -> None:
    """While at work, and while idle."""
    nothing: frozenset[str] = frozenset()
    data = b"killed until " + os.fsencode(tmp_path / "mark")
    assert pool.run(analyse, data, nothing, timeout=60.0) == Analysis(None, None)
    os.kill(pool.run(os.getpid, timeout=60.0), signal.SIGKILL)
    assert pool.run(analyse, b"good", nothing, timeout=60.0) == Analysis(None, None)


def killed_once(mark: Path) -> None:
    """An initializer that is killed from outside the first time."""
    if not mark.exists():
        mark.mkdir()
        os.kill(os.getpid(), signal.SIGKILL)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_process_killed_at_its_start_is_started_again_once(tmp_path: Path) -> None:
    with WorkerPool(1, partial(killed_once, tmp_path / "mark")) as own:
        assert own.run(analyse, b"good", frozenset(), timeout=60.0) == Analysis(None, None)
    with WorkerPool(1, killed) as own, pytest.raises(RetryLaterError, match="killed at its start"):
        own.run(analyse, b"good", frozenset(), timeout=60.0)


def test_hanging_picture_does_not_cost_the_others_when_a_stop_runs_out_of_time(
    thread: StoreThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.distributed_processor.DRAIN_SECONDS", 0.5)
    monkeypatch.setattr("modules.distributed_processor.FILL_SECONDS", 0.0)  # the hanging one never fills a batch
    stop = threading.Event()

    class Stopping(Collector):
        def add(self, finished: Processed) -> None:
            super().add(finished)
            if len(self.open) == 3:
                stop.set()

    saver = Stopping()
    cancel = Cancellation(stop)
    hanging, *others = items("hang", "good", "good", "good")
    large = replace(hanging, blob=replace(hanging.blob, size=BUNDLE_BYTES))  # no small one goes to its process with it
    work = iter([large, *others])
    with WorkerPool(2, no_setup) as own:
        cancel.on_abort(own.stop)
        stream = Stream(thread, BOUNDS, own, cancel)
        with pytest.raises(InterruptedRunError):
            stream.run(work, fetch=fetch, analyse=analyse, embedders=[lambda batch: batch], saver=saver)
    assert sorted(one.item.blob.key for one in saver.saved) == ["c/1-good", "c/2-good", "c/3-good"]


def test_first_fatal_error_ends_the_run_though_work_never_ends(thread: StoreThread) -> None:
    def endless() -> Iterator[WorkItem]:
        while True:
            yield from items("good", "good", "good", "away")

    with WorkerPool(1, no_setup) as own, pytest.raises(StoreAwayError):
        run(endless(), own, thread)


def test_error_of_the_saver_ends_the_run(thread: StoreThread) -> None:
    class Full(Collector):
        def add(self, finished: Processed) -> None:
            raise OSError("no space left")

    stream_of = items(*["good"] * 50)
    with WorkerPool(1, no_setup) as own, pytest.raises(OSError, match="no space"):
        Stream(thread, BOUNDS, own, Cancellation(threading.Event())).run(
            iter(stream_of), fetch=fetch, analyse=analyse, embedders=[lambda batch: batch], saver=Full()
        )


def test_stop_begins_nothing_new_saves_what_it_holds_and_says_so(pool: WorkerPool, thread: StoreThread) -> None:
    stop = threading.Event()
    begun: list[WorkItem] = []

    def work() -> Iterator[WorkItem]:
        for item in items(*["good"] * 100):
            if len(begun) == 10:
                stop.set()
            begun.append(item)
            yield item

    saver = Collector()
    stream = Stream(thread, BOUNDS, pool, Cancellation(stop))
    with pytest.raises(InterruptedRunError):
        stream.run(work(), fetch=fetch, analyse=analyse, embedders=[lambda batch: batch], saver=saver)
    assert len(begun) == 11
    assert {one.item.blob.key for one in saver.saved} == {item.blob.key for item in begun}


def test_no_more_pictures_are_held_than_the_bound_says(thread: StoreThread) -> None:
    """A saver that takes nothing until every stage before it is full: what was fetched stays within the bound."""
    go_on = threading.Event()
    fetched: list[WorkItem] = []
    held: list[int] = []
    # The embedder may hold a batch and each feeder a bundle, but hold one picture at least: so many are there for sure.
    feeders = BOUNDS.num_process_workers + 1
    reached_for_certain = BOUNDS.in_flight_images() - (BOUNDS.batch_size - 1) - feeders * (BUNDLE - 1)

    class Stuck(Collector):
        def add(self, finished: Processed) -> None:
            go_on.wait()
            super().add(finished)

    saver = Stuck()

    async def counting(item: WorkItem) -> Fetched | Processed:
        fetched.append(item)
        held.append(len(fetched) - len(saver.open))
        if len(fetched) == reached_for_certain:
            go_on.set()
        return await fetch(item)

    with WorkerPool(2, no_setup) as own:
        Stream(thread, BOUNDS, own, Cancellation(threading.Event())).run(
            iter(items(*["good"] * 200)),
            fetch=counting,
            analyse=analyse,
            embedders=[lambda batch: batch],
            saver=saver,
        )
    assert reached_for_certain <= max(held) <= BOUNDS.in_flight_images()
    assert len(saver.saved) == 200


def embed_all(work: list[WorkItem], pool: WorkerPool, thread: StoreThread, *devices: Embed) -> list[str]:
    """Keys that reached the saver, with these devices and, the last one, their stand-in."""
    saver = Collector()
    stream = Stream(thread, BOUNDS, pool, Cancellation(threading.Event()))
    stream.run(iter(work), fetch=fetch, analyse=analyse, embedders=devices[:-1], saver=saver, stand_in=devices[-1])
    return sorted(one.item.blob.key for one in saver.saved)


class Failing:
    """A device that is lost at its ``lost_at``-th batch and whenever it is asked after that."""

    def __init__(self, lost_at: int) -> None:
        self.lost_at = lost_at
        self.batches: list[list[Processed]] = []

    def __call__(self, batch: list[Processed]) -> list[Processed]:
        self.batches.append(batch)
        if len(self.batches) >= self.lost_at:
            raise DeviceLostError("device cuda:9 is lost (fell off the bus)")
        return batch


def never(batch: list[Processed]) -> list[Processed]:
    raise AssertionError("the stand-in is for when no device is left")


def test_full_batches_reach_the_device_but_for_the_last(pool: WorkerPool, thread: StoreThread) -> None:
    sizes: list[int] = []

    def counting(batch: list[Processed]) -> list[Processed]:
        sizes.append(len(batch))
        return batch

    embed_all(items(*["good"] * 22), pool, thread, counting, never)
    assert sizes == [4, 4, 4, 4, 4, 2]


def test_queue_smaller_than_a_batch_does_not_keep_it_from_filling(pool: WorkerPool, thread: StoreThread) -> None:
    sizes: list[int] = []

    def counting(batch: list[Processed]) -> list[Processed]:
        sizes.append(len(batch))
        return batch

    narrow = Bounds(2, 4, 2, batch_size=8, queue_items=1, queue_bytes=1000, picture_timeout=60.0)
    Stream(thread, narrow, pool, Cancellation(threading.Event())).run(
        iter(items(*["good"] * 16)), fetch=fetch, analyse=analyse, embedders=[counting], saver=Collector()
    )
    assert sizes == [8, 8]


@pytest.mark.parametrize("lost_at", [1, 3])
def test_lost_device_gives_its_batch_to_the_others(
    pool: WorkerPool, thread: StoreThread, caplog: pytest.LogCaptureFixture, lost_at: int
) -> None:
    """The other one holds a batch until the loss, so that it is the last one at work when the batch comes back."""
    work = items(*["good"] * 30)
    lost = Failing(lost_at)
    is_lost = threading.Event()

    def losing(batch: list[Processed]) -> list[Processed]:
        try:
            return lost(batch)
        except DeviceLostError:
            is_lost.set()
            raise

    def other(batch: list[Processed]) -> list[Processed]:
        is_lost.wait(60.0)
        return batch

    assert embed_all(work, pool, thread, losing, other, never) == sorted(item.blob.key for item in work)
    assert len(lost.batches) == lost_at
    assert "device cuda:9 is lost (fell off the bus); its 4 pictures go to the 1 device(s) left" in caplog.text


def test_device_that_is_lost_with_the_last_batch_leaves_work_to_one_that_has_nothing_left(
    pool: WorkerPool, thread: StoreThread
) -> None:
    """The queue is closed and empty for the other one, which may not leave before this one is done."""
    both = threading.Barrier(2)
    own_is_done = threading.Event()
    done: list[int] = []
    work = items(*["good"] * 8)

    def losing(batch: list[Processed]) -> list[Processed]:
        both.wait(60.0)  # each holds one of the two batches
        own_is_done.wait(60.0)
        raise DeviceLostError("device cuda:0 is lost (unplugged)")

    def other(batch: list[Processed]) -> list[Processed]:
        if not done:
            both.wait(60.0)
        done.append(len(batch))
        own_is_done.set()
        return batch

    assert embed_all(work, pool, thread, losing, other, never) == sorted(item.blob.key for item in work)
    assert done == [4, 4]


def test_stand_in_goes_on_when_every_device_is_lost_and_nothing_else_can(
    pool: WorkerPool, thread: StoreThread, caplog: pytest.LogCaptureFixture
) -> None:
    work = items(*["good"] * 30)
    taken: list[Processed] = []

    def cpu(batch: list[Processed]) -> list[Processed]:
        taken.extend(batch)
        return batch

    assert embed_all(work, pool, thread, Failing(2), Failing(1), cpu) == sorted(item.blob.key for item in work)
    assert taken
    assert "no other device is left, the CPU goes on" in caplog.text
    saver = Collector()
    with WorkerPool(1, no_setup) as own, pytest.raises(RetryLaterError, match=r"bus\), and no other device is left"):
        Stream(thread, BOUNDS, own, Cancellation(threading.Event())).run(
            iter(work), fetch=fetch, analyse=analyse, embedders=[Failing(1)], saver=saver
        )


def test_map_keeps_order_and_tells_crashes_apart(pool: WorkerPool) -> None:
    nothing: frozenset[str] = frozenset()
    tasks = iter([(b"good", nothing), (b"crash", nothing), (b"good", nothing)])
    results = [result for _, result in pool.map(analyse, tasks, timeout=60.0)]
    assert isinstance(results[1], WorkerCrashedError)
    assert results[0] == results[2] == Analysis(None, None)


@pytest.mark.parametrize(
    ("current", "fill", "expected"),
    [(4, 0.0, 6), (1, 0.0, 2), (30, 0.1, 32), (8, 0.5, 8), (8, 0.9, 7), (2, 0.9, 2)],
)
def test_download_workers_grow_while_the_queue_starves(current: int, fill: float, expected: int) -> None:
    assert next_worker_count(current, fill, least=2, most=32) == expected
