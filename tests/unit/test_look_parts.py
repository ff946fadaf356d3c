"""The parts of a closer look, each alone: flow, light, regions, blocks elsewhere; and what a verdict keeps of it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from modules.matching import regions, relations
from modules.matching.confidence import DOUBT, INPUTS, SURE, inputs_of
from modules.matching.flow import refined
from modules.matching.geometry import moved
from modules.matching.light import relit
from modules.matching.look import FEATURES, Look, compare
from modules.matching.rearranged import rearranged
from modules.matching.regions import regions_of
from modules.matching.second_look import look_of_thumbs, looked
from modules.matching.verdicts import verify_pair
from modules.records import VERDICT_DTYPE, Kind, LookLevel, Method
from tests.drawings import as_png, evidence, leaves
from tests.edits import EDITS
from tests.judged import COPY, ledger

SAME = np.eye(3)
UInt8 = NDArray[np.uint8]


def grey(seed: int, size: tuple[int, int] = (320, 240)) -> UInt8:
    return np.asarray(leaves(seed, size).convert("L"), np.uint8)


def coloured(picture: UInt8) -> UInt8:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB), np.uint8)


def everywhere(picture: UInt8) -> UInt8:
    return np.ones(picture.shape[:2], np.uint8)


@pytest.mark.parametrize("size", [(320, 240), (640, 480)])  # at its own size, and refined at half of it
def test_a_turned_and_enlarged_transform_is_refined_everywhere(size: tuple[int, int]) -> None:
    picture = grey(1, size)
    off = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), 0.4, 1.006)
    matrix = np.vstack([off, [0.0, 0.0, 1.0]]) + np.array([[0, 0, 1.0], [0, 0, -0.7], [0, 0, 0]])
    flow = refined(picture, picture, matrix, lambda _: everywhere(picture))
    assert flow is not None
    ends = np.array([[0.0, 0.0], [size[0], 0.0], [size[0], size[1]], [0.0, size[1]]])
    before, after = (np.abs(moved(one, ends) - ends).max() for one in (matrix, flow.matrix))
    assert before > 2
    assert after < 0.5


def test_flat_pictures_show_no_place_and_change_no_transform() -> None:
    flat = np.full((120, 160), 77, np.uint8)
    flow = refined(flat, flat, SAME, lambda _: everywhere(flat))
    assert flow is not None
    assert not flow.textured.any()
    assert flow.inside.all()
    assert flow.moved == 0
    assert (flow.matrix == SAME).all()
    look = compare(coloured(flat), coloured(flat), SAME)
    assert look is not None
    found = dict(zip(FEATURES, look.features.tolist(), strict=True))
    assert (found["textured"], found["regions"], found["flat_low"]) == (0, 0, 1)
    assert math.isnan(found["shift_50"])
    assert math.isnan(found["alike_50"])


def test_what_is_not_covered_is_not_asked() -> None:
    picture = grey(1)
    nothing = np.zeros(picture.shape, np.uint8)
    assert refined(picture, picture, SAME, lambda _: nothing) is None


def test_a_flow_bends_one_picture_onto_the_other() -> None:
    picture = grey(1)
    across, down = np.meshgrid(np.arange(320, dtype=np.float32), np.arange(240, dtype=np.float32))
    waved = np.asarray(cv2.remap(picture, across + 2 * np.sin(down / 40), down, cv2.INTER_LINEAR), np.uint8)
    flow = refined(picture, waved, SAME, lambda _: everywhere(picture))
    assert flow is not None
    part = np.s_[8:-8, 8:-8]
    apart = [np.abs(one[part].astype(int) - flow.laid[part]).mean() for one in (waved, flow.bent(waved))]
    assert apart[1] < apart[0] / 2


@pytest.mark.parametrize("change", ["darker", "gamma", "slope"])
def test_two_lights_are_brought_to_one(change: str) -> None:
    picture = grey(1)
    levels = picture.astype(np.float64)
    slope = np.linspace(-25, 25, 320)[None, :]
    other = {"darker": levels * 0.7, "gamma": 255 * (levels / 255) ** 1.5, "slope": levels + slope}[change]
    changed = np.clip(np.rint(other), 0, 255).astype(np.uint8)
    before = np.abs(picture.astype(int) - changed).mean()
    x, y = relit(picture, changed, everywhere(picture))
    assert np.abs(x.astype(int) - y).mean() < before / 2
    assert (x == picture).all() or (y == changed).all()


def test_equal_pictures_stay_nearly_as_they_are_and_have_no_regions() -> None:
    picture = grey(1)
    x, y = relit(picture, picture, everywhere(picture))
    assert np.abs(x.astype(int) - y).max() < regions._LEVELS  # levels are told by cells of eight
    found = regions_of(picture, picture, everywhere(picture), coloured(picture), coloured(picture))
    assert (found.count, found.mass, found.peaks, found.box) == (0, (0.0, 0.0), (0.0, 0.0), (0, 0, 0, 0))


def test_a_region_is_of_the_picture_that_shows_something_and_lies_where_it_shows_it() -> None:
    plain = np.full((120, 160), 120, np.uint8)
    drawn = plain.copy()
    drawn[40:70, 50:110] = 220
    for first, pair in ((True, (drawn, plain)), (False, (plain, drawn))):
        found = regions_of(*pair, everywhere(plain), *map(coloured, pair))
        assert found.count == 1
        assert found.mass[0 if first else 1] > 0
        assert found.mass[1 if first else 0] == 0
        assert found.box == pytest.approx((50, 40, 110, 70), abs=4)
        assert found.tones == 1
        assert found.saturation == 0


def test_what_is_not_compared_has_no_region() -> None:
    plain = np.full((120, 160), 120, np.uint8)
    drawn = plain.copy()
    drawn[40:70, 50:110] = 220
    mask = everywhere(plain)
    mask[:, 40:] = 0
    assert regions_of(drawn, plain, mask, coloured(drawn), coloured(plain)).count == 0


def test_a_moved_subject_is_not_blocks_in_another_order() -> None:
    a, b = grey(3, (256, 192)).copy(), grey(3, (256, 192)).copy()
    a[40:110, 20:90] = b[80:150, 150:220] = grey(8, (70, 70))
    assert rearranged(a, b, everywhere(a)) < 0.6
    assert rearranged(b, a, everywhere(a)) == rearranged(a, b, everywhere(a))


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (8, 8), (40, 3)])
def test_pictures_a_pixel_high_or_wide_are_told_or_not(size: tuple[int, int]) -> None:
    picture = coloured(grey(1, size))
    look = compare(picture, picture, SAME)
    assert look is None or not np.isinf(look.features).any()


def test_what_is_seen_is_told_at_the_size_of_the_coarser_picture_as_stored() -> None:
    picture = coloured(grey(1))
    double = np.asarray(cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    twice = np.diag([2.0, 2.0, 1.0])
    for stored in (1.0, 0.25):
        seen = []
        for a, b, matrix in ((picture, double, twice), (double, picture, np.linalg.inv(twice))):
            look = compare(a, b, matrix, stored=stored)
            assert look is not None
            seen.append(float(look.features[FEATURES.index("seen")]))
        assert seen == pytest.approx([math.log(stored)] * 2, abs=0.05)


@pytest.mark.parametrize("name", ["jpeg75", "crop50", "mirror", "rotate5"])
def test_a_turned_verdict_has_the_way_back_and_the_boxes_of_the_other(name: str) -> None:
    a, b = evidence(as_png(leaves(1))), evidence(EDITS[name].apply(leaves(1), 5))
    forth = verify_pair(a, b)
    looked(forth, look_of_thumbs(a, b, forth), LookLevel.THUMBNAILS)
    back = relations.orient(forth)
    corners = np.array([[20.0, 30.0], [200.0, 40.0], [180.0, 160.0]])
    there = moved(forth["transform"].astype(np.float64), corners)
    np.testing.assert_allclose(moved(back["transform"].astype(np.float64), there), corners, atol=0.01)
    assert (back["box_a"] == forth["box_b"]).all()
    assert (back["box_b"] == forth["box_a"]).all()
    assert forth["looked"] == LookLevel.THUMBNAILS
    assert forth["confidence"] > 0.5


def test_what_has_no_transform_has_none_the_other_way() -> None:
    pair = np.zeros(2, VERDICT_DTYPE)
    pair["transform"][1] = np.diag([2, 2, 1])
    turned = relations.orient(pair)
    assert (turned["transform"][0] == 0).all()
    assert (turned["transform"][1] == np.diag([0.5, 0.5, 1])).all()


def test_what_lies_in_pieces_is_not_laid_by_one_transform() -> None:
    picture = evidence(as_png(leaves(1)))
    pieces = relations.verdict(Kind.COPY, cover_a=1, cover_b=1, method=Method.PIECES, transform=SAME)
    assert look_of_thumbs(picture, picture, pieces) is None
    assert np.isnan(inputs_of(None, pieces)[: len(FEATURES)]).all()
    assert not np.isnan(inputs_of(None, pieces)[len(FEATURES) :]).any()


def test_both_ways_tell_the_model_the_same_of_a_verdict() -> None:
    look = Look(np.zeros(len(FEATURES), np.float32), np.zeros(4, np.float32), np.zeros(4, np.float32))
    found = relations.verdict(Kind.PART, cover_a=0.4, cover_b=1, scale=2.5, agreement=0.9, inliers=40)
    np.testing.assert_allclose(inputs_of(look, found), inputs_of(look, relations.orient(found)), rtol=1e-6)
    assert len(inputs_of(look, found)) == len(INPUTS)


def test_what_is_sure_by_its_thumbnails_is_on_its_side_of_the_cut_off() -> None:
    assert DOUBT[0] < SURE <= DOUBT[1]


def test_a_closer_look_replaces_verdicts_and_takes_refused_ones_out() -> None:
    known = ledger(4, {(0, 1): COPY, (0, 2): COPY, (1, 3): COPY, (2, 3): relations.verdict(Kind.NONE)})
    pairs = np.array([[1, 3], [0, 1]], np.int32)
    verdicts = known.verdicts_of(pairs)
    assert verdicts["kind"].tolist() == [Kind.COPY, Kind.COPY]
    verdicts["kind"], verdicts["confidence"] = (Kind.NONE, Kind.PART), (0.1, 0.9)
    known.replace(pairs, verdicts)
    related, found = known.related()
    assert related.tolist() == [[0, 1], [0, 2]]
    assert found["kind"].tolist() == [Kind.PART, Kind.COPY]
    assert found["confidence"].tolist() == pytest.approx([0.9, 0])
    # A refused pair stays known: it is never judged again.
    assert known.judged().tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert not known.is_unknown(pairs).any()
