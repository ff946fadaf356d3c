from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from modules.errors import StateError
from modules.io_utils import StoreThread
from modules.memory_store import MemoryStore
from modules.records import (
    VERDICT_DTYPE,
    Analysis,
    BlobInfo,
    Facts,
    Failure,
    Float32Array,
    Keypoints,
    Kind,
    Processed,
    WorkItem,
)
from modules.state.arrays import load_vectors, load_verdicts
from modules.state.commit import Families, add_commit, commit_claims, commit_rows, load_index
from modules.state.index import ScratchIndex
from modules.state.schemas import CatalogueRow, catalogue_table, verdicts_table
from modules.state.shards import ShardWriter, list_shards

STATE = "c/out/_state/"
DECODER = "d2"
FAMILIES = Families.of("f1", "k1", {"perceptual": "p1", "clip": "c1"})
WANTED = FAMILIES.all


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def blob(name: str, *, md5: str | None = None, size: int = 10, etag: str = "e1", archived: bool = False) -> BlobInfo:
    digest = None if md5 is None else hashlib.md5(md5.encode()).digest()
    return BlobInfo(f"c/in/{name}", size, etag, digest, "image/jpeg", archived)


def facts(seed: int = 1, **changes: int) -> Facts:
    values = {"width": 40, "height": 30, "phash": (1 << 63) + seed, **changes}
    size, colours = 1000 + seed, seed % 7
    return Facts(
        values["width"], values["height"], "jpeg", size, 0.5, 0.25, 0.75, 1.0, colours, values["phash"], bytes(128)
    )


def keypoints() -> Keypoints:
    return Keypoints(np.ones((2, 4), np.uint16), np.ones((2, 128), np.uint8), b"t")


def processed(item: WorkItem, data: str, *, only: Iterable[str] | None = None) -> Processed:
    """What the stages make of a blob whose bytes are ``data``; ``only``: families, by default what the item asks."""
    wanted = item.families if only is None else frozenset(only)
    analysis = Analysis(
        facts(len(data)) if FAMILIES.facts in wanted else None, keypoints() if FAMILIES.keypoints in wanted else None
    )
    vectors = {name: np.full(4, len(data), np.float32) for name, family in FAMILIES.vectors.items() if family in wanted}
    return Processed(item, sha(data), analysis, vectors=vectors)


def failed(item: WorkItem, data: str, reason: str = "truncated") -> Processed:
    return Processed(item, sha(data), None, failure=reason)


class Killed(Exception):
    """Stands for a kill: nothing is written from here on."""


