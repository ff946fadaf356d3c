import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modules.errors import UsageError
from modules.io_utils import _temporary
from modules.local_files import remove_empty_folders, remove_half_written, scratch_folder

ROOT = Path(__file__).resolve().parent.parent.parent
HOLDER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from modules.local_files import scratch_folder
with scratch_folder(Path({parent!r})) as folder:
    (folder / "index.sqlite").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.readline()
"""


def test_half_written_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    mine, like = "a.jpg", ".imgsieve-notes"
    with _temporary(f"{tmp_path}/a.jpg") as temporary:
        left = temporary.name
    (tmp_path / "out" / "best" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / left).write_bytes(b"x")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    for name in (left, mine, like):
        (tmp_path / "out" / "best" / "sub" / name).write_bytes(b"x")
    assert remove_half_written(f"{tmp_path}/out/", f"{tmp_path}/absent/") == 1
    assert sorted(os.listdir(tmp_path / "out" / "best" / "sub")) == [like, mine]
    assert os.listdir(tmp_path / "elsewhere") == [left]


def test_folders_that_hold_nothing_go_and_those_with_a_file_stay(tmp_path: Path) -> None:
    best = tmp_path / "best"
    for name in ("a/b/c", "full/empty", "linked"):
        (best / name).mkdir(parents=True)
    (best / "full" / "x.jpg").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (best / "linked" / "link").symlink_to(tmp_path / "elsewhere")
    remove_empty_folders(f"{best}/", f"{tmp_path}/duplicates/")
    found = sorted(str(path.relative_to(best)) for path in best.rglob("*"))
    assert found == ["full", "full/x.jpg", "linked", "linked/link"]
    assert (tmp_path / "elsewhere").is_dir()
    remove_empty_folders(f"{tmp_path}/elsewhere/")
    assert (tmp_path / "elsewhere").is_dir()


def test_scratch_of_a_killed_job_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    code = HOLDER.format(root=str(ROOT), parent=str(tmp_path))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with scratch_folder(tmp_path) as mine:
            assert (theirs / "index.sqlite").exists()
        assert os.listdir(tmp_path) == [theirs.name]
        holder.kill()
        holder.wait()
        with scratch_folder(tmp_path) as mine:
            assert os.listdir(tmp_path) == [mine.name]
    assert os.listdir(tmp_path) == []


def test_a_place_that_knows_no_locks_is_refused_and_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UsageError, match="--scratch"), scratch_folder(tmp_path):
        raise AssertionError("no folder was to be given")
    assert os.listdir(tmp_path) == []
