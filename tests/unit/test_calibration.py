"""Calibration: the sample, the edits, and what distributions say of a threshold."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from modules.calibration.cosines import FOUND, Spread, finding, pairs_of, parting
from modules.calibration.edits import EDITS, NEXT_SHOT, Edit
from modules.calibration.page import Page
from modules.calibration.sample import Sample
from modules.matching.thresholds import Match, Thresholds
from modules.progress import page_fields, print_page
from modules.records import BlobInfo
from tests.pictures import draw


def blobs(prefix: str, count: int = 500) -> list[BlobInfo]:
    return [BlobInfo(f"{prefix}{number:04d}.jpg", 1, "e") for number in range(count)]


def names(sample: Sample, prefix: str) -> list[str]:
    return [blob.key.removeprefix(prefix) for blob in sample.blobs()]


def test_a_sample_depends_on_the_names_alone() -> None:
    folder, container = Sample(50, "/data/photos/"), Sample(50, "box/photos/")
    shuffled = blobs("box/photos/")
    random.Random(3).shuffle(shuffled)
    for blob in blobs("/data/photos/"):
        folder.add(blob)
    for blob in shuffled:
        container.add(blob)
    chosen = names(folder, "/data/photos/")
    assert chosen == names(container, "box/photos/")
    assert len(set(chosen)) == 50
    assert folder.seen == 500
    numbers = [int(name[:4]) for name in chosen]
    assert min(numbers) < 50
    assert max(numbers) > 450


def test_a_larger_sample_begins_with_the_smaller_one_and_a_small_source_is_taken_whole() -> None:
    few, many = Sample(20, "p/"), Sample(1000, "p/")
    for blob in blobs("p/"):
        few.add(blob)
        many.add(blob)
    assert names(many, "p/")[:20] == names(few, "p/")
    assert len(many.blobs()) == 500


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@pytest.mark.parametrize("size", [(200, 150), (1, 1), (3, 200)])
def test_an_edit_changes_the_picture_in_the_same_way_every_time(edit: Edit, size: tuple[int, int]) -> None:
    picture = np.asarray(draw(1).resize(size))
    once, again, other = (edit.apply(picture, seed) for seed in ("a.jpg", "a.jpg", "b.jpg"))
    assert once == again
    with Image.open(io.BytesIO(once)) as edited:
        edited.load()
        assert edited.format == "JPEG"
        if size == (200, 150):
            kept = edited.width * edited.height / (200 * 150)
            least = {"smaller": 0.08, "crop to 80 %": 0.79, "crop to 50 %": 0.49, "border": 1.1, NEXT_SHOT: 0.84}
            most = {"smaller": 0.37, "crop to 80 %": 0.81, "crop to 50 %": 0.51, "border": 1.7, NEXT_SHOT: 0.86}
            assert least.get(edit.name, 1) <= kept <= most.get(edit.name, 1)
    if edit.name in {"smaller", "crop to 80 %", "text", NEXT_SHOT} and size == (200, 150):
        assert once != other


def test_the_threshold_for_copies_finds_as_many_as_it_says_and_no_higher_one_does() -> None:
    copies = np.random.default_rng(1).uniform(0.4, 1, 5000)
    least = finding(copies)
    assert (copies >= least).mean() >= FOUND
    assert (copies >= least + 0.01).mean() < FOUND
    assert finding(np.array([0.7312])) == 0.73
    assert finding(np.array([-1.0, 1.0])) == -1.0


def test_the_threshold_for_scenes_keeps_wrong_partners_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(2)
    sample = 0.3 + rng.exponential(0.03, 20_000)
    for pictures in (300, 3000):
        least = parting(sample, pictures)
        # The distribution is known here, so what a whole source would have is too.
        wrong_partners = (pictures - 1) * np.exp(-(least - 0.3) / 0.03)
        assert 0.005 < wrong_partners < 0.04
    assert parting(sample, 30) < parting(sample, 3000) <= parting(sample, 10**12) == 1.0
    assert parting(np.array([0.5]), 2) == 0.5


def test_pairs_are_all_of_a_small_sample_and_no_more_than_asked_of_a_large_one() -> None:
    small = pairs_of(40)
    assert small.tolist() == [[i, j] for i in range(40) for j in range(i + 1, 40)]
    large = pairs_of(40, most=200)
    assert len(large) <= 200
    assert len(np.unique(large, axis=0)) == len(large) > 150
    assert (large[:, 0] < large[:, 1]).all()
    assert set(large.ravel().tolist()) == set(range(40))
    assert pairs_of(2).tolist() == [[0, 1]]


def spread() -> Spread:
    """Ten pictures, two extractors: one parts copies from different pictures, one does not."""
    rng = np.random.default_rng(4)
    pairs = pairs_of(10)
    copies = {
        "good": {edit.name: rng.uniform(0.9, 1, 10) for edit in EDITS},
        "poor": {edit.name: rng.uniform(0.2, 1, 10) for edit in EDITS},
    }
    different = {"good": rng.uniform(0, 0.5, len(pairs)), "poor": rng.uniform(0.2, 0.9, len(pairs))}
    return Spread(copies, pairs, different)


NAMES = tuple(f"{number}.jpg" for number in range(10))


def page(found: Spread, names: Sequence[str] = NAMES) -> Page:
    thresholds: dict[Match, Thresholds] = {
        "same-picture": Thresholds.parse("same-picture", (), ["good", "poor"]),
        "same-scene": Thresholds.parse("same-scene", ("0.7",), ["good", "poor"]),
    }
    return Page("/photos", 12, names, found, 1, 1, 1, thresholds)


def printed(shown: Page) -> str:
    out = io.StringIO()
    print_page(shown, out)
    return out.getvalue()


def test_suspects_are_the_most_alike_of_any_extractor_and_can_be_left_out() -> None:
    found = spread()
    suspects = found.suspects()
    assert int(found.different["good"].argmax()) in suspects
    assert int(found.different["poor"].argmax()) in suspects
    left = found.without(suspects)
    assert len(left.pairs) == len(found.pairs) - len(suspects) == len(left.different["good"])
    assert left.different["good"].max() < found.different["good"].max()
    best = found.most_alike("good", 2)
    assert best[0][2] == found.different["good"].max() >= best[1][2]
    assert [best[0][0], best[0][1]] == found.pairs[found.different["good"].argmax()].tolist()


def test_outcomes_are_what_the_thresholds_do_in_the_sample() -> None:
    shown = page(spread())
    same = {(one.extractor, one.label): one for one in shown.outcomes("same-picture")}
    assert set(same) == {
        ("good", "default, uncalibrated"),
        ("good", "suggested"),
        ("poor", "default, uncalibrated"),
        ("poor", "suggested"),
    }
    assert same["good", "suggested"].copies >= FOUND
    assert same["good", "suggested"].wrong == 0
    assert same["poor", "suggested"].wrong > 0
    scene = list(shown.outcomes("same-scene"))
    assert [(one.extractor, one.label) for one in scene] == [
        ("good", "set"),
        ("good", "suggested"),
        ("poor", "set"),
        ("poor", "suggested"),
        ("", "now"),
        ("", "suggested"),
    ]
    good, poor = (shown.spread.different[name] for name in ("good", "poor"))
    assert scene[4].wrong == int(((good - 0.7 + poor - 0.7) / 2 >= 0).sum())
    assert scene[0].wrong == int((good >= 0.7).sum()) == 0


def test_the_flags_are_settings_that_a_run_takes() -> None:
    shown = page(spread())
    for match in get_args(Match):
        flag, value = shown.flags(match).split(" --threshold ")
        assert f"imgsieve run SOURCE {shown.flags(match)}\n" in printed(shown)
        assert flag == f"--match {match}"
        parsed = Thresholds.parse(match, value.split(","), ["good", "poor"])
        assert parsed.least == pytest.approx(shown.suggested(match))


def test_names_cannot_steer_the_terminal_of_who_reads_the_page() -> None:
    text = printed(page(spread(), ["\x1b[31mred[bold].jpg"] * 10))
    assert "\\x1b[31mred[bold].jpg" in text
    assert "\x1b" not in text


def test_machines_get_what_people_read() -> None:
    shown = page(spread())
    fields = page_fields(shown)
    assert fields["flags"] == {match: shown.flags(match) for match in ("same-picture", "same-scene")}
    percentiles = fields["percentiles"]
    assert isinstance(percentiles, dict)
    assert set(percentiles) == {"good", "poor"}
    assert percentiles["good"]["different pictures"]["100"] == shown.spread.different["good"].max()
    assert len(percentiles["poor"]) == len(EDITS) + 2
