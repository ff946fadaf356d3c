"""``check``: proves an image_report.csv by reading its pictures anew, and says of every row that fails why it does.

Nothing that a run has cached is looked at: a duplicate and its witness are fetched, decoded and compared once more, by
the code of a run and under the settings that run.json beside the report names.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from modules.commands.proof import Rules
from modules.commands.report_groups import read_judged
from modules.commands.report_rows import read_rows
from modules.commands.report_walk import Page, Say, Walk
from modules.errors import ConditionFailedError, NotFoundError, RetryLaterError, UsageError
from modules.feature_extraction import init_worker
from modules.io_utils import open_store
from modules.local_files import scratch_folder
from modules.location import Location
from modules.log_lines import visible
from modules.progress import Progress
from modules.records import Grade
from modules.settings import AzureCredentials, Settings
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerPool

log = logging.getLogger(__name__)

#: Names of the settings that a run's decisions hang on.
_DECIDING = ("max_image_pixels", "effort", "strictness", "keep")
#: Bytes of a report that are read at once.
PIECE = 16 * 1024 * 1024


def run(
    settings: Settings,
    credentials: AzureCredentials,
    progress: Progress,
    stop: threading.Event,
    *,
    report: str,
    say: Say,
) -> Page:
    """Prove the report at an address or path; the page's ``failed`` says whether all of it is true.

    say: told line, path and reason of each row that fails, in the order of the proofs. Holds the pictures of a few
    tasks at a time. Raises UsageError for a report that cannot be read, and what stores raise that are away.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(settings.scratch))
        place = Location.parse(report)
        thread = stack.enter_context(_opened(settings, credentials, place))
        local = _fetched(thread, place, scratch / "image_report.csv")
        rules = _rules(thread, place, settings)
        address = thread.store.address(_key(place))
        pictures = next(filter(None, (_location(row.path) for row in read_rows(local, address))), place)
        if pictures.scheme != place.scheme:
            thread = stack.enter_context(_opened(settings, credentials, pictures))
        pool = stack.enter_context(WorkerPool(settings.num_process_workers, init_worker))
        progress.phase("checking", None)
        page = Page(visible(address))
        Walk(thread, pool, rules, progress, stop, say, page).check(read_judged(local, address))
        return page


@contextlib.contextmanager
def _opened(settings: Settings, credentials: AzureCredentials, place: Location) -> Iterator[StoreThread]:
    store = open_store(
        place,
        credentials,
        connections=settings.num_azure_connections,
        requests_per_second=settings.max_requests_per_second,
        burst=settings.request_burst,
        store_away_seconds=settings.store_away_seconds,
    )
    with contextlib.closing(StoreThread(store)) as thread:
        yield thread


def _key(place: Location) -> str:
    return place.prefix.rstrip("/")


def _location(path: str) -> Location | None:
    """Of a picture; None for a cell that holds no address, whose row fails in its turn."""
    try:
        return Location.parse(path)
    except UsageError:
        return None


def _fetched(thread: StoreThread, place: Location, target: Path) -> Path:
    """The report as a local file; one from a store is never in memory as a whole."""
    key = _key(place)
    if place.scheme == "folder" and Path(key).is_file():
        return Path(key)
    address = thread.store.address(key)
    found = thread.run(thread.store.stat(key))
    if found is None:
        raise UsageError(f"there is no file {address}: name an image_report.csv")
    try:
        with target.open("wb") as file:
            for start in range(0, found.size, PIECE):
                file.write(thread.run(thread.store.read(key, if_match=found.etag, part=(start, PIECE))).data)
    except (NotFoundError, ConditionFailedError):
        raise RetryLaterError(f"{address} changed while it was read: run again") from None
    return target


def _rules(thread: StoreThread, place: Location, settings: Settings) -> Rules:
    """How the run that wrote the report decided, by its run.json; where that is missing, as the settings say."""
    folder, _, _ = _key(place).rpartition("/")
    try:
        asked = dict(json.loads(thread.run(thread.store.read(f"{folder}/run.json")).data)["settings"])
        # The others may be wrong here and now: a scratch folder of another machine, say.
        settings = Settings.model_validate({name: asked[name] for name in _DECIDING if name in asked} | {"source": "-"})
    except NotFoundError:
        log.warning("there is no run.json beside the report: it is checked under the settings of this command")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{folder}/run.json is damaged: remove it, or put back the one that the run wrote") from None
    return Rules(
        max_pixels=settings.max_image_pixels,
        effort=settings.effort,
        grade=Grade.of(settings.strictness),
        any_resolution=settings.keep[0] != "quality",
    )
