import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.errors import InterruptedRunError, LeaseHeldError, TransientError
from modules.io_utils import FolderStore, Store
from modules.memory_store import MemoryStore
from modules.outputs.journal import read_journal
from modules.outputs.layout import Layout
from modules.outputs.ledger import Ledger
from modules.outputs.publish import PublishResult
from modules.outputs.survey import Survey
from modules.records import Content, Failure
from modules.state.schemas import JournalRow, journal_rows
from tests.publishing import (
    FOREIGN,
    GROUPS,
    LATER,
    LAYOUT,
    KilledError,
    World,
    filled,
    nothing,
    put,
    results,
    second_act,
)
from tests.state import read_shard


def test_everything_goes_where_it_belongs(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcdefg")
    world = worlds(store)
    result = world.run(world.decisions(GROUPS))
    assert result == PublishResult(copied=7, removed=0, failed=0)
    assert world.surveyed == Survey(7, 0, 0)
    assert len(world.advanced) == 7
    copies = {key.removeprefix("c/out/"): data for key, data in results(store).items() if ".jpg" in key}
    assert {key for key in copies if key.startswith("best/")} == {f"best/{n}.jpg" for n in "acdg"}
    assert {key for key in copies if key.startswith("dup")} == {f"duplicates/{n}.jpg" for n in "bef"}
    assert copies["duplicates/e.jpg"] == b"picture e"
    assert {"c/out/image_report.csv", "c/out/_SUCCESS"} <= store.blobs.keys()
    assert "c/out/failed.csv" not in store.blobs


def test_a_second_run_writes_nothing_but_run_json_and_state(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcdefg")
    world = worlds(store)
    world.run(world.decisions(GROUPS))
    before = {key: blob.etag for key, blob in store.blobs.items()}
    writes, copies = len(store.writes), len(store.copies)
    assert world.run(world.decisions(GROUPS)) == PublishResult(0, 0, 0)
    changed = {key for key, blob in store.blobs.items() if before.get(key) != blob.etag}
    assert {key for key in changed if "/plan/" not in key} == {"c/out/run.json"}
    assert len(store.copies) == copies
    assert not store.deletes
    assert len(store.writes) == writes + 2


def test_a_later_plan_changes_just_what_it_must(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcdefg")
    world = worlds(store)
    world.run(world.decisions(GROUPS))
    second_act(store)
    before = {key: blob.etag for key, blob in store.blobs.items()}
    result = world.run(world.decisions(LATER))
    assert world.surveyed == Survey(copies=4, removals=3, foreign=2)
    assert result == PublishResult(copied=4, removed=3, failed=2)
    after = {key: blob.etag for key, blob in store.blobs.items()}
    gone = {"c/out/best/a.jpg", "c/out/duplicates/b.jpg", "c/out/best/c.jpg"}
    assert before.keys() - after.keys() == gone
    made = {key for key in after if before.get(key) != after[key] and key.endswith(".jpg")}
    assert made == {f"c/out/{name}" for name in ("best/b.jpg", "duplicates/a.jpg", "best/g.jpg", "best/f.jpg")}
    assert [(failure.key, failure.size) for failure in world.failures] == [("c/in/h.jpg", 9), ("c/in/i.jpg", 9)]
    assert "mem://c/out/best/h.jpg: move it away" in world.failures[0].reason
    assert store.blobs["c/out/best/b.jpg"].data == b"picture b, changed"
    again = world.run(world.decisions(LATER))
    assert again == PublishResult(0, 0, 2)
    assert all(store.blobs[key].etag == before[key] for key in FOREIGN)


def test_a_changed_source_replaces_its_own_outdated_copy(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "ab")
    world = worlds(store)
    world.run(world.decisions([["a.jpg", "b.jpg"]]))
    put(store, "c/in/a.jpg", b"newer")
    assert world.run(world.decisions([["a.jpg", "b.jpg"]])) == PublishResult(1, 0, 0)
    assert store.blobs["c/out/best/a.jpg"].data == b"newer"


def test_a_stop_keeps_what_is_done(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcdefg")
    world = worlds(store)
    decisions = world.decisions(GROUPS)

    def stop() -> None:
        if len(store.copies) >= 4:
            raise InterruptedRunError("stopped")

    world.stop = stop
    with pytest.raises(InterruptedRunError):
        world.run(decisions, batch=100)
    done = [row for row in read_journal(world.thread, LAYOUT.state) if row.target_etag]
    assert 4 <= len(done) < 7
    assert len(done) == len(store.copies)
    assert "c/out/_SUCCESS" not in store.blobs
    world.stop = nothing
    assert world.run(decisions).copied == 7 - len(done)
    assert len(store.copies) == 7


def test_a_fenced_run_writes_nothing(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abc")
    world = worlds(store)

    def fence() -> None:
        raise LeaseHeldError("another job took over")

    world.fence = fence
    with pytest.raises(LeaseHeldError):
        world.run(world.decisions([["a.jpg", "b.jpg"], ["c.jpg"]]))
    assert not store.copies
    assert all("/plan/" in key for key in store.writes)


def test_success_goes_first_and_comes_last(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "ab")
    world = worlds(store)
    world.run(world.decisions([["a.jpg"]]))
    asked: list[tuple[str, str]] = []
    store.on_request = lambda operation, key: asked.append((operation, key))
    world.run(world.decisions([["a.jpg"], ["b.jpg"]]))
    acts = [act for act in asked if act[0] in ("copy", "write", "delete") and "_state/" not in act[1]]
    assert acts == [
        ("delete", "c/out/_SUCCESS"),
        ("copy", "c/in/b.jpg"),
        ("write", "c/out/image_report.csv"),
        ("write", "c/out/run.json"),
        ("write", "c/out/_SUCCESS"),
    ]


def test_sources_that_change_or_vanish_become_failures(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcd")
    world = worlds(store)
    decisions = world.decisions([["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"]])
    put(store, "c/in/b.jpg", b"changed since")
    del store.blobs["c/in/c.jpg"]

    def refuse(operation: str, key: str) -> None:
        if (operation, key) == ("copy", "c/in/d.jpg"):
            raise TransientError("the service did not answer")

    store.on_request = refuse
    assert world.run(decisions) == PublishResult(copied=1, removed=0, failed=3)
    reasons = {failure.key[-5:]: failure.reason for failure in world.failures}
    assert reasons["b.jpg"] == "it was changed while imgsieve ran: run again"
    assert reasons["c.jpg"] == "it was removed while imgsieve ran: run again"
    assert reasons["d.jpg"] == "it could not be copied: the service did not answer"
    assert store.blobs["c/out/failed.csv"].data.count(b"\n") == 4


def test_an_error_of_the_store_ends_the_run_and_nothing_more_is_begun(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "abcdefg")
    world = worlds(store)

    def crash(operation: str, key: str) -> None:
        if operation == "copy":
            raise KilledError(key)

    store.on_request = crash
    with pytest.raises(KilledError):
        world.run(world.decisions(GROUPS), batch=100)
    assert len(store.copies) <= 2  # as many as there are connections


def test_a_copy_that_changes_hands_meanwhile_is_left_alone(worlds: Callable[[Store], World]) -> None:
    store = MemoryStore()
    filled(store, "ab")
    world = worlds(store)
    world.run(world.decisions([["a.jpg", "b.jpg"]]))
    put(store, "c/in/a.jpg", b"newer")
    decisions = world.decisions([["a.jpg"]])

    def meddle(operation: str, key: str) -> None:
        if operation == "delete" and key.endswith(".jpg"):
            store.blobs[key] = Content(b"theirs", f"theirs {key}")

    store.on_request = meddle
    assert world.run(decisions) == PublishResult(0, 0, 1)
    assert store.blobs["c/out/best/a.jpg"].data == store.blobs["c/out/duplicates/b.jpg"].data == b"theirs"
    assert world.failures[0].reason == "something else lies at mem://c/out/best/a.jpg: move it away and run again"
    store.on_request = None
    assert world.run(decisions) == PublishResult(0, 0, 1)
    journal_writes = [key for key in store.writes if "/journal/" in key]
    world.run(decisions)
    assert [key for key in store.writes if "/journal/" in key] == journal_writes


@pytest.mark.parametrize("asleep_behind", range(1, 6))
def test_a_zombie_that_wakes_up_behind_a_fence_changes_nothing(
    worlds: Callable[[Store], World], asleep_behind: int
) -> None:
    store = MemoryStore()
    filled(store, "abcd")
    zombie, other = worlds(store), worlds(store)
    zombie.run(zombie.decisions([["a.jpg", "b.jpg"]]))
    other.attempt = 10
    fences: list[int] = []
    published: dict[str, bytes] = {}

    def fence() -> None:
        fences.append(1)
        if len(fences) == asleep_behind:
            other.run(other.decisions([["c.jpg", "d.jpg"]]))
            published.update(results(store))
        elif published:
            raise LeaseHeldError("another job took over")

    zombie.fence = fence
    with pytest.raises(LeaseHeldError):
        zombie.run(zombie.decisions([["a.jpg", "b.jpg"], ["c.jpg"]]))
    assert results(store) == published


def test_folders(worlds: Callable[[Store], World], tmp_path: Path) -> None:
    world = worlds(FolderStore())
    root = f"{tmp_path}/data"
    world.layout = Layout(f"{root}/in/", f"{root}/in_deduplicated/", f"{root}/in_deduplicated/_state/")
    for name in ("=a.jpg", "sub dir/ä.jpg", "b.jpg"):
        path = Path(world.layout.source, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    groups = [["=a.jpg", "b.jpg"], ["sub dir/ä.jpg"]]
    assert world.run(world.decisions(groups)) == PublishResult(3, 0, 0)
    copy = Path(world.layout.best, "sub dir/ä.jpg")
    assert copy.read_bytes() == "sub dir/ä.jpg".encode()
    for shard in Path(world.layout.state, "journal").iterdir():  # as if killed before the copies were written down
        if any(row.target_etag for row in _rows(world, str(shard))):
            shard.unlink()
    before = os.stat(copy).st_ino
    assert world.run(world.decisions(groups)) == PublishResult(0, 0, 0)
    assert os.stat(copy).st_ino == before
    Path(world.layout.best, "b.jpg").mkdir()
    assert world.run(world.decisions([["b.jpg", "=a.jpg"]])) == PublishResult(1, 3, 1)
    assert not copy.exists()
    assert world.failures[0].reason.startswith("something else lies at")


def _rows(world: World, key: str) -> list[JournalRow]:
    return list(journal_rows(read_shard(world.thread, key)))


def test_pages_of_the_books_hold_every_row(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        def add(start: int) -> None:
            for n in range(start, 2500, 2):
                ledger.add_failure(Failure(f"k{n:05d}", n, "r"))

        threads = [threading.Thread(target=add, args=(start,)) for start in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [failure.size for failure in ledger.failures()] == list(range(2500))
        assert ledger.has_failed("k00007")
        assert not ledger.has_failed("k07")
