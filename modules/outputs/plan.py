"""The plan: what is to become of every picture, written to the state before anything is done, in report order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import groupby, islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from modules.outputs.layout import Layout
from modules.quality.colour import mean_correlation
from modules.records import Decided, Decision, Kind
from modules.state.schemas import to_table
from modules.state.shards import ShardWriter, read_shards
from modules.store_thread import StoreThread

ROWS = 50_000
"""Rows of a plan shard: some 50 MB of memory while it is written."""

_PIECE = 1000

PLAN = pa.schema(
    [
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("md5", pa.binary()),
        ("sha", pa.binary(32)),
        ("group", pa.int64()),
        ("group_size", pa.int64()),
        ("best", pa.bool_()),
        ("witness", pa.string()),
        ("relation", pa.uint8()),
        ("claimed", pa.bool_()),
        ("similarity", pa.float32()),
        ("confidence", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("quality", pa.float32()),
        ("sharpness", pa.float32()),
        ("exposure", pa.float32()),
        ("contrast", pa.float32()),
        ("noise", pa.float32()),
        ("compression", pa.float32()),
        ("dominant_colours", pa.int32()),
        ("palette", pa.binary()),
        ("taken", pa.string()),
        ("camera", pa.string()),
        ("gps", pa.bool_()),
        ("damaged", pa.bool_()),
        ("correlation", pa.float32()),
        ("target", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class PlanRow(Decided):
    """One picture of the plan, columns as in PLAN.

    correlation: mean correlation of its colours with the other members' of its group, -1 to 1, 1 for a group of one.
    target: key of its copy, None for one that is not copied.
    """

    correlation: float
    target: str | None


@dataclass(slots=True)
class PlanCounts:
    """What a plan holds. rows: pictures (blobs). bytes_saved: size of the duplicates.

    copies, copied_bytes: blobs that are to lie in the output, and their size.
    """

    rows: int = 0
    groups: int = 0
    duplicates: int = 0
    bytes_saved: int = 0
    copies: int = 0
    copied_bytes: int = 0

    def add(self, row: PlanRow) -> None:
        """Count one more row."""
        self.rows += 1
        if row.best:
            self.groups += 1
        else:
            self.duplicates += 1
            self.bytes_saved += row.size
        if row.target is not None:
            self.copies += 1
            self.copied_bytes += row.size


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan written by this attempt; may be read as often as wanted. shards: their keys, in order."""

    thread: StoreThread
    shards: tuple[str, ...]
    counts: PlanCounts

    def rows(self) -> Iterator[PlanRow]:
        """Every picture in the order of the decisions. Raises StateError when a shard is damaged or gone."""
        for _, table in read_shards(self.thread, self.shards, ahead=2):
            for start in range(0, len(table), _PIECE):
                columns = (column.to_pylist() for column in table.slice(start, _PIECE).columns)
                yield from (_row(*values) for values in zip(*columns, strict=True))


def write_plan(
    thread: StoreThread,
    writer: ShardWriter,
    layout: Layout,
    epoch: int,
    decisions: Callable[[], Iterator[Decision]],
    *,
    uniques: Literal["copy", "skip"],
    shard_rows: int = ROWS,
) -> Plan:
    """Write what the decisions mean, in their order, in shards below ``runs/eNNNN/plan/``.

    decisions: begins a new iteration each time, ordered by group; two go on side by side, so that a group of any size
    needs no more memory than its histograms. uniques: whether groups of one get a copy. An attempt that is started
    again writes a plan of its own; only that one is read. Raises what a store's write raises.
    """
    counts = PlanCounts()
    shards: list[str] = []
    rows = plan_rows(layout, decisions, uniques=uniques)
    while piece := list(islice(rows, shard_rows)):
        for row in piece:
            counts.add(row)
        shards.append(writer.write(f"runs/e{epoch:04d}/plan", 0, _table(piece)))
    return Plan(thread, tuple(shards), counts)


def plan_rows(
    layout: Layout, decisions: Callable[[], Iterator[Decision]], *, uniques: Literal["copy", "skip"]
) -> Iterator[PlanRow]:
    """Decisions with their group's colour correlation and the place of their copy; arguments as in write_plan."""
    behind = decisions()
    for _, group in groupby(decisions(), key=lambda decision: decision.group):
        histograms = bytearray()
        for decision in group:
            histograms += decision.hsv_histogram
        correlations = mean_correlation(np.frombuffer(histograms, np.uint8).reshape(-1, 128))
        members = islice(behind, len(correlations))
        for decision, correlation in zip(members, correlations, strict=True):
            skipped = uniques == "skip" and decision.group_size == 1
            target = None if skipped else layout.target(decision.key, best=decision.best)
            yield _planned(decision, float(correlation), target)


def _table(rows: list[PlanRow]) -> pa.Table:
    return to_table(PLAN, ([getattr(row, name) for name in PLAN.names] for row in rows))


_SHARED = [field.name for field in fields(Decided)]


def _planned(decision: Decision, correlation: float, target: str | None) -> PlanRow:
    shared: dict[str, Any] = {name: getattr(decision, name) for name in _SHARED}
    return PlanRow(**shared, correlation=correlation, target=target)


def _row(*values: Any) -> PlanRow:
    row = PlanRow(*values)
    return row if row.relation is None else replace(row, relation=Kind(row.relation))
