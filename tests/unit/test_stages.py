from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modules.bounded_queue import Cancellation
from modules.devices import Device
from modules.errors import AccessError, InterruptedRunError, StateError, TransientError
from modules.feature_extraction import DECODER_VERSION
from modules.features.perceptual import Perceptual
from modules.memory_store import MemoryStore
from modules.records import Analysis, BlobInfo, Fetched, Keypoints, Processed, WorkItem
from modules.stages.embed import Embedder
from modules.stages.fetch import Fetcher
from modules.stages.listing import freeze_listing
from modules.stages.save import ShardSaver
from modules.state.commit import Families, load_index
from modules.state.index import ScratchIndex
from modules.state.listing import read_listing_parts
from modules.state.manifest import Manifest
from modules.state.shards import ShardWriter, list_shards
from modules.store_thread import StoreThread
from tests.state import facts

FAMILIES = Families("facts/f", "keypoints/k", {"perceptual": "vectors/perceptual/v"})
FACTS = facts(3)
KEYPOINTS = Keypoints(np.zeros((0, 4), np.uint16), np.zeros((0, 128), np.uint8), b"thumb")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ScratchIndex]:
    scratch = ScratchIndex(tmp_path / "index.sqlite", DECODER_VERSION)
    yield scratch
    scratch.close()


def put(thread: StoreThread, key: str, data: bytes) -> BlobInfo:
    thread.run(thread.store.write(key, data))
    blob = thread.run(thread.store.stat(key))
    assert blob is not None
    return blob


def finished(blob: BlobInfo, part: int = 0, data: bytes = b"abc") -> Processed:
    vectors = {"perceptual": np.ones(4, np.float32)}
    item = WorkItem(part, blob, FAMILIES.all)
    return Processed(item, hashlib.sha256(data).digest(), Analysis(FACTS, KEYPOINTS), vectors=vectors)


class Fetching:
    """Downloads of one blob against an index that knows what a test says."""

    def __init__(self, thread: StoreThread, index: ScratchIndex, max_bytes: int = 1000) -> None:
        self.fetcher = Fetcher(thread.store, index, max_bytes)

    def __call__(self, blob: BlobInfo) -> Fetched | Processed:
        return asyncio.run(self.fetcher(WorkItem(0, blob, FAMILIES.all)))

    def reason(self, blob: BlobInfo) -> str:
        outcome = self(blob)
        assert isinstance(outcome, Processed)
        assert not outcome.permanent
        return str(outcome.failure)


def test_new_bytes_are_fetched_with_everything_to_compute(thread: StoreThread, index: ScratchIndex) -> None:
    blob = put(thread, "c/a.jpg", b"abc")
    fetched = Fetching(thread, index)(blob)
    assert isinstance(fetched, Fetched)
    assert fetched.sha == hashlib.sha256(b"abc").digest()
    assert fetched.item.families == FAMILIES.all


def test_blob_that_changed_or_went_is_a_row_and_no_other_version_is_read(
    thread: StoreThread, index: ScratchIndex
) -> None:
    old = put(thread, "c/a.jpg", b"abc")
    put(thread, "c/a.jpg", b"newer")
    fetching = Fetching(thread, index)
    assert fetching.reason(old) == "changed since it was listed; run again to take its new version"
    assert fetching.reason(BlobInfo("c/gone.jpg", 3, "1")) == "is gone since it was listed"
    assert fetching.fetcher.downloaded == 0


def test_too_large_blob_is_never_requested(store: MemoryStore, thread: StoreThread, index: ScratchIndex) -> None:
    blob = put(thread, "c/a.jpg", b"x" * 11)
    assert Fetching(thread, index, 10).reason(blob) == "has 11 bytes, over the limit of 10 (IMGSIEVE_MAX_IMAGE_BYTES)"
    assert store.reads == []


