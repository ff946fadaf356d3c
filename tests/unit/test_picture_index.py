from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modules.errors import StateError
from modules.matching.keep import Keep
from modules.records import (
    VERDICT_DTYPE,
    BlobInfo,
    Copy,
    Float32Array,
    Kind,
    LookLevel,
    Pictures,
)
from modules.state.arrays import load_vectors, load_verdicts
from modules.state.commit import commit_claims
from modules.state.index import ScratchIndex
from modules.state.schemas import CatalogueRow, catalogue_table, verdicts_table
from modules.state.shards import ShardWriter
from tests.state import (
    DECODER,
    FAMILIES,
    STATE,
    WANTED,
    State,
    blob,
    failed,
    item,
    processed,
    sha,
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


def quality(
    width: np.ndarray,
    height: np.ndarray,
    *,
    sharpness: Float32Array,
    exposure: Float32Array,
    contrast: Float32Array,
    noise: Float32Array,
    compression: Float32Array,
    content: Float32Array,
) -> Float32Array:
    assert width.dtype == height.dtype == np.int32
    return (sharpness + 2 * exposure + 4 * contrast + 8 * noise + 16 * compression) * content.astype(np.float32)


def pictures_of(index: ScratchIndex, *keep: str) -> Pictures:
    return index.pictures(quality, Keep.parse(keep or ("quality",)).order, "c/in/")


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
    pictures = pictures_of(index)
    contents = [letter * n for n, letter in enumerate("abcdef", 1)]
    assert [row.tobytes() for row in pictures.sha] == [sha(text) for text in contents]
    assert pictures.width.tolist() == [40] * 6
    assert pictures.height.tolist() == [30] * 6
    assert pictures.size.tolist() == [1000 + n for n in range(1, 7)]
    assert pictures.phash.tolist() == [(1 << 63) + n for n in range(1, 7)]
    assert pictures.texture.tolist() == [1.0] * 6
    assert pictures.quality.tolist() == [23.0] * 6
    shuffled = pictures.sha[[3, 0, 5]]
    unknown = np.frombuffer(sha("unknown") + bytes(32), np.uint8).reshape(2, 32)
    assert index.indices(np.concatenate([shuffled, unknown])).tolist() == [3, 0, 5, -1, -1]
    assert index.indices(np.zeros((0, 32), np.uint8)).tolist() == []


def test_a_picture_is_read_again_from_its_first_blob_that_was_read(state: State) -> None:
    listed = [blob("0", md5="p"), blob("1", md5="p", size=10, etag="e7"), blob("2"), blob("3"), blob("4")]
    index, writer = state.start(listed)
    rows = [processed(item(listed[n]), data) for n, data in ((1, "p"), (3, "qq"), (4, "p"))]
    state.commit(index, writer, [*rows, failed(item(listed[2]), "qqq")])
    assert commit_claims(writer, index) == 1  # 0 is equal to 1, by the listing alone
    assert index.number_pictures(WANTED) == 2
    numbers = np.array([1, 0, 1], np.int32)
    found = [(one.key, one.size, one.etag) for one in index.blobs_of(numbers)]
    assert found == [("c/in/3", 10, "e1"), ("c/in/1", 10, "e7"), ("c/in/3", 10, "e1")]


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
    verdict["looked"][0], verdict["confidence"][0] = LookLevel.PICTURES, 0.875
    scores = np.arange(6, dtype=np.float32)
    pictures_of(index)
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
    # Nobody looked at the copy; equal bytes need no look.
    assert [d.confidence for d in decisions if not d.best] == [None, 0.875, 0.875, 1.0]
    first, last = decisions[0], decisions[-1]
    assert (first.etag, first.size, first.md5, first.sha) == ("e1", 10, None, sha("bb"))
    assert (first.width, first.height, first.format, first.quality) == (40, 30, "jpeg", 1.0)
    assert (first.dominant_colours, first.hsv_histogram) == (2, bytes(128))
    assert last.md5 == listed[-2].md5
    assert {d.key for d in decisions} | {f.key for f in index.failures()} == {b.key for b in listed}


def test_what_rests_on_a_claimed_witness_is_marked_as_claimed(state: State) -> None:
    """A blob that came later and sorts first is the best one, though its bytes were never read."""
    twin, later = (blob(name, md5="m") for name in ("b.jpg", "a.jpg"))
    index, writer = state.start([twin])
    state.commit(index, writer, [processed(item(twin), "bytes")])
    index, writer = state.start([later, twin])
    assert commit_claims(writer, index) == 1
    index.number_pictures(WANTED)
    pictures_of(index)
    index.set_grouping(np.zeros(1, np.int32), np.zeros(1, VERDICT_DTYPE), np.zeros(1, np.float32))
    assert [(d.key[5:], d.best, d.claimed) for d in index.decisions()] == [
        ("a.jpg", True, True),
        ("b.jpg", False, True),
    ]


def test_answers_longer_than_a_page_are_whole(state: State) -> None:
    listed = [blob(f"{n:05d}.jpg") for n in range(2500)]
    index, writer = state.start(listed[:1200], listed[1200:])
    good = [processed(item(b), b.key) for b in listed[:1200]]
    state.commit(index, writer, good)
    state.commit(index, writer, [failed(item(b, 1), b.key) for b in listed[1200:]])
    assert index.number_pictures(WANTED) == 1200
    pictures_of(index)
    index.set_grouping(np.arange(1200, dtype=np.int32), np.zeros(1200, VERDICT_DTYPE), np.zeros(1200, np.float32))
    assert [d.key for d in index.decisions()] == [b.key for b in listed[:1200]]
    assert [f.key for f in index.failures()] == [b.key for b in listed[1200:]]


def test_policies_rank_pictures_and_choose_the_blob_of_each(state: State) -> None:
    times = {"a0": 3, "a1": 9, "b0": 5, "c/b": 7, "c/c": 1, "d": 0}
    listed = [replace(blob(name), modified_ns=when) for name, when in times.items()]
    index, writer = state.start(listed)
    state.commit(index, writer, [processed(item(b), b.key[-1] if b.key[-1] in "bcd" else b.key[5]) for b in listed])
    # Pictures: 0 is a0 and a1, 1 is b0 and c/b, 2 is c/c, 3 is d.
    index.number_pictures(WANTED)
    for keep, ranks, best in [
        (["quality"], [0, 1, 2, 3], ["a0", "b0", "c/c", "d"]),
        (["newest"], [0, 1, 2, 3], ["a1", "c/b", "c/c", "d"]),
        (["oldest"], [1, 2, 0, 3], ["a0", "b0", "c/c", "d"]),
        (["folder:c", "oldest"], [2, 1, 0, 3], ["a0", "c/b", "c/c", "d"]),
    ]:
        assert pictures_of(index, *keep).rank.tolist() == ranks
        index.set_grouping(np.arange(4, dtype=np.int32), np.zeros(4, VERDICT_DTYPE), np.zeros(4, np.float32))
        decisions = list(index.decisions())
        assert [d.key[5:] for d in decisions if d.best] == best
        assert [(d.witness or "")[5:] for d in decisions if not d.best] == best[:2]
        assert [d.group for d in decisions] == [1, 1, 2, 2, 3, 4]


def test_groups_are_numbered_by_the_keys_of_their_best_blobs(state: State) -> None:
    listed = [replace(blob(name), modified_ns=when) for name, when in (("a", 1), ("b", 1), ("z", 2))]
    index, writer = state.start(listed)
    state.commit(index, writer, [processed(item(b), "b" if b.key[-1] == "b" else "a") for b in listed])
    index.number_pictures(WANTED)
    pictures_of(index, "newest")
    index.set_grouping(np.arange(2, dtype=np.int32), np.zeros(2, VERDICT_DTYPE), np.zeros(2, np.float32))
    assert [(d.key[5:], d.group, d.best) for d in index.decisions()] == [
        ("b", 1, True),
        ("z", 2, True),
        ("a", 2, False),
    ]


def test_equals_in_everything_go_by_key_across_pages(state: State) -> None:
    listed = [blob(f"{n:04d}") for n in range(2100)]
    index, writer = state.start(listed)
    state.commit(index, writer, [processed(item(b), str(n // 2 + 5000)) for n, b in enumerate(listed)])
    index.number_pictures(WANTED)
    assert pictures_of(index, "largest").rank.tolist() == list(range(1050))


@pytest.mark.parametrize("keep", ["lexi", "folder:b,newest", "smallest,oldest", "largest,lexi", "quality"])
def test_the_database_sorts_as_python_does(keep: str, state: State) -> None:
    rng = np.random.default_rng(len(keep))
    names = [f"{rng.choice(['a', 'b', 'ü', 'Ａ', '🖼'])}/{n}{rng.choice(['', 'é', '🎈', 'Z'])}" for n in range(300)]
    listed = sorted(
        (replace(blob(name, size=int(rng.integers(3))), modified_ns=2**62 + int(rng.integers(9))) for name in names),
        key=lambda info: info.key,
    )
    index, writer = state.start(listed)
    state.commit(index, writer, [processed(item(b), b.key) for b in listed])
    index.number_pictures(WANTED)
    order = Keep.parse(keep.split(",")).order

    def keys(info: BlobInfo) -> tuple[int | float | str, ...]:
        copy = Copy(info.key.removeprefix("c/in/"), info.size, info.modified_ns, 40, 30, 23.0, metadata(info))
        return (*(key(copy) for key in order), info.key)

    def metadata(info: BlobInfo) -> int:
        return 1 + (len(info.key) % 2)  # as facts() makes it

    ranks = pictures_of(index, *keep.split(",")).rank
    assert [listed[n].key for n in np.argsort(ranks)] == [info.key for info in sorted(listed, key=keys)]


def test_an_empty_listing_has_no_pictures(state: State) -> None:
    index, _ = state.start([])
    assert index.number_pictures(WANTED) == 0
    assert len(pictures_of(index)) == 0
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
    pictures = pictures_of(index)
    sums = np.concatenate([pictures.sha[[4, 1, 0]], np.zeros((1, 32), np.uint8)])
    verdicts = np.zeros(3, VERDICT_DTYPE)
    verdicts["inliers"] = 7, 8, 9
    ShardWriter(state.thread, STATE, 1, 9).write("verdicts/v", 0, verdicts_table(sums[:3], sums[1:], verdicts))
    ((pairs, found),) = load_verdicts(index, state.thread, STATE, "verdicts/v")
    assert pairs.tolist() == [[4, 1], [1, 0]]
    assert found["inliers"].tolist() == [7, 8]
