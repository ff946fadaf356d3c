"""Where a picture lies in another one: matched keypoints and the transform that most of them agree on.

All geometry is done in *frames*: a picture's frame is its own shape with a long side of FRAME units, so that
nothing depends on the resolution that a copy is stored in.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.keypoints import mirror_descriptors
from modules.matching.evidence import FRAME, Evidence, Size, frame
from modules.records import Float32Array

#: Distance ratio between the nearest and the second nearest descriptor (Lowe 2004).
RATIO = 0.8
#: Fewer distinct matched places than these are chance.
MIN_INLIERS = 8
#: Frame units between a place and where the transform puts it; keypoints come from pictures of 160 pixels or more.
TOLERANCE = 6.0
#: Keypoints nearer to each other than this, in frame units, are one place.
_PLACE = 6.0
_MAX_STRETCH = 2.2
#: Two frames of one picture differ in shape by at most this.
_SHAPE = 1.03
_SCALES = (1 / 12, 12.0)
_ITERATIONS = 1000
#: Share of the matches that a similarity must hold, or an affine transform is tried, and what that one must gain.
_HELD, _EARNED = 0.75, 1.2
#: Where mirror_descriptors takes each number of a descriptor from.
_MIRRORED = mirror_descriptors(np.arange(128, dtype=np.uint8)[None])[0]

#: Corners of the largest frame.
_CORNERS = ((0.0, 0.0), (FRAME, 0.0), (FRAME, FRAME), (0.0, FRAME))

Matrix = NDArray[np.float64]
Matches = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How picture a lies on picture b.

    matrix: float64 (3, 3), frame of a (mirrored left to right first if ``mirrored``) to frame of b. inliers:
    distinct places that agree on it.
    """

    matrix: Matrix
    mirrored: bool
    inliers: int


@dataclass(frozen=True, slots=True)
class Matched:
    """Places of a (mirrored left to right first, if so) and b that look alike, float32 (m, 2) each, frame units."""

    source: Float32Array
    target: Float32Array
    mirrored: bool


def matched(a: Evidence, b: Evidence, *, mirrored: bool) -> Matched:
    """The places whose descriptors are each other's nearest and pass the ratio test."""
    if min(len(a.places), len(b.places)) < 2:
        return Matched(a.places[:0], b.places[:0], mirrored)
    descriptors = a.descriptors[:, _MIRRORED] if mirrored else a.descriptors
    rows, columns = _matches(descriptors, a.norms, b.descriptors, b.norms)
    source = a.places[rows]
    if mirrored:
        source[:, 0] = frame(a.size)[0] - source[:, 0]
    return Matched(source, b.places[columns], mirrored)


def _matches(
    left: Float32Array, left_norms: Float32Array, right: Float32Array, right_norms: Float32Array
) -> tuple[Matches, Matches]:
    # Squared distances but for the row's own norm, which no choice within a row depends on; exact, see Evidence.
    distances = left @ right.T
    distances *= -2
    distances += right_norms
    rows = np.arange(len(left))
    nearest = distances.argmin(axis=1)
    best = distances[rows, nearest]
    distances[rows, nearest] = np.inf
    second = distances.min(axis=1)
    distances[rows, nearest] = best
    kept = np.flatnonzero(best + left_norms < RATIO**2 * (second + left_norms))
    columns = nearest[kept]
    mutual = (distances[:, columns] + left_norms[:, None]).argmin(axis=0) == kept
    return kept[mutual], columns[mutual]


def align(found: Matched) -> Alignment | None:
    """The transform that most of the matches agree on; None where there is none.

    A similarity, or, where it holds only part of the matches, an affine transform or a homography that holds many more.
    A pure function: RANSAC's random numbers are seeded alike for every pair. Source of the last one's: D. Barath et
    al., "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR 2020.
    """
    source, target = found.source, found.target
    if len(source) < MIN_INLIERS:
        return None
    best = _judged(_similarity(source, target), source, target)
    if best is None or best[1] < _HELD * len(source):
        # Stretched pictures.
        other = _judged(_affine(source, target), source, target)
        if other is not None and other[1] >= (MIN_INLIERS + 2 if best is None else _EARNED * best[1]):
            best = other
    if best is None:
        return None
    best = _refined(best, source, target)
    if best[1] < _HELD * len(source) and best[1] >= 2 * MIN_INLIERS:
        # Pictures seen from aside.
        other = _judged(_homography(source, target), source, target)
        if other is not None and other[1] >= _EARNED * best[1]:
            best = other
    matrix = best[0]
    inliers = _distinct(_inliers(matrix, source, target), source, target)
    return Alignment(matrix, found.mirrored, inliers) if inliers >= MIN_INLIERS else None


