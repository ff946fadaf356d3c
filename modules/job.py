"""A job while it runs: what its phases share, checked and held before the first of them begins."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modules.bounded_queue import Cancellation
from modules.errors import UsageError
from modules.feature_extraction import init_worker, make_extractors, resolve_features
from modules.features.base import Extractor
from modules.io_utils import open_store
from modules.local_files import remove_half_written, scratch_folder
from modules.location import Location
from modules.outputs.layout import Layout
from modules.outputs.ownership import check_output_is_ours, check_source_has_pictures, ensure_pointer
from modules.progress import Progress
from modules.settings import AzureCredentials, Settings
from modules.state.lock import RunLock
from modules.state.manifest import Manifest, ManifestFile, Phase
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerPool

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """What the phases of one run work with."""

    settings: Settings
    progress: Progress
    cancel: Cancellation
    layout: Layout
    thread: StoreThread
    extractors: list[Extractor]
    scratch: Path
    pool: WorkerPool
    manifest_file: ManifestFile
    manifest: Manifest
    resumed: bool
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    def enter(self, phase: Phase, *, parts: int | None = None) -> None:
        """Write down that a phase begins; a zombie is found out here, before it does anything in it."""
        self.cancel.check()
        self.manifest = self.manifest.at(phase, parts=parts)
        self.manifest_file.save(self.manifest)


@contextlib.contextmanager
def prepare(
    settings: Settings, credentials: AzureCredentials, progress: Progress, stop: threading.Event
) -> Iterator[Job]:
    """Check everything that can be checked, then hold lock, manifest, store and scratch folder for the run."""
    features = resolve_features(settings.features)
    source = Location.parse(settings.source)
    layout = Layout.for_run(source, _location(settings.output), _location(settings.state))
    store = open_store(
        source,
        credentials,
        connections=settings.num_azure_connections,
        requests_per_second=settings.max_requests_per_second,
        burst=settings.request_burst,
        store_away_seconds=settings.store_away_seconds,
    )
    cancel = Cancellation(stop)
    with contextlib.ExitStack() as stack:
        thread = stack.enter_context(contextlib.closing(StoreThread(store)))
        thread.run(store.check(layout.source))
        check_output_is_ours(thread, layout)
        check_source_has_pictures(thread, layout)
        scratch = stack.enter_context(scratch_folder(settings.scratch))
        stack.enter_context(RunLock(thread, layout.lock, on_lost=cancel.fail, away=settings.store_away_seconds))
        if source.scheme == "folder":
            remove_half_written(layout.output, layout.state)
        ensure_pointer(thread, layout)
        manifest_file = ManifestFile(thread, layout.manifest)
        manifest, resumed = begin(manifest_file, _request(settings, features, layout, thread), layout, thread)
        pool = stack.enter_context(WorkerPool(settings.num_process_workers, init_worker))
        cancel.on_abort(pool.stop)
        extractors = make_extractors(features)
        yield Job(
            settings, progress, cancel, layout, thread, extractors, scratch, pool, manifest_file, manifest, resumed
        )


def begin(
    manifest_file: ManifestFile, request: dict[str, Any], layout: Layout, thread: StoreThread
) -> tuple[Manifest, bool]:
    """The manifest of this start, saved, and whether it resumes an unfinished epoch."""
    last = manifest_file.load()
    if last is not None and last.request["source"] != request["source"]:
        # Its copies would all be outdated for this source, and be removed.
        raise UsageError(
            f"{last.state_of} is the output of {last.request['source']}, not of {request['source']}: "
            "choose another --output"
        )
    resumed = last is not None and last.resumes(request)
    if last is None:
        manifest = Manifest.first(request, thread.store.address(layout.output))
    elif resumed:
        manifest = last.new_attempt()
        log.info("resuming epoch %d in phase %s, attempt %d", manifest.epoch, last.phase, manifest.attempt)
    else:
        manifest = last.new_epoch(request)
        log.info("starting epoch %d on what epoch %d has cached", manifest.epoch, last.epoch)
    manifest_file.save(manifest)
    return manifest, resumed


def _location(text: str | None) -> Location | None:
    return None if text is None else Location.parse(text)


def _request(settings: Settings, features: list[str], layout: Layout, thread: StoreThread) -> dict[str, Any]:
    """What makes a run this run and not another one: see the kinds of settings."""
    return {
        "source": thread.store.address(layout.source),
        "features": features,
        "relations": sorted(settings.relations),
        "uniques": settings.uniques,
    }