def test_network_failure_is_a_row_but_refused_access_ends_the_run(
    store: MemoryStore, thread: StoreThread, index: ScratchIndex
) -> None:
    blob = put(thread, "c/a.jpg", b"abc")
    failures: list[Exception] = [TransientError("reset"), AccessError("the key is wrong")]

    def fail(operation: str, key: str) -> None:
        raise failures.pop(0)

    store.on_request = fail
    fetching = Fetching(thread, index)
    assert fetching.reason(blob) == "could not be downloaded (reset); run again to try once more"
    with pytest.raises(AccessError):
        fetching(blob)


def test_bytes_that_are_known_under_another_name_are_not_decoded(thread: StoreThread, index: ScratchIndex) -> None:
    blobs = [put(thread, "c/a.jpg", b"abc"), put(thread, "c/b.jpg", b"abc")]
    index.add_listing(0, blobs)
    saver = make_saver(thread, index, shard_rows=1)
    saver.add(finished(blobs[0]))
    outcome = Fetching(thread, index)(blobs[1])
    assert isinstance(outcome, Processed)
    assert (outcome.failure, outcome.analysis) == (None, None)


def test_known_bad_bytes_keep_their_reason(thread: StoreThread, index: ScratchIndex) -> None:
    blobs = [put(thread, "c/a.jpg", b"abc"), put(thread, "c/b.jpg", b"abc")]
    index.add_listing(0, blobs)
    sha = hashlib.sha256(b"abc").digest()
    make_saver(thread, index, shard_rows=1).add(
        Processed(WorkItem(0, blobs[0], FAMILIES.all), sha, None, failure="truncated")
    )
    outcome = Fetching(thread, index)(blobs[1])
    assert isinstance(outcome, Processed)
    assert (outcome.failure, outcome.permanent) == ("truncated", True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_saver(
    thread: StoreThread,
    index: ScratchIndex,
    *,
    shard_rows: int = 100,
    shard_bytes: int = 1 << 20,
    clock: Clock | None = None,
    attempt: int = 1,
) -> ShardSaver:
    return ShardSaver(
        ShardWriter(thread, "c/out/_state/", 1, attempt),
        index,
        FAMILIES,
        decoder=DECODER_VERSION,
        shard_rows=shard_rows,
        shard_bytes=shard_bytes,
        shard_seconds=30.0,
        advance=lambda count: None,
        clock=clock or Clock(),
    )


def committed(thread: StoreThread) -> int:
    return len(list_shards(thread, "c/out/_state/", "catalogue"))


def test_rows_of_all_parts_together_make_shards_due(thread: StoreThread, index: ScratchIndex) -> None:
    blobs = [put(thread, f"c/{n}.jpg", b"%d" % n) for n in range(3)]
    index.add_listing(0, blobs)
    saver = make_saver(thread, index, shard_rows=48)
    for part, blob in enumerate(blobs[:2]):
        saver.add(finished(blob, part, b"%d" % part))
    assert committed(thread) == 0
    saver.add(finished(blobs[2], 0, b"2"))
    assert committed(thread) == 2
    assert saver.due_in() is None


def test_bytes_and_seconds_make_shards_due(thread: StoreThread, index: ScratchIndex) -> None:
    blobs = [put(thread, f"c/{n}.jpg", b"%d" % n) for n in range(3)]
    index.add_listing(0, blobs)
    make_saver(thread, index, shard_bytes=100).add(finished(blobs[0]))
    assert committed(thread) == 1
    clock = Clock()
    saver = make_saver(thread, index, clock=clock, attempt=2)
    saver.add(finished(blobs[1], data=b"1"))
    clock.now += 1.0
    assert saver.due_in() == 0.875
    clock.now += 2.0
    saver.add(finished(blobs[2], data=b"2"))
    assert committed(thread) == 2


def test_first_shards_of_a_start_are_small_and_grow(thread: StoreThread, index: ScratchIndex) -> None:
    blobs = [put(thread, f"c/{n:03d}.jpg", b"%d" % n) for n in range(126)]
    index.add_listing(0, blobs)
    saver = make_saver(thread, index, shard_rows=32)
    sizes, seen = [], 0
    for n, blob in enumerate(blobs):
        saver.add(finished(blob, data=b"%d" % n))
        if saver.due_in() is None:
            sizes.append(n + 1 - seen)
            seen = n + 1
    assert sizes == [2, 4, 8, 16, 32, 32, 32]


def test_what_is_saved_is_there_for_the_next_start_and_network_failures_are_not(
    thread: StoreThread, index: ScratchIndex, tmp_path: Path
) -> None:
    blobs = [put(thread, f"c/{n}.jpg", b"%d" % n) for n in range(2)]
    index.add_listing(0, blobs)
    saver = make_saver(thread, index)
    saver.add(finished(blobs[0], data=b"0"))
    saver.add(Processed(WorkItem(0, blobs[1], FAMILIES.all), None, None, failure="reset", permanent=False))
    saver.flush()
    assert [failure.reason for failure in index.failures()] == ["reset"]
    again = ScratchIndex(tmp_path / "again.sqlite", DECODER_VERSION)
    again.add_listing(0, blobs)
    load_index(again, thread, "c/out/_state/", FAMILIES)
    assert [item.blob.key for item in again.work(0, FAMILIES.all)] == ["c/1.jpg"]
    again.close()


def freeze(thread: StoreThread, cancel: Cancellation | None = None, part_size: int = 2) -> int:
    return freeze_listing(
        thread,
        "c/photos/",
        "c/out/_state/",
        1,
        part_size=part_size,
        cancel=cancel or Cancellation(threading.Event()),
        advance=lambda count: None,
    )


def frozen(thread: StoreThread) -> list[str]:
    return [blob.key for part in read_listing_parts(thread, "c/out/_state/", 1) for blob in part.blobs]


def test_listing_holds_pictures_only_and_no_output_of_ours(thread: StoreThread) -> None:
    for name in ("a.jpg", "note.txt", "photos2.PNG", "x_deduplicated/best/a.jpg", "y/best/a.jpg"):
        put(thread, f"c/photos/{name}", b"1")
    put(thread, "c/photos/x_deduplicated/_state/manifest.json", Manifest.first({}, "mem://c/x").to_json())
    put(thread, "c/photos/y/_state/manifest.json", b"{}")
    put(thread, "c/photos2/b.jpg", b"1")
    freeze(thread)
    assert frozen(thread) == ["c/photos/a.jpg", "c/photos/photos2.PNG", "c/photos/y/best/a.jpg"]


def test_listing_goes_on_behind_the_last_part_and_is_frozen_when_complete(
    store: MemoryStore, thread: StoreThread
) -> None:
    names = [f"c/photos/{n}.jpg" for n in range(5)]
    for name in names:
        put(thread, name, b"1")
    stop = threading.Event()

    def stop_at_second_part(operation: str, key: str) -> None:
        if key.endswith("p00000.parquet"):
            stop.set()

    store.on_request = stop_at_second_part
    with pytest.raises(InterruptedRunError):
        freeze(thread, Cancellation(stop))
    store.on_request = None
    with pytest.raises(StateError, match="parts of the listing in mem://c/out/_state/runs/e0001/listing/ are missing"):
        frozen(thread)
    assert freeze(thread) == 3
    assert frozen(thread) == names
    put(thread, "c/photos/late.jpg", b"1")
    assert freeze(thread) == 3
    assert frozen(thread) == names


def test_embedder_fills_vectors_and_leaves_out_what_nobody_asked_for() -> None:
    extractor = Perceptual()
    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    blob = BlobInfo("c/a.jpg", 3, "1")
    item = WorkItem(0, blob, FAMILIES.all)
    asked = Processed(item, b"s", Analysis(None, None, {"perceptual": extractor.prepare(rgb)}))
    other = Processed(item, b"t", Analysis(FACTS, None))
    failed = Processed(item, b"u", None, failure="truncated")
    first, second, third = Embedder([extractor], Device("cpu", "float32", 8, 1))([asked, other, failed])
    assert first.vectors["perceptual"].shape == (extractor.dim,)
    assert first.analysis is not None
    assert first.analysis.pixels == {}
    assert second.vectors == {}
    assert third is failed
