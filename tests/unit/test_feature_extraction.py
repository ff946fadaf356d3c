"""The story of one picture, and the registry of extractors."""

from __future__ import annotations

import io
import multiprocessing
import os
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from modules.errors import PictureError
from modules.feature_extraction import (
    LEAST_PRIORITY,
    Analyser,
    facts_fingerprint,
    init_worker,
    keypoints_fingerprint,
)
from modules.features.perceptual import Perceptual
from modules.matching.evidence import decode_thumb
from modules.records import Analysis, Effort, UInt8Array
from modules.worker_pool import WorkerPool
from tests.pictures import encode

ALL = frozenset(["perceptual"])
EFFORTS: tuple[Effort, ...] = ("fast", "balanced", "thorough")


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(load_sample_images().images[1]).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def analysed(data: bytes) -> Analysis:
    analyser = Analyser((Perceptual(),), 10**8)
    return analyser.analyse(data, facts=True, keypoints=True, extractors=ALL)


def test_only_what_was_asked_is_computed() -> None:
    analyser = Analyser((Perceptual(),), 10**8)
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


def test_every_effort_measures_the_same_things_and_keeps_what_it_found_apart() -> None:
    points, found = {}, {}
    for effort in EFFORTS:
        analysis = Analyser((Perceptual(),), 10**8, effort).analyse(jpeg(), facts=True, keypoints=True, extractors=ALL)
        assert analysis.facts is not None
        assert analysis.keypoints is not None
        assert (analysis.facts.width, analysis.facts.height, analysis.facts.size) == (640, 427, len(jpeg()))
        assert max(decode_thumb(analysis.keypoints.thumb).shape) == 128
        assert analysis.pixels["perceptual"].shape == (64, 64, 1)
        points[effort] = len(analysis.keypoints.points)
        found[effort] = analysis
    assert points["fast"] == 0 < points["balanced"] < points["thorough"]
    assert found["balanced"].facts == found["thorough"].facts
    assert facts_fingerprint("balanced") == facts_fingerprint("thorough") != facts_fingerprint("fast")
    assert len({keypoints_fingerprint(effort) for effort in EFFORTS}) == 3
    for analysis in found.values():
        assert np.array_equal(analysis.pixels["perceptual"], found["balanced"].pixels["perceptual"])


def test_a_fast_run_sees_quality_much_alike() -> None:
    picture = Image.open(io.BytesIO(jpeg()))
    enlarged = encode(picture.resize((960, 640)))
    for effort in EFFORTS:
        analyser = Analyser((), 10**8, effort)
        original, copy = (
            analyser.analyse(data, facts=True, keypoints=False, extractors=frozenset()).facts
            for data in (jpeg(), enlarged)
        )
        assert original is not None
        assert copy is not None
        assert original.sharpness > copy.sharpness + 0.15  # its finest frequencies are not empty


def test_bad_bytes_are_one_clean_reason() -> None:
    with pytest.raises(PictureError, match=r"^truncated JPEG picture$"):
        analysed(jpeg()[:20_000])


class Starved(Perceptual):
    """Ends as OpenCV does where it can allocate nothing."""

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        error = cv2.error("Failed to allocate 411041792 bytes")
        error.code, error.err = cv2.Error.StsNoMem, "Failed to allocate 411041792 bytes"
        raise error

    def prepare_trimmed(self, grey: UInt8Array) -> UInt8Array:
        return self.prepare(grey)


def test_what_opencv_says_of_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="Failed to allocate 411041792 bytes"):
        Analyser((Starved(),), 10**6).analyse(jpeg(), facts=False, keypoints=False, extractors=ALL)


def test_a_worker_gives_way_where_models_share_its_cores_and_only_there() -> None:
    for give_way, expected in ((False, os.nice(0)), (True, LEAST_PRIORITY)):
        with WorkerPool(1, partial(init_worker, give_way=give_way)) as pool:
            assert pool.run(os.nice, 0, timeout=60.0) == expected


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "MPO"])
def test_decode_workers_read_the_newer_formats(kind: str) -> None:
    made = Image.Exif()
    made[0x010F], made[0x0110] = "Example", "Camera 1"
    stream = io.BytesIO()
    Image.fromarray(load_sample_images().images[1]).save(stream, kind, quality=80, exif=made.tobytes())
    with multiprocessing.get_context("spawn").Pool(1, initializer=init_worker) as pool:
        facts = pool.apply(analysed, (stream.getvalue(),)).facts
    assert facts is not None
    assert (facts.width, facts.height) == (640, 427)
    assert facts.format == {"HEIF": "HEIC", "MPO": "JPEG"}.get(kind, kind)
    assert (facts.camera, facts.taken, facts.gps) == ("Example Camera 1", "", False)


def test_facts_agree_with_each_other() -> None:
    facts = analysed(jpeg()).facts
    assert facts is not None
    assert len(facts.palette) == 4 * facts.dominant_colours > 0
    for name in ("sharpness", "exposure", "contrast", "noise", "compression", "texture"):
        assert 0 < getattr(facts, name) <= 1
