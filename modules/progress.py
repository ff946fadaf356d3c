"""What a person sees of a run: its phases while it goes, and one table at the end."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # the record is numpy's neighbour, and --help is to stay light
    from modules.records import RunSummary

log = logging.getLogger(__name__)

PLAIN_SECONDS = 10.0


class Progress(Protocol):
    """Told what a run is doing; every method may be called from any thread."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins and the one before it is over; ``total`` items, None when not known.

        The same name again is the same phase, whose total is now known.
        """

    def advance(self, count: int = 1) -> None:
        """``count`` more items of the phase are done."""

    def close(self) -> None:
        """The run is over, well or not."""


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", style="progress.data.speed")


class RichProgress:
    """A bar per phase on a terminal, with rate and time left."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._bars.start()

    def phase(self, name: str, total: int | None) -> None:
        """Finish the bar before and begin one."""
        if self._task is not None and self._name == name:
            self._bars.update(self._task, total=total)
            return
        self._finish()
        self._name = name
        self._task = self._bars.add_task(name, total=total)

    def advance(self, count: int = 1) -> None:
        """Move the bar on."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None
        self._bars.stop()

    def _finish(self) -> None:
        if self._task is None:
            return
        done = self._bars.tasks[self._bars.task_ids.index(self._task)].completed
        self._bars.update(self._task, total=done)
        self._bars.stop_task(self._task)


class _PacedProgress(ABC):
    """Says something at the start and end of a phase, and every ``every`` seconds between."""

    def __init__(self, every: float, clock: Callable[[], float]) -> None:
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._name: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = self._said = 0.0

    def phase(self, name: str, total: int | None) -> None:
        """End the phase before, and say what begins."""
        with self._lock:
            if name != self._name:
                self._end()
                self._name, self._done = name, 0
                self._began = self._said = self._clock()
            self._total = total
            self._say(f"{name}: {total:,} to do" if total is not None else name, **self._fields("begun"))

    def advance(self, count: int = 1) -> None:
        """Count, and say so when it is time."""
        with self._lock:
            self._done += count
            now = self._clock()
            if self._name is not None and now - self._said >= self._every:
                self._said = now
                self._say(self._line(now - self._began), **self._fields("going"))

    def close(self) -> None:
        """End the last phase."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._name is not None:
            elapsed = duration(self._clock() - self._began)
            text = f"{self._name}: {self._done:,} done in {elapsed}" if self._done else f"{self._name}: {elapsed}"
            self._say(text, **self._fields("ended"))
            self._name = None

    def _line(self, elapsed: float) -> str:
        rate = self._done / elapsed if elapsed > 0 else 0.0
        line = f"{self._name}: {self._done:,}"
        if self._total is not None:
            line += f" of {self._total:,}"
        line += f", {rate:,.1f}/s"
        if self._total is not None and rate > 0:
            line += f", {duration(max(0, self._total - self._done) / rate)} left"
        return line

    def _fields(self, state: str) -> dict[str, object]:
        """The same in numbers; rate: items a second since the phase began, None while there are none."""
        elapsed = self._clock() - self._began
        return {
            "state": state,
            "phase": self._name,
            "done": self._done,
            "total": self._total,
            "rate": round(self._done / elapsed, 3) if self._done and elapsed > 0 else None,
            "seconds": round(elapsed, 3),
        }

    @abstractmethod
    def _say(self, text: str, **fields: object) -> None:
        """Say it in words or in numbers."""


class PlainProgress(_PacedProgress):
    """Lines for a log.

    stamp: what stands before each line, the time of day for instance.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        every: float = PLAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        stamp: Callable[[], str] = str,
    ) -> None:
        super().__init__(every, clock)
        self._stream = stream
        self._stamp = stamp

    def _say(self, text: str, **fields: object) -> None:
        self._stream.write(f"{self._stamp()}{text}\n")
        self._stream.flush()


class JsonProgress(_PacedProgress):
    """Events of the log, for machines: ``progress`` with phase, done, total, rate and seconds."""

    def __init__(self, *, every: float = PLAIN_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(every, clock)

    def _say(self, text: str, **fields: object) -> None:
        log.info("%s", text, extra={"event": "progress", "fields": fields})


class SilentProgress:
    """For callers who want none."""

    def phase(self, name: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, count: int = 1) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def make_progress(*, quiet: bool = False, as_json: bool = False, stream: TextIO | None = None) -> Progress:
    """Bars where ``stream`` (default stderr) is a terminal, plain lines elsewhere, events, nothing if ``quiet``."""
    target = stream or sys.stderr
    if quiet:
        return SilentProgress()
    if as_json:
        return JsonProgress()
    console = Console(file=target)
    return RichProgress(console) if console.is_terminal else PlainProgress(target, stamp=log_stamp)


def log_stamp() -> str:
    """The time of day, as the lines of the log beside it begin."""
    return time.strftime("%Y-%m-%d %H:%M:%S ")


def duration(seconds: float) -> str:
    """Seconds as people say them: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes as people say them, in powers of 1024: ``512 B``, ``3.4 MiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} PiB"


def summary_table(summary: RunSummary) -> Table:
    """The table at the end of a run."""
    would = summary.dry_run
    table = Table(title="imgsieve: dry run, nothing was copied" if would else "imgsieve: done", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("Files listed", f"{summary.listed:,}"),
        ("Read", f"{summary.downloaded:,}"),
        ("Usable pictures", f"{summary.pictures:,}"),
        ("Different pictures (groups)", f"{summary.groups:,}"),
        ("Duplicates", f"{summary.duplicates:,}"),
        ("Would save" if would else "Duplicates take up", size(summary.bytes_saved)),
        ("Failed", f"{summary.failed:,}"),
        ("Would copy" if would else "Copied", f"{summary.copied:,}"),
        ("Would remove (ours, outdated)" if would else "Removed (ours, outdated)", f"{summary.removed:,}"),
        ("Requests to the store", f"{summary.requests:,}"),
        ("Time", duration(summary.seconds)),
        ("Run", f"{summary.run_id}, epoch {summary.epoch}{', resumed' if summary.resumed else ''}"),
        ("Would write to" if would else "Folders", summary.output),
        ("Report", summary.report),
    ]
    if summary.requests == 0:
        rows = [row for row in rows if row[0] != "Requests to the store"]  # a folder
    if summary.failed_report:
        rows.append(("Failed pictures", summary.failed_report))
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def print_page(page: RenderableType, stream: TextIO | None = None) -> None:
    """Print tables and text to ``stream`` (default stdout); a log without a width gets 100 columns.

    Raises OSError when the stream cannot be written.
    """
    target = stream or sys.stdout
    width = None if target.isatty() else 100
    console = Console(file=target, width=width, highlight=False)
    with console.capture() as text:  # a console that prints by itself would end the process when nobody reads
        console.print(page)
    target.write(text.get())


def print_summary(summary: RunSummary, stream: TextIO | None = None) -> None:
    """Print :func:`summary_table` as :func:`print_page` does."""
    print_page(summary_table(summary), stream)


def page_fields(page: object) -> dict[str, object]:
    """A page for machines: what its ``as_json()`` gives, else the ``lines`` that it prints."""
    if hasattr(page, "as_json"):
        fields: dict[str, object] = page.as_json()
        return fields
    text = io.StringIO()
    Console(file=text, width=100, highlight=False).print(page)
    return {"lines": [line.rstrip() for line in text.getvalue().splitlines()]}
