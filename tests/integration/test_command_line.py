"""The whole command in a process of its own, on a folder: what a person sees and what lies there afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.make_sample import draw_picture

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("IMGSIEVE_", "AZURE_"))}


def imgsieve(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        cwd=folder,
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        draw_picture(number).save(folder / f"{number}.png")
    draw_picture(0).save(folder / "zero again.jpg", quality=70)
    return folder


def test_run_again_and_a_broken_file(pictures: Path) -> None:
    output = pictures.with_name("pictures_deduplicated")
    first = imgsieve(pictures.parent, NUM_PROCESS_WORKERS="1", IMGSIEVE_SOURCE="pictures")
    assert (first.returncode, first.stderr.count("Traceback")) == (0, 0)
    assert "image_report.csv" in first.stdout
    assert sorted(path.name for path in (output / "best").iterdir()) == ["0.png", "1.png"]
    assert [path.name for path in (output / "duplicates").iterdir()] == ["zero again.jpg"]
    report = (output / "image_report.csv").read_bytes()

    (pictures / "broken.jpg").write_bytes(b"no picture")
    second = imgsieve(pictures.parent, "pictures", "--workers", "1", "--quiet")
    assert second.returncode == 3
    assert second.stdout == ""
    assert second.stderr.splitlines() == [f"imgsieve: done, but 1 file(s) could not be used: see {output}/failed.csv"]
    assert (output / "image_report.csv").read_bytes() == report


def test_a_dry_run_leaves_only_state(pictures: Path) -> None:
    ended = imgsieve(pictures.parent, "run", "pictures", "--dry-run", "--workers", "1")
    assert ended.returncode == 0
    assert "Would save" in ended.stdout
    output = pictures.with_name("pictures_deduplicated")
    assert [path.name for path in output.iterdir()] == ["_state"]
    assert (output / "_state/dry_run/image_report.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere",), "nowhere"),
        (("pictures", "--output", "pictures"), "--output"),
        (("pictures", "--output", "pictures/out"), "--output"),
        (("pictures", "--state", "pictures/state"), "--state"),
        (("pictures", "--features", "magic"), "magic"),
        (("ftp://host/pictures",), "ftp://"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_made(
    pictures: Path, arguments: tuple[str, ...], part: str
) -> None:
    before = sorted(pictures.parent.rglob("*"))
    ended = imgsieve(pictures.parent, *arguments, "--quiet")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert part in ended.stderr
    assert sorted(pictures.parent.rglob("*")) == before