def _similarity(source: Float32Array, target: Float32Array) -> Matrix | None:
    matrix: Matrix | None
    matrix, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=_ITERATIONS, refineIters=0
    )
    return matrix


def _affine(source: Float32Array, target: Float32Array) -> Matrix | None:
    matrix: Matrix | None
    matrix, _ = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=_ITERATIONS, refineIters=0
    )
    return matrix


def _homography(source: Float32Array, target: Float32Array) -> Matrix | None:
    matrix: Matrix | None
    matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, TOLERANCE / 2, maxIters=_ITERATIONS)
    return matrix


def _judged(matrix: Matrix | None, source: Float32Array, target: Float32Array) -> tuple[Matrix, int] | None:
    if matrix is None:
        return None
    whole = np.vstack([matrix, [0.0, 0.0, 1.0]]) if len(matrix) == 2 else np.asarray(matrix, dtype=np.float64)
    if not is_sane(whole):
        return None
    count = int(np.count_nonzero(_inliers(whole, source, target)))
    return (whole, count) if count >= MIN_INLIERS else None


def _inliers(matrix: Matrix, source: Float32Array, target: Float32Array) -> NDArray[np.bool_]:
    errors = moved(matrix, source)
    errors -= target
    return np.asarray(np.einsum("ij,ij->i", errors, errors) <= TOLERANCE**2)


def moved(matrix: Matrix, places: Float32Array | Matrix) -> Matrix:
    """Where a transform, (3, 3), takes places (n, 2), float64 (n, 2)."""
    ends = places @ matrix[:2, :2].T
    ends += matrix[:2, 2]
    if matrix[2, 0] or matrix[2, 1]:
        ends /= (places @ matrix[2, :2] + matrix[2, 2])[:, None]
    return np.asarray(ends)


def _distinct(inliers: NDArray[np.bool_], source: Float32Array, target: Float32Array) -> int:
    """Places that differ on both sides: keypoints of several angles or scales in one spot count once."""
    counts = []
    for places in (source[inliers], target[inliers]):
        cells = (places * (1 / _PLACE)).astype(np.int32)
        counts.append(len(set((cells[:, 0] * 4096 + cells[:, 1]).tolist())))
    return min(counts)


def _refined(found: tuple[Matrix, int], source: Float32Array, target: Float32Array) -> tuple[Matrix, int]:
    """Least squares over the inliers, twice; an affine only where enough of them can carry it."""
    for _ in range(2):
        inliers = _inliers(found[0], source, target)
        if np.count_nonzero(inliers) < 2 * MIN_INLIERS:
            break
        better = _judged(_least_squares(source[inliers], target[inliers]), source, target)
        if better is None or better[1] < found[1]:
            break
        settled = better[1] == found[1]
        found = better
        if settled:
            break
    return found


def _least_squares(source: Float32Array, target: Float32Array) -> Matrix | None:
    """The affine transform, (2, 3), of the least squared errors; None for places on one line."""
    centre_a, centre_b = source.mean(axis=0, dtype=np.float64), target.mean(axis=0, dtype=np.float64)
    from_a, from_b = source - centre_a, target - centre_b
    spread = from_a.T @ from_a
    determinant = spread[0, 0] * spread[1, 1] - spread[0, 1] * spread[1, 0]
    if determinant < 1e-6 * max(spread[0, 0], spread[1, 1]) ** 2:
        return None
    inverted = np.array([[spread[1, 1], -spread[0, 1]], [-spread[1, 0], spread[0, 0]]]) / determinant
    turned = (from_b.T @ from_a) @ inverted
    return np.column_stack([turned, centre_b - turned @ centre_a])


def is_sane(matrix: Matrix) -> bool:
    """Whether a transform, (3, 3), is one that pictures undergo: no fold, no collapse, little stretch."""
    if not np.isfinite(matrix).all():
        return False
    if matrix[2, 0] or matrix[2, 1]:
        # Within the frame, at most so strong a perspective, and sane wherever one looks.
        depths = [matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] for x, y in _CORNERS]
        if min(depths) <= 0 or max(depths) > _MAX_STRETCH * min(depths):
            return False
        return all(_is_sane_linear(linear(matrix, place)) for place in _CORNERS)
    return _is_sane_linear(matrix[:2, :2])


