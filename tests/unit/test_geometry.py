"""Transforms found from keypoints, and what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.matching import geometry
from modules.matching.evidence import Evidence, evidence_of, frame
from modules.records import Keypoints
from tests.drawings import analysed, as_png, evidence, leaves
from tests.edits import EDITS


def found(name: str, *, mirrored: bool = False) -> geometry.Alignment | None:
    a, b = evidence(EDITS[name].apply(leaves(3), 1)), evidence(as_png(leaves(3)))
    return geometry.align(geometry.matched(a, b, mirrored=mirrored))


def test_a_re_encoding_lies_on_its_original_as_it_is() -> None:
    alignment = found("jpeg75")
    assert alignment is not None
    assert alignment.inliers > 40
    assert alignment.matrix == pytest.approx(np.eye(3), abs=1.5)


def test_a_mirrored_picture_is_found_only_mirrored() -> None:
    assert found("mirror") is None
    alignment = found("mirror", mirrored=True)
    assert alignment is not None
    assert alignment.mirrored
    whole = geometry.full_matrix(alignment, (480, 360))
    assert whole @ [0, 100, 1] == pytest.approx([512, 100, 1], abs=3)


def test_a_stretched_picture_gets_an_affine_transform() -> None:
    alignment = found("stretch")
    assert alignment is not None
    long, short = np.linalg.svd(alignment.matrix[:, :2], compute_uv=False)
    assert long / short == pytest.approx(1.3, abs=0.07)


def test_different_pictures_do_not_align() -> None:
    a, b = evidence(as_png(leaves(3))), evidence(as_png(leaves(4)))
    for mirrored in (False, True):
        assert geometry.align(geometry.matched(a, b, mirrored=mirrored)) is None


def test_a_blank_picture_aligns_with_nothing() -> None:
    a, b = evidence(as_png(Image.new("RGB", (99, 99)))), evidence(as_png(leaves(4)))
    assert geometry.align(geometry.matched(a, b, mirrored=False)) is None


@pytest.mark.parametrize(
    ("matrix", "sane"),
    [
        ([[1, 0, 5], [0, 1, 5]], True),
        ([[0, -3, 5], [3, 0, 5]], True),
        ([[-1, 0, 5], [0, 1, 5]], False),
        ([[1, 0, 0], [0, 0.1, 0]], False),
        ([[0.01, 0, 0], [0, 0.01, 0]], False),
        ([[np.nan, 0, 0], [0, 1, 0]], False),
    ],
)
def test_folds_collapses_and_wild_stretches_are_refused(matrix: list[list[float]], sane: bool) -> None:
    assert geometry.is_sane(np.array([*matrix, [0, 0, 1]], dtype=np.float64)) == sane


def described(descriptors: np.ndarray) -> Evidence:
    """A picture whose only keypoints have these descriptors; each lies at the number of its row."""
    places = np.repeat(np.arange(len(descriptors), dtype=np.uint16)[:, None], 4, axis=1)
    return replace(
        evidence_of(Keypoints(places, descriptors, analysed_thumb()), (100, 100)),
        places=places[:, :2].astype(np.float32),
    )


def analysed_thumb() -> bytes:
    found = analysed(as_png(Image.new("RGB", (20, 20)))).keypoints
    assert found is not None
    return found.thumb


def test_matches_are_mutual_and_pass_the_ratio_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 100, (40, 128), dtype=np.uint8)
    b = np.concatenate([a[10:30], rng.integers(0, 100, (20, 128), dtype=np.uint8), a[10:11]])
    found = geometry.matched(described(a), described(b), mirrored=False)
    # Row 10 has two equal partners: which one it is cannot be told.
    assert found.source[:, 0].tolist() == list(range(11, 30))
    assert found.target[:, 0].tolist() == list(range(1, 20))


def test_the_frame_has_the_picture_s_shape() -> None:
    assert frame((3000, 1500)) == (512.0, 256.0)
    turned = np.array([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert geometry.turn_of(turned) == pytest.approx(90)
    assert geometry.scale_of(turned) == pytest.approx(2)
