"""Timing a few pictures of the work that is left, with the code and the processes of a run."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modules.commands.failover import last_resort
from modules.devices import Device, DeviceLostError
from modules.errors import PictureError
from modules.features.base import Extractor
from modules.records import Analysis, Processed, WorkItem
from modules.settings import Settings
from modules.stages.analyse import Analyse
from modules.stages.embed import Embedder
from modules.stages.fetch import read_blob
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

#: Processes that are started at most; more of them are reckoned to be as much faster.
PROCESSES = 8
_CHECK_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Timing:
    """What the sample showed, in pictures per second, for the workers and devices that the settings name.

    pictures: read. failed: of these, could not be used. download: all workers together, request limit not looked at.
    analyse: all processes. embed: all devices, None without a model. shared: the devices are the processes' CPU.
    """

    pictures: int
    failed: int
    download: float
    analyse: float
    embed: float | None
    shared: bool

    def bounds(self, requests_per_second: float | None) -> dict[str, float]:
        """Pictures per second that each part of a run allows; the least one rules. None: no request is made."""
        bounds = {"downloads": self.download, "processes": self.analyse}
        if self.embed is not None:
            bounds["devices"] = self.embed
            if self.shared:  # analysing and embedding take turns on the same cores
                del bounds["processes"], bounds["devices"]
                bounds["processors"] = 1 / (1 / self.analyse + 1 / self.embed)
        if requests_per_second is not None:
            bounds["allowed requests"] = requests_per_second
        return bounds


def choose(
    items: Iterable[WorkItem], count: int, max_bytes: int, check: Callable[[], None]
) -> tuple[list[WorkItem], int, int]:
    """``count`` items, each as likely as any other (reservoir sampling, Vitter's algorithm R), the same every time.

    max_bytes: of all the chosen ones; further ones are left out, but for the first. check: raises what is to end this.
    Returns the chosen ones, and how many and how many bytes all of them are.
    """
    rng = random.Random(0)
    kept: list[WorkItem] = []
    seen = size = 0
    for item in items:
        if seen % _CHECK_EVERY == 0:
            check()
        seen += 1
        size += item.blob.size
        if len(kept) < count:
            kept.append(item)
        elif (place := rng.randrange(seen)) < count:
            kept[place] = item
    chosen: list[WorkItem] = []
    for item in kept:
        if not chosen or sum(one.blob.size for one in chosen) + item.blob.size <= max_bytes:
            chosen.append(item)
    return chosen, seen, size


def time_sample(
    items: Sequence[WorkItem],
    thread: StoreThread,
    pool: WorkerPool,
    *,
    analyse: Analyse,
    devices: Sequence[Device],
    settings: Settings,
    check: Callable[[], None],
) -> Timing | None:
    """Read, analyse and embed the items, stage after stage; None when none of them can be used.

    check: raises what is to end the command, asked between the stages. Raises what reading a store raises, UsageError
    for weights that cannot be loaded, and RetryLaterError when no device is left.
    """
    began = time.perf_counter()
    data = thread.run(_read(thread, items, settings))
    download = len(items) / _since(began)
    check()
    read = [(item, content) for item, content in zip(items, data, strict=True) if content is not None]
    analysed, rate = _analyse(read, pool, analyse, settings, check)
    if not analysed:
        return None
    check()
    models = [
        extractor for extractor in analyse.analyser.extractors if any(extractor.name in a.pixels for _, a in analysed)
    ]
    batch = [Processed(item, None, analysis) for item, analysis in analysed]
    timed = _embed_on(devices, batch, models) if models else []
    embed = sum(speed for _, speed in timed) if timed else None
    shared = not any(device.is_gpu for device, _ in timed)
    return Timing(len(items), len(items) - len(analysed), download, rate, embed, shared)


async def _read(thread: StoreThread, items: Sequence[WorkItem], settings: Settings) -> list[bytes | None]:
    """Bytes of each item, None where it cannot be read."""
    slots = asyncio.Semaphore(settings.max_download_workers)

    async def one(item: WorkItem) -> bytes | None:
        async with slots:
            try:
                return await read_blob(thread.store, item.blob, settings.max_image_bytes)
            except PictureError:
                return None  # counted as failed

    return await asyncio.gather(*map(one, items))


def _analyse(
    read: list[tuple[WorkItem, bytes]],
    pool: WorkerPool,
    analyse: Analyse,
    settings: Settings,
    check: Callable[[], None],
) -> tuple[list[tuple[WorkItem, Analysis]], float]:
    """What could be analysed, and pictures per second of all the processes that the settings name."""

    def one(task: tuple[WorkItem, bytes]) -> tuple[WorkItem, Analysis] | None:
        check()
        item, data = task
        try:
            return item, pool.run(analyse, data, item.families, timeout=settings.picture_timeout)
        except (PictureError, WorkerCrashedError, MemoryError):
            return None  # counted as failed

    with ThreadPoolExecutor(pool.workers) as threads:
        # Each process starts, loads its libraries and sees one picture before the clock runs.
        list(threads.map(one, read[:1] * pool.workers))
        began = time.perf_counter()
        analysed = [found for found in threads.map(one, read) if found is not None]
        seconds = _since(began)
    return analysed, max(1, len(read)) / seconds * settings.num_process_workers / pool.workers


def _embed_on(
    devices: Sequence[Device], batch: list[Processed], extractors: Sequence[Extractor]
) -> list[tuple[Device, float]]:
    """What a run would embed on, with pictures per second: the devices that are not lost, else the CPU.

    Raises RetryLaterError when the CPU has too little memory for one picture.
    """
    timed: list[tuple[Device, float]] = []
    lost: list[DeviceLostError] = []
    for device in devices:
        try:
            timed.append((device, _embed(batch, extractors, device)))
        except DeviceLostError as error:
            lost.append(error)
    if not timed:
        return _embed_on([last_resort(devices, lost[-1])], batch, extractors)
    for reason in lost:
        log.warning("%s; the estimate does without it", reason)
    return timed


def _embed(batch: list[Processed], extractors: Sequence[Extractor], device: Device) -> float:
    """Pictures per second of one device, its weights loaded and a first batch behind it."""
    embedder = Embedder(copy.deepcopy(list(extractors)), device)
    full = [batch[n % len(batch)] for n in range(device.batch_size)]  # what a run mostly sees
    embedder(full)
    began = time.perf_counter()
    embedder(full)
    return len(full) / _since(began)


def _since(began: float) -> float:
    return max(1e-6, time.perf_counter() - began)
