"""The last steps of a run: report, failed.csv, run.json, and ``_SUCCESS`` when all of them lie there."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modules import __version__
from modules.errors import NotFoundError
from modules.outputs.csv_file import LocalFile
from modules.outputs.layout import Layout
from modules.outputs.plan import PlanCounts
from modules.outputs.publish import remove_success, unchanged
from modules.outputs.report import Reports
from modules.records import BlobInfo, RunSummary
from modules.settings import Settings, redact
from modules.store_thread import StoreThread

_LIBRARIES = ("numpy", "opencv-python-headless", "pandas", "pillow", "pyarrow", "faiss-cpu")


def finish(
    thread: StoreThread,
    layout: Layout,
    reports: Reports,
    *,
    counts: PlanCounts,
    failed: int,
    run: Mapping[str, Any],
    fence: Callable[[], None],
) -> None:
    """Write report, failed.csv, run.json and ``_SUCCESS``, in this order, but for what is right already.

    failed: rows of failed.csv. run: the content of run.json, always written. ``_SUCCESS`` is removed before a table
    changes. What changes must be as it was before the fence, so that a zombie that wakes up behind it changes
    nothing. Raises what fence raises, when another job has taken over, and RetryLaterError for any other change.
    """
    success = success_document(reports, counts, failed)
    old = _read_json(thread, layout.success)
    tables = {layout.report: (reports.report, "image_report.csv"), layout.failed_report: (reports.failed, "failed.csv")}
    seen = {key: thread.run(thread.store.stat(key)) for key in (*tables, layout.run_file)}
    fence()
    wrong = {key: file for key, (file, name) in tables.items() if not _is_right(seen[key], file, old.get(name))}
    changed = bool(wrong) or json.loads(success) != old
    if changed:
        remove_success(thread, layout, fence)
    for key, file in wrong.items():
        _put(thread, key, file, seen[key], fence)
    _replace(thread, layout.run_file, _json(run), seen[layout.run_file], fence)
    fence()
    if changed:
        _replace(thread, layout.success, success, None, fence)


def finish_dry_run(thread: StoreThread, layout: Layout, reports: Reports, fence: Callable[[], None]) -> None:
    """Write both tables of a dry run below the state; the output stays as it is."""
    tables = {layout.dry().report: reports.report, layout.dry().failed_report: reports.failed}
    seen = {key: thread.run(thread.store.stat(key)) for key in tables}
    fence()
    for key, file in tables.items():
        _put(thread, key, file, seen[key], fence)


def success_document(reports: Reports, counts: PlanCounts, failed: int) -> bytes:
    """``_SUCCESS``: counts and check sums, nothing that differs between two runs that decided the same."""
    return _json(
        {
            "imgsieve": 1,
            "counts": {**asdict(counts), "failed": failed},
            "image_report.csv": _sums(reports.report),
            "failed.csv": _sums(reports.failed),
        }
    )


def run_document(summary: RunSummary, settings: Settings, started: datetime, ended: datetime) -> dict[str, Any]:
    """run.json: what was asked, what was done, when, and with what; secrets masked."""
    asked = {
        name: redact(value) if isinstance(value, str) else value
        for name, value in settings.model_dump(mode="json").items()
    }
    versions = {"imgsieve": __version__, "python": platform.python_version()}
    return {
        "summary": asdict(summary),
        "settings": asked,
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "versions": versions | {name: version(name) for name in _LIBRARIES},
    }


def _is_right(found: BlobInfo | None, file: LocalFile | None, vouched: object) -> bool:
    """Whether what was found is this file, going by the old ``_SUCCESS``, its size, and its MD5 where listed."""
    if found is None or file is None:
        return found is None and file is None
    return vouched == _sums(file) and found.size == file.size and found.md5 in (None, file.md5)


def _put(
    thread: StoreThread, key: str, file: LocalFile | None, seen: BlobInfo | None, fence: Callable[[], None]
) -> None:
    """Write a table, or remove ours of an earlier run that has none now."""
    if file is not None:
        _replace(thread, key, file.path, seen, fence)
    elif seen is not None:
        with unchanged(thread, key, fence):
            thread.run(thread.store.delete(key, if_match=seen.etag))


def _replace(
    thread: StoreThread, key: str, data: bytes | Path, seen: BlobInfo | None, fence: Callable[[], None]
) -> None:
    """Write in place of what was seen there, and of nothing else."""
    with unchanged(thread, key, fence):
        etag = None if seen is None else seen.etag
        thread.run(thread.store.write(key, data, if_match=etag, if_absent=seen is None))


def _sums(file: LocalFile | None) -> dict[str, Any] | None:
    return None if file is None else {"bytes": file.size, "sha256": file.sha256}


def _read_json(thread: StoreThread, key: str) -> dict[str, Any]:
    try:
        values = json.loads(thread.run(thread.store.read(key)).data)
    except (NotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
