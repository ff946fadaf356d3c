"""The story of one picture, and the registry of extractors."""

from __future__ import annotations

import io
import multiprocessing
import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from modules.errors import PictureError, UsageError
from modules.feature_extraction import Analyser, init_worker, make_extractors, resolve_features
from modules.records import Analysis

ALL = frozenset(["perceptual"])


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(load_sample_images().images[1]).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def analysed(data: bytes) -> Analysis:
    analyser = Analyser(tuple(make_extractors(["auto"])), 10**8)
    return analyser.analyse(data, facts=True, keypoints=True, extractors=ALL)


def test_only_what_was_asked_is_computed() -> None:
    analyser = Analyser(tuple(make_extractors(["perceptual"])), 10**8)
    nothing = analyser.analyse(jpeg(), facts=False, keypoints=False, extractors=frozenset())
    assert (nothing.facts, nothing.keypoints, nothing.pixels) == (None, None, {})
    pixels = analyser.analyse(jpeg(), facts=False, keypoints=False, extractors=ALL).pixels
    assert pixels["perceptual"].shape == (64, 64, 1)
    facts = analyser.analyse(jpeg(), facts=True, keypoints=False, extractors=frozenset()).facts
    assert facts is not None
    assert (facts.width, facts.height, facts.format, facts.size) == (640, 427, "JPEG", len(jpeg()))


def test_another_process_finds_the_same() -> None:
    here = analysed(jpeg())
    with multiprocessing.get_context("spawn").Pool(1, initializer=init_worker) as pool:
        there = pool.apply(analysed, (jpeg(),))
    assert there.facts == here.facts
    assert there.keypoints is not None
    assert here.keypoints is not None
    assert np.array_equal(there.keypoints.points, here.keypoints.points)
    assert np.array_equal(there.keypoints.descriptors, here.keypoints.descriptors)
    assert there.keypoints.thumb == here.keypoints.thumb
    assert np.array_equal(there.pixels["perceptual"], here.pixels["perceptual"])


def test_bad_bytes_are_one_clean_reason() -> None:
    with pytest.raises(PictureError, match=r"^truncated JPEG picture$"):
        analysed(jpeg()[:20_000])


def test_registry() -> None:
    assert resolve_features("auto") == ["perceptual"]
    assert resolve_features(["perceptual", "auto"]) == ["perceptual"]
    with pytest.raises(UsageError, match=r"unknown extractor 'nonsense'; known are auto, perceptual"):
        make_extractors(["nonsense"])
    with pytest.raises(UsageError, match="no extractor given"):
        resolve_features([])
    (extractor,) = make_extractors(["auto"])
    assert pickle.loads(pickle.dumps(extractor)).fingerprint == extractor.fingerprint
