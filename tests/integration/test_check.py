"""``check`` from end to end: it proves what a run decided, and finds what is not as the report says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageEnhance

from modules.commands.report_walk import TASK_ROWS
from modules.outputs.csv_file import escape, unescape
from tests.azurite import Azurite
from tests.command import imgsieve
from tests.drawings import leaves
from tests.pictures import encode

RUN = ("--features", "perceptual", "--workers", "2", "-q")
Rows = list[dict[str, str]]


def files() -> dict[str, bytes]:
    """Two groups (of 5 and of 2), and a picture alone."""
    first, second = leaves(1), leaves(2)
    return {
        "a.jpg": encode(first, quality=92),
        "copies/=a.jpg": encode(first.resize((300, 225))),
        "copies/a dark.jpg": encode(ImageEnhance.Brightness(first).enhance(0.8)),
        "copies/a part.jpg": encode(first.crop((40, 30, 440, 330))),
        "copies/exact.jpg": encode(first, quality=92),
        "b.jpg": encode(second, quality=92),
        "b low.jpg": encode(second, quality=50),
        "c.jpg": encode(leaves(3)),
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "pics"
    for name, data in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    result = imgsieve(folder.parent, "run", str(folder), *RUN)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def report(done: Path, tmp_path: Path) -> Path:
    """A copy of the report, with run.json beside it, to be changed."""
    output = done.with_name("pics_deduplicated")
    for name in ("image_report.csv", "run.json"):
        (tmp_path / name).write_bytes((output / name).read_bytes())
    return tmp_path / "image_report.csv"


def change(report: Path, edit: Callable[[Rows], None]) -> None:
    with report.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    edit(rows)
    with report.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check(report: Path | str, folder: Path, *more: str, **environ: str) -> tuple[int, list[str], str]:
    """Exit code, the lines of rows that failed and of the page, and what stderr says."""
    result = imgsieve(folder, "check", str(report), "--workers", "2", *more, **environ)
    return result.returncode, result.stdout.splitlines(), result.stderr


def test_a_true_report_is_proven(done: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.parent.rglob("*")}
    code, lines, errors = check(done.with_name("pics_deduplicated") / "image_report.csv", tmp_path, "-q")
    assert code == 0, errors
    assert lines == [
        "8 rows in 3 groups, 5 duplicates",
        "5 duplicates confirmed by the same test: their witness is kept, matches and holds them",
        "0 rows failed",
    ]
    assert {path: path.stat().st_mtime_ns for path in done.parent.rglob("*")} == before


def other_group(rows: Rows) -> dict[str, str]:
    """A duplicate of the second group."""
    return next(row for row in rows if row["Status"] == "Duplicate" and row["Group Size"] == "2")


def of_relation(rows: Rows, *names: str) -> dict[str, str]:
    return next(row for row in rows if row["Relation"] in names)


def wrong_witness(rows: Rows) -> None:
    of_relation(rows, "copy")["Kept Witness"] = next(row["Image Path"] for row in rows if row["Group Size"] == "1")


def moved_group(rows: Rows) -> None:
    """A duplicate in a group of other pictures, and all in its row and in the sizes says so."""
    row = other_group(rows)
    rows.remove(row)
    place = next(n for n, one in enumerate(rows) if one["Group Size"] == "5")
    best = rows[place]
    row |= {"Group ID": best["Group ID"], "Kept Witness": escape(best["Image Path"])}
    rows.insert(place + 1, row)
    for one in rows:
        if one["Group ID"] == best["Group ID"]:
            one["Group Size"] = "6"
        elif one["Group Size"] == "2":
            one["Group Size"] = "1"


def relation(name: str, *of: str) -> Callable[[Rows], None]:
    return lambda rows: of_relation(rows, *of).update({"Relation": name})


def cell(column: str, value: str) -> Callable[[Rows], None]:
    return lambda rows: other_group(rows).update({column: value})


def best_cell(column: str, value: str) -> Callable[[Rows], None]:
    """Of the Best row of the largest group."""
    return lambda rows: best_of(rows, "5").update({column: value})


def best_of(rows: Rows, size: str) -> dict[str, str]:
    return next(row for row in rows if row["Status"] == "Best" and row["Group Size"] == size)


WRONG: dict[str, tuple[Callable[[Rows], None], str]] = {
    "another witness": (wrong_witness, "is not the Best row of its group"),
    "no witness": (cell("Kept Witness", ""), "its witness (none) is not the Best row of its group"),
    "another picture": (moved_group, "its witness does not match it"),
    "not exact": (relation("exact", "copy"), "its bytes are not those of its witness"),
    "not a copy": (relation("copy", "part"), "its witness does not hold it as copy"),
    "no relation": (relation("cousin", "copy"), "its relation 'cousin' is none"),
    "a size": (cell("Group Size", "3"), "it counts 3 pictures in its group, not 2"),
    "a second best": (cell("Status", "Best"), "its group has another Best row"),
    "other pixels": (cell("Width", "481"), "it has 480 x 360 pixels, not 481 x 360"),
    "other bytes": (cell("Bytes", "17"), "not 17: it changed since"),
    "a lost file": (cell("Image Path", "/nowhere/at/all.jpg"), "it is not there"),
    "no address": (cell("Image Path", "all.jpg"), "it is at no address below /"),
    "a number": (cell("Group ID", "7"), "it is of group 7, its witness of group"),
}
#: What is wrong in a Best row, and how many of the five duplicates are proven all the same.
WRONG_BEST: dict[str, tuple[Callable[[Rows], None], str, int]] = {
    "a number": (best_cell("Group ID", "7"), "it begins group 7, where group", 5),
    "a size": (best_cell("Group Size", "4"), "its group has 5 rows, not 4", 5),
    "a status": (best_cell("Status", "Duplicate"), "is not its Best row", 5),
    "another path": (best_cell("Image Path", "/nowhere/at/all.jpg"), "its duplicates name another witness", 5),
    "other pixels": (best_cell("Width", "7"), "it cannot be used: it has 480 x 360 pixels, not 7 x 360", 1),
    "other bytes": (best_cell("Bytes", "7"), "not 7: it changed since", 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_row_that_is_not_true_fails_with_the_reason(name: str, report: Path, tmp_path: Path) -> None:
    edit, reason = WRONG[name]
    change(report, edit)
    code, lines, errors = check(report, tmp_path, "-q")
    assert code == 3, errors
    failed = [line for line in lines if line.startswith("line ")]
    assert len(failed) == 1
    assert reason in failed[0]
    assert lines[-1] == "1 rows failed"


@pytest.mark.parametrize("name", WRONG_BEST)
def test_a_best_row_that_is_not_true_fails_and_its_duplicates_do_not(name: str, report: Path, tmp_path: Path) -> None:
    edit, reason, proven = WRONG_BEST[name]
    change(report, edit)
    code, lines, errors = check(report, tmp_path, "-q")
    assert code == 3, errors
    assert reason in lines[0]
    unproven = ["4 duplicates not looked at: the row of their witness failed or is missing"] if proven == 1 else []
    assert lines[1:] == [
        "8 rows in 3 groups, 5 duplicates",
        f"{proven} duplicates confirmed by the same test: their witness is kept, matches and holds them",
        *unproven,
        "1 rows failed",
    ]


def test_a_missing_row_leaves_a_group_incomplete(report: Path, tmp_path: Path) -> None:
    change(report, lambda rows: rows.remove(other_group(rows)))
    code, lines, _ = check(report, tmp_path, "-q")
    assert code == 3
    assert "its group has 1 rows, not 2" in lines[0]
    assert lines[-1] == "1 rows failed"


def test_a_witness_that_is_gone_is_named_once_however_many_rest_on_it(report: Path, tmp_path: Path) -> None:
    def lose(rows: Rows) -> None:
        best = best_of(rows, "5")
        path = best["Image Path"]
        best["Image Path"] = path + ".gone"
        for row in rows:
            if unescape(row["Kept Witness"]) == path:
                row["Kept Witness"] += ".gone"

    change(report, lose)
    code, lines, _ = check(report, tmp_path, "-q")
    assert code == 3
    assert ".gone: it is not there; take the report as it was written, or run again" in lines[0]
    assert lines[-2:] == [
        "4 duplicates not looked at: the row of their witness failed or is missing",
        "1 rows failed",
    ]


def test_duplicates_of_more_than_one_task_rest_on_one_witness(tmp_path: Path) -> None:
    folder, data = tmp_path / "many", encode(leaves(1))
    folder.mkdir()
    for number in range(2 * TASK_ROWS):
        (folder / f"{number:02}.jpg").write_bytes(data)
    assert imgsieve(tmp_path, "run", str(folder), *RUN).returncode == 0
    report = tmp_path / "many_deduplicated" / "image_report.csv"
    code, lines, _ = check(report, tmp_path, "-q")
    assert (code, lines[1].split()[0]) == (0, str(2 * TASK_ROWS - 1))
    for column, reason in (("Width", "it cannot be used"), ("Bytes", "it changed since")):
        change(report, lambda rows: rows[0].update({column: "7"}))  # noqa: B023 - called at once
        code, lines, _ = check(report, tmp_path, "-q")
        assert code == 3
        assert reason in lines[0]
        assert lines[-2:] == [
            f"{2 * TASK_ROWS - 1} duplicates not looked at: the row of their witness failed or is missing",
            "1 rows failed",
        ]


def test_what_a_group_says_of_a_composition_is_proven_by_its_witness_in_it(tmp_path: Path) -> None:
    """That much was added around a picture is not seen in the two of them, but in the picture's other copies."""
    folder, whole = tmp_path / "pasted", leaves(1)
    picture = whole.crop((40, 30, 400, 300))
    folder.mkdir()
    (folder / "around.jpg").write_bytes(encode(whole, quality=92))
    for number, quality in enumerate((92, 85, 75, 60)):
        (folder / f"{number}.jpg").write_bytes(encode(picture, quality=quality))
    assert imgsieve(tmp_path, "run", str(folder), *RUN, "--relations", "copy,part,embedded").returncode == 0
    report = tmp_path / "pasted_deduplicated" / "image_report.csv"
    with report.open(encoding="utf-8", newline="") as file:
        rows = {Path(row["Image Path"]).name: row for row in csv.DictReader(file)}
    assert rows["around.jpg"]["Relation"] == "embedded"
    assert rows["0.jpg"]["Status"] == "Best"
    code, lines, errors = check(report, tmp_path, "-q")
    assert (code, lines[-1]) == (0, "0 rows failed"), errors


