from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from modules.features.codes import CODE_BYTES, MAX_CODES, ROW_BYTES, codes, mirror_codes
from modules.features.keypoints import mirror_descriptors
from modules.matching.local_neighbours import LocalCodes, Poll, local_neighbours
from modules.records import Keypoints, UInt8Array
from tests.drawings import analysed, as_png, leaves


def unrelated(pictures: int, seed: int = 0) -> UInt8Array:
    """Codes and places at random."""
    return np.random.default_rng(seed).integers(0, 256, (pictures, MAX_CODES, ROW_BYTES), dtype=np.uint8)


def full(made: UInt8Array) -> LocalCodes:
    return LocalCodes(made, np.full(len(made), MAX_CODES, np.uint8))


def found(local: LocalCodes, rows: NDArray[np.int32] | None = None) -> set[tuple[int, int]]:
    asked = np.arange(len(local.counts), dtype=np.int32) if rows is None else rows
    sizes = np.full((len(local.counts), 2), 100, np.int32)
    pieces = list(local_neighbours(local, sizes, asked, asked, Poll()))
    return {
        (min(a, b), max(a, b))
        for piece in pieces
        for a, b in zip(piece.left.tolist(), piece.right.tolist(), strict=True)
    }


def altered(made: UInt8Array, bits: int, seed: int = 1) -> UInt8Array:
    """Each code with so many of its 128 bits turned over, in its place."""
    flips = np.zeros((len(made), 8 * CODE_BYTES), np.uint8)
    rng = np.random.default_rng(seed)
    for row in flips:
        row[rng.permutation(len(row))[:bits]] = 1
    changed = made.copy()
    changed[:, :CODE_BYTES] ^= np.packbits(flips, axis=1)
    return changed


def moved(made: UInt8Array, *, mirrored: bool = False) -> UInt8Array:
    """Codes of places in the middle of a picture as its half, shown on a quarter of another one, has them."""
    changed = made.copy()
    changed[:, 16:18] = made[:, 16:18] // 2 + 40
    changed[:, 18] -= 16  # an octave
    if mirrored:
        changed[:, :CODE_BYTES] = mirror_codes(np.ascontiguousarray(made[:, :CODE_BYTES]))
        changed[:, 16] = 255 - changed[:, 16]
        changed[:, 19] = 128 - changed[:, 19]
    return changed


def test_half_of_the_bits_of_a_code_are_set() -> None:
    keypoints = analysed(as_png(leaves(3))).keypoints
    assert keypoints is not None
    bits = np.unpackbits(codes(keypoints)[:, :CODE_BYTES], axis=1)
    assert 0.4 < bits.mean() < 0.6


def test_a_code_has_the_place_of_its_keypoint() -> None:
    points = np.array([[65535, 256, 1023, 16384], [0, 65535, 65535, 65535]], np.uint16)
    made = codes(Keypoints(points, np.zeros((2, 128), np.uint8), b""))
    assert made.shape == (2, ROW_BYTES)
    assert made[:, CODE_BYTES:].tolist() == [[255, 1, 160, 64], [0, 255, 255, 255]]


def test_codes_of_a_mirrored_picture_are_known() -> None:
    descriptors = np.random.default_rng(0).integers(0, 128, (80, 128), dtype=np.uint8)
    points = np.zeros((80, 4), np.uint16)
    plain = codes(Keypoints(points, descriptors, b""))
    assert plain.shape == (MAX_CODES, ROW_BYTES)
    mirrored = codes(Keypoints(points, mirror_descriptors(descriptors), b""))
    assert np.array_equal(mirrored[:, :CODE_BYTES], mirror_codes(np.ascontiguousarray(plain[:, :CODE_BYTES])))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_few_codes_in_common_are_enough_where_they_lie_alike(mirrored: bool) -> None:
    made = unrelated(300)
    made[7, :5, 18] = 100  # scales of which there are smaller ones
    made[200, 30:35] = moved(altered(made[7, :5], bits=12), mirrored=mirrored)
    assert (7, 200) in found(full(made))
    made[200, 30:35, 16:18] = made[200, 34:29:-1, 16:18].copy()
    made[200, 30:35, 19] += np.arange(0, 250, 50, dtype=np.uint8)
    assert (7, 200) not in found(full(made))


