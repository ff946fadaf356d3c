"""Where a picture lies in another one: matched keypoints and the transform that most of them agree on.

All geometry is done in *frames*: a picture's frame is its own shape with a long side of FRAME units, so that
nothing depends on the resolution that a copy is stored in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.keypoints import mirror_descriptors
from modules.records import Float32Array, Keypoints, UInt8Array

FRAME = 512.0
#: Distance ratio between the nearest and the second nearest descriptor (Lowe 2004).
RATIO = 0.8
#: Fewer distinct matched places than these are chance.
MIN_INLIERS = 8
#: Frame units between a place and where the transform puts it; keypoints come from pictures of 320 pixels.
_TOLERANCE = 6.0
#: Keypoints nearer to each other than this, in frame units, are one place.
_PLACE = 6.0
_MAX_STRETCH = 2.2
_SCALES = (1 / 12, 12.0)
_ITERATIONS = 1000

Matrix = NDArray[np.float64]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How picture a lies on picture b.

    matrix: float64 (2, 3), frame of a (mirrored left to right first if ``mirrored``) to frame of b. inliers:
    distinct places that agree on it.
    """

    matrix: Matrix
    mirrored: bool
    inliers: int


def frame(size: Size) -> tuple[float, float]:
    """Width and height of the frame of a picture of ``size`` (width, height) pixels."""
    longest = max(size)
    return FRAME * size[0] / longest, FRAME * size[1] / longest


def align(a: Keypoints, b: Keypoints, size_a: Size, size_b: Size, *, mirrored: bool) -> Alignment | None:
    """The transform that lays a (mirrored left to right first, if so) on b; None where the keypoints tell of none.

    A pure function: RANSAC's random numbers are seeded alike for every pair.
    """
    if min(len(a.points), len(b.points)) < MIN_INLIERS:
        return None
    places_a, places_b = _places(a.points, size_a), _places(b.points, size_b)
    descriptors = a.descriptors
    if mirrored:
        places_a[:, 0] = frame(size_a)[0] - places_a[:, 0]
        descriptors = mirror_descriptors(descriptors)
    found = _consensus(places_a, places_b, match(descriptors, b.descriptors))
    return None if found is None else Alignment(found[0], mirrored, found[1])


def _places(points: NDArray[np.uint16], size: Size) -> Float32Array:
    return points[:, :2].astype(np.float32) * (np.asarray(frame(size), dtype=np.float32) / np.float32(65535))


def match(a: UInt8Array, b: UInt8Array) -> NDArray[np.int64]:
    """Pairs of rows, int64 (m, 2), that are each other's nearest and pass the ratio test.

    a, b: root-SIFT descriptors, uint8 (n, 128), at least two of each.
    """
    left, right = a.astype(np.float32), b.astype(np.float32)
    # Whole numbers below 2^24 all the way, so that no order of summation changes a bit of it.
    products = left @ right.T
    distances = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2 * products
    rows = np.arange(len(left))
    nearest = distances.argmin(axis=1)
    best = distances[rows, nearest].copy()
    mutual = distances.argmin(axis=0)[nearest] == rows
    distances[rows, nearest] = np.inf
    kept = mutual & (best < RATIO**2 * distances.min(axis=1))
    return np.stack([rows[kept], nearest[kept]], axis=1)


def _consensus(places_a: Float32Array, places_b: Float32Array, pairs: NDArray[np.int64]) -> tuple[Matrix, int] | None:
    if len(pairs) < MIN_INLIERS:
        return None
    source, target = places_a[pairs[:, 0]], places_b[pairs[:, 1]]
    similarity, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=_ITERATIONS
    )
    found = _judged(similarity, source, target)
    if found is None or found[1] < 0.75 * len(pairs):
        # Stretched pictures: a similarity holds only part of the matches.
        affine, _ = cv2.estimateAffine2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=_ITERATIONS
        )
        other = _judged(affine, source, target)
        # Two more degrees of freedom must be earned.
        if other is not None and other[1] >= (MIN_INLIERS + 2 if found is None else 1.2 * found[1]):
            found = other
    return None if found is None else _refined(found, source, target)


def _judged(matrix: Matrix | None, source: Float32Array, target: Float32Array) -> tuple[Matrix, int] | None:
    if matrix is None or not is_sane(matrix):
        return None
    count = _distinct(_inliers(matrix, source, target), source, target)
    return (np.asarray(matrix, dtype=np.float64), count) if count >= MIN_INLIERS else None


def _inliers(matrix: Matrix, source: Float32Array, target: Float32Array) -> NDArray[np.bool_]:
    errors = source @ matrix[:, :2].T + matrix[:, 2] - target
    return np.asarray((errors**2).sum(axis=1) <= _TOLERANCE**2)


def _distinct(inliers: NDArray[np.bool_], source: Float32Array, target: Float32Array) -> int:
    """Places that differ on both sides: keypoints of several angles or scales in one spot count once."""
    counts = []
    for places in (source[inliers], target[inliers]):
        cells = np.floor(places / _PLACE).astype(np.int64)
        counts.append(len(np.unique(cells[:, 0] * 4096 + cells[:, 1])))
    return min(counts)


def _refined(found: tuple[Matrix, int], source: Float32Array, target: Float32Array) -> tuple[Matrix, int]:
    """Least squares over the inliers, twice; an affine only where enough of them can carry it."""
    for _ in range(2):
        inliers = _inliers(found[0], source, target)
        if inliers.sum() < 2 * MIN_INLIERS:
            break
        ones = np.ones((int(inliers.sum()), 1))
        design = np.hstack([source[inliers].astype(np.float64), ones])
        solution, _, rank, _ = np.linalg.lstsq(design, target[inliers].astype(np.float64), rcond=1e-6)
        better = _judged(solution.T, source, target) if rank == 3 else None
        if better is None or better[1] < found[1]:
            break
        found = better
    return found


def is_sane(matrix: Matrix) -> bool:
    """Whether a transform is one that pictures undergo: no fold, no collapse, little stretch."""
    if not np.isfinite(matrix).all() or np.linalg.det(matrix[:, :2]) <= 0:
        return False
    long, short = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(long <= _MAX_STRETCH * short and _SCALES[0] <= math.sqrt(long * short) <= _SCALES[1])


def scale_of(matrix: Matrix) -> float:
    """Frame units of b for one of a (geometric mean of both axes)."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:2, :2]))))


def turn_of(matrix: Matrix) -> float:
    """Degrees in (-180, 180] by which a is turned, clockwise as seen."""
    linear = matrix[:, :2]
    return math.degrees(math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))


def inverse(matrix: Matrix) -> Matrix:
    """The way back of a 3 x 3 transform."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def full_matrix(alignment: Alignment, size_a: Size) -> Matrix:
    """The transform from the unmirrored frame of a to that of b, float64 (3, 3)."""
    whole = np.vstack([alignment.matrix, [0.0, 0.0, 1.0]])
    if alignment.mirrored:
        whole = whole @ np.array([[-1.0, 0.0, frame(size_a)[0]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(whole, dtype=np.float64)
