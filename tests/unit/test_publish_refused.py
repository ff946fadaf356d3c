"""Copies of ours that the store refuses to remove."""

from collections.abc import Callable

import pytest

from modules.errors import AccessError, ImgsieveError, LeaseHeldError, StoreAwayError, StoreError, TransientError
from modules.io_utils import Store
from modules.memory_store import MemoryStore
from modules.outputs.publish import PublishResult
from tests.publishing import World, filled, put

REFUSALS = [
    (StoreError("the store refused it: 409 SnapshotsPresent"), "the store refused it: 409 SnapshotsPresent"),
    (LeaseHeldError("another job holds it"), "mem://c/out/best/a.jpg is under a lease of another tool"),
]


def refuse(store: MemoryStore, error: ImgsieveError) -> None:
    def on_request(operation: str, key: str) -> None:
        if (operation, key) == ("delete", "c/out/best/a.jpg"):
            raise error

    store.on_request = on_request


@pytest.mark.parametrize(("error", "text"), REFUSALS)
def test_an_outdated_copy_that_the_store_keeps_ends_no_run(
    worlds: Callable[[Store], World], error: ImgsieveError, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    filled(store, "abc")
    world = worlds(store)
    world.run(world.decisions([["a.jpg"], ["b.jpg"], ["c.jpg"]]))
    refuse(store, error)
    later = world.decisions([["c.jpg"]])
    assert world.run(later) == PublishResult(copied=0, removed=1, failed=0)
    assert "c/out/best/a.jpg" in store.blobs
    assert {"c/out/_SUCCESS", "c/out/best/c.jpg"} <= store.blobs.keys()
    assert [record.getMessage() for record in caplog.records] == [f"an outdated copy stays: {text}"]
    store.on_request = None  # it was released meanwhile
    assert world.run(later) == PublishResult(copied=0, removed=1, failed=0)
    assert "c/out/best/a.jpg" not in store.blobs


@pytest.mark.parametrize(("error", "text"), REFUSALS)
def test_a_copy_that_cannot_be_replaced_is_a_failure(
    worlds: Callable[[Store], World], error: ImgsieveError, text: str
) -> None:
    store = MemoryStore()
    filled(store, "ab")
    world = worlds(store)
    world.run(world.decisions([["a.jpg"], ["b.jpg"]]))
    put(store, "c/in/a.jpg", b"newer")
    put(store, "c/in/b.jpg", b"newer too")
    refuse(store, error)
    decisions = world.decisions([["a.jpg"], ["b.jpg"]])
    assert world.run(decisions) == PublishResult(copied=1, removed=0, failed=1)
    assert [failure.reason for failure in world.failures] == [f"its outdated copy cannot be removed: {text}"]
    assert store.blobs["c/out/best/a.jpg"].data == b"picture a"
    store.on_request = None
    assert world.run(decisions) == PublishResult(copied=1, removed=0, failed=0)


@pytest.mark.parametrize("error", [AccessError("no right"), StoreAwayError("silent"), TransientError("503, 8 times")])
def test_what_is_wrong_with_the_store_itself_ends_the_run(
    worlds: Callable[[Store], World], error: ImgsieveError
) -> None:
    store = MemoryStore()
    filled(store, "ab")
    world = worlds(store)
    world.run(world.decisions([["a.jpg"], ["b.jpg"]]))
    refuse(store, error)
    with pytest.raises(type(error)):
        world.run(world.decisions([["b.jpg"]]))
