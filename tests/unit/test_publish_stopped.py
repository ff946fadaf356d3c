"""A stop while a copy takes long, and what the next start makes of it."""

import asyncio
from collections.abc import Callable

import pytest

from modules.errors import InterruptedRunError
from modules.io_utils import Store
from modules.memory_store import MemoryStore
from modules.outputs import publish
from modules.outputs.journal import read_journal, write_journal
from modules.outputs.publish import PublishResult
from modules.outputs.survey import Survey
from modules.state.schemas import JournalRow
from modules.state.shards import ShardWriter
from tests.publishing import LAYOUT, World, filled, nothing, put


class PendingStore(MemoryStore):
    """Copies of b.jpg do not end while ``pending``."""

    pending = True
    begun = False
    cancelled = False

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        if self.pending and source.endswith("b.jpg"):
            self.begun = True
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True
        return await super().copy(source, target, source_etag=source_etag)


def test_a_stop_leaves_a_copy_that_is_pending_to_the_next_start(
    worlds: Callable[[Store], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "COPY_SECONDS", 0.001)
    store = PendingStore()
    filled(store, "ab")
    world = worlds(store)
    decisions = world.decisions([["a.jpg"], ["b.jpg"]])

    def stop() -> None:
        if store.begun and store.copies:  # b.jpg is pending, a.jpg is done
            raise InterruptedRunError("stopped")

    world.stop = stop
    with pytest.raises(InterruptedRunError):
        world.run(decisions)
    assert store.cancelled
    done = [row.target for row in read_journal(world.thread, LAYOUT.state) if row.target_etag]
    assert done == ["c/out/best/a.jpg"]
    store.pending, world.stop = False, nothing
    assert world.run(decisions) == PublishResult(copied=1, removed=0, failed=0)


def test_an_empty_file_at_an_intents_place_is_the_stores_to_judge(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "a")
    world = worlds(store)
    decisions = world.decisions([["a.jpg"]])
    target, source = "c/out/best/a.jpg", "c/in/a.jpg"
    intent = JournalRow(target, source, decisions[0].etag, None, sha=decisions[0].sha)
    write_journal(ShardWriter(world.thread, LAYOUT.state, 1, 0), [intent])
    put(store, target, b"")
    assert world.run(decisions) == PublishResult(copied=0, removed=0, failed=1)
    assert world.surveyed == Survey(copies=1, removals=0, foreign=0)
    assert store.copies == [(source, target)]
    assert [f.reason for f in world.failures] == [f"something else lies at mem://{target}: move it away and run again"]
    assert store.blobs[target].data == b""
