"""The benchmark of candidates counts what it says: pairs found from either side, by level, alone and together."""

from __future__ import annotations

import numpy as np

from benchmarks.candidates import Answer, found_pairs, nearest, page
from benchmarks.quality.truth import ORIGINAL, Row
from modules.records import Float32Array

ROWS = [
    Row("a.jpg", "a", ORIGINAL, ORIGINAL),
    Row("a_flip.jpg", "a", "medium", "flip"),
    Row("b.jpg", "b", ORIGINAL, ORIGINAL),
    Row("b_meme.jpg", "b", "embedded", "meme"),
]


def at(*degrees: float) -> Float32Array:
    """Vectors of length 1 in the plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_nearest_are_the_others_by_the_best_variant() -> None:
    plain = at(0, 10, 90, 120)
    assert nearest([plain], 1).tolist() == [[1], [0], [3], [2]]
    assert nearest([plain], 3)[0].tolist() == [1, 2, 3]
    assert nearest([plain, at(90, 90, 90, 10)], 1).tolist() == [[2], [2], [3], [1]]


def test_a_pair_is_found_from_either_side() -> None:
    # The copy of b is nearest to a's, but b itself is nearest to that copy.
    assert found_pairs(ROWS, nearest([at(0, 40, 90, 60)], 1)).tolist() == [False, True, False, True]
    assert found_pairs(ROWS, nearest([at(0, 40, 90, 60)], 1)[:, :0]).tolist() == [False] * 4


def test_the_page_tells_each_alone_and_all_together() -> None:
    first, second = Answer("one", [at(0, 10, 170, 300)], 1234.0), Answer("two", [at(0, 150, 200, 201)], 5.0)
    lines = page(
        [*ROWS, *(Row(f"{n}.jpg", str(n), ORIGINAL, ORIGINAL) for n in range(40))], [_with(first), _with(second)]
    )
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines if line}
    assert cells["one"] == ["1.000", "1.000", "1.000", "0.000", "1.000", "0.500", "1,234"]
    assert cells["two"] == ["1.000", "0.000", "1.000", "1.000", "0.000", "0.500", "5"]
    assert cells["together, 10 of each"] == ["1.000", "1.000", "1.000", "1.000", "1.000", "1.000", ""]
    assert list(cells)[-2:] == ["flip", "meme"]


def _with(answer: Answer) -> Answer:
    """Beside 40 strangers that are nearer to everything than what lies far away."""
    (plain,) = answer.variants
    strangers = at(*np.linspace(60, 359, 40))
    return Answer(answer.name, [np.concatenate([plain, strangers])], answer.pictures_per_second)
