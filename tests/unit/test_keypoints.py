"""Keypoints, their mirror image, thumbnails and hashes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from modules.features.hashes import phash
from modules.features.keypoints import RECIPES, keypoints, mirror_descriptors
from modules.records import UInt8Array


@pytest.fixture(scope="module")
def photo() -> UInt8Array:
    return np.asarray(cv2.resize(load_sample_images().images[0], (320, 214), interpolation=cv2.INTER_AREA))


def test_keypoints_are_spread_and_deterministic(photo: UInt8Array) -> None:
    found, again = keypoints(photo), keypoints(photo)
    assert found.points.dtype == np.uint16
    assert found.descriptors.dtype == np.uint8
    assert RECIPES["balanced"] is not None
    assert 100 < len(found.points) <= RECIPES["balanced"].most
    assert found.descriptors.shape == (len(found.points), 128)
    assert np.array_equal(found.points, again.points)
    assert np.array_equal(found.descriptors, again.descriptors)
    assert found.thumb == again.thumb
    quarters = found.points[:, :2] // 32768
    assert len(np.unique(quarters, axis=0)) == 4


def test_mirrored_descriptors_are_those_of_the_mirrored_picture(photo: UInt8Array) -> None:
    plain = keypoints(photo)
    mirrored = keypoints(np.ascontiguousarray(photo[:, ::-1]))
    predicted = mirror_descriptors(plain.descriptors).astype(np.float32)
    distance = np.linalg.norm(predicted[:, None] - mirrored.descriptors[None].astype(np.float32), axis=2)
    nearest = distance.argmin(axis=1)
    good = distance.min(axis=1) < 60
    assert good.mean() > 0.8
    x = plain.points[good, 0].astype(int) + mirrored.points[nearest[good], 0]
    assert np.median(np.abs(x - 65535)) < 300
    assert np.array_equal(mirror_descriptors(mirror_descriptors(plain.descriptors)), plain.descriptors)


def test_flat_and_tiny_pictures_have_none() -> None:
    for shape in [(300, 300, 3), (1, 1, 3), (1, 512, 3)]:
        found = keypoints(np.full(shape, 128, np.uint8))
        assert found.points.shape == (0, 4)
        assert found.descriptors.shape == (0, 128)
        assert found.thumb


def test_thumb(photo: UInt8Array) -> None:
    thumb = cv2.imdecode(np.frombuffer(keypoints(photo).thumb, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert thumb is not None
    assert thumb.shape == (86, 128, 3)
    wanted = cv2.resize(photo, (128, 86), interpolation=cv2.INTER_AREA)
    assert np.abs(thumb.astype(int) - wanted).mean() < 4


def test_phash_stands_edits_and_tells_pictures_apart(photo: UInt8Array) -> None:
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    first = phash(grey)
    assert 0 <= first < 2**64
    small = np.asarray(cv2.resize(grey, (100, 70), interpolation=cv2.INTER_AREA), np.uint8)
    assert (first ^ phash(small)).bit_count() <= 6
    other = np.asarray(cv2.cvtColor(load_sample_images().images[1], cv2.COLOR_RGB2GRAY), np.uint8)
    assert (first ^ phash(other)).bit_count() > 16
    assert phash(np.full((40, 40), 99, np.uint8)) == 0
