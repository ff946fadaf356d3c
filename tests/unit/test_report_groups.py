"""One row that is changed is named once, with its own reason, and no row beside it is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tracemalloc import get_traced_memory, start, stop

import pytest

from modules.commands.report_groups import WAY_OUT, Judged, read_judged
from modules.errors import UsageError
from modules.outputs.layout import Layout
from modules.outputs.plan import plan_rows
from modules.outputs.report import make_reports
from modules.records import Decision, Kind
from tests.decisions import decision

SIZES = (1, 1, 4, 2, 3, 1, 2)
#: Lines of their Best rows: the head of the table is line 1.
BEST = [2 + sum(SIZES[:number]) for number in range(len(SIZES))]
LINES = range(2, 2 + sum(SIZES))
Row = dict[str, str]


def decisions() -> list[Decision]:
    found = []
    for number, size in enumerate(SIZES, start=1):
        best = f"c/in/{number} 0.jpg"
        found.append(decision(best, group=number, group_size=size, claimed=size == 1))
        for member, relation in zip(range(1, size), (Kind.EXACT, Kind.COPY, Kind.SCENE), strict=False):
            name = f"c/in/{number} {member}.jpg"
            one = decision(name, group=number, group_size=size, relation=relation, claimed=member == 1)
            found.append(replace(one, witness=best))
    return found


def write(folder: Path, found: list[Decision]) -> Path:
    layout = Layout("c/in/", "c/out/", "c/out/_state/")
    rows = plan_rows(layout, lambda: iter(found), uniques="copy")
    return make_reports(folder, lambda key: f"mem://{key}", rows, iter(()), None).report.path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path, decisions())


def change(table: Path, edit: Callable[[list[Row]], object]) -> list[Judged]:
    """What the table tells after an edit of its rows."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    head = list(rows[0])
    edit(rows)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, head, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return list(read_judged(table, "mem://report"))


def named(judged: list[Judged]) -> dict[int, str]:
    """Line and reason of the rows that cannot be true."""
    assert all(one.reason is None or one.reason.endswith(WAY_OUT) for one in judged)
    return {one.row.line: one.reason for one in judged if one.reason is not None}


def test_a_true_table_has_nothing_against_it(table: Path) -> None:
    judged = list(read_judged(table, "mem://report"))
    assert named(judged) == {}
    assert [one.row.line for one in judged] == list(LINES)
    assert [one.row.line for one in judged if one.first] == BEST
    witnesses = [one.row.path if one.first else one.row.witness for one in judged]
    assert [one.witness.path for one in judged if one.witness] == witnesses


