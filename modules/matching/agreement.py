"""Do the aligned pixels agree? Two thumbnails, laid on each other, compared tile by tile."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.errors import ImgsieveError
from modules.matching.geometry import Matrix, Size, frame, inverse
from modules.records import Float32Array, UInt8Array

#: Local correlation from which on a tile agrees.
_TILE_CORRELATION = 0.7
#: Standard deviation, in grey levels, from which on a tile carries texture.
_TEXTURE = 6.0
#: Variance of what JPEG and noise leave on a thumbnail; keeps faint tiles from agreeing or not by chance.
_NOISE = 4.0
_TILE = 8
_SMALLEST_TILE = 4
#: Pixels beside an edge of the overlap that are not compared.
_SEAM = 2

#: Levels from black and from white within which a channel counts as clipped.
_CLIPPED = 6
#: Brightness edits scale levels by at most this.
_GAIN = 1.7
#: Smoothing in thumbnail pixels whose result is the slow change of light, and the levels that must remain without it.
_SLOW = 6.0
_DETAIL = 3.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the overlap of two aligned pictures says.

    share: of its textured tiles, how many agree, 0 to 1. block: the largest connected region of tiles that do
    not, as a share of the textured ones. tiles: how many are textured.
    """

    share: float
    block: float
    tiles: int


