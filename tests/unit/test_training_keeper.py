"""Weights that choose the original: the fit finds what the data hold, and the packaged ones belong to the signs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modules.matching import signs
from modules.matching.signs import COSTS, NAMES
from training.keeper import Family, as_json, fit, make_family, originals_chosen


def families(count: int, chosen_by: np.ndarray) -> list[Family]:
    """Families of random signs, the first one drawn by the chances that conditional logit gives it."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        seen = rng.normal(size=(4, len(NAMES)))
        likely = np.exp(seen @ chosen_by)
        first = rng.choice(4, p=likely / likely.sum())
        found.append(Family(np.concatenate([seen[[first]], np.delete(seen, first, axis=0)])))
    return found


def test_the_weights_that_made_the_choices_are_found() -> None:
    truth = np.zeros(len(NAMES))
    truth[NAMES.index("light")], truth[NAMES.index("larger")] = -1.5, 1.0
    made = families(3000, truth)
    found = fit(made, np.zeros(len(NAMES)), ridge=1e-4)
    assert found == pytest.approx(truth, abs=0.15)
    assert (found[: len(COSTS)] <= 0).all()
    assert originals_chosen(made, found) > 0.5 > originals_chosen(made, np.zeros(len(NAMES)))


def test_a_family_is_the_same_every_time_and_begins_with_its_original() -> None:
    made = [make_family(number, 3) for number in range(3)]
    kept = [one for one in made if one is not None]
    assert kept
    assert all(one.signs.shape[1] == len(NAMES) and len(one.signs) >= 2 for one in kept)
    again = make_family(next(n for n, one in enumerate(made) if one is not None), 3)
    assert again is not None
    assert np.array_equal(again.signs, kept[0].signs)


def test_the_packaged_weights_are_as_the_command_writes_them() -> None:
    assert Path(signs.__file__).with_name("keeper.json").read_text("utf-8") == as_json(signs.weights())
