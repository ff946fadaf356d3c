"""What a closer look tells of two pictures, and what the model makes of it."""

import json
import math

import cv2
import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.lookalikes import pictures
from modules.matching.confidence import FILE, INPUTS, SURE, Model, confidence, in_doubt, inputs_of
from modules.matching.light import relit
from modules.matching.look import FEATURES, Look, compare
from modules.matching.rearranged import rearranged
from modules.matching.relations import verdict
from modules.matching.second_look import closest_look, needs_pictures
from modules.records import VERDICT_DTYPE, Kind, Method
from tests.drawings import leaves
from training.confidence import FALLING, RISING, numbers_of

SAME = np.eye(3)
UInt8 = NDArray[np.uint8]


def scene(seed: int = 1, size: tuple[int, int] = (320, 240)) -> UInt8:
    return np.asarray(leaves(seed, size).convert("RGB"), np.uint8)


def seen(a: UInt8, b: UInt8, matrix: NDArray[np.float64] = SAME) -> tuple[dict[str, float], Look]:
    look = compare(a, b, matrix)
    assert look is not None
    return dict(zip(FEATURES, look.features.tolist(), strict=True)), look


def with_subject(picture: UInt8, left: int, top: int) -> UInt8:
    """A small picture of something else, laid on it."""
    changed = picture.copy()
    changed[top : top + 36, left : left + 36] = scene(9, (36, 36))
    return changed


def test_a_transform_a_little_off_is_refined_to_a_fraction_of_a_pixel() -> None:
    picture = scene()
    found, _ = seen(picture, picture, np.array([[1.0, 0.0, 1.6], [0.0, 1.0, -1.2], [0.0, 0.0, 1.0]]))
    assert found["moved"] == pytest.approx(2.0, abs=0.4)
    assert found["shift_90"] < 0.3
    assert found["contradicts"] == 0
    assert found["mass_high"] == 0


def test_a_moved_subject_is_missed_on_both_sides_and_named_by_its_box() -> None:
    a, b = with_subject(scene(), 60, 80), with_subject(scene(), 220, 150)
    found, look = seen(a, b)
    assert min(found["mass_low"], found["mass_high"]) > math.log(500)
    for box in (look.box_a, look.box_b):
        middle = (box[0] + box[2]) / 2 * 320, (box[1] + box[3]) / 2 * 240
        assert any(
            left <= middle[0] <= left + 36 and top <= middle[1] <= top + 36 for left, top in ((60, 80), (220, 150))
        )


def test_what_is_drawn_over_one_picture_is_seen_on_that_side() -> None:
    picture = scene()
    drawn = cv2.putText(picture.copy(), "SALE", (40, 140), cv2.FONT_HERSHEY_SIMPLEX, 2.5, (255, 255, 255), 8)
    found, _ = seen(picture, drawn)
    moved, _ = seen(with_subject(picture, 60, 80), with_subject(picture, 220, 150))
    assert found["mass_high"] - found["mass_low"] > moved["mass_high"] - moved["mass_low"] + 1
    assert found["tones"] > 0.75


def test_light_leaves_no_regions() -> None:
    grey = cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    darker = np.clip(255 * (picture / 255.0) ** 1.5 * 0.9, 0, 255).astype(np.uint8)
    found, _ = seen(picture, darker)
    assert found["region_share"] < 0.01
    assert found["alike_10"] > 0.9


def test_what_light_clipped_is_clipped_in_the_other_picture_too() -> None:
    page = np.full((200, 160), 250, np.uint8)
    page[40:80, 30:120], page[110:150, 40:100] = 225, 90
    brighter = np.clip(page * 1.2, 0, 255).astype(np.uint8)
    assert (brighter[40:80] == 255).all()
    x, y = relit(page, brighter, np.ones_like(page))
    assert np.abs(x.astype(int) - y).max() <= 3


def test_both_ways_tell_the_same() -> None:
    a, b = with_subject(scene(), 60, 80), scene()
    there, back = seen(a, b)[0], seen(b, a)[0]
    for name in ("mass_high", "region_share", "alike_25", "apart", "shift_75"):
        assert there[name] == pytest.approx(back[name], abs=0.25)


