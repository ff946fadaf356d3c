"""The whole command in a process of its own, on a folder: what a person sees and what lies there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.make_sample import draw_picture
from tests.command import imgsieve


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        draw_picture(number).save(folder / f"{number}.png")
    smaller = draw_picture(0)
    smaller.reduce(2).save(folder / "zero again.jpg", quality=70)
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
    ended = imgsieve(pictures.parent, "run", "pictures", "--dry-run", "--workers", "1", "--features", "descriptor")
    assert ended.returncode == 0
    assert "Would save" in ended.stdout
    output = pictures.with_name("pictures_deduplicated")
    assert [path.name for path in output.iterdir()] == ["_state"]
    assert (output / "_state/dry_run/image_report.csv").exists()
