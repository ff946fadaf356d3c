"""The embedded extractor: bit-equal in any batch, exact under turns, near for edits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_images

from modules.features.borders import trim
from modules.features.perceptual import SYMMETRIES, Perceptual
from modules.records import UInt8Array

EXTRACTOR = Perceptual()


def photos() -> list[UInt8Array]:
    from skimage import data

    named = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return [np.asarray(p, np.uint8) for p in [*load_sample_images().images, *named]]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_vector_does_not_depend_on_its_batch(seed: int, count: int) -> None:
    batch = np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 1), dtype=np.uint8)
    together = EXTRACTOR.embed(batch)
    assert together.shape == (count, EXTRACTOR.dim)
    assert together.dtype == np.float32
    for i in range(count):
        assert np.array_equal(together[i], EXTRACTOR.embed(batch[i : i + 1])[0])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("place", range(8))
def test_variants_are_the_vectors_of_turned_pictures(place: int) -> None:
    batch = np.stack([EXTRACTOR.prepare(photo) for photo in photos()])
    mirrored, turns = SYMMETRIES[place]
    changed = np.rot90(batch[:, :, ::-1] if mirrored else batch, turns, axes=(1, 2))
    expected = EXTRACTOR.variants(EXTRACTOR.embed(batch))[place]
    np.testing.assert_allclose(EXTRACTOR.embed(changed), expected, atol=1e-6)


def test_edits_lie_nearer_than_other_photos() -> None:
    originals = photos()
    vectors = EXTRACTOR.embed(np.stack([EXTRACTOR.prepare(photo) for photo in originals]))
    for i, photo in enumerate(originals):
        height, width = photo.shape[:2]
        edits = [
            cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA),
            np.clip(photo * 1.4, 0, 255).astype(np.uint8),
            photo[height // 20 : -height // 20, width // 20 : -width // 20],
            cv2.copyMakeBorder(photo, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(255, 255, 255)),
        ]
        inputs = np.stack([EXTRACTOR.prepare(np.ascontiguousarray(edit)) for edit in edits])
        cosines = EXTRACTOR.embed(inputs) @ vectors.T
        assert (cosines.argmax(axis=1) == i).all()
        assert cosines[:, i].min() > 0.75


def test_borders_are_cut_and_content_is_not() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (80, 120), dtype=np.uint8)
    framed = cv2.copyMakeBorder(picture, 9, 7, 12, 5, cv2.BORDER_CONSTANT, value=255)
    assert np.array_equal(trim(framed), picture)
    assert np.array_equal(trim(picture), picture)
    captioned = np.vstack([picture, np.full((20, 120), 255, np.uint8)])
    captioned[86:94, 5:110:2] = 0
    assert np.array_equal(trim(captioned), picture)
    flat = np.full((50, 60), 90, np.uint8)
    assert trim(flat).shape == flat.shape


def test_a_flat_picture_has_a_finite_vector() -> None:
    assert (EXTRACTOR.embed(np.full((2, 64, 64, 1), 77, np.uint8)) == 0).all()


def test_a_pixel_is_enough() -> None:
    assert EXTRACTOR.prepare(np.zeros((1, 1, 3), np.uint8)).shape == (64, 64, 1)
    assert EXTRACTOR.prepare(np.zeros((1, 512, 3), np.uint8)).shape == (64, 64, 1)