class State:
    """One state prefix in memory, and indices of it as successive starts would build them."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.thread = StoreThread(self.store)
        self._folder = folder
        self._starts = itertools.count(1)
        self._open: list[ScratchIndex] = []

    def start(self, *parts: Sequence[BlobInfo], decoder: str = DECODER) -> tuple[ScratchIndex, ShardWriter]:
        attempt = next(self._starts)
        index = ScratchIndex(self._folder / f"{attempt}.db", decoder)
        self._open.append(index)
        for n, part in enumerate(parts):
            index.add_listing(n, part)
        load_index(index, self.thread, STATE, FAMILIES)
        return index, ShardWriter(self.thread, STATE, 1, attempt)

    def commit(
        self, index: ScratchIndex, writer: ShardWriter, rows: Sequence[Processed], decoder: str = DECODER
    ) -> None:
        add_commit(index, FAMILIES, commit_rows(writer, FAMILIES, rows[0].item.part, rows, DECODER))

    def keys(self, family: str) -> list[str]:
        return list_shards(self.thread, STATE, family)

    def close(self) -> None:
        for index in self._open:
            index.close()
        self.thread.close()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


def work(index: ScratchIndex, *parts: int, exact_pass: bool = True) -> list[tuple[str, frozenset[str]]]:
    items = itertools.chain.from_iterable(index.work(part, WANTED, exact_pass=exact_pass) for part in parts or (0,))
    return [(item.blob.key.removeprefix("c/in/"), item.families) for item in items]


def names(index: ScratchIndex, *parts: int, exact_pass: bool = True) -> list[str]:
    return [name for name, _ in work(index, *parts, exact_pass=exact_pass)]


def item(info: BlobInfo, part: int = 0, families: frozenset[str] = WANTED) -> WorkItem:
    return WorkItem(part, info, families)


def test_everything_new_is_work_by_key(state: State) -> None:
    blobs = [blob("a.jpg"), blob("b ü.jpg"), blob("z.jpg", archived=True)]
    index, _ = state.start(blobs, [blob("zz.jpg")])
    assert list(index.work(0, WANTED)) == [item(blobs[0]), item(blobs[1])]
    assert names(index, 1) == ["zz.jpg"]
    assert index.parts() == [0, 1]
    assert (index.listed(), index.pending(WANTED), index.failed()) == (4, 3, 1)


def test_committed_pictures_are_no_work_now_and_after_a_restart(state: State) -> None:
    blobs = [blob("a.jpg"), blob("b.jpg")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(blobs[0]), "A")])
    assert names(index) == ["b.jpg"]
    reads = len(state.store.reads)
    again, _ = state.start(blobs)
    assert names(again) == ["b.jpg"]
    assert again.missing(sha("A"), WANTED) == frozenset()
    assert not [key for key in state.store.reads[reads:] if "/keypoints/" in key or "/vectors/" in key]


def test_of_equal_md5_and_size_only_the_first_is_work(state: State) -> None:
    first = [blob("a.jpg", md5="x"), blob("b.jpg", md5="x"), blob("c.jpg", md5="x", size=11), blob("d.jpg")]
    second = [blob("e.jpg", md5="x"), blob("f.jpg", md5="y"), blob("g.jpg")]
    index, writer = state.start(first, second)
    assert names(index, 0, 1) == ["a.jpg", "c.jpg", "d.jpg", "f.jpg", "g.jpg"]
    assert list(index.claims()) == []
    state.commit(index, writer, [processed(item(first[0]), "A")])
    assert names(index, 0, 1) == ["c.jpg", "d.jpg", "f.jpg", "g.jpg"]
    expected = [CatalogueRow(f"c/in/{n}.jpg", "e1:10", sha("A"), None, DECODER, claimed=True) for n in "be"]
    assert list(index.claims()) == expected
    assert commit_claims(writer, index) == 2
    assert list(index.claims()) == []
    again, _ = state.start(first, second)
    assert list(again.claims()) == []
    assert names(again, 0, 1, exact_pass=False) == ["c.jpg", "d.jpg", "f.jpg", "g.jpg"]


def test_a_copy_that_sorts_before_a_known_blob_is_claimed_without_a_download(state: State) -> None:
    known = blob("m.jpg", md5="x")
    index, writer = state.start([known])
    state.commit(index, writer, [processed(item(known), "A")])
    index, writer = state.start([blob("a.jpg", md5="x"), known])
    assert names(index) == []
    assert commit_claims(writer, index) == 1
    assert index.pending(WANTED) == 0


def test_claims_of_an_unreadable_picture_are_failures_too(state: State) -> None:
    blobs = [blob("a.jpg", md5="x"), blob("b.jpg", md5="x")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [failed(item(blobs[0]), "A")])
    assert commit_claims(writer, index) == 1
    assert list(index.failures()) == [Failure(b.key, 10, "truncated") for b in blobs]


def test_when_the_first_of_equal_ones_cannot_be_fetched_the_others_become_work(state: State) -> None:
    blobs = [blob("a.jpg", md5="x"), blob("b.jpg", md5="x"), blob("c.jpg", md5="x")]
    index, writer = state.start(blobs)
    index.set_unfetched(blobs[0].key, "is gone")
    assert list(index.claims()) == []
    assert names(index, exact_pass=True) == ["b.jpg"]
    assert names(index, exact_pass=False) == ["b.jpg", "c.jpg"]
    state.commit(index, writer, [processed(item(b), "A") for b in blobs[1:]])
    assert names(index, exact_pass=False) == []
    assert (index.unfetched(), index.number_pictures(WANTED)) == (1, 1)
    assert list(index.failures()) == [Failure(blobs[0].key, 10, "is gone")]
    again, _ = state.start(blobs)
    assert again.unfetched() == 0
    assert [row.key for row in again.claims()] == [blobs[0].key]


def test_an_archived_blob_serves_no_other_one(state: State) -> None:
    index, _ = state.start([blob("a.jpg", md5="x", archived=True), blob("b.jpg", md5="x")])
    assert names(index) == ["b.jpg"]
    assert [f.reason for f in index.failures()] == ["archived: rehydrate it to hot or cool and run again"]


def test_equal_bytes_under_two_keys_are_one_picture(state: State) -> None:
    blobs = [blob("a.jpg"), blob("b.jpg")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(blobs[0]), "A")])
    assert index.missing(sha("A"), WANTED) == frozenset()
    assert index.failure_of(sha("A")) is None
    state.commit(index, writer, [Processed(item(blobs[1]), sha("A"), None)])
    assert index.pending(WANTED) == 0
    assert index.number_pictures(WANTED) == 1


def test_equal_bytes_in_one_commit_get_one_row(state: State) -> None:
    blobs = [blob("a.jpg"), blob("b.jpg")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(b), "A") for b in blobs])
    index, _ = state.start(blobs)
    assert index.number_pictures(WANTED) == 1
    assert load_vectors(index, state.thread, STATE, FAMILIES.vectors["clip"], 4).shape == (1, 4)


def test_a_changed_blob_is_work_again_and_a_renamed_one_lacks_nothing(state: State) -> None:
    index, writer = state.start([blob("a.jpg"), blob("b.jpg")])
    state.commit(index, writer, [processed(item(blob(n)), n) for n in ("a.jpg", "b.jpg")])
    index, _ = state.start([blob("a.jpg", etag="e2"), blob("new.jpg")])
    assert work(index) == [("a.jpg", WANTED), ("new.jpg", WANTED)]
    assert index.missing(sha("b.jpg"), WANTED) == frozenset()
    assert index.missing(sha("unheard of"), WANTED) == WANTED


def test_a_failure_is_cached_for_its_decoder_only(state: State) -> None:
    info = blob("a.jpg")
    index, writer = state.start([info])
    state.commit(index, writer, [failed(item(info), "A")])
    assert names(index) == []
    again, _ = state.start([info, blob("renamed.jpg")])
    assert names(again) == ["renamed.jpg"]
    assert again.failure_of(sha("A")) == "truncated"
    newer, _ = state.start([info], decoder="d3")
    assert work(newer) == [("a.jpg", WANTED)]
    assert newer.failure_of(sha("A")) is None


def test_a_failure_of_this_attempt_is_not_committed(state: State) -> None:
    info = blob("a.jpg")
    index, writer = state.start([info])
    state.commit(index, writer, [Processed(item(info), None, None, failure="network", permanent=False)])
    assert state.keys("catalogue") == []
    assert names(index) == ["a.jpg"]


def test_one_lacking_family_is_the_only_work(state: State) -> None:
    clip = FAMILIES.vectors["clip"]
    blobs = [blob("a.jpg"), blob("b.jpg"), blob("copy of a.jpg")]
    index, writer = state.start(blobs)
    rows = [processed(item(b), data, only=WANTED - {clip}) for b, data in zip(blobs, "ABA", strict=True)]
    state.commit(index, writer, rows)
    index, writer = state.start(blobs)
    assert work(index) == [("a.jpg", frozenset({clip})), ("b.jpg", frozenset({clip}))]
    assert index.missing(sha("A"), WANTED) == {clip}
    with pytest.raises(StateError, match="3 pictures were left without a result"):
        index.number_pictures(WANTED)
    state.commit(index, writer, [processed(i, d) for i, d in zip(index.work(0, WANTED), "AB", strict=True)])
    assert names(index) == []
    assert state.keys(clip)[0].startswith(f"{STATE}{clip}/p00000-e0001-a0002-00000-")
    again, _ = state.start(blobs)
    assert names(again, exact_pass=False) == []


def test_a_shard_that_was_deleted_is_computed_again(state: State) -> None:
    info = blob("a.jpg")
    index, writer = state.start([info])
    state.commit(index, writer, [processed(item(info), "A")])
    for family in sorted(WANTED):
        (key,) = state.keys(family)
        content = state.store.blobs.pop(key)
        index, _ = state.start([info])
        assert work(index) == [("a.jpg", frozenset({family}))]
        state.store.blobs[key] = content


def test_a_kill_between_any_two_shards_of_a_commit_costs_only_that_commit(state: State) -> None:
    blobs = [blob("a.jpg"), blob("b.jpg")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(blobs[0]), "A")])
    for survivors in range(5):
        index, writer = state.start(blobs)
        left = iter(range(survivors))

        def on_request(what: str, key: str, left: Iterator[int] = left) -> None:
            if what == "write" and next(left, None) is None:
                raise Killed

        state.store.on_request = on_request
        with pytest.raises(Killed):
            state.commit(index, writer, [processed(item(blobs[1]), "BB")])
        state.store.on_request = None
        again, _ = state.start(blobs)
        assert names(again) == ["b.jpg"]
        assert again.missing(sha("BB"), WANTED) <= WANTED
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(blobs[1]), "BB")])
    index, _ = state.start(blobs)
    assert index.number_pictures(WANTED) == 2
    vectors = load_vectors(index, state.thread, STATE, FAMILIES.vectors["clip"], 4)
    np.testing.assert_array_equal(vectors, [[1] * 4, [2] * 4])


def test_proven_beats_claimed_in_any_order(tmp_path: Path) -> None:
    rows = [
        CatalogueRow("c/in/a.jpg", "e1:10", sha("claimed"), None, DECODER, claimed=True),
        CatalogueRow("c/in/a.jpg", "e1:10", sha("proven"), None, DECODER, families=tuple(WANTED)),
    ]
    for n, order in enumerate((rows, rows[::-1])):
        index = ScratchIndex(tmp_path / f"{n}.db", DECODER)
        index.add_listing(0, [blob("a.jpg")])
        for row in order:
            index.add_catalogue(catalogue_table([row]), WANTED)
        index.add_keys(FAMILIES.facts, [sha("proven")])
        assert index.pending(WANTED) == 0
        index.close()


def test_a_key_that_is_listed_twice_counts_once(state: State) -> None:
    index, _ = state.start([blob("a.jpg")], [blob("a.jpg"), blob("b.jpg")])
    assert index.listed() == 2
    assert names(index, 0, 1) == ["a.jpg", "b.jpg"]


def test_a_name_that_is_not_utf8_is_refused_whole(state: State) -> None:
    index, _ = state.start()
    with pytest.raises(StateError, match=r"caf\\udce9\.jpg"):
        index.add_listing(0, [blob("a.jpg"), blob("caf\udce9.jpg")])
    assert index.listed() == 0


def quality(
    width: np.ndarray, height: np.ndarray, sharpness: Float32Array, exposure: Float32Array, compression: Float32Array
) -> Float32Array:
    assert width.dtype == height.dtype == np.int32
    return (sharpness + 2 * exposure + 4 * compression).astype(np.float32)


def collection(state: State) -> tuple[ScratchIndex, list[BlobInfo]]:
    """Keys a0 to f0 of pictures 0 to 5; a1 holds picture 0 again, f1 picture 5 by claim, x is broken."""
    listed = [blob(n) for n in ("a0", "a1", "b0", "c0", "d0", "e0")]
    listed += [blob("f0", md5="f"), blob("f1", md5="f"), blob("x")]
    index, writer = state.start(listed)
    rows = [processed(item(b), b.key[5] * (ord(b.key[5]) - 96)) for b in listed if b.key[5:] not in ("f1", "x")]
    state.commit(index, writer, [*rows, failed(item(listed[-1]), "X")])
    assert commit_claims(writer, index) == 1
    assert index.number_pictures(WANTED) == 6
    return index, listed


def test_pictures_are_numbered_by_first_key(state: State) -> None:
    index, _ = collection(state)
    pictures = index.pictures(quality)
    contents = [letter * n for n, letter in enumerate("abcdef", 1)]
    assert [row.tobytes() for row in pictures.sha] == [sha(text) for text in contents]
    assert pictures.width.tolist() == [40] * 6
    assert pictures.height.tolist() == [30] * 6
    assert pictures.size.tolist() == [1000 + n for n in range(1, 7)]
    assert pictures.phash.tolist() == [(1 << 63) + n for n in range(1, 7)]
    assert pictures.texture.tolist() == [1.0] * 6
    assert pictures.quality.tolist() == [4.0] * 6
    shuffled = pictures.sha[[3, 0, 5]]
    unknown = np.frombuffer(sha("unknown") + bytes(32), np.uint8).reshape(2, 32)
    assert index.indices(np.concatenate([shuffled, unknown])).tolist() == [3, 0, 5, -1, -1]
    assert index.indices(np.zeros((0, 32), np.uint8)).tolist() == []


def test_sums_that_end_in_zeros_are_told_apart(tmp_path: Path) -> None:
    sums = [b"\1" + bytes(31), b"\1\0\1" + bytes(29), bytes(32)]
    index = ScratchIndex(tmp_path / "i.db", DECODER)
    index.add_listing(0, [blob(str(n)) for n in range(3)])
    family = frozenset({"facts/f"})
    index.add_keys("facts/f", sums)
    index.add_catalogue(
        catalogue_table(CatalogueRow(f"c/in/{n}", "e1:10", s, None, DECODER) for n, s in enumerate(sums)), ()
    )
    assert index.number_pictures(family) == 3
    asked = np.frombuffer(b"".join([*sums, b"\2" + bytes(31)]), np.uint8).reshape(4, 32)
    assert index.indices(asked).tolist() == [0, 1, 2, -1]
    index.close()


def test_decisions_come_by_group_best_first(state: State) -> None:
    index, listed = collection(state)
    keeper = np.array([4, 1, 1, 3, 4, 5], np.int32)  # groups {a, d' = e}, {b, c}, {d}, {f}: keepers e, b, d, f
    verdict = np.zeros(6, VERDICT_DTYPE)
    verdict["kind"][[0, 2]] = Kind.PART, Kind.COPY
    verdict["agreement"][[0, 2]] = 0.5, 1
    verdict["cover_a"][[0, 2]] = 0.5, 0.75
    scores = np.arange(6, dtype=np.float32)
    for _ in range(2):  # may be set again
        index.set_grouping(keeper, verdict, scores)
    decisions = list(index.decisions())
    rows = [(d.key[5:], d.group, d.group_size, d.best, d.witness, d.relation, d.similarity) for d in decisions]
    assert rows == [
        ("b0", 1, 2, True, None, None, 1.0),
        ("c0", 1, 2, False, "c/in/b0", Kind.COPY, 0.75),
        ("d0", 2, 1, True, None, None, 1.0),
        ("e0", 3, 3, True, None, None, 1.0),
        ("a0", 3, 3, False, "c/in/e0", Kind.PART, 0.25),
        ("a1", 3, 3, False, "c/in/e0", Kind.PART, 0.25),
        ("f0", 4, 2, True, None, None, 1.0),
        ("f1", 4, 2, False, "c/in/f0", Kind.EXACT, 1.0),
    ]
    assert [d.claimed for d in decisions] == [False] * 7 + [True]
    first, last = decisions[0], decisions[-1]
    assert (first.etag, first.size, first.md5, first.sha, first.picture) == ("e1", 10, None, sha("bb"), 1)
    assert (first.width, first.height, first.format, first.quality) == (40, 30, "jpeg", 1.0)
    assert (first.dominant_colours, first.hsv_histogram) == (2, bytes(128))
    assert last.md5 == listed[-2].md5
    assert {d.key for d in decisions} | {f.key for f in index.failures()} == {b.key for b in listed}


def test_answers_longer_than_a_page_are_whole(state: State) -> None:
    listed = [blob(f"{n:05d}.jpg") for n in range(2500)]
    index, writer = state.start(listed[:1200], listed[1200:])
    good = [processed(item(b), b.key) for b in listed[:1200]]
    state.commit(index, writer, good)
    state.commit(index, writer, [failed(item(b, 1), b.key) for b in listed[1200:]])
    assert index.number_pictures(WANTED) == 1200
    index.set_grouping(np.arange(1200, dtype=np.int32), np.zeros(1200, VERDICT_DTYPE), np.zeros(1200, np.float32))
    assert [d.key for d in index.decisions()] == [b.key for b in listed[:1200]]
    assert [f.key for f in index.failures()] == [b.key for b in listed[1200:]]


def test_an_empty_listing_has_no_pictures(state: State) -> None:
    index, _ = state.start([])
    assert index.number_pictures(WANTED) == 0
    assert len(index.pictures(quality)) == 0
    index.set_grouping(np.zeros(0, np.int32), np.zeros(0, VERDICT_DTYPE), np.zeros(0, np.float32))
    assert list(index.decisions()) == []
    assert index.indices(np.zeros((1, 32), np.uint8)).tolist() == [-1]


def test_vectors_are_checked_for_length_and_absence(state: State) -> None:
    index, _ = collection(state)
    family = FAMILIES.vectors["clip"]
    vectors = load_vectors(index, state.thread, STATE, family, 4)
    np.testing.assert_array_equal(vectors[:, 0], np.arange(1, 7, dtype=np.float16))
    with pytest.raises(StateError, match="holds vectors of 4 numbers, not 5"):
        load_vectors(index, state.thread, STATE, family, 5)
    with pytest.raises(StateError, match="vectors of 6 pictures are missing"):
        load_vectors(index, state.thread, STATE, "vectors/none/1", 4)


def test_cached_verdicts_come_back_by_number(state: State) -> None:
    index, _ = collection(state)
    pictures = index.pictures(quality)
    sums = np.concatenate([pictures.sha[[4, 1, 0]], np.zeros((1, 32), np.uint8)])
    verdicts = np.zeros(3, VERDICT_DTYPE)
    verdicts["inliers"] = 7, 8, 9
    ShardWriter(state.thread, STATE, 1, 9).write("verdicts/v", 0, verdicts_table(sums[:3], sums[1:], verdicts))
    ((pairs, found),) = load_verdicts(index, state.thread, STATE, "verdicts/v")
    assert pairs.tolist() == [[4, 1], [1, 0]]
    assert found["inliers"].tolist() == [7, 8]
