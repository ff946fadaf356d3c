"""Files of the local file system as a store lists them: in the order of their keys, with size, ETag and time."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator

from modules.errors import NotFoundError, UsageError
from modules.folder_errors import os_errors
from modules.local_files import HALF_WRITTEN
from modules.records import BlobInfo

log = logging.getLogger(__name__)

_FAR = 2**63 - 1


def check_folder(prefix: str) -> None:
    """Prove that a folder can be listed. Raises UsageError for what is none, AccessError."""
    if not os.path.isdir(prefix):
        path = prefix.rstrip("/")
        raise UsageError(f"{path} is a file, not a folder" if os.path.exists(path) else f"there is no folder {path}")
    with os_errors("list", prefix), os.scandir(prefix):
        pass


def etag_of(status: os.stat_result) -> str:
    """``{mtime in ns}-{size}``."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def describe(path: str, key: str) -> BlobInfo | None:
    """What a listing says of the file at ``path``; None for what is none: a folder, a device, a link to nothing."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    if not stat.S_ISREG(status.st_mode):
        return None
    # A file may say that it was changed in a year that the state's 64 bits do not reach.
    return BlobInfo(key, status.st_size, etag_of(status), modified_ns=sorted((-_FAR, status.st_mtime_ns, _FAR))[1])


def walk(folder: str, prefix: str, after: str) -> Iterator[BlobInfo]:
    """Files below ``folder`` whose key begins with ``prefix`` and lies behind ``after``, in the order of their keys.

    Sorting names with '/' behind folders gives just that. One folder's names are held at a time.
    """
    entries: list[tuple[str, str]] = []
    try:
        with os_errors("list", folder), os.scandir(folder) as scan:
            for entry in scan:
                if not HALF_WRITTEN.fullmatch(entry.name):
                    key = os.fsencode(entry.path).decode("utf-8", "backslashreplace")
                    slash = "/" if entry.is_dir(follow_symlinks=False) else ""
                    entries.append((key + slash, entry.path))
    except NotFoundError:
        return  # removed since its parent was read, or nothing written yet: no files
    entries.sort()
    for number, (key, path) in enumerate(entries):
        if number and key == entries[number - 1][0]:
            log.warning("left out, its name is not valid UTF-8, and shown like another one's; rename it: %s", key)
        elif key.endswith("/"):
            if (key > after or after.startswith(key)) and (key.startswith(prefix) or prefix.startswith(key)):
                yield from walk(path, prefix, after)
        elif key > after and key.startswith(prefix):
            with os_errors("list", path):
                found = describe(path, key)
            if found is not None:
                yield found
            else:
                log.warning("left out, not a file (linked folders are not followed): %s", key)
