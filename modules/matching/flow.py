"""One transform refined by optical flow until most tiles lie where it says, and what still moves under it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.geometry import Matrix, inverse
from modules.records import Float32Array, UInt8Array

#: Side of the tiles whose shift is told, pixels.
TILE = 8
#: Mean slope of light, levels a pixel, from which on a tile shows where it lies.
_SLOPE = 4.0
#: Least tiles that a transform is refined by, and rounds of reweighting.
_FEWEST, _ROUNDS = 12, 6
#: Side of a picture, in pixels, below which the flow is sought at half of its resolution, else at a quarter.
_SMALL = 192
#: The same from which on half of it is enough to refine a transform by.
_LARGE = 256
_AROUND = np.ones((3, 3), np.uint8)
#: Least pixels of an overlap.
_LEAST_AREA = 300

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Flow:
    """A picture laid on another one's grid, and how its places still move there.

    matrix: refined, float64 (3, 3). laid: grey uint8 (h, w). mask: where it lies, uint8 (h, w), 1 or 0. field: float32
    (h, w, 2), from each pixel of ``laid`` to its like. shifts: length of it by tiles, float32 (h / TILE, w / TILE).
    textured, inside: tiles that show where they lie, and that are covered. moved: by how many pixels the refinement
    changed the place of most.
    """

    matrix: Matrix
    laid: UInt8Array
    mask: UInt8Array
    field: Float32Array
    shifts: Float32Array
    textured: Mask
    inside: Mask
    moved: float

    def bent(self, fixed: UInt8Array) -> UInt8Array:
        """The other picture, grey uint8 (h, w), moved so that it lies on this one wherever the flow says how."""
        height, width = fixed.shape
        across, down = _places(height, width)
        x, y = self.field[..., 0] + across, self.field[..., 1] + down
        return np.asarray(cv2.remap(fixed, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@functools.lru_cache(maxsize=2)
def _places(height: int, width: int) -> tuple[Float32Array, Float32Array]:
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return across, down


def refined(
    moving: UInt8Array, fixed: UInt8Array, matrix: Matrix, covers: Callable[[Matrix], UInt8Array]
) -> Flow | None:
    """``matrix`` (pixels of moving to those of fixed, both grey uint8) moved to where most tiles lie on their like.

    covers: where the moving picture lies under a transform. None where too little is covered. Source of the flow:
    T. Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016; of the fit: iteratively reweighted
    least squares.
    """
    change = _coarse_change(moving, fixed, matrix, covers)
    flow = _flow(moving, fixed, matrix if change is None else change @ matrix, covers)
    if flow is None or change is None:
        return flow
    middle = np.array([fixed.shape[1] / 2, fixed.shape[0] / 2, 1.0])
    return replace(flow, moved=float(np.hypot(*(change @ middle - middle)[:2])))


def _coarse_change(
    moving: UInt8Array, fixed: UInt8Array, matrix: Matrix, covers: Callable[[Matrix], UInt8Array]
) -> Matrix | None:
    """The change of place that most tiles agree on, in pixels of the fixed picture; at half size where that will do."""
    height, width = fixed.shape
    if min(height, width) < _LARGE:
        flow = _flow(moving, fixed, matrix, covers)
        return None if flow is None else _change(flow, fixed.shape)
    half = np.asarray(cv2.resize(fixed, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    across, down = half.shape[1] / width, half.shape[0] / height
    shrink = np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])

    def covers_half(place: Matrix) -> UInt8Array:
        whole = covers(inverse(shrink) @ place)
        return np.asarray(cv2.resize(whole, (half.shape[1], half.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)

    flow = _flow(moving, half, shrink @ matrix, covers_half)
    change = None if flow is None else _change(flow, half.shape)
    return None if change is None else inverse(shrink) @ change @ shrink


def _flow(moving: UInt8Array, fixed: UInt8Array, matrix: Matrix, covers: Callable[[Matrix], UInt8Array]) -> Flow | None:
    height, width = fixed.shape
    mask = covers(matrix)
    if cv2.countNonZero(mask) < _LEAST_AREA:
        return None
    laid = np.asarray(cv2.warpPerspective(moving, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    lit = _lit_alike(laid, fixed, mask)
    field = _search(min(height, width) < _SMALL).calc(lit, fixed, None)
    size = max(1, width // TILE), max(1, height // TILE)
    # Of light smoothed over a tile: noise has slopes everywhere, and shows nothing's place.
    slope = cv2.morphologyEx(cv2.blur(lit, (3, 3)), cv2.MORPH_GRADIENT, _AROUND)
    texture = cv2.resize(slope, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask * 255, size, interpolation=cv2.INTER_AREA) > 230
    by_tile = _by_tile(field, size)
    shifts = np.asarray(cv2.magnitude(by_tile[..., 0], by_tile[..., 1]), np.float32)
    return Flow(matrix, laid, mask, field, shifts, inside & (texture > 2 * _SLOPE), inside, 0.0)


def _by_tile(field: Float32Array, size: tuple[int, int]) -> Float32Array:
    """The flow in the middle of each tile, float32 (h, w, 2): it changes slowly."""
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_NEAREST), np.float32)


@functools.lru_cache(maxsize=2)
def _search(fine: bool) -> cv2.DISOpticalFlow:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(1 if fine else 2)
    return search


def _lit_alike(laid: UInt8Array, fixed: UInt8Array, mask: UInt8Array) -> UInt8Array:
    """``laid`` in the light of ``fixed``, and the same as it where it does not lie."""
    (mean_x, spread_x), (mean_y, spread_y) = (
        (float(mean[0, 0]), float(spread[0, 0]))
        for mean, spread in (cv2.meanStdDev(p, mask=mask) for p in (laid, fixed))
    )
    gain = min(max(spread_y / max(spread_x, 1.0), 0.3), 3.0)
    levels = np.clip(np.rint(gain * (np.arange(256) - mean_x) + mean_y), 0, 255).astype(np.uint8)
    lit = cv2.LUT(laid, levels)
    cv2.copyTo(fixed, 1 - mask, lit)
    return np.asarray(lit, np.uint8)


def _change(flow: Flow, shape: tuple[int, ...]) -> Matrix | None:
    """The affine change of place that most textured tiles agree on, float64 (3, 3); None where too few do."""
    if np.count_nonzero(flow.textured) < _FEWEST:
        return None
    rows, columns = np.nonzero(flow.textured)
    tiles = flow.textured.shape
    across, down = shape[1] / tiles[1], shape[0] / tiles[0]
    centre, unit = np.array([shape[1] / 2, shape[0] / 2]), max(shape[:2]) / 2
    places = np.column_stack([(columns + 0.5) * across - 0.5, (rows + 0.5) * down - 0.5])
    size = tiles[1], tiles[0]
    shifts = _by_tile(flow.field, size)[flow.textured].astype(np.float64)
    known = np.column_stack([(places - centre) / unit, np.ones(len(places))])
    weight = np.ones(len(places))
    for _ in range(_ROUNDS):
        scaled = known * weight[:, None]
        ridge = np.diag([0.05, 0.05, 1e-3]) * 0.02 * len(places)
        found = np.linalg.solve(known.T @ scaled + ridge, scaled.T @ shifts)
        apart = np.sqrt((((known @ found) - shifts) ** 2).sum(axis=1))
        weight = 1 / (1 + (apart / max(1.5 * float(np.median(apart)), 0.2)) ** 2) ** 2
    change = np.eye(3)
    change[:2, :2] += found[:2].T / unit
    change[:2, 2] = found[2] - found[:2].T @ centre / unit
    return change
