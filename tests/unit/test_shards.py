from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from modules.errors import LeaseHeldError, StateError
from modules.memory_store import MemoryStore
from modules.records import VERDICT_DTYPE, BlobInfo, Content, Facts, Keypoints
from modules.state.listing import ListingPart, last_listing_part, read_listing_parts, write_listing_part
from modules.state.schemas import (
    CATALOGUE,
    CatalogueRow,
    JournalRow,
    catalogue_rows,
    catalogue_table,
    facts_table,
    journal_rows,
    journal_table,
    keypoints_of,
    keypoints_table,
    shas_of,
    vectors_of,
    vectors_table,
    verdicts_of,
    verdicts_table,
)
from modules.state.shards import (
    ShardName,
    ShardWriter,
    list_shards,
    read_family,
    read_shards,
    to_parquet,
)
from modules.store_thread import StoreThread
from tests.state import read_shard

STATE = "c/out/_state/"
ROW = CatalogueRow("c/a.jpg", "e:1", bytes(range(32)), None, "d1", families=("facts/1",))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def thread(store: MemoryStore) -> Iterator[StoreThread]:
    thread = StoreThread(store)
    yield thread
    thread.close()


def damage(store: MemoryStore, key: str) -> None:
    data = bytearray(store.blobs[key].data)
    data[len(data) // 3] ^= 1
    store.blobs[key] = Content(bytes(data), "damaged")


def test_a_written_shard_is_listed_and_read_back(thread: StoreThread) -> None:
    table = catalogue_table([ROW])
    key = ShardWriter(thread, STATE, 2, 7).write("catalogue", 3, table)
    assert key.startswith("c/out/_state/catalogue/p00003-e0002-a0007-00000-")
    assert list_shards(thread, STATE, "catalogue") == [key]
    assert read_shard(thread, key).equals(table)
    assert read_shard(thread, key, ["key"]).column_names == ["key"]


def test_no_two_shards_of_an_attempt_share_a_stem_unless_asked_to(thread: StoreThread) -> None:
    writer = ShardWriter(thread, STATE, 1, 1)
    stem = writer.stem(0)
    keys = [writer.write("catalogue", 0, catalogue_table([ROW]), stem=stem)]
    keys += [writer.write("catalogue", 0, catalogue_table([ROW])) for _ in range(2)]
    names = [ShardName.of(key) for key in keys]
    assert [name.stem for name in names if name] == [f"p00000-e0001-a0001-{n:05d}" for n in range(3)]


def test_equal_rows_give_equal_bytes() -> None:
    assert to_parquet(catalogue_table([ROW])) == to_parquet(catalogue_table([ROW]))


def test_families_do_not_see_each_other_nor_foreign_files(thread: StoreThread, store: MemoryStore) -> None:
    writer = ShardWriter(thread, STATE, 1, 1)
    key = writer.write("vectors/clip", 0, catalogue_table([ROW]))
    writer.write("vectors/clip/deep", 0, catalogue_table([ROW]))
    writer.write("vectors/clip2", 0, catalogue_table([ROW]))
    store.blobs[f"{STATE}vectors/clip/notes.txt"] = Content(b"x", "1")
    assert list_shards(thread, STATE, "vectors/clip") == [key]


def test_a_damaged_shard_names_itself_and_the_way_out(thread: StoreThread, store: MemoryStore) -> None:
    key = ShardWriter(thread, STATE, 1, 1).write("catalogue", 0, catalogue_table([ROW]))
    damage(store, key)
    with pytest.raises(StateError, match=rf"mem://{key} is damaged; delete it and run again"):
        read_shard(thread, key)


def test_a_shard_that_vanished_is_a_state_error(thread: StoreThread) -> None:
    with pytest.raises(StateError, match="removed"):
        read_shard(thread, f"{STATE}catalogue/p00000-e0001-a0001-00000-0123456789abcdef.parquet")


def test_a_family_is_read_in_order_with_few_in_flight(thread: StoreThread, store: MemoryStore) -> None:
    writer = ShardWriter(thread, STATE, 1, 1)
    for part in (2, 0, 1, 3, 5, 4):
        writer.write("catalogue", part, catalogue_table([CatalogueRow(f"c/{part}", "e:1", None, "bad", "d1")]))
    keys = list_shards(thread, STATE, "catalogue")
    shards = read_shards(thread, keys, ahead=2)
    assert next(shards)[0] == keys[0]
    shards.close()
    assert len(store.reads) <= 3
    tables = read_family(thread, STATE, "catalogue")
    assert [table["key"][0].as_py() for table in tables] == [f"c/{part}" for part in range(6)]


def test_text_that_is_not_utf8_is_refused_by_name() -> None:
    with pytest.raises(StateError, match=r"caf\\udce9"):
        catalogue_table([CatalogueRow("c/caf\udce9.jpg", "e:1", None, "bad", "d1")])


def test_records_survive_their_tables() -> None:
    facts = Facts(
        width=4000,
        height=3000,
        format="jpeg",
        size=123,
        sharpness=0.5,
        exposure=0.25,
        contrast=0.125,
        noise=1.0,
        compression=0.75,
        content=0.5,
        texture=1.0,
        steepness=2.0,
        saved=0.75,
        earlier=1.0,
        chroma=0.5,
        described=0.5,
        dominant_colours=5,
        palette=bytes(range(20)),
        phash=(1 << 64) - 3,
        hsv_histogram=bytes(range(128)),
        taken="2024-05-01 12:00:00",
        camera="Öd & Sons",
        gps=True,
        damaged=True,
        indexed=False,
    )
    keypoints = Keypoints(
        np.array([[0, 65535, 7, 300]], np.uint16),
        np.arange(128, dtype=np.uint8).reshape(1, 128),
        b"thumb",
        b"opaque",
        b"more",
    )
    journal = [JournalRow("t", "s", "e1", None), JournalRow("t", "s", "e1", "e2", True)]
    failed = CatalogueRow("c/b", "e:2", None, "truncated", "d1", claimed=True)
    assert list(catalogue_rows(catalogue_table([ROW, failed]))) == [ROW, failed]
    assert facts_table([(bytes(32), facts)]).to_pylist() == [{"sha": bytes(32), **asdict(facts)}]
    assert list(journal_rows(journal_table(journal))) == journal
    (row,) = keypoints_table([(bytes(32), keypoints)]).to_pylist()
    assert row.pop("sha") == bytes(32)
    read = keypoints_of(**row)
    assert (read.thumb, read.alpha, read.frames) == (b"thumb", b"opaque", b"more")
    np.testing.assert_array_equal(read.points, keypoints.points)
    np.testing.assert_array_equal(read.descriptors, keypoints.descriptors)


def test_a_picture_without_keypoints_keeps_its_shapes() -> None:
    none = Keypoints(np.zeros((0, 4), np.uint16), np.zeros((0, 128), np.uint8), b"")
    (row,) = keypoints_table([(bytes(32), none)]).to_pylist()
    read = keypoints_of(row["points"], row["descriptors"], row["thumb"], row["alpha"], row["frames"])
    assert read.points.shape == (0, 4)
    assert read.descriptors.shape == (0, 128)


def test_vectors_and_verdicts_survive_their_tables() -> None:
    rng = np.random.default_rng(1)
    shas = [rng.bytes(32) for _ in range(5)]
    vectors = rng.normal(size=(5, 7)).astype(np.float32)
    packed = np.frombuffer(b"".join(shas), np.uint8).reshape(5, 32)
    read_shas, read_vectors = vectors_of(vectors_table(shas, vectors))
    np.testing.assert_array_equal(read_shas, packed)
    np.testing.assert_array_equal(read_vectors, vectors.astype(np.float16))
    verdicts = np.zeros(5, VERDICT_DTYPE)
    for name in VERDICT_DTYPE.names or ():
        verdicts[name] = rng.integers(0, 2, verdicts[name].shape)
    sha_a, sha_b, read = verdicts_of(verdicts_table(packed, packed[::-1], verdicts))
    np.testing.assert_array_equal(sha_a, packed)
    np.testing.assert_array_equal(sha_b, packed[::-1])
    np.testing.assert_array_equal(read, verdicts)


def test_an_empty_table_has_its_schema_and_no_shas() -> None:
    assert catalogue_table([]).schema.equals(CATALOGUE)
    assert shas_of(pa.Table.from_pylist([], CATALOGUE)).shape == (0, 32)


def listing(part: int, marker: str | None, size: int = 5) -> ListingPart:
    blobs = [
        BlobInfo(f"c/in/{part}-{n}.jpg", size, f"e{n}", b"m" * 16, "image/jpeg", n == 1, 10**18 + n) for n in range(3)
    ]
    return ListingPart(part, blobs, marker, ("c/in/out/",))


def test_listing_parts_come_back_and_the_last_one_says_where_to_go_on(thread: StoreThread) -> None:
    assert last_listing_part(thread, STATE, 1) is None
    parts = [listing(0, "m1"), listing(1, "m2"), ListingPart(2, [], None)]
    for part in parts[:2]:
        write_listing_part(thread, STATE, 1, part)
    assert last_listing_part(thread, STATE, 1) == parts[1]
    write_listing_part(thread, STATE, 1, parts[2])
    assert list(read_listing_parts(thread, STATE, 1)) == parts
    assert last_listing_part(thread, STATE, 2) is None


def test_a_zombies_equal_listing_part_is_fine_and_another_one_is_not(thread: StoreThread) -> None:
    write_listing_part(thread, STATE, 1, listing(0, "m1"))
    write_listing_part(thread, STATE, 1, listing(0, "m1"))
    with pytest.raises(LeaseHeldError):
        write_listing_part(thread, STATE, 1, listing(0, "m1", size=6))


def reads_wrong(thread: StoreThread) -> bool:
    """Whether the first part is refused; else it must be what was written."""
    try:
        part = next(read_listing_parts(thread, STATE, 1))
    except StateError as error:
        return "is damaged; delete" in str(error)
    assert part == listing(0, "m0")
    return False


def test_damaged_and_missing_listing_parts_are_state_errors(thread: StoreThread, store: MemoryStore) -> None:
    for n in range(3):
        write_listing_part(thread, STATE, 1, listing(n, f"m{n}"))
    first = f"{STATE}runs/e0001/listing/p00000.parquet"
    whole = store.blobs[first]
    damaged = 0
    for place in range(0, len(whole.data), 7):
        data = bytearray(whole.data)
        data[place] ^= 0x10
        store.blobs[first] = Content(bytes(data), "damaged")
        damaged += reads_wrong(thread)
    assert damaged > len(whole.data) / 7 / 2
    del store.blobs[first]
    with pytest.raises(StateError, match="are missing"):
        list(read_listing_parts(thread, STATE, 1))


def test_a_listing_without_its_last_part_is_never_taken_for_whole(thread: StoreThread, store: MemoryStore) -> None:
    with pytest.raises(StateError, match="are missing; delete that folder and run again"):
        list(read_listing_parts(thread, STATE, 1))
    for part in (listing(0, "m1"), listing(1, None)):
        write_listing_part(thread, STATE, 1, part)
    assert len(list(read_listing_parts(thread, STATE, 1))) == 2
    del store.blobs[f"{STATE}runs/e0001/listing/p00001.parquet"]
    with pytest.raises(StateError, match="are missing; delete that folder and run again"):
        list(read_listing_parts(thread, STATE, 1))
