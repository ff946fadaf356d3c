"""Local evidence of a picture: root-SIFT keypoints spread over it, and a thumbnail to compare pixels with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.errors import PictureError
from modules.features.decode import shrink
from modules.records import Keypoints, UInt8Array

#: Raised by hand when points, descriptors or thumbnails change their meaning.
VERSION = 1
SIDE = 320
MAX_KEYPOINTS = 150
THUMB_SIDE = 128
_GRID = 4


def keypoints(rgb: UInt8Array) -> Keypoints:
    """Keypoints of a working picture, RGB uint8 (h, w, 3), found at a long side of SIDE pixels.

    points: x and y are pixel centres, round(65535 * (x + 0.5) / width); scale is the keypoint's diameter,
    round(65535 * size / long side); angle is round(65536 * degrees / 360) modulo 65536, clockwise as in OpenCV.
    Source: D. Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004.
    """
    small = shrink(rgb, SIDE)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT.create(contrastThreshold=0.02)
    found = _spread(sift.detect(grey, None), grey.shape[1], grey.shape[0])
    raw = np.zeros((0, 128), np.float32)
    if found:
        found, raw = sift.compute(grey, found)
    return Keypoints(_points(found, grey.shape[1], grey.shape[0]), root_sift(raw), _thumb(rgb))


def _spread(found: Sequence[Any], width: int, height: int) -> list[Any]:
    """The strongest of every cell of a grid in turn, so that one busy corner does not take all places."""
    # A total order: OpenCV's own depends on nothing else, but says nothing of ties.
    ordered = sorted(found, key=lambda p: (-p.response, p.pt[1], p.pt[0], p.size, p.angle))
    taken: dict[tuple[int, int], int] = {}
    ranks = []
    for point in ordered:
        cell = (int(point.pt[0] * _GRID / width), int(point.pt[1] * _GRID / height))
        taken[cell] = taken.get(cell, 0) + 1
        ranks.append(taken[cell])
    best = sorted(range(len(ordered)), key=lambda i: (ranks[i], i))[:MAX_KEYPOINTS]
    return [ordered[i] for i in sorted(best)]


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
    """JPEG, quality 92, 4:4:4, long side THUMB_SIDE or the picture's own if that is less."""
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
    return bytes(encoded.tobytes())
