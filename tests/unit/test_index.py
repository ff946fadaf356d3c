from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modules.errors import StateError
from modules.records import (
    Failure,
    Processed,
)
from modules.state.arrays import load_vectors
from modules.state.commit import commit_claims
from modules.state.index import ScratchIndex
from modules.state.schemas import CatalogueRow, catalogue_table
from tests.state import (
    DECODER,
    FAMILIES,
    STATE,
    WANTED,
    Killed,
    State,
    blob,
    failed,
    item,
    names,
    processed,
    sha,
    work,
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


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
    assert (index.failed(), index.number_pictures(WANTED)) == (1, 1)
    assert list(index.failures()) == [Failure(blobs[0].key, 10, "is gone")]
    again, _ = state.start(blobs)
    assert again.failed() == 0
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
