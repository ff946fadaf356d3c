"""A CSV table as a local file: written by pandas in pieces, exact, and safe to open in a spreadsheet."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

PIECE = 50_000
"""Rows in memory at once: about 100 MB of the report's."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A finished file of ``size`` bytes with its check sums."""

    path: Path
    size: int
    sha256: str
    md5: bytes


def escape(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe before what begins like one, or with one.

    Taking one off gives the original back. See OWASP, CSV Injection.
    """
    return "'" + text if text.startswith(_FORMULA) else text


def unescape(text: str) -> str:
    """The inverse of :func:`escape`."""
    return text.removeprefix("'")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> LocalFile:
    """Write UTF-8 with LF line ends, only the cells quoted that need it; equal rows give equal bytes."""
    import pandas as pd  # noqa: PLC0415 - heavy: only where a report is written

    remaining = iter(rows)
    with path.open("wb") as file:
        lines = _Lines(file)
        pd.DataFrame(columns=list(columns)).to_csv(lines, index=False, lineterminator="\r\n")
        while piece := list(islice(remaining, PIECE)):
            pd.DataFrame(piece, dtype=object).to_csv(lines, header=False, index=False, lineterminator="\r\n")
    return LocalFile(path, lines.size, lines.sha256.hexdigest(), lines.md5.digest())


class _Lines(io.TextIOBase):
    """Takes the lines of a csv writer, counts and sums their bytes.

    The writer quotes line ends of either kind only if its own are CR LF, so it is told so, and its CR is dropped here.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, line: str, /) -> int:
        """Take one row."""
        data = line.removesuffix("\r\n").encode() + b"\n"
        self._file.write(data)
        self.size += len(data)
        self.sha256.update(data)
        self.md5.update(data)
        return len(line)
