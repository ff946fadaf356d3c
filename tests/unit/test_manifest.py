from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from modules.errors import LeaseHeldError, StateError, UsageError
from modules.memory_store import MemoryStore
from modules.records import Content
from modules.state.manifest import SCHEMA, Manifest, ManifestFile
from modules.store_thread import StoreThread

KEY = "c/out/_state/manifest.json"
REQUEST = {"features": ("perceptual",), "relations": ["copy", "part"], "uniques": "copy", "source": "mem://c/in/"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def thread(store: MemoryStore) -> Iterator[StoreThread]:
    thread = StoreThread(store)
    yield thread
    thread.close()


def test_a_manifest_comes_back_as_it_was_saved(thread: StoreThread) -> None:
    first = Manifest.first(REQUEST, "mem://c/out/")
    assert ManifestFile(thread, KEY).load() is None
    ManifestFile(thread, KEY).save(first)
    assert ManifestFile(thread, KEY).load() == first


def test_epochs_and_attempts_only_rise() -> None:
    first = Manifest.first(REQUEST, "mem://c/out/")
    listed = first.new_attempt().at("streaming", parts=3)
    assert (listed.epoch, listed.attempt, listed.phase, listed.parts) == (1, 2, "streaming", 3)
    assert listed.at("done").parts == 3
    following = listed.at("done").new_epoch({**REQUEST, "uniques": "skip"})
    assert (following.epoch, following.attempt, following.phase, following.parts) == (2, 3, "listing", None)
    assert following.run_id == first.run_id
    assert following.request["uniques"] == "skip"


def test_requests_compare_as_they_come_back_from_json() -> None:
    manifest = Manifest.from_json(Manifest.first(REQUEST, "mem://c/out/").to_json(), "here")
    assert manifest.changes(REQUEST) == []
    assert manifest.resumes(REQUEST)
    assert manifest.changes({**REQUEST, "features": ["clip"], "uniques": "skip"}) == ["features", "uniques"]
    assert not manifest.resumes({**REQUEST, "features": ["clip"]})
    assert not manifest.at("done").resumes(REQUEST)


def test_an_older_format_is_not_resumed_but_followed_by_a_new_epoch() -> None:
    values = json.loads(Manifest.first(REQUEST, "mem://c/out/").to_json())
    older = Manifest.from_json(json.dumps({**values, "schema": SCHEMA - 1}).encode(), "here")
    assert not older.resumes(REQUEST)
    following = older.new_epoch(REQUEST)
    assert (following.epoch, following.schema) == (2, SCHEMA)
    assert following.resumes(REQUEST)


def test_a_zombies_save_and_fence_are_refused(thread: StoreThread) -> None:
    zombie, heir = ManifestFile(thread, KEY), ManifestFile(thread, KEY)
    manifest = Manifest.first(REQUEST, "mem://c/out/")
    zombie.save(manifest)
    zombie.fence()
    loaded = heir.load()
    assert loaded is not None
    heir.save(loaded.new_attempt())
    heir.fence()
    with pytest.raises(LeaseHeldError, match=r"another job took over mem://c/out/_state/manifest\.json"):
        zombie.fence()
    with pytest.raises(LeaseHeldError):
        zombie.save(manifest.at("matching"))
    heir.fence()


def test_two_first_starts_do_not_both_win(thread: StoreThread) -> None:
    ManifestFile(thread, KEY).save(Manifest.first(REQUEST, "mem://c/out/"))
    with pytest.raises(LeaseHeldError):
        ManifestFile(thread, KEY).save(Manifest.first(REQUEST, "mem://c/out/"))


def test_a_manifest_that_was_taken_away_stops_the_run(thread: StoreThread, store: MemoryStore) -> None:
    file = ManifestFile(thread, KEY)
    file.save(Manifest.first(REQUEST, "mem://c/out/"))
    del store.blobs[KEY]
    with pytest.raises(LeaseHeldError):
        file.fence()
    with pytest.raises(LeaseHeldError):
        file.save(Manifest.first(REQUEST, "mem://c/out/").new_attempt())


def test_a_newer_format_is_a_usage_error(thread: StoreThread, store: MemoryStore) -> None:
    values = json.loads(Manifest.first(REQUEST, "mem://c/out/").to_json())
    store.blobs[KEY] = Content(json.dumps({**values, "schema": SCHEMA + 1, "new": 1}).encode(), "1")
    with pytest.raises(UsageError, match="newer imgsieve"):
        ManifestFile(thread, KEY).load()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"schema": 1}', b'{"schema": "x"}', b"\xff", b'{"schema": 1, "phase": "lunch"}']
)
def test_anything_else_is_a_damaged_manifest(thread: StoreThread, store: MemoryStore, data: bytes) -> None:
    store.blobs[KEY] = Content(data, "1")
    with pytest.raises(StateError, match=r"manifest\.json is damaged"):
        ManifestFile(thread, KEY).load()


@pytest.mark.parametrize(
    "wrong",
    [{"request": 5}, {"request": {}}, {"epoch": "1"}, {"attempt": None}, {"parts": "2"}, {"parts": 0}, {"run_id": 7}],
)
def test_values_that_no_manifest_holds_are_damage(
    thread: StoreThread, store: MemoryStore, wrong: dict[str, object]
) -> None:
    values = json.loads(Manifest.first(REQUEST, "mem://c/out/").to_json())
    store.blobs[KEY] = Content(json.dumps(values | wrong).encode(), "1")
    with pytest.raises(StateError, match=r"manifest\.json is damaged"):
        ManifestFile(thread, KEY).load()
