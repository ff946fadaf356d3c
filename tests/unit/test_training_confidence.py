"""Fitting the confidence: the same pairs and numbers every time, and none of them from families that are held out."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from benchmarks.held_out import held_out
from modules.matching.confidence import INPUTS, Model
from training import confidence, pairs
from training.confidence import EDITS_SHARE, FALLING, RISING, Table, classifier, judged, main
from training.pairs import Sample

TASKS = range(8)


@pytest.fixture(scope="module")
def made() -> dict[int, list[Sample]]:
    """The samples of some tasks, made in this process."""
    pairs._start(1)
    return {number: pairs._task(number) for number in TASKS}


def same(one: Sequence[Sample], other: Sequence[Sample]) -> bool:
    def plain(sample: Sample) -> tuple[object, ...]:
        looks = (None if look is None else look.tobytes() for look in (sample.first, sample.second))
        return sample.family, sample.what, sample.same, *looks

    return list(map(plain, one)) == list(map(plain, other))


def test_pairs_are_the_same_in_any_process(made: dict[int, list[Sample]]) -> None:
    assert same(list(pairs.make_samples(1, 2, processes=1)), [*made[0], *made[1]])
    assert not same(pairs._task(2), made[3])


def test_pairs_of_both_truths_are_made_of_families_that_are_not_held_out(made: dict[int, list[Sample]]) -> None:
    samples = [sample for some in made.values() for sample in some]
    assert {sample.same for sample in samples if sample.family == "edits"} == {True}
    assert any(not sample.same and sample.first is not None for sample in samples)
    assert not {sample.family for sample in samples} & held_out("lookalikes")
    assert not {name for sample in samples for name in sample.what.split("/")} & held_out("edits")
    for sample in samples:
        for look in (sample.first, sample.second):
            assert look is None or (look.shape == (len(INPUTS),) and not np.isinf(look).any())


def invented(count: int) -> list[Sample]:
    """Samples of which more agreement is more likely the same; the last of them are nothing to each other."""
    rng = np.random.default_rng(2)
    found = []
    for number in range(count):
        family = ("edits", "boards", "charts", "signs")[number % 4]
        truth = bool(family == "edits" or rng.random() < 0.5)
        # Few different values: a fit with weights takes seconds to find quantiles of many.
        looks = rng.normal(size=(2, len(INPUTS))).round(1).astype(np.float32)
        looks[:, INPUTS.index("agreement")] += 2.0 * truth
        looks[:, rng.integers(len(INPUTS))] = np.nan
        found.append(Sample(family, "a/b", truth, looks[0], looks[1]))
    return [*found, Sample("charts", "a/b", False, None, None)]


def test_pairs_that_are_nothing_are_left_out_and_families_weigh_alike() -> None:
    table = Table(invented(400))
    assert len(table.truth) == 800
    weights = table.weights()
    assert weights[table.truth].sum() == pytest.approx(weights[~table.truth].sum())
    edits = weights[table.family == "edits"].sum()
    assert edits == pytest.approx(EDITS_SHARE * weights[table.truth].sum())
    wrong = [weights[(table.family == name) & ~table.truth].sum() for name in ("boards", "charts", "signs")]
    assert wrong == pytest.approx([wrong[0]] * 3)


def test_no_family_of_look_alikes_judges_itself() -> None:
    table = Table(invented(400))
    folds = table.folds()
    for name in ("boards", "charts", "signs"):
        assert len(set(folds[table.family == name].tolist())) == 1
    edits = folds[table.family == "edits"]
    assert len(set(edits.tolist())) == confidence.FOLDS
    assert (edits[::2] == edits[1::2]).all()  # a pair's two looks


def test_what_is_counted_tells_wrong_and_right_by_family_and_probability() -> None:
    table = Table(invented(40))
    lines = list(judged(table, np.where(table.truth, 0.99, 0.0)))
    wrong, right = (
        np.count_nonzero(own & (table.family == "boards") & (table.level == 0)) for own in (~table.truth, table.truth)
    )
    assert f"0/{wrong} {right}/{right}; 0/{wrong} {right}/{right}; 0/{wrong} {right}/{right}" in lines[1]
    assert lines[-1].endswith(f"{table.truth.sum():6} pairs, 1.000 the same")


def test_directions_are_of_inputs_that_there_are() -> None:
    assert {*RISING, *FALLING} <= set(INPUTS)
    assert not set(RISING) & set(FALLING)


def test_the_same_pairs_give_the_same_file_which_the_matcher_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confidence, "TREES", 6)
    samples = invented(400)
    (tmp_path / "pairs-5-9.pickle").write_bytes(pickle.dumps(samples))
    written = []
    for attempt in range(2):
        file = tmp_path / f"{attempt}.json"
        monkeypatch.setattr(confidence, "FILE", file)
        monkeypatch.setattr(sys, "argv", ["confidence", str(tmp_path), "--seed", "5", "--tasks", "9"])
        with threadpoolctl.threadpool_limits(1):  # threads that wait for each other's every step cost more than they do
            main()
        written.append(file.read_bytes())
    assert written[0] == written[1]
    assert "800 rows of evidence" in capsys.readouterr().out
    model, table = Model.of(json.loads(written[0])), Table(samples)
    sure = np.array([model.probability(row.astype(np.float32)) for row in table.inputs[:200]])
    assert np.mean((sure > 0.5) == table.truth[:200]) > 0.75
    with threadpoolctl.threadpool_limits(1):
        fitted = classifier().fit(table.inputs, table.truth, table.weights())
        odds = fitted.decision_function(table.inputs[:200])
    assert np.log(sure / (1 - sure)) == pytest.approx(model.slope * odds + _shift(model, odds, sure), abs=1e-3)


def _shift(model: Model, odds: np.ndarray, sure: np.ndarray) -> float:
    return float(np.log(sure[0] / (1 - sure[0])) - model.slope * odds[0])
