"""Candidates: found, bounded, and equal whatever the number of threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modules.devices import Device
from modules.features.codes import MAX_CODES, ROW_BYTES
from modules.matching import vector_neighbours
from modules.matching.candidates import REACHES, Reach, Search, Vectors
from modules.matching.hash_neighbours import MAX_DISTANCE, hash_neighbours
from modules.matching.ledger import Ledger, PairSet, best_partners
from modules.matching.local_neighbours import LocalCodes
from modules.records import Pictures
from tests.unit.test_deduplication import pictures

REACH = Reach(20, variants=True, hashes=True)


class Turning:
    """Vectors of four numbers whose second half is the first one's mirror image."""

    name = family = "turning"
    dim = 32
    fingerprint = "0"

    def prepare(self, rgb: np.ndarray) -> np.ndarray:
        return rgb

    def setup(self, device: Device) -> None: ...

    def embed(self, batch: np.ndarray) -> np.ndarray:
        return batch.astype(np.float32)

    def variants(self, vectors: np.ndarray) -> list[np.ndarray]:
        return [vectors, np.ascontiguousarray(vectors[:, ::-1])]


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float16)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count // 5 + 1, 32))
    return unit(centres[np.arange(count) // 5] + rng.normal(scale=0.15, size=(count, 32)))


def table(count: int, hashes: list[int] | np.ndarray) -> Pictures:
    made = pictures([float(i % 7) for i in range(count)])
    return replace(made, phash=np.asarray(hashes, np.uint64))


def scattered(count: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 2**63, count, dtype=np.uint64)


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(i, j) for i, j in pairs.tolist()}


def propose(made: Pictures, vectors: Vectors, reach: Reach, rows: np.ndarray | None = None) -> np.ndarray:
    search = Search(made, vectors, {"turning": 0.6}, reach)
    return search(np.arange(len(made), dtype=np.int32) if rows is None else rows)


@pytest.mark.parametrize("flat_rows", [10_000, 100])
def test_neighbours_are_found_by_either_index(flat_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_neighbours, "FLAT_ROWS", flat_rows)
    found = as_set(propose(table(3000, scattered(3000)), {"turning": (clustered(3000), Turning())}, REACH))
    wanted = {(i, j) for i in range(3000) for j in range(i + 1, min(3000, i // 5 * 5 + 5))}
    assert len(wanted & found) >= 0.99 * len(wanted)
    assert len(found) <= 3000 * (REACH.neighbours + vector_neighbours.VARIANT_NEIGHBOURS)


@pytest.mark.parametrize("flat_rows", [10_000, 100])
def test_candidates_do_not_depend_on_threads(flat_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    monkeypatch.setattr(vector_neighbours, "FLAT_ROWS", flat_rows)
    threads, found = faiss.omp_get_max_threads(), []
    for number in (1, 4):
        faiss.omp_set_num_threads(number)
        found.append(propose(table(2000, scattered(2000)), {"turning": (clustered(2000), Turning())}, REACH))
    faiss.omp_set_num_threads(threads)
    assert np.array_equal(found[0], found[1])


def test_mirrored_pictures_are_proposed() -> None:
    vectors = unit(np.random.default_rng(2).normal(size=(50, 32)))
    vectors[7] = vectors[31][::-1]
    assert (7, 31) in as_set(propose(table(50, scattered(50)), {"turning": (vectors, Turning())}, REACH))


def test_neighbours_are_as_many_and_as_near_as_asked() -> None:
    made, vectors, alone = table(600, scattered(600)), clustered(600), replace(REACH, hashes=False)
    families = {"turning": (vectors, Turning())}
    every = as_set(propose(made, families, alone))
    few = as_set(propose(made, families, replace(alone, neighbours=1)))
    assert few < every
    assert len(few) <= 600 * 2  # the nearest one, and the nearest one of the mirrored picture
    found = as_set(Search(made, families, {"turning": 0.9}, alone)(np.arange(600, dtype=np.int32)))
    whole = vectors.astype(np.float64)
    mirrored = whole[:, ::-1]
    cosine = {(i, j): max(whole[i] @ whole[j], mirrored[i] @ whole[j]) for i, j in every}
    assert found == {pair for pair in every if cosine[pair] >= 0.9}
    assert 0 < len(found) < len(every)
    plain = as_set(propose(made, families, replace(alone, variants=False)))
    assert plain < every
    assert min(whole[i] @ whole[j] for i, j in plain) >= 0.599
    assert {(i, j) for i, j in every if whole[i] @ whole[j] >= 0.601} == {
        (i, j) for i, j in plain if whole[i] @ whole[j] >= 0.601
    }


def test_hashes_propose_only_where_they_are_wanted() -> None:
    twins = table(300, np.repeat(scattered(150), 2))
    assert len(propose(twins, {}, REACH)) >= 150
    assert len(propose(twins, {}, replace(REACH, hashes=False))) == 0


def test_a_subset_proposes_only_its_own_rows() -> None:
    subset = np.arange(0, 400, 2, dtype=np.int32)
    found = propose(table(400, scattered(400)), {"turning": (clustered(400), Turning())}, REACH, subset)
    assert len(found)
    assert np.isin(found, subset).all()


def test_called_again_only_crowded_pictures_ask() -> None:
    vectors = unit(np.repeat(np.random.default_rng(5).normal(size=(60, 32)), [10] + [2] * 59, axis=0))
    made, rows = table(128, scattered(128)), np.arange(128, dtype=np.int32)
    search = Search(made, {"turning": (vectors, Turning())}, {"turning": 0.99}, Reach(3))
    first = as_set(search(rows))
    assert {(row, row + 1) for row in range(10, 128, 2)} <= first
    gone = np.array([1, 2, 3], np.int32)
    again = search(np.setdiff1d(rows, gone).astype(np.int32))
    assert len(again)
    assert again.max() < 10
    assert not as_set(again) <= first
    alone = np.concatenate([[0], rows[10:]]).astype(np.int32)
    assert len(search(alone)) == 0
    assert len(search(alone)) == 0


def test_every_effort_begins_with_what_is_near_and_goes_on_further() -> None:
    for reaches in REACHES.values():
        assert not reaches[0].variants
        assert reaches[0].poll is None
        assert reaches[-1].variants
    assert REACHES["fast"][-1].poll is None
    balanced, thorough = REACHES["balanced"][-1], REACHES["thorough"][-1]
    assert balanced.poll is not None
    assert thorough.poll is not None
    assert thorough.neighbours > balanced.neighbours
    assert thorough.poll.least < balanced.poll.least


def test_codes_are_asked_only_by_a_reach_with_a_poll() -> None:
    made = table(200, scattered(200))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (200, MAX_CODES, ROW_BYTES), dtype=np.uint8)
    codes[150, 5:25] = codes[3, 10:30]
    local = LocalCodes(codes, np.full(200, MAX_CODES, np.uint8))
    rows = np.arange(200, dtype=np.int32)
    found = [as_set(Search(made, {}, {}, reach, local)(rows)) for reach in REACHES["balanced"]]
    assert [(3, 150) in pairs for pairs in found] == [False, True]


def test_pairs_are_unique_sorted_and_ordered_within() -> None:
    found = propose(table(500, scattered(500)), {"turning": (clustered(500), Turning())}, REACH)
    assert found.dtype == np.int32
    assert (found[:, 0] < found[:, 1]).all()
    assert np.array_equal(found, np.unique(found, axis=0))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_have_no_candidates(count: int) -> None:
    empty = np.zeros((count, 32), np.float16)
    assert propose(table(count, np.zeros(count)), {"turning": (empty, Turning())}, REACH).shape == (0, 2)


def test_thousands_of_equal_hashes_cost_linear_work() -> None:
    count = 20_000
    found = propose(table(count, np.full(count, 12345)), {}, REACH)
    assert count - 1 <= len(found) <= 3 * count
    best = 6  # the first row of the highest quality
    assert (found == best).any(axis=1).sum() >= count - 1


def test_near_hashes_are_found_and_far_ones_not() -> None:
    hashes = scattered(1000)
    for row in range(0, 1000, 2):
        hashes[row + 1] = hashes[row] ^ np.uint64(0b1011 << 20)
    made = table(1000, hashes)
    pieces = hash_neighbours(made.phash, made.rank, np.arange(1000, dtype=np.int32))
    pairs = np.concatenate([np.stack(piece, axis=1) for piece in pieces])
    distance = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
    assert (distance <= MAX_DISTANCE).all()
    assert {(row, row + 1) for row in range(0, 1000, 2)} <= as_set(np.sort(pairs, axis=1))


def test_the_best_partners_are_the_heaviest_and_each_is_one() -> None:
    left = np.array([1, 1, 0, 1, 1, 0])
    right = np.array([7, 5, 3, 7, 2, 9])
    weight = np.array([0.5, 0.9, 0.1, 0.7, 0.7, 0.1])
    best, more = best_partners(left, right, weight, 2)
    assert list(zip(left[best].tolist(), right[best].tolist(), strict=True)) == [(0, 3), (0, 9), (1, 5), (1, 2)]
    assert more.tolist() == [1]
    assert len(best_partners(left[:0], right[:0], weight[:0], 2)[0]) == 0


def test_a_pair_set_keeps_each_pair_once_over_many_merges() -> None:
    rng = np.random.default_rng(4)
    left, right = rng.integers(0, 2000, 400_000), rng.integers(0, 2000, 400_000)
    found = PairSet(2000)
    for start in range(0, len(left), 9000):
        found.add(left[start : start + 9000], right[start : start + 9000])
    wanted = {(min(i, j), max(i, j)) for i, j in zip(left.tolist(), right.tolist(), strict=True) if i != j}
    assert as_set(found.pairs()) == wanted


def test_the_ledger_knows_what_was_judged() -> None:
    from modules.matching.relations import verdict
    from modules.records import Kind

    ledger = Ledger(10)
    pairs = np.array([[1, 2], [0, 9], [3, 4]], np.int32)
    ledger.add(pairs, np.array([verdict(Kind.COPY), verdict(Kind.NONE), verdict(Kind.PART)]))
    assert ledger.unknown(np.array([[5, 6], [0, 9], [2, 3], [5, 6]], np.int32)).tolist() == [[2, 3], [5, 6]]
    related, verdicts = ledger.related()
    assert related.tolist() == [[1, 2], [3, 4]]
    assert verdicts["kind"].tolist() == [Kind.COPY, Kind.PART]
    assert len(ledger) == 3
