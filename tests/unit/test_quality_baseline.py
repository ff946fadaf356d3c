"""Figures held against those of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.held_out import held_out
from benchmarks.quality.baseline import Baseline, Figure, figures_of
from benchmarks.quality.build import EXACT, Wanted, build
from benchmarks.quality.score import score
from benchmarks.quality.truth import ORIGINAL, Row
from tests.edits import EDITS
from tests.pictures import draw


def complaints(before: Figure, after: Sequence[Figure]) -> list[str]:
    return list(Baseline({}, [before]).complaints(after))


@pytest.mark.parametrize(("hits", "worse"), [(100, False), (80, False), (50, False), (49, True)])
def test_a_share_of_which_more_is_better_may_fall_to_the_end_of_its_interval(hits: int, worse: bool) -> None:
    # 8 of 10: 0.4902 to 0.9433.
    found = complaints(Figure("easy", 8, 10, True), [Figure("easy", hits, 100, True)])
    assert bool(found) == worse


@pytest.mark.parametrize(("hits", "worse"), [(0, False), (27, False), (28, True)])
def test_a_share_of_which_less_is_better_may_rise_to_the_end_of_its_interval(hits: int, worse: bool) -> None:
    # 0 of 10: 0 to 0.2775.
    assert bool(complaints(Figure("wrong", 0, 10, False), [Figure("wrong", hits, 100, False)])) == worse


def test_what_is_better_or_new_is_no_complaint_and_what_is_gone_is() -> None:
    new = Figure("receipts set aside", 9, 9, False)
    assert complaints(Figure("easy", 8, 10, True), [Figure("easy", 10, 10, True), new]) == []
    assert complaints(new, []) == ["worse: receipts set aside: not measured, in the baseline 9 of 9 (1.0000)"]


def test_a_complaint_says_both_shares_and_the_interval() -> None:
    found = complaints(Figure("easy", 8, 10, True), [Figure("easy", 4, 10, True)])
    assert found == ["worse: easy: 4 of 10 (0.4000), in the baseline 8 of 10 (0.8000), 0.4902 to 0.9433"]


def test_figures_survive_their_file(tmp_path: Path) -> None:
    made = Baseline({"seed": 3, "half": None}, [Figure("easy", 8, 10, True), Figure("wrong", 0, 7, False)])
    made.save(tmp_path / "base.json")
    assert Baseline.load(tmp_path / "base.json") == made


def test_other_conditions_are_refused_by_name() -> None:
    made = Baseline({"seed": 3, "half": None}, [])
    made.refuse_other({"seed": 3, "half": None})
    with pytest.raises(ValueError, match="half None not a, edits None not 5"):
        made.refuse_other({"seed": 3, "half": "a", "edits": 5})


def test_figures_are_of_levels_pairs_and_kept_originals_that_were_tried() -> None:
    rows = [Row("a.jpg", "a", ORIGINAL, ORIGINAL), Row("a2.jpg", "a", "easy", "blur"), Row("w.jpg", "w", ORIGINAL, "w")]
    found = list(figures_of("fast", score(rows, dict.fromkeys(("a.jpg", "a2.jpg", "w.jpg"), "1"), {"w.jpg"})))
    assert found == [
        Figure("fast: easy copies found", 1, 1, True),
        Figure("fast: joined pairs that are wrong", 2, 3, False),
        Figure("fast: originals kept", 0, 1, True),
    ]


def test_edits_that_are_held_out_are_not_dealt(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        draw(number).save(photos / f"{number:02d}.jpg")
    wanted = Wanted(photos=8, edits=7, per_family=0, blanks=0, without=held_out("edits"))
    dealt = {row.transform for row in build(tmp_path / "set", sorted(photos.iterdir()), wanted, 1) if row.is_copy}
    assert held_out("edits") < set(EDITS)
    assert dealt == {EXACT, *EDITS} - held_out("edits")