def test_the_job_may_have_run_on_another_machine(report: Path, tmp_path: Path) -> None:
    path = report.with_name("run.json")
    values = json.loads(path.read_text(encoding="utf-8"))
    values["settings"] |= {"scratch": "/nowhere/on/this/one", "devices": ["cuda:7"]}
    path.write_text(json.dumps(values), encoding="utf-8")
    code, lines, errors = check(report, tmp_path, "-q")
    assert (code, lines[-1]) == (0, "0 rows failed"), errors


def test_a_first_row_without_an_address_is_a_row_that_fails(report: Path, tmp_path: Path) -> None:
    change(report, lambda rows: rows[0].update({"Image Path": ""}))
    code, lines, errors = check(report, tmp_path, "-q")
    assert code == 3, errors
    assert lines[0].startswith("line 2: ")


def test_failing_rows_as_json(report: Path, tmp_path: Path) -> None:
    change(report, cell("Width", "481"))
    code, lines, _ = check(report, tmp_path, "-q", "--log-format", "json")
    assert code == 3
    failed, page = (json.loads(line) for line in lines)
    assert failed["event"] == "failed"
    assert failed["path"].endswith((".jpg",))
    assert page["failed"] == 1
    assert page["proven"] == 4


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path.unlink(), "there is no file"),
    "no table": (lambda path: path.write_bytes(b"\xff\xfe\x00 no table"), "cannot be read as a table"),
    "no column": (lambda path: path.write_text("Image Path\n/a.jpg\n"), "has no column 'Quality Score'"),
    "no number": (lambda path: change(path, cell("Group ID", "x")), "Group ID is 'x', not a whole number"),
    "no status": (lambda path: change(path, cell("Status", "Good")), "neither Best nor Duplicate"),
    "run.json": (lambda path: path.with_name("run.json").write_text("{}"), "run.json is damaged"),
    "deep run.json": (lambda path: path.with_name("run.json").write_text("[" * 200_000), "run.json is damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_report_that_is_none_is_one_clear_line(name: str, report: Path, tmp_path: Path) -> None:
    spoil, reason = BROKEN[name]
    spoil(report)
    code, _, errors = check(report, tmp_path, "-q")
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert reason in errors


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Any]:
    azurite.make_container("check")
    with azurite.service() as service:
        yield service.get_container_client("check")
        service.delete_container("check")


def test_a_report_in_azure_is_proven_there_and_from_a_local_copy(
    container: Any, azurite: Azurite, tmp_path: Path
) -> None:
    for name, data in files().items():
        container.get_blob_client(f"pics/{name}").upload_blob(data)
    account = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    result = imgsieve(tmp_path, "run", "az://check/pics", *RUN, **account)
    assert result.returncode == 0, result.stderr
    address = "az://check/pics_deduplicated/image_report.csv"
    code, lines, errors = check(address, tmp_path, "-q", **account)
    assert code == 0, errors
    assert lines[0] == "8 rows in 3 groups, 5 duplicates"
    local = tmp_path / "image_report.csv"
    local.write_bytes(container.download_blob("pics_deduplicated/image_report.csv").readall())
    container.delete_blob("pics/b low.jpg")
    code, lines, errors = check(local, tmp_path, **account)
    assert code == 3
    assert "there is no run.json beside the report" in errors
    assert [line for line in lines if "it is not there" in line and "az://check/pics/b low.jpg" in line]
    code, lines, errors = check("az://check/pics_deduplicated/none.csv", tmp_path, "-q", **account)
    assert code == 2
    assert errors == "imgsieve: there is no file az://check/pics_deduplicated/none.csv: name an image_report.csv\n"
