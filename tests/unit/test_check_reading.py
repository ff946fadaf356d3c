"""How ``check`` reads: the report in pieces, pictures in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modules.commands import check, report_walk
from modules.commands.report_rows import Row
from modules.errors import RetryLaterError, UsageError
from modules.location import Location
from modules.memory_store import MemoryStore
from modules.store_thread import StoreThread

PLACE = Location.parse("mem://pics/out/image_report.csv")
KEY = "pics/out/image_report.csv"


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreThread]:
    monkeypatch.setattr(check, "PIECE", 10)
    with closing(StoreThread(MemoryStore())) as thread:
        yield thread


@pytest.mark.parametrize("size", [0, 9, 10, 11, 30])
def test_a_report_is_fetched_in_pieces(thread: StoreThread, tmp_path: Path, size: int) -> None:
    data = bytes(range(size))
    thread.run(thread.store.write(KEY, data))
    fetched = check._fetched(thread, PLACE, tmp_path / "report")
    assert fetched.read_bytes() == data
    assert isinstance(thread.store, MemoryStore)
    assert len(thread.store.reads) == -(-size // 10)


def test_a_report_that_changes_while_it_is_fetched_is_not_mixed(thread: StoreThread, tmp_path: Path) -> None:
    store = thread.store
    assert isinstance(store, MemoryStore)
    thread.run(store.write(KEY, bytes(30)))

    def rewrite(operation: str, key: str) -> None:
        if operation == "read" and len(store.reads) == 2:
            store.on_request = None
            store.blobs[key] = store.blobs[key].__class__(bytes(30), "newer")

    store.on_request = rewrite
    with pytest.raises(RetryLaterError, match="changed while it was read: run again"):
        check._fetched(thread, PLACE, tmp_path / "report")


def test_a_report_that_is_not_there_is_a_usage_error(thread: StoreThread, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file mem://pics/out/image_report"):
        check._fetched(thread, PLACE, tmp_path / "report")


def sizes(*numbers: int) -> list[list[int]]:
    """Bytes of the rows of each batch."""
    rows = [Row(line, f"/{line}", 1, 9, False, "/w", "copy", 4, 4, number) for line, number in enumerate(numbers)]
    return [[row.bytes for row in batch] for batch in report_walk._batches(rows)]


def test_a_batch_is_full_by_rows_and_by_bytes() -> None:
    assert sizes() == []
    assert [len(batch) for batch in sizes(*[1] * (2 * report_walk.TASK_ROWS + 1))] == [
        report_walk.TASK_ROWS,
        report_walk.TASK_ROWS,
        1,
    ]
    large = report_walk.TASK_BYTES
    assert sizes(2 * large, 1, large - 1, 1, large) == [[2 * large], [1, large - 1], [1], [large]]
