"""The benchmark of quality on a small set, by its command line, with a run of the real job in it."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lookalikes.make import make
from benchmarks.quality import truth
from benchmarks.quality.baseline import Baseline, Figure
from tests.command import CLEAN, ROOT
from tests.drawings import leaves


def test_a_small_set_from_photographs_to_tables(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(14):
        leaves(number, (320, 240)).save(photos / f"{number}.jpg", quality=92)
    kept = tmp_path / "kept"
    size = ["--photos", "3", "--edits", "5", "--negatives", "1", "--blanks", "4"]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.quality",
            str(photos),
            "--half",
            "b",
            *size,
            "--effort",
            "balanced",
            "--keep",
            kept,
        ],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rows = truth.load(kept / "truth.csv")
    with (kept / "balanced.csv").open(newline="", encoding="utf-8") as file:
        reported = {Path(row["Image Path"]).name for row in csv.DictReader(file)}
    assert reported == {row.name for row in rows}
    assert "3 originals, 15 copies" in ended.stdout
    for name in ("balanced", r"balanced \+ embedded"):
        assert re.search(rf"^\| {name} \| [01]\.\d+ \|", ended.stdout, re.MULTILINE), ended.stdout
    listed = re.findall(r"^\| (?:easy|medium|hard|embedded) \| [\w-]+ \|", ended.stdout, re.MULTILINE)
    assert len(listed) == len({(row.level, row.transform) for row in rows if row.is_copy})


def test_too_few_photographs_are_one_clear_line(tmp_path: Path) -> None:
    leaves(1, (320, 240)).save(tmp_path / "one.jpg")
    command = [sys.executable, "-m", "benchmarks.quality", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1
    assert "too few photographs, 1 for 0 originals" in ended.stderr


def measured(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The smallest set there is: one photograph, one copy."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        leaves(number, (320, 240)).save(photos / f"{number}.jpg", quality=92)
    size = ["--photos", "1", "--edits", "1", "--negatives", "0", "--blanks", "0", "--effort", "balanced"]
    command = [sys.executable, "-m", "benchmarks.quality", str(photos), *size, *options]
    return subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=240, check=False)


SMALLEST = {
    "self_made": False,
    "half": None,
    "photos": 1,
    "edits": 1,
    "negatives": 0,
    "blanks": 0,
    "effort": ["balanced"],
    "features": None,
    "seed": 0,
    "without_held_out": False,
    "pictures": [1, 1, 0],
}


def test_a_figure_that_is_gone_ends_the_run_with_1_after_the_new_ones_were_kept(tmp_path: Path) -> None:
    Baseline(SMALLEST, [Figure("balanced: older copies found", 3, 4, True)]).save(tmp_path / "old.json")
    ended = measured(tmp_path, "--against", str(tmp_path / "old.json"), "--write-baseline", str(tmp_path / "new.json"))
    assert ended.returncode == 1
    assert ended.stderr == "worse: balanced: older copies found: not measured, in the baseline 3 of 4 (0.7500)\n"
    found = Baseline.load(tmp_path / "new.json")
    assert found.conditions == SMALLEST
    copies = [figure for figure in found.figures if figure.name.startswith("balanced: ") and "copies" in figure.name]
    assert [figure.tries for figure in copies] == [1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{}", "is no baseline"),
        ('{"conditions": {"edits": 9}, "figures": []}', "edits 9 not 1"),
    ],
)
def test_a_baseline_that_cannot_be_compared_with_is_one_clear_line(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "old.json").write_text(content)
    ended = measured(tmp_path, "--against", str(tmp_path / "old.json"))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr
    assert "copies found" not in ended.stdout


def test_look_alikes_from_pictures_to_a_table(tmp_path: Path) -> None:
    made = tmp_path / "made"
    entries = make(made, ["boards"], 1, (1, 4), ())
    command = [sys.executable, "-m", "benchmarks.quality", "--lookalikes", str(made), "--effort", "fast"]
    command += ["--features", "perceptual", "--strictness", "strict"]
    ended = subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "main.py run --effort fast --features perceptual --strictness strict" in ended.stdout
    copies = sum(entry.edit != "original" for entry in entries)
    row = rf"^\| boards \| \d+ \| {len(entries)} \| .* \| {copies} of {copies} \|$"
    assert re.search(row, ended.stdout, re.MULTILINE), ended.stdout
    assert "noted" not in ended.stdout


def test_a_folder_without_a_truth_is_one_clear_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.quality", "--lookalikes", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "there is no truth.csv in it" in ended.stderr
