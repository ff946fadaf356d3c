"""What killed jobs leave on a local disk, and how it is told from what living ones use."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modules.errors import UsageError

log = logging.getLogger(__name__)

#: Of a scratch folder's name. Hidden and long, for folders that are called so are removed: no person's may be.
SCRATCH = ".imgsieve-scratch-"
#: Names of files that the folder store is writing (a UUID follows); a killed process may leave some.
HALF_WRITTEN = re.compile(r"\.imgsieve-[0-9a-f]{32}")
_TRIES = 10


def remove_half_written(*folders: str) -> int:
    """Remove the half-written files below ``folders`` that killed jobs left; returns how many.

    For an output and its state, under the run lock: nobody else writes there then. Linked folders are not followed.
    Raises nothing: what cannot be removed lies where no listing shows it.
    """
    count = 0
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in filter(HALF_WRITTEN.fullmatch, names):
                try:
                    os.unlink(os.path.join(path, name))
                except OSError as error:
                    log.warning("left alone, a half-written file: %s", error)
                else:
                    count += 1
    return count


def remove_empty_folders(*folders: str) -> None:
    """Remove the folders below ``folders`` that hold nothing, as those of copies that are gone; ``folders`` stay.

    A picture could not be copied to where one lies. Raises nothing: one that is not empty, or not ours, stays.
    """
    for folder in folders:
        for path, _, _ in os.walk(folder, topdown=False):
            if os.path.normpath(path) != os.path.normpath(folder):
                with suppress(OSError):
                    os.rmdir(path)


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A fresh folder below ``parent`` (None: the system's place for them), removed at the end.

    Its owner holds a lock on it that goes with the process, so those of killed jobs are known, and removed first.
    """
    root = Path(tempfile.gettempdir() if parent is None else parent)
    for path in root.glob(f"{SCRATCH}*"):
        _remove_abandoned(path)
    folder, hold = _claim(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(hold)


def _claim(root: Path) -> tuple[Path, int]:
    """A new folder and the file descriptor that holds its lock. Raises UsageError where none can be locked."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))
        # Until it is locked, another job that starts just now may take it for abandoned and remove it.
        if (hold := _lock(folder)) is not None:
            return folder, hold
        shutil.rmtree(folder, ignore_errors=True)
    raise UsageError(f"no folder below {root} can be locked: name another place with --scratch, on a local disk")


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock on a folder; None when another process has it, or it is gone."""
    try:
        hold = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(hold), os.stat(folder)):
            return hold
    except OSError:
        log.debug("not ours to use: %s", folder)
    os.close(hold)
    return None


def _remove_abandoned(folder: Path) -> None:
    if (hold := _lock(folder)) is None:
        return
    log.info("removing what a killed job left: %s", folder)
    shutil.rmtree(folder, ignore_errors=True)  # what is another user's stays
    os.close(hold)
