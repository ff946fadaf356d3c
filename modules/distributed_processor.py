"""Staged worker pools over bounded queues: download → process → embed → save.

    work ─► download ──► fetched ─► process ──► decoded ─► embed ──► finished ─► save
            coroutines             threads that           one thread             one thread
            MIN..MAX               feed OS processes      a device

Devices pull batches from one queue. One that is lost gives its batch back to the others; the stand-in (the CPU)
goes on when none is left.

Every queue is bounded in items, the one of downloaded bytes also in bytes, so a slow stage slows all before it and
memory stays flat. The stages themselves are plain callables that know nothing of threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from modules.bounded_queue import Aborted, BoundedQueue, Cancellation, Closed
from modules.devices import DeviceLostError
from modules.errors import PictureError, RetryLaterError
from modules.records import Analysis, Fetched, Processed, WorkItem
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

#: Seconds that a stopped run may take to finish the pictures that it holds already; containers grant 30 in all.
DRAIN_SECONDS = 15.0
#: Seconds that a device waits for a full batch: models compute a full one anyhow, padded, so less is dearer each.
FILL_SECONDS = 5.0
#: Small pictures that a process gets at once, and their bytes: each hand-over costs half a millisecond.
BUNDLE, BUNDLE_BYTES = 8, 1 << 20
#: Why a picture failed that no memory was left for, and that another start tries it again.
_NO_MEMORY = "there is not enough memory: give more, fewer NUM_PROCESS_WORKERS, or a lower MAX_IMAGE_PIXELS", False

Fetch = Callable[[WorkItem], Awaitable[Fetched | Processed]]
Analyse = Callable[[bytes, frozenset[str]], Analysis]
Embed = Callable[[list[Processed]], list[Processed]]


class Saver(Protocol):
    """The save stage: takes finished pictures and writes them down in shards."""

    def add(self, finished: Processed) -> None:
        """Take one; writes a shard when enough came together."""

    def due_in(self) -> float | None:
        """Seconds until what was taken has to be written, None while there is nothing."""

    def flush(self) -> None:
        """Write what was taken."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be under way at once; every number is a setting of the same name."""

    min_download_workers: int
    max_download_workers: int
    num_process_workers: int
    batch_size: int
    queue_items: int
    queue_bytes: int
    picture_timeout: float

    def in_flight_images(self, devices: int = 1) -> int:
        """Pictures at most that are downloaded and not yet with the saver: what a kill can cost beside its rows."""
        feeders = self.num_process_workers + 1
        return 2 * self.queue_items + self.decoded_items + feeders * BUNDLE + devices * self.batch_size + 1

    @property
    def decoded_items(self) -> int:
        """Pictures that wait for a device at most: a full batch at least, or it could never come together."""
        return max(self.queue_items, self.batch_size)


