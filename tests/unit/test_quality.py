"""The quality score, its measures, and colour."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from modules.feature_extraction import Analyser
from modules.features.decode import decode
from modules.quality.colour import correlation, dominant_colours, hsv_histogram, mean_correlation
from modules.quality.measures import jpeg_quality
from modules.quality.score import score
from modules.records import UInt8Array

NAMES = ["china", "flower", "astronaut", "coffee", "chelsea", "rocket"]


def photo(name: str) -> UInt8Array:
    from skimage import data

    if name in NAMES[:2]:
        return np.asarray(load_sample_images().images[NAMES.index(name)], np.uint8)
    return np.asarray(getattr(data, name)(), np.uint8)


def encoded(picture: UInt8Array, quality: int = 92) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def rated(data: bytes) -> float:
    facts = Analyser((), 10**8).analyse(data, facts=True, keypoints=False, extractors=frozenset()).facts
    assert facts is not None
    measures = np.array([[facts.sharpness], [facts.exposure], [facts.compression]], np.float32)
    width, height = np.array([[facts.width], [facts.height]], np.int32)
    return float(score(width, height, measures[0], measures[1], measures[2])[0])


@pytest.mark.parametrize("name", NAMES)
def test_worse_copies_score_lower(name: str) -> None:
    picture = photo(name)
    best = rated(encoded(picture))
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    slightly = cv2.resize(picture, None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA)
    copies = {
        "jpeg 70": rated(encoded(picture, 70)),
        "jpeg 30": rated(encoded(picture, 30)),
        "half": rated(encoded(half)),
        "0.85": rated(encoded(slightly)),
        "blurred": rated(encoded(cv2.GaussianBlur(picture, (0, 0), 2))),
    }
    assert {edit: value for edit, value in copies.items() if value >= best} == {}
    assert copies["jpeg 30"] < copies["jpeg 70"]


def test_resolution_counts_most() -> None:
    low, high = np.zeros(1, np.float32), np.ones(1, np.float32)
    large = score(np.array([4000], np.int32), np.array([3000], np.int32), low, low, low)
    small = score(np.array([640], np.int32), np.array([480], np.int32), low, low, high)
    assert large.dtype == np.float32
    assert large[0] > small[0]
    assert 0 <= small[0] <= large[0] <= 100


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95, 100])
def test_jpeg_quality_is_read_from_the_tables(quality: int) -> None:
    table = decode(encoded(photo("coffee"), quality), 10**8).header.quantisation
    assert table is not None
    assert jpeg_quality(table) == quality


def test_dominant_colours() -> None:
    stripes = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 20, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dominant_colours(np.full((40, 50, 3), 7, np.uint8)) == 1
        assert dominant_colours(np.repeat(stripes[:, None], 60, axis=1)) in (3, 4, 5)
        half = np.zeros((32, 32, 3), np.uint8)
        half[16:] = 255
        assert dominant_colours(half) == 2
    assert dominant_colours(photo("coffee")) == dominant_colours(photo("coffee"))


def test_histogram_correlation_is_opencvs() -> None:
    hists = [hsv_histogram(photo(name)) for name in NAMES]
    assert all(len(hist) == 128 for hist in hists)
    shares = [((np.frombuffer(h, np.uint8) / 255.0) ** 2).astype(np.float32) for h in hists]
    for i, j in [(0, 1), (2, 3), (4, 4)]:
        expected = cv2.compareHist(shares[i], shares[j], cv2.HISTCMP_CORREL)
        assert correlation(hists[i], hists[j]) == pytest.approx(expected, abs=1e-5)
    rows = np.stack([np.frombuffer(h, np.uint8) for h in hists])
    pairs = np.array([[correlation(a, b) for b in hists] for a in hists])
    expected_means = (pairs.sum(axis=1) - np.diag(pairs)) / (len(hists) - 1)
    np.testing.assert_allclose(mean_correlation(rows), expected_means, atol=1e-5)
    assert mean_correlation(rows[:1]).tolist() == [1.0]


def test_a_flat_histogram_correlates_with_everything() -> None:
    flat, other = bytes([23] * 128), hsv_histogram(photo("rocket"))
    assert correlation(flat, other) == 1.0
    rows = np.stack([np.frombuffer(h, np.uint8) for h in (flat, other)])
    assert mean_correlation(rows).tolist() == [1.0, 1.0]