EDITS: dict[str, Callable[[Row], object]] = {
    "a far number": lambda row: row.update({"Group ID": "99"}),
    "the number before": lambda row: row.update({"Group ID": str(int(row["Group ID"]) - 1)}),
    "the number behind": lambda row: row.update({"Group ID": str(int(row["Group ID"]) + 1)}),
    "a larger group": lambda row: row.update({"Group Size": str(int(row["Group Size"]) + 1)}),
    "a smaller group": lambda row: row.update({"Group Size": str(int(row["Group Size"]) - 1)}),
    "the other status": lambda row: row.update(Status="Duplicate" if row["Status"] == "Best" else "Best"),
    "another witness": lambda row: row.update({"Kept Witness": "mem://c/in/x.jpg"}),
    "another relation": lambda row: row.update(Relation="cousin"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("line", LINES)
def test_a_row_that_is_changed_is_named_and_no_other(table: Path, line: int, edit: str) -> None:
    judged = change(table, lambda rows: EDITS[edit](rows[line - 2]))
    assert list(named(judged)) == [line]
    others = [one for one in judged if one.row.line != line]
    assert all(one.witness is not None for one in others)


@pytest.mark.parametrize("line", [line for line in LINES if line not in BEST])
def test_a_duplicate_without_a_witness_is_named(table: Path, line: int) -> None:
    found = named(change(table, lambda rows: rows[line - 2].update({"Kept Witness": ""})))
    assert list(found) == [line]
    assert "its witness (none) is not the Best row of its group" in found[line]


@pytest.mark.parametrize("number", [3, 5])
def test_a_best_row_under_another_path_is_named_and_its_duplicates_keep_the_right_one(table: Path, number: int) -> None:
    line = BEST[number - 1]
    judged = change(table, lambda rows: rows[line - 2].update({"Image Path": "mem://c/in/x.jpg"}))
    found = named(judged)
    assert list(found) == [line]
    assert f"its duplicates name another witness, mem://c/in/{number} 0.jpg" in found[line]
    assert all(one.witness and one.witness.path == one.row.witness for one in judged if one.row.witness)


def test_changed_rows_of_several_groups_are_named_one_by_one(table: Path) -> None:
    def edit(rows: list[Row]) -> None:
        rows[BEST[1] - 2]["Group ID"] = "77"
        rows[BEST[2] - 2]["Group Size"] = "9"
        rows[BEST[3] - 1]["Group ID"] = "1"
        rows[BEST[5] - 2]["Group ID"] = "0"

    assert list(named(change(table, edit))) == [BEST[1], BEST[2], BEST[3] + 1, BEST[5]]


def test_of_a_group_whose_best_row_is_gone_the_first_row_is_named(table: Path) -> None:
    judged = change(table, lambda rows: rows.pop(BEST[2] - 2))
    found = named(judged)
    assert list(found) == [BEST[2]]
    assert "there is no Best row of its group 3 before it" in found[BEST[2]]
    assert [one.row.line for one in judged if one.witness is None] == [BEST[2], BEST[2] + 1, BEST[2] + 2]


@pytest.mark.parametrize("line", [line for line in LINES if line not in BEST])
def test_of_a_group_that_lost_a_duplicate_the_best_row_is_named(table: Path, line: int) -> None:
    found = named(change(table, lambda rows: rows.pop(line - 2)))
    number = max(number for number, best in enumerate(BEST) if best <= line)
    assert list(found) == [BEST[number]]
    assert f"its group has {SIZES[number] - 1} rows, not {SIZES[number]}" in found[BEST[number]]


def test_behind_a_group_that_is_gone_the_next_one_is_named_and_none_behind_it(table: Path) -> None:
    found = named(change(table, lambda rows: rows.pop(BEST[1] - 2)))
    assert list(found) == [BEST[1]]
    assert "it begins group 3, where group 2 should begin" in found[BEST[1]]


def test_a_row_in_another_group_is_named_there_and_missed_in_its_own(table: Path) -> None:
    def move(rows: list[Row]) -> None:
        rows.insert(BEST[4] - 1, rows.pop(BEST[2] - 1))

    found = named(change(table, move))
    assert list(found) == [BEST[2], BEST[4] + 1]
    assert "its group has 3 rows, not 4" in found[BEST[2]]
    assert "no Best row of its group 3 before it" in found[BEST[4] + 1]


@pytest.mark.parametrize("lost", [1, 2, 100])
def test_a_table_that_breaks_off_is_an_error(table: Path, lost: int) -> None:
    table.write_bytes(table.read_bytes()[:-lost])
    with pytest.raises(UsageError, match="mem://report ends within a line, cut short"):
        list(read_judged(table, "mem://report"))


def test_a_row_with_a_cell_less_is_an_error(table: Path) -> None:
    text = table.read_text(encoding="utf-8")
    table.write_text(text[: text.rindex(",")] + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match="not as many cells as columns"):
        list(read_judged(table, "mem://report"))


def test_the_rows_of_a_large_group_are_not_held(table: Path) -> None:
    def peak(size: int) -> int:
        found = [
            replace(decision(f"c/in/{n:07}.jpg", group_size=size, relation=Kind.COPY), witness="c/in/a.jpg")
            for n in range(size)
        ]
        write(table.parent, [decision("c/in/a.jpg", group_size=size), *found[1:]])
        start()
        try:
            assert sum(one.reason is None for one in read_judged(table, "mem://report")) == size
            return get_traced_memory()[1]
        finally:
            stop()

    assert peak(8_000) < 1.2 * peak(2_000)
