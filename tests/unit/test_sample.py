"""The sample collection and the judge of its result: a demo proves nothing if these two are wrong."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from scripts.judge import judge
from scripts.make_sample import EDITS, EXACT, PHOTOS, Truth, make_sample

BASE = "/somewhere/sample"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("made") / "sample"
    return folder, make_sample(folder)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_truth_names_every_file_once(sample: tuple[Path, Truth]) -> None:
    folder, truth = sample
    named = [*truth.originals, *(copy.path for copy in truth.copies), *truth.broken]
    assert len(named) == len(set(named))
    assert set(named) == set(digests(folder))
    assert 150 <= len(named) <= 200
    assert {copy.of for copy in truth.copies} <= set(truth.originals)
    assert {copy.edit for copy in truth.copies} == {*EDITS, EXACT}
    assert sum(name.startswith("photos/") for name in truth.originals) == len(" ".join(PHOTOS.values()).split())


def test_names_are_as_awkward_as_real_ones(sample: tuple[Path, Truth]) -> None:
    names = sample[1].copies
    for part in (" ", "ü", "=SUM(", "/more/", "%"):
        assert any(part in copy.path for copy in names)
    assert any(copy.path.startswith("=") for copy in names)


def test_exact_copies_are_equal_and_no_other_files_are(sample: tuple[Path, Truth]) -> None:
    folder, truth = sample
    digest = digests(folder)
    exact = [copy for copy in truth.copies if copy.edit == EXACT]
    assert all(digest[copy.path] == digest[copy.of] for copy in exact)
    assert len(set(digest.values())) == len(digest) - len(exact)


def test_broken_files_are_broken_and_all_others_are_pictures(sample: tuple[Path, Truth]) -> None:
    folder, truth = sample
    for name in digests(folder):
        if name in truth.broken:
            with pytest.raises(OSError, match=r"truncated|cannot identify"), Image.open(folder / name) as picture:
                picture.load()
        else:
            with Image.open(folder / name) as picture:
                picture.load()


def test_the_same_call_makes_the_same_files(sample: tuple[Path, Truth], tmp_path: Path) -> None:
    assert make_sample(tmp_path / "again") == sample[1]
    assert digests(tmp_path / "again") == digests(sample[0])


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError):
        make_sample(tmp_path)


def report(groups: dict[str, int], best: set[str]) -> bytes:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["Image Path", "Group ID", "Status", "Bytes"])
    for name, group in groups.items():
        rows.writerow([f"{BASE}/{name}", group, "Best" if name in best else "Duplicate", 1000])
    return stream.getvalue().encode()


def failures(names: tuple[str, ...]) -> bytes:
    return ("Image Path,Bytes,Reason\n" + "".join(f"{BASE}/{name},5,broken\n" for name in names)).encode()


def perfect(truth: Truth) -> dict[str, int]:
    number = {name: place for place, name in enumerate(truth.originals, 1)}
    return number | {copy.path: number[copy.of] for copy in truth.copies}


def test_a_perfect_report_has_no_problems(sample: tuple[Path, Truth]) -> None:
    truth = sample[1]
    judgement = judge(report(perfect(truth), set(truth.originals)), failures(truth.broken), BASE, truth)
    assert judgement.problems(truth) == []
    assert judgement.found == judgement.known
    assert judgement.groups == len(truth.originals)
    assert judgement.saved == 1000 * len(truth.copies)


def test_every_kind_of_wrong_report_is_noticed(sample: tuple[Path, Truth]) -> None:
    truth = sample[1]
    right = perfect(truth)
    exact = next(copy.path for copy in truth.copies if copy.edit == EXACT)
    easy = [copy.path for copy in truth.copies if copy.edit == "resized"]
    first, second = truth.originals[:2]
    second_ones = {name for name, group in right.items() if group == right[second]}
    joined = {name: group for name, group in right.items() if name not in second_ones} | {second: right[first]}
    cases = {
        "exact copy": (right | {exact: 999}, {exact, *truth.originals}, truth.broken),
        "easy copies": (right | {name: 900 + place for place, name in enumerate(easy)}, {*easy, *truth.originals}, ()),
        "wrongly joined": (joined, set(truth.originals) - {second}, truth.broken),
        "in no report": ({name: group for name, group in right.items() if name != exact}, set(truth.originals), ()),
        "failed": (right, set(truth.originals), ()),
    }
    for part, (groups, best, failed) in cases.items():
        problems = judge(report(groups, best), failures(failed), BASE, truth).problems(truth)
        assert any(part in problem for problem in problems), part
