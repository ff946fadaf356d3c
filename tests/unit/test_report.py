import csv
import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from modules.memory_store import MemoryStore
from modules.outputs.csv_file import LocalFile, escape, write_csv
from modules.outputs.finish import finish, finish_dry_run, run_document, success_document
from modules.outputs.layout import Layout
from modules.outputs.ledger import Ledger
from modules.outputs.plan import PlanCounts, PlanRow, plan_rows
from modules.outputs.report import FAILED_COLUMNS, REPORT_COLUMNS, Reports, make_reports
from modules.records import Failure, Kind, RunSummary
from modules.settings import Settings
from modules.store_thread import StoreThread
from tests.decisions import decision

LAYOUT = Layout("c/in/", "c/out/", "c/out/_state/")
HOSTILE = [
    "=cmd",
    "+1",
    "-a",
    "@b",
    "'x",
    "''=y",
    "\tx",
    "\rx",
    "a,b",
    'say "hi"',
    "two\nlines",
    "cr\rin",
    "ä ö",
    " s ",
    "",
]
SUMMARY = RunSummary("run", 1, False, 3, 3, 2, 2, 1, 7, 0, 3, 0, 9, 1.5, False, "mem://c/out", "r", None)


def rows_of(*names: str, uniques: bool = True) -> list[PlanRow]:
    decisions = [
        decision(f"c/in/{name}", group=n, similarity=0.87654, relation=None if n % 2 else Kind.PART)
        for n, name in enumerate(names, 1)
    ]
    return list(plan_rows(LAYOUT, lambda: iter(decisions), uniques="copy" if uniques else "skip"))


def address(key: str) -> str:
    return f"mem://{key}"


def table(file: LocalFile | None) -> list[list[str]]:
    assert file is not None
    with file.path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_columns(tmp_path: Path) -> None:
    reports = make_reports(tmp_path, address, rows_of("a.jpg", "b ä.jpg"), iter(()), None)
    head, best, duplicate = table(reports.report)
    assert tuple(head) == REPORT_COLUMNS
    assert head[:7] == [
        "Image Path",
        "Quality Score",
        "Group ID",
        "Group Size",
        "Status",
        "Avg Color Correlation",
        "Dominant Colors",
    ]
    sha = hashlib.sha256(b"picture").hexdigest()
    facts = ["640", "480", "7", "JPEG", "0.5000", "0.2500", "0.1250", "1.0000", "0.7500"]
    facts += ["#a1b2c3 41%; #000000 20%", "2024-05-01 12:00:00", "", ""]
    assert best[:7] == ["mem://c/in/a.jpg", "71.24", "1", "1", "Best", "1.0000", "3"]
    assert best[7:] == ["", "", "", *facts, "mem://c/out/best/a.jpg", "", "", sha]
    assert duplicate[:5] == ["mem://c/in/b ä.jpg", "71.24", "2", "1", "Duplicate"]
    assert duplicate[7:] == [
        "mem://c/in/a.jpg",
        "part",
        "0.8765",
        *facts,
        "mem://c/out/duplicates/b ä.jpg",
        "",
        "",
        sha,
    ]
    assert reports.failed is None
    data = reports.report.path.read_bytes()
    assert b"\r" not in data
    assert (len(data), hashlib.sha256(data).hexdigest()) == (reports.report.size, reports.report.sha256)
    assert hashlib.md5(data).digest() == reports.report.md5


def test_relations(tmp_path: Path) -> None:
    decisions = [
        decision("c/in/a", group_size=5),
        decision("c/in/b", group_size=5, relation=Kind.EXACT),
        decision("c/in/c", group_size=5, relation=Kind.EXACT, claimed=True),
        decision("c/in/d", group_size=5, relation=Kind.COPY, claimed=True),
        decision("c/in/e", group_size=5, relation=Kind.EMBEDDED),
    ]
    rows = plan_rows(LAYOUT, lambda: iter(decisions), uniques="copy")
    reports = make_reports(tmp_path, address, rows, iter(()), None)
    names = [row[REPORT_COLUMNS.index("Relation")] for row in table(reports.report)[1:]]
    assert names == ["", "exact", "exact-claimed", "copy-claimed", "embedded"]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaping_is_reversible(text: str) -> None:
    assert escape(text).removeprefix("'") == text
    assert not escape(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_hostile_names_come_back_exactly(tmp_path: Path) -> None:
    """Image Path is the address as it is; other text that could be read as a formula is escaped."""
    rows = rows_of(*HOSTILE)
    plain = make_reports(tmp_path, lambda key: key.removeprefix("c/in/"), rows, iter(()), None)
    read = table(plain.report)[1:]
    assert [row[0] for row in read] == HOSTILE
    frame = pd.read_csv(plain.report.path, keep_default_na=False, dtype=str)
    assert list(frame["Image Path"]) == HOSTILE
    assert list(frame["Format"]) == ["JPEG"] * len(HOSTILE)
    formats = [decision("c/in/a", format=text or "x") for text in HOSTILE]
    odd = plan_rows(LAYOUT, lambda: iter(formats), uniques="copy")
    cells = [
        row[REPORT_COLUMNS.index("Format")]
        for row in table(make_reports(tmp_path, address, odd, iter(()), None).report)
    ]
    assert [cell.removeprefix("'") for cell in cells[1:]] == [text or "x" for text in HOSTILE]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_pieces_make_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(str(n), f"name {n}") for n in range(25)]
    whole = write_csv(tmp_path / "whole.csv", ("a", "b"), rows)
    monkeypatch.setattr("modules.outputs.csv_file.PIECE", 10)
    pieces = write_csv(tmp_path / "pieces.csv", ("a", "b"), rows)
    assert whole.sha256 == pieces.sha256
    assert len(table(pieces)) == 26
    assert write_csv(tmp_path / "none.csv", ("a", "b"), []).path.read_bytes() == b"a,b\n"