def _is_sane_linear(matrix: Matrix) -> bool:
    a, b, c, d = matrix.ravel().tolist()
    determinant = a * d - b * c
    if determinant <= 0:
        return False
    # The singular values: their product is the determinant, the sum of their squares that of all four numbers.
    total, product = a * a + b * b + c * c + d * d, determinant
    long = math.sqrt((total + math.sqrt(max(total * total - 4 * product * product, 0.0))) / 2)
    short = product / long
    return bool(long <= _MAX_STRETCH * short and _SCALES[0] <= math.sqrt(long * short) <= _SCALES[1])


def linear(matrix: Matrix, place: tuple[float, float]) -> Matrix:
    """What a transform, (3, 3), does to a small neighbourhood of a place, float64 (2, 2)."""
    if not (matrix[2, 0] or matrix[2, 1]):
        return matrix[:2, :2]
    x, y, depth = matrix @ (*place, 1.0)
    return np.asarray((matrix[:2, :2] - np.outer((x / depth, y / depth), matrix[2, :2])) / depth)


def scale_of(matrix: Matrix, place: tuple[float, float] = (FRAME / 2, FRAME / 2)) -> float:
    """Units of b for one of a (geometric mean of both axes), at a place of a."""
    (a, b), (c, d) = linear(matrix, place).tolist()
    return math.sqrt(abs(a * d - b * c))


def turn_of(matrix: Matrix) -> float:
    """Degrees in (-180, 180] by which a is turned, clockwise as seen."""
    turned = linear(matrix, (FRAME / 2, FRAME / 2))
    return math.degrees(math.atan2(turned[1, 0] - turned[0, 1], turned[0, 0] + turned[1, 1]))


def inverse(matrix: Matrix) -> Matrix:
    """The way back of a 3 x 3 transform."""
    # By cofactors: for nine numbers, a call of LAPACK costs ten times the work.
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    adjugate = np.array(
        [
            [e * i - f * h, c * h - b * i, b * f - c * e],
            [f * g - d * i, a * i - c * g, c * d - a * f],
            [d * h - e * g, b * g - a * h, a * e - b * d],
        ]
    )
    return np.asarray(adjugate / adjugate[2, 2])


def full_matrix(alignment: Alignment, size_a: Size) -> Matrix:
    """The transform from the unmirrored frame of a to that of b, float64 (3, 3)."""
    if not alignment.mirrored:
        return alignment.matrix
    return np.asarray(alignment.matrix @ np.array([[-1.0, 0.0, frame(size_a)[0]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def of_one_shape(a: Evidence, b: Evidence) -> bool:
    """Whether two pictures may be one and the same as they are: their frames differ in shape by hardly anything."""
    (width_a, height_a), (width_b, height_b) = frame(a.size), frame(b.size)
    shapes = width_a * height_b, width_b * height_a
    return max(shapes) <= _SHAPE * min(shapes)


def on_its_place(a: Evidence, b: Evidence) -> Matrix:
    """The transform of two pictures of nearly one shape that stretches a's frame onto b's, float64 (3, 3)."""
    (width_a, height_a), (width_b, height_b) = frame(a.size), frame(b.size)
    return np.diag([width_b / width_a, height_b / height_a, 1.0])


def thumb_matrix(whole: Matrix, a: Evidence, b: Evidence) -> Matrix:
    """``whole`` (frame of a to frame of b, 3 x 3) between pixel centres of the thumbnails, float64 (3, 3)."""
    return np.asarray(_to_pixels(b.grey.shape, b.size)[0] @ whole @ _to_pixels(a.grey.shape, a.size)[1])


@functools.lru_cache(maxsize=1024)
def _to_pixels(shape: tuple[int, ...], size: Size) -> tuple[Matrix, Matrix]:
    """From the frame of a picture of ``size`` to pixels of its thumbnail of ``shape``, and back."""
    height, width = shape
    across, down = frame(size)
    there = np.array([[width / across, 0.0, -0.5], [0.0, height / down, -0.5], [0.0, 0.0, 1.0]])
    return there, inverse(there)
