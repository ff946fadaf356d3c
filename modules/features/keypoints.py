"""Local evidence of a picture: its strongest root-SIFT keypoints, and a thumbnail to compare pixels with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.errors import PictureError
from modules.features import sequences
from modules.features.decode import SMALL_SIDE, shrink
from modules.records import Effort, Keypoints, UInt8Array

#: Raised by hand when points, descriptors, thumbnails, opacity or frames change their meaning.
VERSION = 4
THUMB_SIDE = 128
#: Bytes of a JPEG thumbnail up to which it may be replaced by a PNG of twice as many.
_PLAIN_BYTES = 1500
#: Half of what Lowe asks for: plain pictures have few strong places.
_CONTRAST = 0.02


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where keypoints are found: side (pixels, the longer one) of the picture, how many of them at most."""

    side: int
    most: int


#: By effort; the fast way lays thumbnails on each other, without keypoints.
RECIPES: Mapping[Effort, Recipe | None] = {
    "fast": None,
    "balanced": Recipe(SMALL_SIDE, 150),
    "thorough": Recipe(320, 300),
}


def keypoints(rgb: UInt8Array, effort: Effort = "balanced") -> Keypoints:
    """Keypoints of a working picture, RGB uint8 (h, w, 3), as the effort's recipe finds them; none without one.

    points: x and y are pixel centres, round(65535 * (x + 0.5) / width); scale is the keypoint's diameter,
    round(65535 * size / long side); angle is round(65536 * degrees / 360) modulo 65536, clockwise as in OpenCV.
    Source: D. Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004.
    """
    recipe = RECIPES[effort]
    if recipe is None:
        return Keypoints(_points([], 1, 1), np.zeros((0, 128), np.uint8), _thumb(rgb))
    small = shrink(rgb, recipe.side)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    # Found and described in one pass: two would build the pyramid of scales twice.
    found, raw = cv2.SIFT.create(nfeatures=recipe.most, contrastThreshold=_CONTRAST).detectAndCompute(grey, None)
    order = _strongest(found)[: recipe.most]
    descriptors = raw[order] if order else np.zeros((0, 128), np.float32)
    points = _points([found[i] for i in order], grey.shape[1], grey.shape[0])
    return Keypoints(points, root_sift(descriptors), _thumb(small))


def _strongest(found: Sequence[Any]) -> list[int]:
    """Places of keypoints, the strongest first. A total order: OpenCV's own says nothing of ties, and may keep some."""
    keys = [(-point.response, point.pt[1], point.pt[0], point.size, point.angle) for point in found]
    return sorted(range(len(found)), key=keys.__getitem__)


def _points(found: Sequence[Any], width: int, height: int) -> NDArray[np.uint16]:
    rows = np.array([(*p.pt, p.size, p.angle) for p in found], dtype=np.float64).reshape(-1, 4)
    rows[:, 0] = 65535 * (rows[:, 0] + 0.5) / width
    rows[:, 1] = 65535 * (rows[:, 1] + 0.5) / height
    rows[:, 2] = 65535 * rows[:, 2] / max(width, height)
    rows[:, 3] = np.rint(rows[:, 3] * 65536 / 360) % 65536
    return np.rint(np.clip(rows, 0, 65535)).astype(np.uint16)


def root_sift(descriptors: NDArray[np.float32]) -> UInt8Array:
    """SIFT descriptors, float32 (n, 128), to min(255, round(512 * sqrt(d / sum(d)))), uint8.

    Euclidean distance between these is the Hellinger distance between the histograms (times 512). Source: R.
    Arandjelovic, A. Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    """
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.minimum(np.rint(512 * np.sqrt(descriptors / total)), 255), dtype=np.uint8)


def mirror_descriptors(descriptors: UInt8Array) -> UInt8Array:
    """What the descriptors, uint8 (n, 128), would be had the picture been mirrored left to right.

    A mirrored keypoint's patch is its patch mirrored along the first axis of the 4 x 4 cells (with OpenCV's
    order of them), and a gradient at angle k turns to -k.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    bins = -np.arange(8) % 8
    return np.ascontiguousarray(cells[..., bins]).reshape(-1, 128)


def _thumb(rgb: UInt8Array) -> bytes:
    """JPEG, quality 92, 4:4:4, long side THUMB_SIDE or the picture's own if that is less; PNG where hardly larger.

    PNG keeps the tone of a blank page, of which JPEG makes another one.
    """
    bgr = cv2.cvtColor(shrink(rgb, THUMB_SIDE), cv2.COLOR_RGB2BGR)
    factors = [
        cv2.IMWRITE_JPEG_QUALITY,
        92,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, encoded = cv2.imencode(".jpg", bgr, factors)
    if not done:
        raise PictureError("the thumbnail could not be encoded")
    if len(encoded) <= _PLAIN_BYTES:
        done, exact = cv2.imencode(".png", bgr)
        encoded = exact if done and len(exact) <= 2 * _PLAIN_BYTES else encoded
    return bytes(encoded.tobytes())


def encoded_alpha(alpha: UInt8Array) -> bytes:
    """The opacity of a working picture, uint8 (h, w), as a small picture that fits its thumbnail, pixel on pixel."""
    return sequences.encoded(shrink(shrink(alpha, SMALL_SIDE), THUMB_SIDE))
