from collections.abc import Callable

import pytest

from modules.io_utils import Store
from modules.memory_store import MemoryStore
from modules.outputs.publish import PublishResult
from modules.records import Decision
from tests.publishing import (
    FOREIGN,
    GROUPS,
    LATER,
    KilledError,
    MortalStore,
    World,
    filled,
    put,
    results,
    second_act,
)


def killed_and_resumed(world: World, store: MortalStore, last: int, *, answer_lost: bool) -> bool:
    """Whether the first of two attempts at LATER was killed; the second one goes on after it undisturbed."""
    decisions = world.decisions(LATER)
    store.requests, store.last, store.answer_lost = 0, last, answer_lost
    killed = False
    try:
        world.run(decisions)
    except KilledError:
        killed = True
    store.last = None
    world.run(decisions)
    return killed


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("md5", [True, False])
def test_killed_at_any_request_ends_the_same(worlds: Callable[[Store], World], md5: bool, answer_lost: bool) -> None:
    template = MortalStore(md5=md5)
    filled(template, "abcdefg")
    first = worlds(template)
    first.run(first.decisions(GROUPS))
    second_act(template)
    start = dict(template.blobs)
    undisturbed = dict(results_of_second_act(first, template))
    untouchable = [key for key in start if key.startswith("c/in/") or key in FOREIGN]
    last, killed = 0, True
    while killed:
        store = MortalStore(md5=md5)
        store.blobs, store._versions = dict(start), 1000
        world = worlds(store)
        world.attempt = 1
        killed = killed_and_resumed(world, store, last, answer_lost=answer_lost)
        assert results(store) == undisturbed, last
        assert all(store.blobs[key] is start[key] for key in untouchable), last
        last += 1
    assert last > 30


def results_of_second_act(world: World, store: MemoryStore) -> dict[str, bytes]:
    world.run(world.decisions(LATER))
    return results(store)


def kill_at_first_copy(world: World, store: MortalStore, decisions: list[Decision], *, done: bool) -> None:
    """Die when the intents are written: before the first copy, or when the store has made it."""

    def ask(operation: str, key: str) -> None:
        if operation == "copy" and store.last is None:
            store.last = store.requests - (0 if done else 1)
        MortalStore._ask(store, operation, key)

    store.on_request, store.answer_lost = ask, True
    with pytest.raises(KilledError):
        world.run(decisions)
    store.on_request, store.last = None, None


@pytest.mark.parametrize("md5", [True, False])
def test_what_others_write_after_a_kill_is_left_alone(worlds: Callable[[Store], World], md5: bool) -> None:
    store = MortalStore(md5=md5)
    filled(store, "ab")
    world = worlds(store)
    decisions = world.decisions([["a.jpg"], ["b.jpg"]])
    kill_at_first_copy(world, store, decisions, done=False)
    put(store, "c/out/best/a.jpg", b"PICTURE A")  # as long as the real one
    assert world.run(decisions) == PublishResult(copied=1, removed=0, failed=1)
    assert store.blobs["c/out/best/a.jpg"].data == b"PICTURE A"
    assert world.failures[0].key == "c/in/a.jpg"


@pytest.mark.parametrize("md5", [True, False])
def test_a_copy_made_just_before_a_kill_is_known_as_ours(worlds: Callable[[Store], World], md5: bool) -> None:
    """Also when its source has changed since: then it is outdated, not somebody else's."""
    store = MortalStore(md5=md5)
    filled(store, "a")
    world = worlds(store)
    decisions = world.decisions([["a.jpg"]])
    kill_at_first_copy(world, store, decisions, done=True)
    made = store.blobs["c/out/best/a.jpg"]
    assert world.run(decisions) == PublishResult(0, 0, 0)
    assert store.blobs["c/out/best/a.jpg"] is made
    put(store, "c/in/b.jpg", b"b")
    kill_at_first_copy(world, store, world.decisions([["a.jpg"], ["b.jpg"]]), done=True)
    put(store, "c/in/b.jpg", b"changed")
    assert world.run(world.decisions([["a.jpg"], ["b.jpg"]])) == PublishResult(1, 0, 0)
    assert store.blobs["c/out/best/b.jpg"].data == b"changed"
    assert world.run(world.decisions([["b.jpg"]])) == PublishResult(0, 1, 0)
