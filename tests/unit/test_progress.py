from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console

from modules.progress import (
    PlainProgress,
    RichProgress,
    SilentProgress,
    duration,
    make_progress,
    print_summary,
    size,
)
from modules.records import RunSummary


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def summary(*, dry_run: bool = False, failed: int = 0) -> RunSummary:
    return RunSummary(
        run_id="r1",
        epoch=2,
        resumed=True,
        listed=1200,
        downloaded=1100,
        pictures=1000,
        groups=900,
        duplicates=300,
        bytes_saved=3 * 1024 * 1024,
        failed=failed,
        copied=1200,
        removed=1,
        requests=5000,
        seconds=75.0,
        dry_run=dry_run,
        output="az://pictures/[bold]x[/bold]_deduplicated/",
        report="az://pictures/x_deduplicated/image_report.csv",
        failed_report="az://pictures/x_deduplicated/failed.csv" if failed else None,
    )


def printed(record: RunSummary) -> str:
    stream = io.StringIO()
    print_summary(record, stream)
    return stream.getvalue()


def test_plain_lines_come_at_start_end_and_every_few_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, every=10, clock=clock)
    progress.phase("streaming", 1000)
    for _ in range(30):
        clock.now += 1
        progress.advance(10)
    progress.phase("matching", None)
    progress.close()
    progress.close()
    assert stream.getvalue().splitlines() == [
        "streaming: 1,000 to do",
        "streaming: 100 of 1,000, 10.0/s, 1 min 30 s left",
        "streaming: 200 of 1,000, 10.0/s, 1 min 20 s left",
        "streaming: 300 of 1,000, 10.0/s, 1 min 10 s left",
        "streaming: 300 done in 30.0 s",
        "matching",
        "matching: 0.0 s",
    ]


def test_lines_of_a_log_begin_with_the_time() -> None:
    stream = io.StringIO()
    progress = make_progress(stream=stream)
    progress.phase("streaming", 2)
    progress.close()
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d streaming: (2 to do|\d+\.\d s)"
    assert [bool(re.fullmatch(pattern, line)) for line in stream.getvalue().splitlines()] == [True, True]


def test_the_same_phase_again_only_learns_its_total() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.phase("streaming", None)
    clock.now += 2
    progress.phase("streaming", 5)
    clock.now += 1
    progress.advance(5)
    progress.close()
    assert stream.getvalue().splitlines() == ["streaming", "streaming: 5 to do", "streaming: 5 done in 3.0 s"]


def test_plain_lines_without_a_total_tell_no_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, every=5, clock=clock)
    progress.advance()
    progress.phase("listing", None)
    clock.now += 5
    progress.advance(4000)
    assert stream.getvalue().splitlines() == ["listing", "listing: 4,000, 800.0/s"]


def test_a_terminal_gets_bars_and_anything_else_lines() -> None:
    progress = make_progress(stream=Terminal())
    progress.close()
    assert isinstance(progress, RichProgress)
    assert isinstance(make_progress(stream=io.StringIO()), PlainProgress)
    assert isinstance(make_progress(quiet=True, stream=Terminal()), SilentProgress)


def test_bars_show_every_phase_and_count_unknown_totals() -> None:
    stream = Terminal()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=120))
    progress.phase("listing", None)
    progress.advance(7)
    progress.phase("streaming", None)
    progress.phase("streaming", 20)
    progress.advance(5)
    progress.close()
    progress.close()
    shown = stream.getvalue()
    for part in ("listing", "7/7", "streaming", "5/20"):
        assert part in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (4.24, "4.2 s"), (185, "3 min 05 s"), (59.99, "1 min 00 s"), (7800, "2 h 10 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (3_565_158, "3.4 MiB"), (2**50, "1.0 PiB"), (-2048, "-2.0 KiB")]
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert size(count) == text


def test_the_summary_holds_what_a_person_asks_for() -> None:
    shown = printed(summary(failed=3))
    for part in ("1,200", "1,000", "900", "300", "3.0 MiB", "5,000", "1 min 15 s", "resumed", "failed.csv"):
        assert part in shown
    assert "az://pictures/[bold]x[/bold]_deduplicated/" in shown
    assert "ould" not in shown


def test_a_folder_makes_no_requests_to_speak_of() -> None:
    assert "Requests" in printed(summary())
    assert "Requests" not in printed(dataclasses.replace(summary(), requests=0))


def test_a_dry_run_says_would() -> None:
    shown = printed(summary(dry_run=True))
    for part in ("dry run", "Would save", "Would copy", "Would remove", "Would write to"):
        assert part in shown
    assert "failed.csv" not in shown
