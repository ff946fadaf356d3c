"""What the operating system raises about a file, as errors of this project: the folder store's map of them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from modules.errors import AccessError, BadNameError, NotFoundError, StoreAwayError, StoreError, UsageError

#: How a listing shows a byte of a name that is not valid UTF-8.
_ODD_BYTE = re.compile(r"\\x[0-9a-f]{2}")


@contextmanager
def os_errors(action: str, key: str) -> Iterator[None]:
    """Around what is done to ``key``. action: a verb that the message names: list, look at, lock, read, remove, write.

    Raises NotFoundError for what is gone, BadNameError for what only is shown under that name, AccessError for what may
    not be changed, StoreAwayError for a full disk, UsageError for a lock below a file, StoreError for all else.
    """
    try:
        yield
    except FileNotFoundError as error:
        if _ODD_BYTE.search(key):
            raise BadNameError(f"there is no file {key}: its true name is not valid UTF-8, rename it") from error
        raise NotFoundError(f"there is no file {key}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full and action == "read":
            raise  # by whom it is written somewhere: that is what is named
        if action == "list" and isinstance(error, NotADirectoryError):
            raise NotFoundError(f"{key} is no folder any more") from error
        if action == "lock" and isinstance(error, FileExistsError | NotADirectoryError):
            raise UsageError(f"cannot write {key}: a part of this path is a file") from error
        if action == "read" and isinstance(error, NotADirectoryError | IsADirectoryError):
            raise NotFoundError(f"{key} is no file any more") from error
        text = f"cannot {action} {key}: {error.strerror or error}"
        if full:
            raise StoreAwayError(f"{text}: make room and run again") from error
        if action != "read" and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessError(text) from error
        raise StoreError(text) from error
