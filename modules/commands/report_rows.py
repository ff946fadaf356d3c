"""An image_report.csv read back: row by row, with what is wrong in it as one line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import UsageError
from modules.outputs.csv_file import unescape
from modules.outputs.report import REPORT_COLUMNS

_CLAIMED = "claimed"


@dataclass(frozen=True, slots=True)
class Row:
    """What one row says of a picture, and the line that it begins on.

    path, witness: full addresses; witness and relation are empty for the best one. size: of its group, pictures.
    """

    line: int
    path: str
    group: int
    size: int
    best: bool
    witness: str
    relation: str
    width: int
    height: int
    bytes: int


def read_rows(path: Path, address: str) -> Iterator[Row]:
    """Rows of a local copy of the report at ``address``, one at a time. Raises UsageError for what is no such table."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            missing = [name for name in REPORT_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{address} is no image_report.csv of this version: it has no column {missing[0]!r}")
            if not _ends_with_a_line(path):
                raise UsageError(f"{address} ends within a line, cut short: take the report as it was written")
            end = reader.line_num
            for values in reader:
                begin, end = end + 1, reader.line_num
                yield _row(begin, values, address)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UsageError(f"{address} cannot be read as a table behind line {reader.line_num}: {error}") from None


def _ends_with_a_line(path: Path) -> bool:
    """Of a file that is not empty. A last cell that lost its end still reads like one."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _row(line: int, values: dict[str | None, Any], address: str) -> Row:
    """csv.DictReader leaves None in place of cells that are missing, and keeps those that are too many under None."""
    if None in values or None in values.values():
        raise UsageError(
            f"{address}, line {line}: it has not as many cells as columns; take the report as it was written"
        )

    def number(name: str) -> int:
        try:
            return int(values[name])
        except ValueError:
            raise UsageError(f"{address}, line {line}: {name} is {values[name]!r}, not a whole number") from None

    status = values["Status"]
    if status not in ("Best", "Duplicate"):
        raise UsageError(f"{address}, line {line}: Status is {status!r}, neither Best nor Duplicate")
    return Row(
        line,
        values["Image Path"],
        number("Group ID"),
        number("Group Size"),
        status == "Best",
        unescape(values["Kept Witness"]),
        unescape(values["Relation"]).removesuffix(_CLAIMED).removesuffix("-"),
        number("Width"),
        number("Height"),
        number("Bytes"),
    )