def test_unrelated_pictures_are_hardly_proposed() -> None:
    assert len(found(full(unrelated(300)))) < 30


def test_what_many_pictures_have_in_common_proposes_nothing() -> None:
    made = unrelated(300)
    alone = found(full(made))
    made[:, 40:] = made[0, 40:]  # a frame around all of them
    assert len(found(full(made))) <= len(alone)


def test_what_many_pictures_nearly_have_in_common_proposes_hardly_anything() -> None:
    made = unrelated(300)
    alone = found(full(made))
    for row in range(60):  # the same logo, each time compressed otherwise
        made[row, 50:] = altered(made[0, 50:], bits=row % 8, seed=row)
    assert len(found(full(made))) <= len(alone) + 20


@pytest.mark.parametrize("copies", [10, 400])
def test_many_copies_make_linear_work_and_a_few_find_each_other(copies: int) -> None:
    few = np.stack([altered(unrelated(1)[0], bits=seed % 12, seed=seed) for seed in range(copies)])
    pairs = found(full(np.concatenate([few, unrelated(300, seed=1)])))
    assert len(pairs) <= Poll().partners * (copies + 300) / 2
    if copies == 10:
        assert {row for pair in pairs for row in pair} >= set(range(copies))


def test_a_crowded_picture_says_so() -> None:
    made = np.concatenate([np.repeat(unrelated(1), 40, axis=0), unrelated(200, seed=1)])
    rows = np.arange(len(made), dtype=np.int32)
    sizes = np.full((len(made), 2), 100, np.int32)
    pieces = list(local_neighbours(full(made), sizes, rows, rows, Poll()))
    crowded = np.concatenate([piece.asked[piece.crowded] for piece in pieces])
    assert crowded.tolist() == list(range(40))


def test_only_the_rows_asked_for_are_looked_at() -> None:
    made = unrelated(200)
    made[160] = altered(made[4], bits=4)
    made[161] = altered(made[4], bits=4, seed=2)
    rows = np.array([row for row in range(200) if row != 160], np.int32)
    pairs = found(full(made), rows)
    assert (4, 161) in pairs
    assert not any(160 in pair for pair in pairs)
    assert (4, 160) in found(full(made))


def test_pictures_without_codes_are_nobodys_neighbours() -> None:
    empty = LocalCodes(unrelated(5), np.zeros(5, np.uint8))
    assert found(empty) == set()
    one = LocalCodes(unrelated(5), np.array([0, 9, 0, 0, 0], np.uint8))
    assert found(one) == set()


def test_threads_change_nothing() -> None:
    import faiss

    made = np.repeat(unrelated(150), 4, axis=0)
    made = np.stack([altered(one, bits=20, seed=seed) for seed, one in enumerate(made)])
    threads = faiss.omp_get_max_threads()
    results = []
    for count in (1, 2):
        faiss.omp_set_num_threads(count)
        results.append(found(full(made)))
    faiss.omp_set_num_threads(threads)
    assert results[0] == results[1]
    assert len(results[0]) >= 300


def test_large_letters_beside_a_picture_do_not_have_all_of_its_codes() -> None:
    count = 60
    places = np.full((2 * count, 4), 1000, np.uint16)
    places[count:, 0] = np.linspace(20_000, 65_535, count)
    places[count:, 1] = np.linspace(65_535, 20_000, count)
    made = codes(Keypoints(places, np.zeros((2 * count, 128), np.uint8), b""))
    assert len(made) == MAX_CODES
    assert np.count_nonzero(made[:, CODE_BYTES] > 3) >= 20
    # What tells most still comes first.
    assert (made[:5, CODE_BYTES] == 3).all()
