"""The last steps of a run: report, failed.csv, run.json, and ``_SUCCESS`` when all of them lie there."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Any

from modules import __version__
from modules.errors import NotFoundError
from modules.outputs.csv_file import LocalFile
from modules.outputs.layout import Layout
from modules.outputs.plan import PlanCounts
from modules.outputs.publish import remove_success
from modules.outputs.report import Reports
from modules.records import RunSummary
from modules.settings import Settings, redact
from modules.store_thread import StoreThread

_LIBRARIES = ("numpy", "opencv-python-headless", "pandas", "pillow", "pyarrow", "faiss-cpu", "scikit-learn")


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
    changes. Raises what fence raises, when another job has taken over.
    """
    fence()
    success = success_document(reports, counts, failed)
    old = _read_json(thread, layout.success)
    tables = {layout.report: (reports.report, "image_report.csv"), layout.failed_report: (reports.failed, "failed.csv")}
    wrong = {key: file for key, (file, name) in tables.items() if not _is_right(thread, key, file, old.get(name))}
    if wrong or json.loads(success) != old:
        remove_success(thread, layout)
    for key, file in wrong.items():
        _put(thread, key, file)
    thread.run(thread.store.write(layout.run_file, _json(run)))
    fence()
    if wrong or json.loads(success) != old:
        thread.run(thread.store.write(layout.success, success))


def finish_dry_run(thread: StoreThread, layout: Layout, reports: Reports, fence: Callable[[], None]) -> None:
    """Write both tables of a dry run below the state; the output stays as it is."""
    fence()
    _put(thread, layout.dry().report, reports.report)
    _put(thread, layout.dry().failed_report, reports.failed)


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


def _is_right(thread: StoreThread, key: str, file: LocalFile | None, vouched: object) -> bool:
    """Whether what lies at a key is this file, going by the old ``_SUCCESS``, its size, and its MD5 where listed."""
    found = thread.run(thread.store.stat(key))
    if found is None or file is None:
        return found is None and file is None
    return vouched == _sums(file) and found.size == file.size and found.md5 in (None, file.md5)


def _put(thread: StoreThread, key: str, file: LocalFile | None) -> None:
    """Write a table, or remove ours of an earlier run that has none now."""
    if file is not None:
        thread.run(thread.store.write(key, file.path))
    elif (found := thread.run(thread.store.stat(key))) is not None:
        thread.run(thread.store.delete(key, if_match=found.etag))


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
