import gc
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest

from modules.memory_store import MemoryStore
from modules.outputs.layout import Layout
from modules.outputs.plan import PlanRow, write_plan
from modules.quality.colour import correlation
from modules.records import Decision, Kind
from modules.state.shards import ShardWriter
from modules.store_thread import StoreThread
from tests.decisions import decision

LAYOUT = Layout("c/in/", "c/out/", "c/out/_state/")
GROUPS = [
    decision("c/in/a.jpg", group=1, group_size=3, seed=1),
    decision("c/in/b/a.jpg", group=1, group_size=3, seed=1, relation=Kind.EXACT, claimed=True),
    decision("c/in/ä.jpg", group=1, group_size=3, seed=2, relation=Kind.PART, similarity=0.75),
    decision("c/in/z.jpg", group=2, seed=3),
]


@pytest.fixture
def thread() -> Iterator[StoreThread]:
    owner = StoreThread(MemoryStore())
    yield owner
    owner.close()


def plan_of(
    thread: StoreThread, decisions: list[Decision], uniques: Literal["copy", "skip"] = "copy", shard_rows: int = 50_000
) -> tuple[list[PlanRow], int]:
    writer = ShardWriter(thread, LAYOUT.state, 3, 7)
    plan = write_plan(thread, writer, LAYOUT, 3, lambda: iter(decisions), uniques=uniques, shard_rows=shard_rows)
    assert all(key.startswith("c/out/_state/runs/e0003/plan/p00000-e0003-a0007-") for key in plan.shards)
    assert len(list(plan.rows())) == plan.counts.rows
    return list(plan.rows()), len(plan.shards)


def test_rows_come_back_in_order_with_their_targets(thread: StoreThread) -> None:
    rows, shards = plan_of(thread, GROUPS, shard_rows=2)
    assert shards == 2
    assert [row.target for row in rows] == [
        "c/out/best/a.jpg",
        "c/out/duplicates/b/a.jpg",
        "c/out/duplicates/ä.jpg",
        "c/out/best/z.jpg",
    ]
    for row, made in zip(rows, GROUPS, strict=True):
        for name in (
            "key",
            "etag",
            "size",
            "md5",
            "sha",
            "group",
            "group_size",
            "best",
            "witness",
            "claimed",
            "format",
        ):
            assert getattr(row, name) == getattr(made, name)
    assert [row.relation for row in rows] == [None, Kind.EXACT, Kind.PART, None]
    assert rows[2].relation is Kind.PART


def test_uniques_may_be_skipped(thread: StoreThread) -> None:
    rows, _ = plan_of(thread, GROUPS, "skip")
    assert [row.target is None for row in rows] == [False, False, False, True]


def test_counts(thread: StoreThread) -> None:
    plan = write_plan(thread, ShardWriter(thread, LAYOUT.state, 1, 1), LAYOUT, 1, lambda: iter(GROUPS), uniques="skip")
    counts = plan.counts
    sizes = [made.size for made in GROUPS]
    assert (counts.rows, counts.groups, counts.duplicates, counts.copies) == (4, 2, 2, 3)
    assert counts.bytes_saved == sizes[1] + sizes[2]
    assert counts.copied_bytes == sum(sizes[:3])


def test_correlation_is_the_mean_with_the_other_members(thread: StoreThread) -> None:
    rows, _ = plan_of(thread, GROUPS)
    histograms = [made.hsv_histogram for made in GROUPS[:3]]
    for i, row in enumerate(rows[:3]):
        expected = np.mean([correlation(histograms[i], other) for j, other in enumerate(histograms) if j != i])
        assert row.correlation == pytest.approx(expected, abs=1e-5)
    assert rows[3].correlation == 1.0


def decisions_alive() -> int:
    """By type(), not isinstance(): that asks lazy objects of other libraries for their class, and they warn."""
    return sum(type(thing) is Decision for thing in gc.get_objects())


def test_a_large_group_is_never_held_as_decisions(thread: StoreThread) -> None:
    alive: list[int] = []

    def decisions() -> Iterator[Decision]:
        for n in range(6000):
            if n == 5999:
                alive.append(decisions_alive() - at_first)
            yield decision(f"c/in/{n:05d}.jpg", group=1, group_size=6000, best=n == 0, seed=n % 7)

    at_first = decisions_alive()
    writer = ShardWriter(thread, LAYOUT.state, 1, 1)
    plan = write_plan(thread, writer, LAYOUT, 1, decisions, uniques="copy", shard_rows=1000)
    assert len(alive) == 2
    assert max(alive) < 10
    rows = list(plan.rows())
    assert len(plan.shards) == 6
    assert [row.key for row in rows] == [f"c/in/{n:05d}.jpg" for n in range(6000)]
    assert len({row.correlation for row in rows}) <= 7


def test_an_empty_plan(thread: StoreThread) -> None:
    assert plan_of(thread, []) == ([], 0)