def test_failures_of_both_kinds_are_listed_by_key(tmp_path: Path) -> None:
    rows = rows_of("a.jpg", "c.jpg")
    failures = [Failure("c/in/b.jpg", 5, "=not a picture"), Failure("c/in/d.jpg", 0, "empty")]
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.add_failure(Failure("c/in/c.jpg", 7, "it was changed while imgsieve ran: run again"))
        reports = make_reports(tmp_path, address, rows, iter(failures), ledger)
    listed = table(reports.failed)
    assert tuple(listed[0]) == FAILED_COLUMNS
    assert [row[0] for row in listed[1:]] == [f"mem://c/in/{name}.jpg" for name in "bcd"]
    assert listed[1] == ["mem://c/in/b.jpg", "5", "'=not a picture"]
    assert [row[REPORT_COLUMNS.index("Output Path")] for row in table(reports.report)[1:]] == [
        "mem://c/out/best/a.jpg",
        "",
    ]


def test_rows_without_a_copy_have_no_output_path(tmp_path: Path) -> None:
    reports = make_reports(tmp_path, address, rows_of("a.jpg", uniques=False), iter(()), None)
    assert table(reports.report)[1][REPORT_COLUMNS.index("Output Path")] == ""


def made(folder: Path, *names: str, failed: bool = False) -> Reports:
    failures = [Failure("c/in/bad.jpg", 3, "broken")] if failed else []
    folder.mkdir(exist_ok=True)
    return make_reports(folder, address, rows_of(*names), iter(failures), None)


def close(thread: StoreThread, reports: Reports, run: dict[str, object]) -> None:
    finish(thread, LAYOUT, reports, counts=PlanCounts(rows=1), failed=0, run=run, fence=lambda: None)


def test_what_is_right_is_not_written_again(tmp_path: Path, thread: StoreThread, store: MemoryStore) -> None:
    close(thread, made(tmp_path / "1", "a.jpg", failed=True), {"time": 1})
    assert store.writes == ["c/out/image_report.csv", "c/out/failed.csv", "c/out/run.json", "c/out/_SUCCESS"]
    close(thread, made(tmp_path / "2", "a.jpg", failed=True), {"time": 2})
    assert store.writes[4:] == ["c/out/run.json"]
    assert not store.deletes
    close(thread, made(tmp_path / "3", "a.jpg"), {"time": 3})
    assert store.deletes == ["c/out/_SUCCESS", "c/out/failed.csv"]
    assert store.writes[5:] == ["c/out/run.json", "c/out/_SUCCESS"]
    store._put("c/out/image_report.csv", b"x" * len(store.blobs["c/out/image_report.csv"].data))
    close(thread, made(tmp_path / "4", "a.jpg"), {"time": 4})
    assert store.writes[7:] == ["c/out/image_report.csv", "c/out/run.json", "c/out/_SUCCESS"]
    assert json.loads(store.blobs["c/out/run.json"].data) == {"time": 4}


def test_success_names_what_lies_there_and_nothing_of_the_moment(
    tmp_path: Path, thread: StoreThread, store: MemoryStore
) -> None:
    reports = made(tmp_path / "1", "a.jpg", "b.jpg", failed=True)
    close(thread, reports, {})
    success = json.loads(store.blobs["c/out/_SUCCESS"].data)
    for name in ("image_report.csv", "failed.csv"):
        data = store.blobs[f"c/out/{name}"].data
        assert success[name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    again = made(tmp_path / "2", "a.jpg", "b.jpg", failed=True)
    counts = PlanCounts(rows=1)
    assert success_document(reports, counts, 1) == success_document(again, counts, 1)
    assert success["counts"] == {**asdict(counts), "failed": 0}


def test_a_dry_run_writes_below_the_state_only(tmp_path: Path, thread: StoreThread, store: MemoryStore) -> None:
    finish_dry_run(thread, LAYOUT, made(tmp_path / "1", "a.jpg", failed=True), lambda: None)
    assert set(store.blobs) == {f"c/out/_state/dry_run/{name}" for name in ("image_report.csv", "failed.csv")}
    finish_dry_run(thread, LAYOUT, made(tmp_path / "2", "a.jpg"), lambda: None)
    assert set(store.blobs) == {"c/out/_state/dry_run/image_report.csv"}


def test_run_json_masks_secrets() -> None:
    settings = Settings(source="https://a.blob.core.windows.net/c?sv=1&sig=SECRET", num_process_workers=1)
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    document = run_document(SUMMARY, settings, moment, moment)
    text = json.dumps(document)
    assert "SECRET" not in text
    assert document["settings"]["source"].endswith("sig=***")
    assert document["started"] == "2024-05-01T12:00:00+00:00"
    assert document["summary"]["duplicates"] == 1
    assert document["versions"]["pyarrow"]


def test_a_duplicate_says_how_sure_it_is_and_all_say_their_bytes(tmp_path: Path) -> None:
    sure = [None, 0.5, 0.85, 0.98]
    copies = [decision(f"c/in/{n}", relation=Kind.COPY, confidence=value) for n, value in enumerate(sure)]
    decisions = [decision("c/in/best", confidence=1.0), *copies]
    rows = plan_rows(LAYOUT, lambda: iter(decisions), uniques="copy")
    lines = table(make_reports(tmp_path, address, rows, iter(()), None).report)[1:]
    found = [line[REPORT_COLUMNS.index("Confidence")] for line in lines]
    assert found == ["", "", "0.5000", "0.8500", "0.9800"]
    assert {line[REPORT_COLUMNS.index("SHA-256")] for line in lines} == {hashlib.sha256(b"picture").hexdigest()}
