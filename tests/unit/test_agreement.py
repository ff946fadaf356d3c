from __future__ import annotations

import cv2
import numpy as np
import pytest

from modules.matching.agreement import nearly_identical, same_but_for_brightness
from modules.records import UInt8Array


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


def test_plain_colours_colour_changes_and_other_shapes_differ() -> None:
    picture = soft(1)
    grey, white = np.full_like(picture, 120), np.full_like(picture, 160)
    assert not same_but_for_brightness(grey, white)
    assert not same_but_for_brightness(picture, picture[:, :, ::-1])
    assert not same_but_for_brightness(picture, picture[:, :100])
    assert not same_but_for_brightness(picture, 255 - picture)
