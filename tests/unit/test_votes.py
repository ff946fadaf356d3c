"""Votes count together where they say alike how one picture lies on the other."""

from __future__ import annotations

import numpy as np
import pytest

from modules.matching.votes import Votes, count
from modules.records import Float32Array


def laid(
    places: Float32Array, *, turn: int = 0, octaves: float = 0.0, shift: tuple[float, float] = (0, 0)
) -> Float32Array:
    """Where keypoints lie in a picture that shows theirs turned (of 256), larger and elsewhere."""
    angle, factor = turn * 2 * np.pi / 256, 2.0**octaves
    linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    out = places.copy()
    out[:, :2] = places[:, :2] @ linear.T + shift
    out[:, 2] += 16 * octaves
    out[:, 3] = (places[:, 3] + turn) % 256
    return out


def scattered(number: int, seed: int = 0) -> Float32Array:
    return np.random.default_rng(seed).integers(20, 220, (number, 4)).astype(np.float32)


def votes(asking: Float32Array, found: Float32Array, pair: int = 5, weight: float = 0.5) -> Votes:
    return Votes(np.full(len(asking), pair, np.int64), np.full(len(asking), weight, np.float32), asking, found)


def joined(*many: Votes) -> Votes:
    return Votes(
        *(np.concatenate([getattr(one, name) for one in many]) for name in ("pair", "weight", "asking", "found"))
    )


@pytest.mark.parametrize("turn", [0, 20, 64, 128, 250])
@pytest.mark.parametrize("octaves", [-1.5, 0, 1])
def test_votes_for_one_transform_count_together(turn: int, octaves: float) -> None:
    places = scattered(4)
    pairs, total = count(votes(places, laid(places, turn=turn, octaves=octaves, shift=(30, -20))))
    assert pairs.tolist() == [5]
    assert total.tolist() == [2.0]


def test_votes_that_contradict_each_other_make_no_pair() -> None:
    pairs, total = count(votes(scattered(3, seed=1), scattered(3, seed=2)))
    assert len(pairs) == len(total) == 0


@pytest.mark.parametrize(("column", "by"), [(0, 120.0), (1, -90.0), (2, 20.0), (3, 40.0)])
def test_a_vote_that_differs_in_place_scale_or_angle_does_not_count(column: int, by: float) -> None:
    places = scattered(3, seed=4)
    other = laid(places, turn=30)
    other[2, column] += by
    assert count(votes(places, other))[1].tolist() == [1.0]


def test_votes_of_one_place_are_one_vote() -> None:
    one = np.repeat(scattered(1), 3, axis=0)
    assert len(count(votes(one, laid(one)))[0]) == 0


def test_pairs_are_counted_apart_and_in_order() -> None:
    places = scattered(3)
    many = joined(
        votes(places, laid(places), 9), votes(places, scattered(3, seed=8), 4), votes(places, laid(places), 2)
    )
    pairs, total = count(many)
    assert pairs.tolist() == [2, 9]
    assert total.tolist() == [1.5, 1.5]


def test_very_many_votes_for_a_pair_are_not_all_compared() -> None:
    places = scattered(60)
    assert count(votes(places, laid(places)))[1].tolist() == [6.0]


def test_no_votes_are_no_pairs() -> None:
    none = np.zeros((0, 4), np.float32)
    assert len(count(votes(none, none))[0]) == 0
