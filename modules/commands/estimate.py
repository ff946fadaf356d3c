"""``estimate``: what a run would read, copy and cost, and how long it may take. Writes to its scratch folder only.

The source is listed as a run would list it, the state's catalogue says what is cached, the output's listing what is
copied; a few of the pictures that are left are timed. What is counted and what is guessed, the page says.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modules.bounded_queue import Cancellation
from modules.commands.census import Amount, Census
from modules.commands.estimate_page import Estimate
from modules.commands.prices import Prices, read_prices
from modules.commands.timing import PROCESSES, Timing, choose, time_sample
from modules.commands.transactions import Work, transactions
from modules.devices import Device
from modules.errors import UsageError
from modules.feature_extraction import Analyser, init_worker
from modules.features.base import Extractor
from modules.features.catalogue import ALIASES, HUB, MODELS
from modules.features.registry import auto_at_hand
from modules.features.weights import cached, parse_files
from modules.job import check_settings, check_source, choose_models, location, open_source, request_of, settled_features
from modules.local_files import scratch_folder
from modules.location import Location
from modules.log_lines import set_run_id
from modules.outputs.layout import Layout
from modules.outputs.listing_filter import ListingFilter, ending_of
from modules.outputs.ownership import check_output_is_ours, is_marker
from modules.progress import Progress
from modules.records import BlobInfo, ListPage, WorkItem
from modules.settings import AzureCredentials, Settings
from modules.stages.analyse import Analyse
from modules.state.commit import Families, load_catalogue
from modules.state.listing import read_listing_parts
from modules.state.manifest import Manifest, ManifestFile
from modules.state.shards import list_shards, read_shards
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerPool
from pipeline import decoder_of, families_of

log = logging.getLogger(__name__)

#: Parts of a request that change which copy is kept or copied, but not which pictures have a duplicate.
_SAME_GROUPS = {"asked", "uniques", "keep"}


@dataclass(frozen=True, slots=True)
class _Listed:
    """The source's listing.

    pages: of it. frozen: it is the one of an unfinished run. endings, others: of the names of pictures, and of files
    that are none.
    """

    pages: int
    frozen: bool
    endings: Counter[str]
    others: Counter[str]


def run(
    settings: Settings,
    credentials: AzureCredentials,
    progress: Progress,
    stop: threading.Event,
    *,
    sample: int,
    prices: Path | None = None,
) -> Estimate:
    """Look at what a run with these settings has to do; the page to print. Writes nothing to the store.

    sample: pictures to read and time, 0 for none. prices: a price table, None for the example. Raises UsageError for
    what a run would refuse, InterruptedRunError when ``stop`` is set, and what reading a store raises.
    """
    table = None if prices is None else read_prices(prices)
    source = Location.parse(settings.source)
    layout = Layout.for_run(source, location(settings.output), location(settings.state))
    models = check_settings(settings)
    cancel = Cancellation(stop)
    with contextlib.ExitStack() as stack:
        thread = stack.enter_context(contextlib.closing(StoreThread(open_source(settings, credentials))))
        thread.run(thread.store.check(layout.source))
        check_output_is_ours(thread, layout)
        last = ManifestFile(thread, layout.manifest).load()
        check_source(last, thread.store.address(layout.source))
        if last is not None:
            set_run_id(last.run_id)
        note = ""
        if models is None:
            settled, note = _settled(settings, last)
            models = choose_models(settings, settled)
        scratch = stack.enter_context(scratch_folder(settings.scratch))
        file = scratch / "census.sqlite"
        census = stack.enter_context(contextlib.closing(Census(file, decoder_of(settings), settings.max_image_bytes)))
        look = _Look(settings, progress, cancel, layout, thread, last, models.extractors, models.devices, note, census)
        return look.estimate(sample, table, folder=source.scheme == "folder")


def _settled(settings: Settings, last: Manifest | None) -> tuple[list[str] | None, str]:
    """What ``auto`` stands for, as :func:`settled_features` has it, and what is to be said of that.

    Fetches nothing: without weights at hand it is what a run without a hub would take. None where all of them are.
    """
    settled = settled_features(settings, last)
    absent = "" if settled is not None else _absent(settings)
    if not absent:
        return settled, ""
    note = f"auto: the weights of {absent} are not at hand; a run that can fetch them does, and takes longer"
    chosen = auto_at_hand(settings.weights)
    return [name for one in settings.features for name in (chosen if one == "auto" else (one,))], note


def _absent(settings: Settings) -> str:
    """Names of the models of ``auto`` whose weights are neither given nor in the hub's cache."""
    given = parse_files(settings.weights)
    models = [name for name in MODELS if name not in given]
    return ", ".join(name for name in models if cached(HUB[ALIASES[name]]) is None)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the steps of an estimate share."""

    settings: Settings
    progress: Progress
    cancel: Cancellation
    layout: Layout
    thread: StoreThread
    last: Manifest | None
    extractors: list[Extractor]
    devices: list[Device]
    note: str
    census: Census

    def estimate(self, sample: int, prices: Prices | None, *, folder: bool) -> Estimate:
        """All steps, in order. folder: no requests are made of a folder."""
        families = families_of(self.extractors, self.settings.effort)
        listed = self._list()
        self.progress.phase("looking at what is cached", None)
        catalogue = load_catalogue(self.census, self.thread, self.layout.state, families.all)
        known_groups = self._add_groups()
        there = self._add_output()
        items, to_read = self._choose(families, sample)
        timing = self._time(families, items)
        copies = self.census.copies(self.settings.uniques).left
        if self.settings.uniques == "skip" and not (known_groups and to_read.count == 0):
            copies = self.census.copies("copy").left  # as many as that, at most
        moving = self._moving()
        copies = copies + moving
        reading, copying = _seconds(timing, to_read.count, copies.count, self.settings, folder=folder)
        seconds = (reading or 0.0) + (copying or 0.0)
        copied = 0 if self.settings.dry_run else copies.count
        work = self._work(
            listed,
            len(families.all),
            catalogue,
            seconds=seconds,
            to_read=to_read.count,
            copies=copied,
            there=there,
        )
        return Estimate(
            source=self.thread.store.address(self.layout.source),
            output=self.thread.store.address(self.layout.output),
            extractors=tuple(extractor.name for extractor in self.extractors),
            note=self.note,
            state=_describe(self.last, frozen=listed.frozen),
            pictures=self.census.pictures(),
            endings=listed.endings,
            others=listed.others,
            unusable=self.census.unusable(),
            claimed=self.census.claimed(),
            to_read=to_read,
            copies={name: self.census.copies(name) for name in ("copy", "skip")},
            moving=moving,
            groups_known=known_groups and to_read.count == 0,
            uniques=self.settings.uniques,
            dry_run=self.settings.dry_run,
            free=_free(self.layout.output) if folder else None,
            timing=timing,
            rates={} if timing is None else timing.bounds(None if folder else self.settings.max_requests_per_second),
            reading=reading,
            copying=copying,
            requests=None if folder else transactions(work),
            prices=prices or read_prices(),
            example=prices is None,
        )

    def _list(self) -> _Listed:
        """Fill the census with the listing that a run would go by."""
        self.progress.phase("listing", None)
        if self.last is not None and self.last.parts is not None and self.last.resumes(self._request()):
            return self._read_frozen()
        keep = ListingFilter(partial(is_marker, self.thread))
        endings: Counter[str] = Counter()
        pages = 0
        for page in self._pages(self.layout.source, self.settings.listing_part):
            self._count(pages, [blob for blob in page.blobs if keep(blob)], endings)
            pages += 1
        if not endings:
            address = self.thread.store.address(self.layout.source)
            raise UsageError(f"there are no pictures below {address}: check the address")
        return _Listed(pages, False, endings, keep.others)

    def _read_frozen(self) -> _Listed:
        assert self.last is not None
        endings: Counter[str] = Counter()
        pages = 0
        for part in read_listing_parts(self.thread, self.layout.state, self.last.epoch):
            self._count(part.part, part.blobs, endings)
            pages += 1
        return _Listed(pages, True, endings, Counter())

    def _count(self, part: int, blobs: list[BlobInfo], endings: Counter[str]) -> None:
        self.cancel.check()
        self.census.add_listing(part, blobs)
        endings.update(map(ending_of, blobs))
        self.progress.advance(len(blobs))

    def _pages(self, prefix: str, size: int) -> Iterator[ListPage]:
        for page in self.thread.pages(prefix, page_size=size):
            self.cancel.check()
            yield page

    def _request(self) -> dict[str, object]:
        return request_of(self.settings, self.extractors, self.layout, self.thread)

    def _add_groups(self) -> bool:
        """Tell the census which pictures had a duplicate in the last run; whether it was finished and alike."""
        last = self.last
        if last is None or last.phase != "done" or not set(last.changes(self._request())) <= _SAME_GROUPS:
            return False
        shards = list_shards(self.thread, self.layout.state, f"runs/e{last.epoch:04d}/plan")
        for _, table in read_shards(self.thread, shards, ("key", "group_size")):
            self.cancel.check()
            rows = zip(table.column("key").to_pylist(), table.column("group_size").to_pylist(), strict=True)
            self.census.add_grouped(key for key, size in rows if size > 1)
        return True

    def _moving(self) -> Amount:
        """Copies that lie in the output, and may be wanted in the other of its two folders; at most."""
        if self.last is None or set(self.last.changes(self._request())) <= {"asked", "uniques"}:
            return Amount()
        known = self.last.phase == "done" and set(self.last.changes(self._request())) <= _SAME_GROUPS
        return self.census.copies("skip" if known else "copy").there

    def _add_output(self) -> int:
        """Tell the census what lies in the output; how many files."""
        count = 0
        for prefix in (self.layout.best, self.layout.duplicates):
            for page in self._pages(prefix, 2000):
                self.census.add_there(page.blobs, prefix, self.layout.source)
                count += len(page.blobs)
        return count

    def _choose(self, families: Families, sample: int) -> tuple[list[WorkItem], Amount]:
        """The sample, and all that is to be read."""
        self.progress.phase("counting", None)
        self.census.pending(families.all)  # makes the indices
        most = self.settings.max_image_bytes
        work = (
            item
            for part in self.census.parts()
            for item in self.census.work(part, families.all)
            if item.blob.size <= most
        )
        chosen, count, size = choose(work, sample, self.settings.queue_bytes, self.cancel.check)
        return chosen, Amount(count, size)

    def _time(self, families: Families, items: list[WorkItem]) -> Timing | None:
        if not items:
            return None
        self.progress.phase("timing a sample", len(items))
        analyse = Analyse(
            Analyser(tuple(self.extractors), self.settings.max_image_pixels, self.settings.effort), families
        )
        workers = min(self.settings.num_process_workers, PROCESSES)
        with WorkerPool(workers, init_worker) as pool:
            self.cancel.on_abort(pool.stop)
            timing = time_sample(
                items,
                self.thread,
                pool,
                analyse=analyse,
                devices=self.devices,
                settings=self.settings,
                check=self.cancel.check,
            )
        self.progress.advance(len(items))
        return timing

    def _work(self, listed: _Listed, families: int, catalogue: int, *, seconds: float, **counts: int) -> Work:
        return Work(
            pages=listed.pages,
            pictures=self.census.listed(),
            families=families,
            new_epoch=not listed.frozen,
            catalogue=catalogue,
            seconds=seconds,
            shard_rows=self.settings.shard_rows,
            shard_seconds=self.settings.shard_seconds,
            **counts,
        )


def _seconds(
    timing: Timing | None, to_read: int, copies: int, settings: Settings, *, folder: bool
) -> tuple[float | None, float | None]:
    """Expected seconds of reading and of copying; None where nothing was timed.

    A copy is taken to need as long as a download: both are one round trip, and no bytes pass through the job.
    """
    copies = 0 if settings.dry_run else copies
    if timing is None:
        return (None if to_read else 0.0), (None if copies else 0.0)
    limit = None if folder else settings.max_requests_per_second
    copying = timing.download if limit is None else min(timing.download, limit)
    return to_read / min(timing.bounds(limit).values()), copies / copying


def _describe(last: Manifest | None, *, frozen: bool) -> str:
    """The state in words."""
    if last is None:
        return "none yet: this would be the first run"
    if frozen:
        return f"epoch {last.epoch} is unfinished (in its phase {last.phase}): this is what is left of it"
    if last.phase == "done":
        return f"epoch {last.epoch} is finished: this is what a new run has left to do"
    return f"epoch {last.epoch} is unfinished (in its phase {last.phase}); a new listing is taken"


def _free(folder: str) -> int:
    """Bytes that are free where ``folder`` lies or will lie."""
    path = Path(folder)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
