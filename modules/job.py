"""A job while it runs: what its phases share, checked and held before the first of them begins."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from modules.bounded_queue import Cancellation
from modules.devices import Device, check_devices, devices_for
from modules.errors import UsageError
from modules.feature_extraction import init_worker
from modules.features.base import Extractor
from modules.features.catalogue import PERCEPTUAL
from modules.features.registry import check, needs_models, resolve
from modules.hardware import MODEL_MEMORY, keep_freed_memory, tune_environment
from modules.io_utils import Store, open_store
from modules.local_files import remove_half_written, scratch_folder
from modules.location import Location
from modules.log_lines import set_run_id
from modules.matching.keep import Keep
from modules.matching.thresholds import Thresholds, parse_setting
from modules.outputs.layout import Layout
from modules.outputs.ownership import check_output_is_ours, check_source_has_pictures, claim_output
from modules.progress import Progress
from modules.settings import AzureCredentials, Settings
from modules.state.lock import RunLock
from modules.state.manifest import Manifest, ManifestFile, Phase
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerPool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Models:
    """The extractors of a run, tried and not set up yet, and where they run."""

    extractors: list[Extractor]
    devices: list[Device]


@dataclass(slots=True)
class Job:
    """What the phases of one run work with."""

    settings: Settings
    progress: Progress
    cancel: Cancellation
    layout: Layout
    thread: StoreThread
    extractors: list[Extractor]
    devices: list[Device]
    scratch: Path
    pool: WorkerPool
    manifest_file: ManifestFile
    manifest: Manifest
    resumed: bool
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    @property
    def on_disk(self) -> bool:
        """Whether source and output are folders of a file system."""
        return Location.parse(self.settings.source).scheme == "folder"

    def enter(self, phase: Phase, *, parts: int | None = None) -> None:
        """Write down that a phase begins; a zombie is found out here, before it does anything in it."""
        self.cancel.check()
        self.manifest = self.manifest.at(phase, parts=parts)
        self.manifest_file.save(self.manifest)

    def advance(self, count: int) -> None:
        """``count`` items of the phase are done; raises what is to end the run, if something is."""
        self.cancel.check()
        self.progress.advance(count)


@contextlib.contextmanager
def prepare(
    settings: Settings, credentials: AzureCredentials, progress: Progress, stop: threading.Event
) -> Iterator[Job]:
    """Check everything that can be checked, then hold lock, manifest, store and scratch folder for the run."""
    source = Location.parse(settings.source)
    layout = Layout.for_run(source, location(settings.output), location(settings.state))
    models = check_settings(settings)
    store = open_source(settings, credentials)
    cancel = Cancellation(stop)
    with contextlib.ExitStack() as stack:
        thread = stack.enter_context(contextlib.closing(StoreThread(store)))
        thread.run(store.check(layout.source))
        check_output_is_ours(thread, layout)
        check_source_has_pictures(thread, layout)
        scratch = stack.enter_context(scratch_folder(settings.scratch))
        stack.enter_context(RunLock(thread, layout.lock, on_lost=cancel.fail, away=settings.store_away_seconds))
        manifest_file = ManifestFile(thread, layout.manifest)
        models = models or choose_models(settings, settled_features(settings, manifest_file.load()))
        claim_output(thread, layout)
        if source.scheme == "folder":
            remove_half_written(layout.output, layout.state)
        request = request_of(settings, models.extractors, layout, thread)
        manifest, resumed = begin(manifest_file, request, layout, thread)
        beside_models = needs_models(models.extractors) and not all(device.is_gpu for device in models.devices)
        initializer = partial(init_worker, give_way=beside_models)
        pool = stack.enter_context(WorkerPool(settings.num_process_workers, initializer))
        cancel.on_abort(pool.stop)
        if manifest.epoch == 1 and not resumed:  # nothing is cached: they will be needed
            pool.start()
        yield Job(
            settings,
            progress,
            cancel,
            layout,
            thread,
            models.extractors,
            models.devices,
            scratch,
            pool,
            manifest_file,
            manifest,
            resumed,
        )


def open_source(settings: Settings, credentials: AzureCredentials) -> Store:
    """The store of the source, within the bounds that the settings name. Raises UsageError, and makes no request."""
    return open_store(
        Location.parse(settings.source),
        credentials,
        connections=settings.num_azure_connections,
        requests_per_second=settings.max_requests_per_second,
        burst=settings.request_burst,
        store_away_seconds=settings.store_away_seconds,
    )


def check_settings(settings: Settings) -> Models | None:
    """What is wrong in the settings themselves is found here, before the first request. Raises UsageError.

    Returns the models, None where ``auto`` is among them: what that stands for is kept in the state.
    """
    Keep.parse(settings.keep)
    check(settings.features, settings.weights)
    check_devices(settings.devices)
    parse_setting(settings.threshold)
    return None if "auto" in settings.features else choose_models(settings, None)


def choose_models(settings: Settings, settled: Sequence[str] | None) -> Models:
    """settled: names of the extractors that an earlier start came to, if there was one; see :func:`settled_features`.

    Raises UsageError for models and devices that are no good, MissingWeightsError for weights that are not to be had.
    """
    tune_environment()  # before weights are looked at, for which torch may be loaded
    if set(settings.features) != {PERCEPTUAL}:
        keep_freed_memory(MODEL_MEMORY)
    extractors = resolve(settings.features, settings.weights, settings.clip_output, settled=settled)
    Thresholds.parse(settings.match, settings.threshold, [extractor.name for extractor in extractors])
    return Models(extractors, devices_of(settings, extractors))


def devices_of(settings: Settings, extractors: Sequence[Extractor]) -> list[Device]:
    """Where these extractors run. Raises UsageError for a device that is unknown or not there."""
    return devices_for(
        settings.devices,
        settings.gpus,
        settings.gpu_memory_fraction,
        settings.batch_size,
        models=needs_models(extractors),
    )


def begin(
    manifest_file: ManifestFile, request: dict[str, Any], layout: Layout, thread: StoreThread
) -> tuple[Manifest, bool]:
    """The manifest of this start, saved, and whether it resumes an unfinished epoch."""
    last = manifest_file.load()
    if last is not None:
        set_run_id(last.run_id)  # epochs to come belong to the same run
    check_source(last, request["source"])
    resumed = last is not None and last.resumes(request)
    if last is None:
        manifest = Manifest.first(request, thread.store.address(layout.output))
    elif resumed:
        manifest = last.new_attempt()
        log.info("resuming epoch %d in phase %s, attempt %d", manifest.epoch, last.phase, manifest.attempt)
    else:
        manifest = last.new_epoch(request)
        log.info("starting epoch %d on what epoch %d has cached", manifest.epoch, last.epoch)
    set_run_id(manifest.run_id)
    manifest_file.save(manifest)
    return manifest, resumed


def check_source(last: Manifest | None, source: str) -> None:
    """Raise UsageError for the state of another source: all of its copies would be outdated for this one, and go."""
    if last is not None and last.request["source"] != source:
        raise UsageError(
            f"{last.state_of} is the output of {last.request['source']}, not of {source}: choose another --output"
        )


def location(text: str | None) -> Location | None:
    """An address that may be left out, taken apart. Raises UsageError."""
    return None if text is None else Location.parse(text)


def settled_features(settings: Settings, last: Manifest | None) -> list[str] | None:
    """Names of the extractors that the last start came to, if it was asked for the same; else None."""
    if last is None or last.request.get("asked") != list(settings.features):
        return None
    return list(last.request["features"])


def request_of(settings: Settings, extractors: list[Extractor], layout: Layout, thread: StoreThread) -> dict[str, Any]:
    """What makes a run this run and not another one: see the kinds of settings.

    Raises UsageError for thresholds that are none, or of other extractors.
    """
    features = [extractor.name for extractor in extractors]
    thresholds = Thresholds.parse(settings.match, settings.threshold, features)
    return {
        "source": thread.store.address(layout.source),
        "asked": list(settings.features),
        "features": features,
        "fingerprints": [extractor.fingerprint for extractor in extractors],
        "effort": settings.effort,
        "match": settings.match,
        "threshold": dict(thresholds.least),
        "k": settings.k,
        # Of a scene there is one relation only.
        "relations": sorted(settings.relations) if settings.match == "same-picture" else [],
        "strictness": settings.strictness if settings.match == "same-picture" else "",
        "uniques": settings.uniques,
        "keep": list(Keep.parse(settings.keep).names),
    }