def decode_thumb(thumb: bytes) -> UInt8Array:
    """A thumbnail's pixels, BGR uint8 (h, w, 3). Raises ImgsieveError when it is not a picture."""
    pixels: UInt8Array | None = cv2.imdecode(np.frombuffer(thumb, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ImgsieveError("a cached thumbnail cannot be decoded; remove the keypoints shards to make them anew")
    return pixels


def thumb_matrix(whole: Matrix, thumb_a: UInt8Array, thumb_b: UInt8Array, size_a: Size, size_b: Size) -> Matrix:
    """``whole`` (frame of a to frame of b, 3 x 3) between pixel centres of the thumbnails, float64 (3, 3)."""
    return np.asarray(_to_pixels(thumb_b, size_b) @ whole @ inverse(_to_pixels(thumb_a, size_a)))


def _to_pixels(thumb: UInt8Array, size: Size) -> Matrix:
    height, width = thumb.shape[:2]
    across, down = frame(size)
    return np.array([[width / across, 0.0, -0.5], [0.0, height / down, -0.5], [0.0, 0.0, 1.0]])


def covered(matrix: Matrix, inner: UInt8Array, outer: UInt8Array) -> Mask:
    """Pixels of ``outer`` on which ``inner`` lies, bool of its (h, w). matrix: inner to outer, (3, 3)."""
    height, width = inner.shape[:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    placed = corners @ matrix[:2, :2].T + matrix[:2, 2]
    mask = np.zeros(outer.shape[:2], dtype=np.uint8)
    # Four fractional bits: a corner may lie anywhere between pixels.
    cv2.fillConvexPoly(mask, np.rint(placed * 16).astype(np.int32), 1, lineType=cv2.LINE_8, shift=4)
    return mask.astype(np.bool_)


def measure(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> Agreement:
    """Compare the overlap of thumbnails a and b, BGR uint8; matrix lays a's pixels on b's, float64 (3, 3).

    Each tile's correlation forgives brightness, contrast and colour; smoothing forgives blur and noise. The
    comparison is made at the coarser one's resolution: the finer one shows what the other one cannot.
    """
    if np.linalg.det(matrix[:2, :2]) > 1:
        # a's picture is drawn larger on b: b is the finer one.
        coarse, fine, to_coarse = a, b, inverse(matrix)
    else:
        coarse, fine, to_coarse = b, a, matrix
    left = _smooth(coarse)
    right, mask = _laid(_grey(fine), to_coarse, (coarse.shape[1], coarse.shape[0]))
    return _tiles(left, cv2.GaussianBlur(right, (0, 0), 1.0), mask)


def _grey(thumb: UInt8Array) -> UInt8Array:
    grey: UInt8Array = cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY)
    return grey


def _smooth(thumb: UInt8Array) -> Float32Array:
    smooth: Float32Array = cv2.GaussianBlur(_grey(thumb).astype(np.float32), (0, 0), 1.0)
    return smooth


def _laid(fine: UInt8Array, to_coarse: Matrix, size: Size) -> tuple[Float32Array, Mask]:
    """``fine`` drawn on the coarse grid and where it lies there; area-averaged first, so that nothing aliases."""
    factor = float(np.sqrt(abs(np.linalg.det(to_coarse[:2, :2]))))
    height, width = fine.shape
    if factor < 0.8:
        reduced = max(2, round(width * factor)), max(2, round(height * factor))
        fine = cv2.resize(fine, reduced, interpolation=cv2.INTER_AREA)
        across, down = width / reduced[0], height / reduced[1]
        enlarge = np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])
        to_coarse = to_coarse @ enlarge
    drawn = cv2.warpAffine(fine.astype(np.float32), to_coarse[:2], size, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.full(fine.shape, 255, np.uint8), to_coarse[:2], size)
    # Smoothing mixes what lies beyond an edge into the pixels beside it.
    kernel = np.ones((2 * _SEAM + 1, 2 * _SEAM + 1), np.uint8)
    return drawn, cv2.erode((inside > 250).astype(np.uint8), kernel).astype(np.bool_)


def _tiles(left: Float32Array, right: Float32Array, mask: Mask) -> Agreement:
    area = int(mask.sum())
    if area < _SMALLEST_TILE**2:
        return Agreement(0.0, 1.0, 0)
    side = int(np.clip(round(np.sqrt(area) / 10), _SMALLEST_TILE, _TILE))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    weight = mask[part].astype(np.float32)
    x, y = left[part] * weight, right[part] * weight
    count = _sums(weight, side)
    enough = count >= 0.5 * side * side
    count = np.maximum(count, 1)
    mean_x, mean_y = _sums(x, side) / count, _sums(y, side) / count
    var_x = np.maximum(_sums(x * x, side) / count - mean_x**2, 0)
    var_y = np.maximum(_sums(y * y, side) / count - mean_y**2, 0)
    covariance = _sums(x * y, side) / count - mean_x * mean_y
    correlation = covariance / np.sqrt((var_x + _NOISE) * (var_y + _NOISE))
    textured = enough & (np.maximum(var_x, var_y) >= _TEXTURE**2)
    return _counted(textured, correlation >= _TILE_CORRELATION)


def _sums(values: Float32Array, side: int) -> Float32Array:
    """Sums over side x side tiles; what is missing at the end counts as 0."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % side), (0, -width % side)))
    return np.asarray(
        padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side).sum(axis=(1, 3)),
        dtype=np.float32,
    )


def _counted(textured: Mask, agrees: Mask) -> Agreement:
    tiles = int(textured.sum())
    if tiles == 0:
        return Agreement(0.0, 1.0, 0)
    differs = (textured & ~agrees).astype(np.float32)
    # Tiles that agree by chance must not break up a region that differs: the neighbourhood decides.
    around = cv2.boxFilter(differs, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    judged = cv2.boxFilter(textured.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    region = (textured & (2 * around > judged)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=8)
    block = int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    return Agreement(float((textured & agrees).sum()) / tiles, block / tiles, tiles)


def nearly_identical(a: UInt8Array, b: UInt8Array) -> bool:
    """Whether two thumbnails, BGR uint8, show the same in shape and colour nearly everywhere.

    The rule for pictures with too little texture to be laid on each other: it forgives re-encoding and
    resizing and nothing else, for two blank pages in two shades of white are two pictures.
    """
    pair = _same_size(a, b)
    if pair is None:
        return False
    difference = np.abs(pair[0] - pair[1])
    return bool(difference.mean() <= 2.0 and difference.max() <= 14.0)


def same_but_for_brightness(a: UInt8Array, b: UInt8Array) -> bool:
    """Whether one gain and offset for all of b turns it into a, where neither is clipped; BGR uint8.

    For pictures with too little texture to be laid on each other, but with some: what is left without the slow change
    of light across the picture must be there and agree, for two plain skies differ by a gain and an offset as well.
    """
    pair = _same_size(a, b)
    if pair is None:
        return False
    left, right = pair
    clear = ((left > _CLIPPED) & (left < 255 - _CLIPPED) & (right > _CLIPPED) & (right < 255 - _CLIPPED)).all(axis=2)
    if clear.mean() < 0.5:
        return False
    x, y = right[clear].ravel(), left[clear].ravel()
    gain, offset = np.polyfit(x, y, 1) if x.std() > 1.0 else (0.0, 0.0)
    if not 1 / _GAIN <= gain <= _GAIN:
        return False
    residual = np.abs(gain * x + offset - y)
    if residual.mean() > 2.0 or np.percentile(residual, 99) > 14.0:
        return False
    fine = [(picture - cv2.GaussianBlur(picture, (0, 0), _SLOW))[clear].ravel() for picture in pair]
    detailed = min(float(part.std()) for part in fine) >= _DETAIL
    return bool(detailed and np.corrcoef(*fine)[0, 1] >= 0.95)


def _same_size(a: UInt8Array, b: UInt8Array) -> tuple[Float32Array, Float32Array] | None:
    """Two thumbnails on the smaller one's grid, slightly smoothed; None when their shapes differ."""
    shape_a, shape_b = a.shape[1] / a.shape[0], b.shape[1] / b.shape[0]
    if max(shape_a, shape_b) > 1.03 * min(shape_a, shape_b):
        return None
    size = min((a.shape[1], a.shape[0]), (b.shape[1], b.shape[0]))
    left, right = (
        cv2.GaussianBlur(cv2.resize(t, size, interpolation=cv2.INTER_AREA).astype(np.float32), (0, 0), 0.8)
        for t in (a, b)
    )
    return left, right
