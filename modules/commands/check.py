"""``check``: proves an image_report.csv by reading its pictures anew, and says of every row that fails why it does.

Nothing that a run has cached is looked at: a duplicate and its witness are fetched, decoded and compared once more, by
the code of a run and under the settings that run.json beside the report names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.text import Text

from modules.commands.proof import PROVABLE, Rules, Side, prove
from modules.commands.report_rows import Row, read_rows
from modules.errors import AccessError, InterruptedRunError, NotFoundError, StoreError, UsageError
from modules.feature_extraction import init_worker
from modules.io_utils import open_store
from modules.local_files import scratch_folder
from modules.location import Location
from modules.log_lines import visible
from modules.progress import Progress
from modules.records import Grade, Kind
from modules.settings import AzureCredentials, Settings
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

#: Duplicates of one task, which share the decoding of their witness, and bytes of it at most.
TASK_ROWS, TASK_BYTES = 16, 64 * 1024 * 1024
#: Seconds that one task may take.
TASK_TIMEOUT = 300.0

_SCENE = Kind.SCENE.name.lower()

Say = Callable[[int, str, str], None]


@dataclass(slots=True)
class Page:
    """What was found. rows, groups, duplicates: of the report. proven: duplicates whose witness holds them.

    by_vectors: duplicates of the same scene, which pixels do not prove. failed: rows that are not as the report says.
    """

    report: str
    rows: int = 0
    groups: int = 0
    duplicates: int = 0
    proven: int = 0
    by_vectors: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return asdict(self)

    def __rich__(self) -> Text:
        """The same for people."""
        lines = [
            f"{self.rows:,} rows in {self.groups:,} groups, {self.duplicates:,} duplicates",
            f"{self.proven:,} duplicates proven: their witness is kept, matches them and holds them",
        ]
        if self.by_vectors:
            lines.append(f"{self.by_vectors:,} of the same scene rest on vectors, which this does not prove")
        lines.append(f"{self.failed:,} rows failed")
        return Text("\n".join(lines))


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
        first = next(read_rows(local, address), None)
        if first is not None and not _same_store(place, first.path):
            thread = stack.enter_context(_opened(settings, credentials, Location.parse(first.path)))
        pool = stack.enter_context(WorkerPool(settings.num_process_workers, init_worker))
        progress.phase("checking", None)
        checking = _Checking(thread, pool, rules, progress, stop, say, Page(visible(address)))
        checking.check(read_rows(local, address))
        return checking.page


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


def _same_store(place: Location, path: str) -> bool:
    """Whether a path of the report is one of the store that the report lies in."""
    return Location.parse(path).scheme == place.scheme


def _fetched(thread: StoreThread, place: Location, target: Path) -> Path:
    """The report as a local file."""
    key = _key(place)
    if place.scheme == "folder" and Path(key).is_file():
        return Path(key)
    try:
        target.write_bytes(thread.run(thread.store.read(key)).data)
    except NotFoundError:
        raise UsageError(f"{thread.store.address(key)} is not there: name an image_report.csv") from None
    return target


def _rules(thread: StoreThread, place: Location, settings: Settings) -> Rules:
    """How the run that wrote the report decided, by its run.json; where that is missing, as the settings say."""
    folder, _, _ = _key(place).rpartition("/")
    try:
        asked = json.loads(thread.run(thread.store.read(f"{folder}/run.json")).data)["settings"]
        settings = Settings.model_validate(asked | {"source": settings.source or "-"})
    except NotFoundError:
        log.warning("there is no run.json beside the report: it is checked under the settings of this command")
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{folder}/run.json is damaged: remove it, or put back the one that the run wrote") from None
    return Rules(
        max_pixels=settings.max_image_pixels,
        effort=settings.effort,
        grade=Grade.of(settings.strictness),
        any_resolution=settings.keep[0] != "quality",
    )


@dataclass(slots=True)
class _Checking:
    """One walk over the report. The best row of a group comes first, so that one is all that is kept of a group."""

    thread: StoreThread
    pool: WorkerPool
    rules: Rules
    progress: Progress
    stop: threading.Event
    say: Say
    page: Page

    def check(self, rows: Iterator[Row]) -> None:
        """Prove every row."""
        for task, result in self.pool.map(_prove, self._tasks(rows), timeout=TASK_TIMEOUT):
            duplicates: list[Row] = task[1]
            crashed = isinstance(result, WorkerCrashedError)
            reasons = [f"it could not be compared: {result}" for _ in duplicates] if crashed else result
            for row, reason in zip(duplicates, reasons, strict=True):
                self._judge(row, reason)

    def _tasks(self, rows: Iterator[Row]) -> Iterator[tuple[Rules, list[Row], list[Side]]]:
        """What is to be compared: the rows of duplicates, and the bytes of their witness and of them."""
        for best, duplicates in self._batches(rows):
            if self.stop.is_set():
                raise InterruptedRunError("check was interrupted; nothing was written, run it again")
            witness, *sides = self._read([best, *duplicates])
            good = []
            for row, side in zip(duplicates, sides, strict=True):
                if isinstance(witness, Side) and isinstance(side, Side):
                    good.append((row, side))
                else:
                    self._judge(row, f"it {side}" if isinstance(side, str) else f"its witness {witness}")
            if good and isinstance(witness, Side):
                yield self.rules, [row for row, _ in good], [witness, *(side for _, side in good)]

    def _batches(self, rows: Iterator[Row]) -> Iterator[tuple[Row, list[Row]]]:
        """A kept picture, and duplicates of it, as many as one task takes; what the table itself tells is judged."""
        for number, (group, members) in enumerate(groupby(rows, key=attrgetter("group")), start=1):
            self.page.groups += 1
            best = next(members)
            self._look_at_best(best, number)
            waiting: list[Row] = []
            count, held = 1, 0
            for row in members:
                count += 1
                if not self._is_provable(row, best):
                    continue
                if waiting and (len(waiting) == TASK_ROWS or held + row.bytes > TASK_BYTES):
                    yield best, waiting
                    waiting, held = [], 0
                waiting.append(row)
                held += row.bytes
            if waiting:
                yield best, waiting
            if count != best.size:
                self._fail(best, f"group {group} has {count:,} rows, not {best.size:,}")

    def _look_at_best(self, row: Row, number: int) -> None:
        """The first row of the group that should have this number."""
        self.page.rows += 1
        self.progress.advance()
        if row.group != number:
            self._fail(row, f"it begins group {row.group}, where group {number} should begin")
        elif not row.best:
            self._fail(row, "its group has no Best row before it")
        elif row.witness or row.relation:
            self._fail(row, "it is Best and names a witness")

    def _is_provable(self, row: Row, best: Row) -> bool:
        """Whether a row behind the first one of its group says what its pixels can prove; what is wrong is said."""
        self.page.rows += 1
        self.progress.advance()
        if row.best:
            self._fail(row, "its group has another Best row")
            return False
        self.page.duplicates += 1
        if row.size != best.size:
            self._fail(row, f"it counts {row.size:,} pictures in its group, its Best row {best.size:,}")
        elif not best.best or row.witness != best.path:
            self._fail(row, f"its witness {row.witness or '(none)'} is not the Best row of its group")
        elif row.relation == _SCENE:
            self.page.by_vectors += 1
        elif row.relation not in PROVABLE:
            self._fail(row, f"its relation {row.relation!r} is none")
        else:
            return True
        return False

    def _read(self, rows: list[Row]) -> list[Side | str]:
        """The pictures of some rows, side by side; for each one that is not to be had, why."""

        async def read() -> list[Side | str]:
            return await asyncio.gather(*(self._side(row) for row in rows))

        return self.thread.run(read())

    async def _side(self, row: Row) -> Side | str:
        key = row.path.removeprefix(self.thread.store.address(""))
        try:
            data = (await self.thread.store.read(key)).data
        except NotFoundError:
            return "is not there"
        except AccessError:
            raise
        except StoreError as error:
            return f"could not be read: {error}"
        if len(data) != row.bytes:
            return f"has {len(data):,} bytes, not {row.bytes:,}: it changed since"
        return Side(data, row.width, row.height, row.relation)

    def _judge(self, row: Row, reason: str | None) -> None:
        if reason is None:
            self.page.proven += 1
        else:
            self._fail(row, reason)

    def _fail(self, row: Row, reason: str) -> None:
        self.page.failed += 1
        self.say(row.line, row.path, reason)


def _prove(rules: Rules, rows: list[Row], sides: list[Side]) -> list[str | None]:
    """In a worker process: see :func:`modules.commands.proof.prove`; the rows stay with the task."""
    del rows
    return prove(rules, sides[0], sides[1:])
