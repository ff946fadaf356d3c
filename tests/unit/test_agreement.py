from __future__ import annotations

import cv2
import numpy as np
import pytest

from modules.matching.agreement import compare
from modules.matching.plain import nearly_identical, same_but_for_brightness
from modules.records import Float32Array, UInt8Array
from tests.drawings import leaves


def soft(seed: int, strength: float = 30.0) -> UInt8Array:
    """A picture without corners: slow waves over a slope of light."""
    rng = np.random.default_rng(seed)
    waves = cv2.GaussianBlur(rng.normal(0, 1, (96, 128, 3)).astype(np.float32), (0, 0), 4)
    slope = np.linspace(90, 150, 128, dtype=np.float32)[None, :, None]
    return np.asarray(np.clip(slope + strength * waves / waves.std(), 0, 255), np.uint8)


def lit(picture: UInt8Array, gain: float, offset: float = 0.0) -> UInt8Array:
    return np.asarray(np.clip(gain * picture.astype(np.float32) + offset, 0, 255), np.uint8)


@pytest.mark.parametrize(("gain", "offset"), [(1.3, 0.0), (0.7, 0.0), (1.0, 25.0), (1.4, -20.0)])
def test_another_brightness_of_a_soft_picture_is_the_same(gain: float, offset: float) -> None:
    picture = soft(1)
    changed = lit(picture, gain, offset)
    assert not nearly_identical(picture, changed)
    assert same_but_for_brightness(picture, changed)
    assert same_but_for_brightness(changed, picture)


def test_pictures_that_share_only_their_slope_of_light_differ() -> None:
    assert not same_but_for_brightness(soft(1), soft(2))
    assert not same_but_for_brightness(soft(1, strength=0.5), lit(soft(2, strength=0.5), 1.2))


def test_blank_pictures_are_told_by_their_tone() -> None:
    blank = np.full((96, 128, 3), (40, 120, 200), np.uint8)
    assert nearly_identical(blank, cv2.resize(blank, (64, 48)) + np.uint8(1))
    for channel in range(3):
        other = blank.copy()
        other[:, :, channel] += 2
        assert not nearly_identical(blank, other)
        assert not same_but_for_brightness(blank, other)


def test_plain_colours_colour_changes_and_other_shapes_differ() -> None:
    picture = soft(1)
    grey, white = np.full_like(picture, 120), np.full_like(picture, 160)
    assert not same_but_for_brightness(grey, white)
    assert not same_but_for_brightness(picture, picture[:, :, ::-1])
    assert not same_but_for_brightness(picture, picture[:, :100])
    assert not same_but_for_brightness(picture, 255 - picture)


def detailed(seed: int) -> UInt8Array:
    """A picture of many small leaves, as small as a thumbnail."""
    return np.asarray(cv2.resize(np.asarray(leaves(seed)), (128, 96), interpolation=cv2.INTER_AREA), np.uint8)


def grey(picture: UInt8Array) -> Float32Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)


def striped(picture: UInt8Array, every: int = 12, width: int = 2) -> UInt8Array:
    drawn = picture.copy()
    for top in range(5, len(picture), every):
        drawn[top : top + width] = 221
    return drawn


def test_what_is_drawn_over_a_picture_does_not_part_it_from_itself() -> None:
    picture = detailed(1)
    found = compare(grey(picture), grey(lit(striped(picture), 0.9, 10)), np.eye(3))
    assert found.share >= 0.85
    assert found.block <= 0.1


def test_what_is_drawn_over_two_pictures_does_not_join_them() -> None:
    for one, other in ((1, 2), (3, 4)):
        found = compare(grey(striped(detailed(one), 16)), grey(striped(detailed(other), 16)), np.eye(3))
        assert found.strength < 0.6


def test_the_end_of_a_picture_is_no_edge_in_it() -> None:
    # 91 rows are no whole number of tiles, and all texture is in the upper half.
    picture = np.full((91, 128), 200, np.float32)
    picture[8:40, 8:120] = grey(detailed(1))[8:40, 8:120]
    found = compare(picture, picture, np.eye(3))
    assert found.share == 1.0
    assert found.tiles <= 70
