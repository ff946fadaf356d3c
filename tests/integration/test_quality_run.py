"""The benchmark of quality on a small set, by its command line, with a run of the real job in it."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.quality import truth
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