def test_no_overlap_is_no_look() -> None:
    away = np.array([[1.0, 0.0, 5000.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert compare(scene(), scene(), away) is None


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (300, 2), (3, 200)])
def test_tiny_pictures_are_told_or_not(size: tuple[int, int]) -> None:
    picture = np.asarray(Image.effect_noise(size, 60).convert("RGB"), np.uint8)
    look = compare(picture, picture, SAME)
    assert look is None or np.isfinite(look.features[FEATURES.index("area")])


def test_blocks_in_another_order_are_found_elsewhere_and_a_moved_subject_is_not() -> None:
    picture = cv2.cvtColor(scene(3, (256, 192)), cv2.COLOR_RGB2GRAY)
    blocks = [picture[top : top + 96, left : left + 128] for top in (0, 96) for left in (0, 128)]
    shuffled = np.vstack([np.hstack([blocks[3], blocks[2]]), np.hstack([blocks[1], blocks[0]])])
    everywhere = np.ones_like(picture)
    assert rearranged(picture, shuffled, everywhere) > 0.7
    assert math.isnan(rearranged(picture, picture, everywhere))
    other = cv2.cvtColor(scene(4, (256, 192)), cv2.COLOR_RGB2GRAY)
    assert rearranged(picture, other, everywhere) < 0.3


def test_a_damaged_picture_is_compared_where_it_is_whole() -> None:
    whole = scene()
    torn = whole.copy()
    torn[150:] = 128
    found = verdict(Kind.COPY, cover_a=1, cover_b=1, agreement=0.7, inliers=60, method=Method.KEYPOINTS, transform=SAME)
    sure = [confidence(closest_look(whole, torn, found, damaged=(False, damaged)), found) for damaged in (False, True)]
    assert sure[0] < 0.5 < sure[1]


def test_which_verdicts_the_pictures_must_tell() -> None:
    verdicts = np.zeros(5, VERDICT_DTYPE)
    verdicts["confidence"] = 0.0, 0.5, 1.0, 0.5, 1.0
    verdicts["method"] = Method.KEYPOINTS
    verdicts["method"][3] = Method.PIECES  # no transform lays them on each other
    assert in_doubt(verdicts).tolist() == [False, True, False, False, False]
    damaged = np.zeros((5, 2), np.bool_)
    damaged[4, 0] = True
    assert needs_pictures(verdicts, damaged).tolist() == [False, True, False, False, True]


def test_a_model_is_its_trees() -> None:
    # One tree asks for the first input, NaN goes right; the other is a leaf.
    model = Model.of(
        {
            "inputs": INPUTS,
            "roots": [0, 3],
            "feature": [0, 0, 0, 0],
            "threshold": [0.5, 0, 0, 0],
            "missing_left": [0, 0, 0, 0],
            "left": [1, -1, -1, -1],
            "right": [2, -1, -1, -1],
            "value": [0, -2.0, 1.0, 0.5],
            "slope": 2.0,
            "offset": 0.25,
        }
    )
    for value, total in ((0.4, -1.5), (0.6, 1.5), (math.nan, 1.5)):
        inputs = np.full(len(INPUTS), value, np.float32)
        assert model.probability(inputs) == pytest.approx(1 / (1 + math.exp(-(2 * total + 0.25))))


def test_a_model_of_other_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"python -m training\.confidence"):
        Model.of({"inputs": ["other"]})


def test_the_numbers_of_a_fit_say_what_the_fit_says() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, len(INPUTS))).astype(np.float32)
    inputs[rng.random(inputs.shape) < 0.1] = np.nan
    truth = np.nan_to_num(inputs[:, 0]) + np.nan_to_num(inputs[:, 1]) > 0
    with threadpoolctl.threadpool_limits(1):  # threads that wait for each other's every step cost more than they do
        fitted = HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=6, early_stopping=False).fit(inputs, truth)
        expected = 1 / (1 + np.exp(-fitted.decision_function(inputs[:40])))
    model = Model.of(numbers_of(fitted, 1.0, 0.0))
    assert [model.probability(row) for row in inputs[:40]] == pytest.approx(expected.tolist(), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from((*RISING, *FALLING)), more=st.floats(0.01, 1))
def test_more_agreement_never_makes_two_pictures_less_likely_the_same(seed: int, name: str, more: float) -> None:
    found = verdict(Kind.COPY, cover_a=1, cover_b=1, agreement=0.8, inliers=30, method=Method.KEYPOINTS, transform=SAME)
    rng = np.random.default_rng(seed)
    look = Look(rng.random(len(FEATURES)).astype(np.float32), np.zeros(4, np.float32), np.zeros(4, np.float32))
    before = inputs_of(look, found)
    after = before.copy()
    after[INPUTS.index(name)] += more if name in RISING else -more
    model = _shipped()
    assert model.probability(after) >= model.probability(before) - 1e-6


def _shipped() -> Model:
    return Model.of(json.loads(FILE.read_text(encoding="utf-8")))


def test_easy_copies_pass_and_another_shot_does_not() -> None:
    found = verdict(
        Kind.COPY, cover_a=1, cover_b=1, agreement=0.98, inliers=100, method=Method.KEYPOINTS, transform=SAME
    )
    picture = scene(5)
    ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert ok
    again = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    assert confidence(compare(picture, again, SAME), found) >= SURE
    moved = compare(with_subject(picture, 60, 80), with_subject(picture, 220, 150), SAME)
    assert confidence(moved, found) < 0.5


@pytest.mark.parametrize("family", ["app-screens", "charts", "boards"])
def test_look_alikes_differ_where_they_differ(family: str) -> None:
    photos = [leaves(seed, (400, 300)).convert("RGB") for seed in range(4)]
    first, second = (np.asarray(one.convert("RGB"), np.uint8) for one in pictures(family, 3, 1, 2, photos))
    assert first.shape == second.shape
    found, look = seen(first, second)
    assert found["region_share"] > 0
    left, top, right, bottom = np.rint(look.box_b * np.array([second.shape[1], second.shape[0]] * 2)).astype(int)
    part = np.s_[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4]
    assert np.abs(first[part].astype(int) - second[part]).max() > 40
