"""The main job on folders, in this process, with real worker processes: what a person finds after each run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pipeline
from modules.errors import UsageError
from modules.progress import SilentProgress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from modules.state.lock import RunLock
from tests.pictures import draw, encode

FIRST_COLUMNS = [
    "Image Path",
    "Quality Score",
    "Group ID",
    "Group Size",
    "Status",
    "Avg Color Correlation",
    "Dominant Colors",
]


def run(source: Path, **settings: Any) -> RunSummary:
    asked = Settings(source=str(source), num_process_workers=2, features=("descriptor",), **settings)
    return pipeline.run(asked, AzureCredentials(), SilentProgress(), threading.Event())


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def published(output: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of everything but the state and run.json: what was written anew shows."""
    kept = [path for path in output.rglob("*") if path.is_file() and "_state" not in path.parts]
    return {
        str(path.relative_to(output)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in kept
        if path.name != "run.json"
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three pictures; copies of the first one in sub-folders and under odd names; two files that are no pictures."""
    folder = tmp_path / "photos"
    (folder / "straße").mkdir(parents=True)
    first, second, third = draw(1), draw(2), draw(3)
    (folder / "first.png").write_bytes(encode(first, "PNG"))
    (folder / "straße" / "first small.jpg").write_bytes(encode(first.resize((150, 112))))
    (folder / "=first.jpg").write_bytes(encode(first, quality=60))
    (folder / "straße" / "first.png").write_bytes(encode(first, "PNG"))
    (folder / "second.jpg").write_bytes(encode(second))
    (folder / "third.webp").write_bytes(encode(third, "WEBP"))
    (folder / "broken.jpg").write_bytes(encode(first)[:2000])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.gif").write_bytes(b"")
    (folder / "notes.txt").write_text("never listed")
    return folder


def test_report_names_every_picture_its_group_and_the_kept_witness(source: Path) -> None:
    before = files(source)
    summary = run(source)
    output = source.with_name("photos_deduplicated")
    report = rows(output / "image_report.csv")
    assert list(report[0])[:7] == FIRST_COLUMNS
    group = {row["Image Path"]: row for row in report}
    best = str(source / "first.png")
    copies = [str(source / name) for name in ("=first.jpg", "straße/first small.jpg", "straße/first.png")]
    assert sorted(group) == sorted([best, *copies, str(source / "second.jpg"), str(source / "third.webp")])
    assert group[best]["Status"] == "Best"
    for copy in copies:
        assert (group[copy]["Status"], group[copy]["Kept Witness"]) == ("Duplicate", best)
        assert group[copy]["Group ID"] == group[best]["Group ID"]
        assert group[copy]["Group Size"] == "4"
    assert group[str(source / "straße" / "first.png")]["Relation"] == "exact"
    assert (summary.pictures, summary.groups, summary.duplicates, summary.failed) == (6, 3, 3, 3)
    assert files(source) == before


def test_copies_are_byte_for_byte_and_keep_their_paths(source: Path) -> None:
    run(source)
    output = source.with_name("photos_deduplicated")
    everything = files(source)
    best = files(output / "best")
    duplicates = files(output / "duplicates")
    assert best == {name: everything[name] for name in ("first.png", "second.jpg", "third.webp")}
    assert duplicates == {
        name: everything[name] for name in ("=first.jpg", "straße/first small.jpg", "straße/first.png")
    }


def test_unusable_files_are_listed_with_their_reasons_and_success_vouches_for_both_tables(source: Path) -> None:
    summary = run(source)
    output = source.with_name("photos_deduplicated")
    reasons = {Path(row["Image Path"]).name: row["Reason"] for row in rows(output / "failed.csv")}
    assert set(reasons) == {"broken.jpg", "text.jpg", "empty.gif"}
    assert "truncated" in reasons["broken.jpg"]
    assert reasons["empty.gif"] == "the file is empty"
    assert summary.failed_report == str(output / "failed.csv")
    success = json.loads((output / "_SUCCESS").read_bytes())
    for name in ("image_report.csv", "failed.csv"):
        assert success[name]["sha256"] == hashlib.sha256((output / name).read_bytes()).hexdigest()


def test_a_file_whose_name_is_not_valid_utf8_is_a_row_that_says_so(source: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(source) + b"/odd\xff.jpg"))
    odd.write_bytes(encode(draw(77)))
    assert run(source).failed > 0
    reasons = {row["Image Path"]: row["Reason"] for row in rows(source.with_name("photos_deduplicated") / "failed.csv")}
    assert reasons[f"{source}/odd\\xff.jpg"] == "has a name that is not valid UTF-8: rename it"


def test_second_run_touches_nothing(source: Path) -> None:
    run(source)
    output = source.with_name("photos_deduplicated")
    before = published(output)
    again = run(source)
    assert (again.epoch, again.resumed, again.downloaded, again.copied, again.removed) == (2, False, 0, 0, 0)
    assert published(output) == before


def test_listing_and_plan_of_a_finished_epoch_go_when_the_next_one_is_finished(source: Path) -> None:
    run(source)
    run(source)
    runs = source.with_name("photos_deduplicated") / "_state" / "runs"
    assert {name.split("/")[0] for name in files(runs)} == {"e0002"}
    assert len([name for name in files(runs) if "/plan/" in name]) == 1


def test_only_what_changed_is_read_and_only_what_follows_from_it_moves(source: Path) -> None:
    run(source)
    output = source.with_name("photos_deduplicated")
    before = published(output)
    reasons = {row["Reason"] for row in rows(output / "failed.csv")}
    (source / "fourth.jpg").write_bytes(encode(draw(4)))
    (source / "second.jpg").write_bytes(encode(draw(5)))
    (source / "third.webp").rename(source / "renamed.webp")
    (source / "=first.jpg").unlink()
    again = run(source)
    assert again.downloaded == 3
    assert (again.copied, again.removed) == (3, 2)
    after = published(output)
    kept = {"best/first.png", "duplicates/straße/first.png", "duplicates/straße/first small.jpg"}
    assert {name for name in after if before.get(name) == after[name]} == kept
    assert {row["Reason"] for row in rows(output / "failed.csv")} == reasons
    assert sorted(files(output / "best")) == ["first.png", "fourth.jpg", "renamed.webp", "second.jpg"]
    assert (output / "best" / "second.jpg").read_bytes() == (source / "second.jpg").read_bytes()
    assert "duplicates/=first.jpg" not in after


def test_a_picture_takes_the_place_of_a_folder_that_is_gone(source: Path) -> None:
    (source / "x.jpg").mkdir()
    (source / "x.jpg" / "y.jpg").write_bytes(encode(draw(70)))
    run(source)
    output = source.with_name("photos_deduplicated")
    assert (output / "best/x.jpg/y.jpg").is_file()
    shutil.rmtree(source / "x.jpg")
    failed = run(source).failed
    assert not (output / "best/x.jpg").exists()
    (source / "x.jpg").write_bytes(encode(draw(71)))
    assert run(source).failed == failed
    assert (output / "best/x.jpg").read_bytes() == (source / "x.jpg").read_bytes()


def test_foreign_file_in_the_output_is_neither_overwritten_nor_removed(source: Path) -> None:
    run(source)
    output = source.with_name("photos_deduplicated")
    (output / "best" / "mine.jpg").write_bytes(b"mine")
    (output / "best" / "new.jpg").write_bytes(b"in the way")
    (source / "new.jpg").write_bytes(encode(draw(6)))
    summary = run(source)
    assert (output / "best" / "mine.jpg").read_bytes() == b"mine"
    assert (output / "best" / "new.jpg").read_bytes() == b"in the way"
    assert summary.failed == 4
    reasons = {Path(row["Image Path"]).name: row["Reason"] for row in rows(output / "failed.csv")}
    assert "something that imgsieve did not write lies at" in reasons["new.jpg"]


def test_dry_run_decides_the_same_and_leaves_the_output_alone(source: Path) -> None:
    summary = run(source, dry_run=True)
    output = source.with_name("photos_deduplicated")
    assert published(output) == {}
    assert (summary.copied, summary.removed) == (6, 0)
    assert summary.report == str(output / "_state" / "dry_run" / "image_report.csv")
    dry = Path(summary.report).read_bytes()
    real = run(source)
    assert real.downloaded == 0
    assert Path(real.report).read_bytes() == dry


def test_uniques_skip_leaves_groups_of_one_out(source: Path) -> None:
    run(source, uniques="skip")
    output = source.with_name("photos_deduplicated")
    assert sorted(files(output / "best")) == ["first.png"]
    alone = [row for row in rows(output / "image_report.csv") if row["Group Size"] == "1"]
    assert [row["Output Path"] for row in alone] == ["", ""]


def test_other_relations_restart_at_matching_on_cached_features(source: Path) -> None:
    cropped = Image.open(source / "second.jpg").crop((12, 9, 188, 141))
    (source / "second part.jpg").write_bytes(encode(cropped))
    assert run(source).duplicates == 4
    again = run(source, relations=("copy",))
    assert (again.downloaded, again.duplicates, again.epoch) == (0, 3, 2)
    output = source.with_name("photos_deduplicated")
    assert (output / "best" / "second part.jpg").exists()
    assert not (output / "duplicates" / "second part.jpg").exists()


def test_state_elsewhere_is_found_again_and_demanded(source: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    run(source, state=state)
    assert run(source, state=state).downloaded == 0
    with pytest.raises(UsageError, match="--state"):
        run(source)


def test_what_another_job_did_while_this_one_waited_for_the_lock_counts(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, state = RunLock.acquire, str(tmp_path / "state")

    def wait(lock: RunLock) -> None:
        monkeypatch.setattr(RunLock, "acquire", acquire)
        run(source, output=str(tmp_path / "first"), state=state)
        acquire(lock)

    monkeypatch.setattr(RunLock, "acquire", wait)
    with pytest.raises(UsageError, match=r"state .* belongs to the output .*/first, not to .*/second"):
        run(source, output=str(tmp_path / "second"), state=state)
    assert not (tmp_path / "second").exists()


def test_output_of_another_source_is_refused(source: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    run(source, output=output)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(encode(draw(9)))
    with pytest.raises(UsageError, match="is the output of"):
        run(other, output=output)


def test_source_without_pictures_is_refused_and_an_emptied_one_costs_no_copies(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match="no pictures below"):
        run(folder)
    assert not (tmp_path / "nothing_deduplicated").exists()
    run(source)
    before = published(source.with_name("photos_deduplicated"))
    source.rename(tmp_path / "moved")
    source.mkdir()
    with pytest.raises(UsageError, match="no pictures below"):
        run(source)
    assert published(source.with_name("photos_deduplicated")) == before


def test_picture_over_the_limits_is_a_row(source: Path) -> None:
    summary = run(source, max_image_pixels=20_000)
    reasons = {Path(row["Image Path"]).name: row["Reason"] for row in rows(Path(str(summary.failed_report)))}
    assert "over the limit of 20000" in reasons["second.jpg"].replace(",", "")
    assert run(source).failed == 3


def test_scratch_folder_is_left_empty(source: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run(source, scratch=scratch)
    assert os.listdir(scratch) == []