def next_worker_count(current: int, fill: float, least: int, most: int) -> int:
    """How many downloads to run at once, by the fill (0 to 1) of the queue that they fill.

    Grows by half while the stage behind starves, gives up one at a time when it cannot keep pace.
    """
    if fill < 0.25:
        return min(most, current + max(1, current // 2))
    if fill > 0.75:
        return max(least, current - 1)
    return current


def analyse_bundle(analyse: Analyse, bundle: Sequence[tuple[bytes, frozenset[str]]]) -> list[Analysis | PictureError]:
    """In a worker process: ``analyse`` of each, or why it cannot be used."""
    found: list[Analysis | PictureError] = []
    for data, families in bundle:
        try:
            found.append(analyse(data, families))
        except PictureError as error:
            found.append(error)
    return found


def _processed(fetched: Fetched, found: Analysis | PictureError) -> Processed:
    if isinstance(found, PictureError):
        return Processed(fetched.item, fetched.sha, None, failure=str(found))
    return Processed(fetched.item, fetched.sha, found)


@dataclass(slots=True)
class _Crew:
    """The coroutines that download. target: how many there should be; done: downloads since the last review of it."""

    target: int
    size: int = 0
    done: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def fill(self, download: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start as many as are missing."""
        self.tasks = {task for task in self.tasks if not task.done() or task.exception()}
        while self.size < self.target:
            self.size += 1
            self.tasks.add(asyncio.create_task(download()))

    def keeps_one(self) -> bool:
        """Whether one that asks may go on."""
        return self.size <= self.target


class Stream:
    """Runs every work item through the four stages, then returns; the first fatal error of any stage ends all."""

    def __init__(self, thread: StoreThread, bounds: Bounds, pool: WorkerPool, cancel: Cancellation) -> None:
        self._thread = thread
        self._bounds = bounds
        self._pool = pool
        self._cancel = cancel
        # One feeder more than processes, so that a task waits ready when a process is done with its last one.
        self._feeders = pool.workers + 1
        self._fetched: BoundedQueue[Fetched] = BoundedQueue(
            bounds.queue_items, cancel, producers=1, max_bytes=bounds.queue_bytes
        )
        self._decoded: BoundedQueue[Processed] = BoundedQueue(bounds.decoded_items, cancel, producers=self._feeders)
        # Its producers: the downloads, and the devices, which are known in run().
        self._finished: BoundedQueue[Processed] = BoundedQueue(bounds.queue_items, cancel, producers=1)
        self._devices_lock = threading.Lock()
        self._devices = 0
        self._stand_in: Embed | None = None

    def run(
        self,
        work: Iterator[WorkItem],
        *,
        fetch: Fetch,
        analyse: Analyse,
        embedders: Sequence[Embed],
        saver: Saver,
        stand_in: Embed | None = None,
    ) -> None:
        """Stream ``work``, once; ``embedders`` holds one callable a device, ``stand_in`` takes over when all are lost.

        Raises the first fatal error, or InterruptedRunError once what was held is saved.
        """
        finished = threading.Event()
        self._devices, self._stand_in = len(embedders), stand_in
        self._finished.add_producers(len(embedders))
        workers = [self._spawn(f"process-{n}", lambda: self._process(analyse)) for n in range(self._feeders)]
        for n, embed in enumerate(embedders):
            workers.append(self._spawn(f"embed-{n}", partial(self._embed, embed)))
        workers.append(self._spawn("save", lambda: self._save(saver)))
        drain = self._spawn("drain", lambda: self._limit_drain(finished))
        self._guard(lambda: self._thread.run(self._download(work, fetch)))
        for worker in workers:
            worker.join()
        finished.set()
        drain.join()
        self._cancel.check()

    def _spawn(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(target,), name=name, daemon=True)
        thread.start()
        return thread

    def _guard(self, target: Callable[[], None]) -> None:
        """The border of a stage: whatever ends a worker ends the run with that error."""
        try:
            target()
        except Aborted:
            log.debug("stage ended: the run was aborted")
        except BaseException as error:  # noqa: BLE001 - nothing is swallowed: check() raises it to the caller
            self._cancel.fail(error)

    def _limit_drain(self, finished: threading.Event) -> None:
        """After a stop, give what is under way DRAIN_SECONDS to be saved, then abort."""
        while not finished.wait(0.1):
            if self._cancel.stopping and not finished.wait(DRAIN_SECONDS):
                self._cancel.interrupt()
                return

    # --- download

    async def _download(self, work: Iterator[WorkItem], fetch: Fetch) -> None:
        """Coroutines between MIN and MAX share one iterator of work; the queue's fill reviews their number."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(over.set)

        self._cancel.on_abort(wake)
        crew = _Crew(self._bounds.min_download_workers)

        async def download() -> None:
            try:
                while crew.keeps_one() and (item := self._next(work)) is not None:
                    await self._fetched.reserve(item.blob.size)
                    await self._fetch_one(item, fetch)
                    crew.done += 1
                    if crew.done >= crew.target:
                        crew.target, crew.done = self._review(crew.target), 0
                        crew.fill(download)
            except Exception as error:
                # Told at once: the room that this download holds never comes free, and others may wait for it.
                self._cancel.fail(error)
                raise
            finally:
                crew.size -= 1
                if not crew.size:
                    over.set()

        try:
            crew.fill(download)
            await over.wait()
            self._cancel.check_abort()
        finally:
            for task in crew.tasks:
                task.cancel()
            await asyncio.gather(*crew.tasks, return_exceptions=True)
        self._fetched.producer_done()
        self._finished.producer_done()

    def _next(self, work: Iterator[WorkItem]) -> WorkItem | None:
        return None if self._cancel.stopping else next(work, None)

    def _review(self, target: int) -> int:
        bounds = self._bounds
        fill = self._fetched.waiting / bounds.queue_items
        return next_worker_count(target, fill, bounds.min_download_workers, bounds.max_download_workers)

    async def _fetch_one(self, item: WorkItem, fetch: Fetch) -> None:
        """Download into the room that was reserved; what needs no decoding goes straight to the saver."""
        result = await fetch(item)
        if isinstance(result, Fetched):
            self._fetched.deliver(result, item.blob.size)
            return
        self._fetched.give_back(item.blob.size)
        await self._finished.reserve(0)
        self._finished.deliver(result, 0)

    # --- process

    def _process(self, analyse: Analyse) -> None:
        try:
            while True:
                self._decoded.put_all(self._analyse(self._fetched.get_some(BUNDLE, BUNDLE_BYTES), analyse))
        except Closed:
            self._decoded.producer_done()

    def _analyse(self, bundle: list[Fetched], analyse: Analyse) -> list[Processed]:
        """The item border of the process stage: an unusable picture becomes a row with its reason."""
        data = [(one.data, one.item.families) for one in bundle]
        try:
            found = self._pool.run(analyse_bundle, analyse, data, timeout=self._bounds.picture_timeout)
        except (WorkerCrashedError, MemoryError) as error:
            if len(bundle) > 1:  # one of them did it, or together they are slow: on its own each has its own time
                return [processed for one in bundle for processed in self._analyse([one], analyse)]
            item, sha = bundle[0].item, bundle[0].sha
            reason, permanent = (str(error), error.permanent) if isinstance(error, WorkerCrashedError) else _NO_MEMORY
            log.warning("decoding %s: %s", item.blob.key, reason)
            return [Processed(item, sha, None, failure=f"decoding it: {reason}", permanent=permanent)]
        return [_processed(one, result) for one, result in zip(bundle, found, strict=True)]

    # --- embed, save

    def _embed(self, embed: Embed) -> None:
        """One device's worker, until nothing is left to embed for anybody or the device is lost."""
        device: Embed | None = embed
        try:
            while device is not None:
                batch = self._decoded.claim(self._bounds.batch_size, FILL_SECONDS)
                try:
                    embedded = device(batch)
                except DeviceLostError as error:
                    device = self._successor(error, len(batch))
                    self._decoded.put_back(batch)
                    continue
                self._finished.put_all(embedded)
                self._decoded.settle()
        except Closed:
            log.debug("every picture is embedded")
        self._finished.producer_done()

    def _successor(self, error: DeviceLostError, pictures: int) -> Embed | None:
        """Who goes on in a lost device's worker: nobody while there are others, then the stand-in.

        Raises RetryLaterError when there is none.
        """
        with self._devices_lock:
            self._devices -= 1
            if self._devices:
                log.warning("%s; its %d pictures go to the %d device(s) left", error, pictures, self._devices)
                return None
            if self._stand_in is None:
                raise RetryLaterError(f"{error}, and no other device is left: see to it, run again") from error
            successor, self._stand_in, self._devices = self._stand_in, None, 1
        log.warning("%s; no other device is left, the CPU goes on with its %d pictures", error, pictures)
        return successor

    def _save(self, saver: Saver) -> None:
        try:
            while True:
                finished = self._finished.get_within(saver.due_in())
                if finished is None:
                    saver.flush()
                else:
                    saver.add(finished)
        except Closed:
            saver.flush()
        except Aborted:
            if self._cancel.late:  # one picture hangs; the others' work is kept
                saver.flush()
            raise
