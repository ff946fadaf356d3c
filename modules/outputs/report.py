"""image_report.csv and failed.csv: every decision with what it rests on, and what could not be used."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modules.outputs.csv_file import LocalFile, escape, write_csv
from modules.outputs.ledger import Ledger
from modules.outputs.plan import PlanRow
from modules.records import Failure

REPORT_COLUMNS = (
    "Image Path",
    "Quality Score",
    "Group ID",
    "Group Size",
    "Status",
    "Avg Color Correlation",
    "Dominant Colors",
    "Kept Witness",
    "Relation",
    "Similarity",
    "Width",
    "Height",
    "Bytes",
    "Format",
    "Sharpness",
    "Exposure",
    "Contrast",
    "Noise",
    "Compression",
    "Palette",
    "Taken",
    "Camera",
    "GPS",
    "Output Path",
    "Damaged",
    "Confidence",
    "SHA-256",
)
FAILED_COLUMNS = ("Image Path", "Bytes", "Reason")

Address = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Reports:
    """Local files of both tables. failed: None when nothing failed."""

    report: LocalFile
    failed: LocalFile | None


def make_reports(
    folder: Path, address: Address, rows: Iterable[PlanRow], failures: Iterator[Failure], ledger: Ledger | None
) -> Reports:
    """Write both tables to a local folder.

    rows: of the plan, in its order. failures: pictures that could not be used, by key; the ledger adds those that
    could not be published (after a survey only: whose place is taken); they keep their row in the report, with an empty
    Output Path. ledger: None when nothing was surveyed.
    """
    lost = ledger if ledger is not None and ledger.count("failures") else None
    unpublished = lost.failures() if lost else iter(())
    lines = (_report_row(row, address, published=lost is None or not lost.has_failed(row.key)) for row in rows)
    report = write_csv(folder / "image_report.csv", REPORT_COLUMNS, lines)
    merged = heapq.merge(failures, unpublished, key=lambda failure: failure.key)
    first = next(merged, None)
    if first is None:
        return Reports(report, None)
    failed = (_failed_row(failure, address) for part in ((first,), merged) for failure in part)
    return Reports(report, write_csv(folder / "failed.csv", FAILED_COLUMNS, failed))


def relation_name(row: PlanRow) -> str:
    """How a duplicate relates to its witness; empty for the best one. Marked where it rests on a claim of equality."""
    if row.relation is None:
        return "claimed" if row.claimed else ""
    return row.relation.name.lower() + ("-claimed" if row.claimed else "")


def palette_text(palette: bytes) -> str:
    """Dominant colours as in :class:`modules.records.Facts`: ``#a1b2c3 41%; #000000 20%``."""
    colours = (palette[start : start + 4] for start in range(0, len(palette), 4))
    return "; ".join(f"#{colour[:3].hex()} {100 * colour[3] / 255:.0f}%" for colour in colours)


def _report_row(row: PlanRow, address: Address, *, published: bool) -> tuple[str, ...]:
    return (
        address(row.key),
        f"{row.quality:z.2f}",
        str(row.group),
        str(row.group_size),
        "Best" if row.best else "Duplicate",
        f"{row.correlation:z.4f}",
        str(row.dominant_colours),
        "" if row.witness is None else escape(address(row.witness)),
        escape(relation_name(row)),
        "" if row.best else f"{row.similarity:z.4f}",
        str(row.width),
        str(row.height),
        str(row.size),
        escape(row.format),
        *(f"{part:z.4f}" for part in (row.sharpness, row.exposure, row.contrast, row.noise, row.compression)),
        palette_text(row.palette),
        escape(row.taken),
        escape(row.camera),
        "yes" if row.gps else "",
        escape(address(row.target)) if row.target is not None and published else "",
        "yes" if row.damaged else "",
        "" if row.best or row.confidence is None else f"{row.confidence:z.4f}",
        row.sha.hex(),
    )


def _failed_row(failure: Failure, address: Address) -> tuple[str, ...]:
    return address(failure.key), str(failure.size), escape(failure.reason)
