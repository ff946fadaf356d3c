"""Standard streams that are closed, full, or that nobody reads: a job that did its work says so by its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import CLEAN, ROOT
from tests.pictures import collection

FORMS = pytest.mark.parametrize("form", ["text", "json"])
COMMANDS = {"run": ("run", "pictures", "--features", "perceptual", "--workers", "1", "-v"), "hardware": ("hardware",)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/0.jpg").write_bytes(collection(1)["0000.jpg"])
    return tmp_path


def ended(place: Path, command: str, form: str, streams: str) -> tuple[int, str]:
    """Exit code and what came out. streams: where a shell leads the command's; 3 is a pipe that nobody reads."""
    unread, write = os.pipe()
    os.close(unread)
    script = f'exec 3>&{write}; exec "$@" {streams}'
    arguments = [sys.executable, str(ROOT / "main.py"), *COMMANDS[command], "--log-format", form]
    try:
        found = subprocess.run(
            ["bash", "-c", script, "bash", *arguments],
            cwd=place,
            env=CLEAN,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[write],
            timeout=240,
            check=False,
        )
    finally:
        os.close(write)
    return found.returncode, found.stdout.decode()


@FORMS
@pytest.mark.parametrize(
    "streams", [">&3", "2>&3", ">&3 2>&3", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"]
)
def test_a_run_goes_on_to_its_end(place: Path, form: str, streams: str) -> None:
    code, text = ended(place, "run", form, streams)
    assert code == 0, text
    assert (place / "pictures_deduplicated/_SUCCESS").exists()
    if form == "json":
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


@FORMS
def test_a_page_that_is_not_read_to_its_end_is_no_error(place: Path, form: str) -> None:
    assert ended(place, "hardware", form, ">&3") == (0, "")


@FORMS
def test_a_page_that_cannot_be_kept_is_one(place: Path, form: str) -> None:
    code, text = ended(place, "hardware", form, ">/dev/full")
    assert code == 1
    (line,) = text.splitlines()
    assert "could not be written to stdout: No space left on device" in line
