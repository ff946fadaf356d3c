"""One walk over a report: rows are judged, pictures read, duplicates proven, and what fails is said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.text import Text

from modules.commands.proof import Rules, Side, prove
from modules.commands.report_groups import WAY_OUT, Judged
from modules.commands.report_rows import Row
from modules.errors import AccessError, InterruptedRunError, NotFoundError, StoreError
from modules.progress import Progress
from modules.records import Kind
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

#: Duplicates of one task, which share the decoding of their witness, and bytes of it at most.
TASK_ROWS, TASK_BYTES = 16, 64 * 1024 * 1024
#: Seconds that one task may take.
TASK_TIMEOUT = 300.0

_SCENE = Kind.SCENE.name.lower()

Say = Callable[[int, str, str], None]
#: How it was decided, a kept picture, duplicates of it, and the pictures of all of them in this order.
Task = tuple[Rules, Row, list[Row], list[Side]]


@dataclass(slots=True)
class Page:
    """What was found. rows, groups, duplicates: of the report. proven: duplicates whose witness holds them.

    by_vectors: duplicates of the same scene, which pixels do not prove. failed: rows that are not as the report says.
    unproven: duplicates that are not looked at, for it is the row of their witness that failed, or is missing.
    """

    report: str
    rows: int = 0
    groups: int = 0
    duplicates: int = 0
    proven: int = 0
    by_vectors: int = 0
    unproven: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return asdict(self)

    def __rich__(self) -> Text:
        """The same for people."""
        lines = [
            f"{self.rows:,} rows in {self.groups:,} groups, {self.duplicates:,} duplicates",
            f"{self.proven:,} duplicates confirmed by the same test: their witness is kept, matches and holds them",
        ]
        if self.by_vectors:
            lines.append(f"{self.by_vectors:,} of the same scene rest on vectors, which this does not test")
        if self.unproven:
            lines.append(f"{self.unproven:,} duplicates not looked at: the row of their witness failed or is missing")
        lines.append(f"{self.failed:,} rows failed")
        return Text("\n".join(lines))


@dataclass(slots=True)
class Walk:
    """One pass over the rows, a few tasks ahead of their results. refuted: the line of the last Best row that was."""

    thread: StoreThread
    pool: WorkerPool
    rules: Rules
    progress: Progress
    stop: threading.Event
    say: Say
    page: Page
    refuted: int = 0

    def check(self, rows: Iterator[Judged]) -> None:
        """Prove every row."""
        for task, result in self.pool.map(_prove, self._tasks(rows), timeout=TASK_TIMEOUT):
            _, best, duplicates, _ = task
            if isinstance(result, str):
                self.page.unproven += len(duplicates)
                if self.refuted != best.line:
                    self._fail(best, result)
                self.refuted = best.line
                continue
            crashed = isinstance(result, WorkerCrashedError)
            reasons = [f"it could not be compared: {result}" for _ in duplicates] if crashed else result
            for row, reason in zip(duplicates, reasons, strict=True):
                if reason is None:
                    self.page.proven += 1
                else:
                    self._fail(row, reason)

    def _tasks(self, rows: Iterator[Judged]) -> Iterator[Task]:
        """What is to be compared; the witness of a group is read once, beside the first of its duplicates."""
        for best, pairs in groupby(self._provable(rows), key=itemgetter(0)):
            batches = _batches(row for _, row in pairs)
            batch = next(batches)
            witness, *sides = self._read([best, *batch])
            if isinstance(witness, str):
                self._fail(best, witness)
                self.page.unproven += len(batch) + sum(map(len, batches))
                continue
            yield from self._compared(best, witness, batch, sides)
            for batch in batches:
                yield from self._compared(best, witness, batch, self._read(batch))

    def _compared(self, best: Row, witness: Side, batch: list[Row], sides: list[Side | str]) -> Iterator[Task]:
        """The task of those duplicates that could be read, if any."""
        rows, good = [], []
        for row, side in zip(batch, sides, strict=True):
            if isinstance(side, str):
                self._fail(row, side)
            else:
                rows.append(row)
                good.append(side)
        if rows:
            yield self.rules, best, rows, [witness, *good]

    def _provable(self, rows: Iterator[Judged]) -> Iterator[tuple[Row, Row]]:
        """Kept picture and duplicate of it where pixels can prove the row; what the table itself tells is judged."""
        for one in rows:
            row = one.row
            self.progress.advance()
            self.page.rows += 1
            self.page.groups += one.first
            self.page.duplicates += not (one.first or row.best)
            if one.reason is not None:
                self._fail(row, one.reason)
            elif one.first:
                continue
            elif one.witness is None:
                self.page.unproven += 1
            elif row.relation == _SCENE:
                self.page.by_vectors += 1
            else:
                yield one.witness, row

    def _read(self, rows: list[Row]) -> list[Side | str]:
        """The pictures of some rows, side by side; for each one that is not to be had, why."""
        if self.stop.is_set():
            raise InterruptedRunError("check was interrupted; nothing was written, run it again")

        async def read() -> list[Side | str]:
            return await asyncio.gather(*(self._side(row) for row in rows))

        return self.thread.run(read())

    async def _side(self, row: Row) -> Side | str:
        root = self.thread.store.address("")
        key = row.path.removeprefix(root)
        if not row.path.startswith(root or "/") or not key.partition("/")[2]:
            return f"it is at no address below {root or '/'}; {WAY_OUT}"
        try:
            data = (await self.thread.store.read(key)).data
        except NotFoundError:
            return f"it is not there; {WAY_OUT}"
        except AccessError:
            raise
        except StoreError as error:
            return f"it could not be read: {error}"
        if len(data) != row.bytes:
            return f"it has {len(data):,} bytes, not {row.bytes:,}: it changed since; {WAY_OUT}"
        return Side(data, row.width, row.height, row.relation)

    def _fail(self, row: Row, reason: str) -> None:
        self.page.failed += 1
        self.say(row.line, row.path, reason)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """As many rows as one task takes."""
    waiting: list[Row] = []
    held = 0
    for row in rows:
        if waiting and (len(waiting) == TASK_ROWS or held + row.bytes > TASK_BYTES):
            yield waiting
            waiting, held = [], 0
        waiting.append(row)
        held += row.bytes
    if waiting:
        yield waiting


def _prove(rules: Rules, best: Row, rows: list[Row], sides: list[Side]) -> list[str | None] | str:
    """In a worker process: see :func:`modules.commands.proof.prove`; the rows stay with the task."""
    del best, rows
    return prove(rules, sides[0], sides[1:])
