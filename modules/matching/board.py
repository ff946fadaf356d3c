"""A picture's board: a small square of its content that can be laid on other ones directly, without keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.borders import inner
from modules.records import Float32Array, UInt8Array

#: Pixels of a board along a side, and of its coarse square.
SIDE, GRID = 32, 16
#: Pixels that tell where a board lies: those of the steepest changes of light.
EDGES = 600
#: Variance, in levels, that keeps faint boards from correlating by chance.
NOISE = 4.0
#: Smoothing in pixels: what is finer than a board cannot be followed.
_SMOOTH = 1.0
#: Levels by which a picture must differ, on average, from itself smoothed over ``_SLOW`` pixels to have texture.
_TEXTURE, _SLOW = 2.0, 3.0


@dataclass(frozen=True, slots=True)
class Edges:
    """EDGES pixels of a board. places: float32 (2, n), x and y in the unit square. levels: float32 (n,). slopes:
    float32 (n, 6), how the levels change with each number of an affine transform around the middle, row by row.
    """

    places: Float32Array
    levels: Float32Array
    slopes: Float32Array


@dataclass(frozen=True, slots=True)
class Board:
    """What is laid on others of one picture: its content without plain borders, stretched to a unit square.

    levels: float32 (SIDE, SIDE), grey. coarse: float32 (GRID * GRID,), the same. unit: coarse, less its mean and of
    length 1, a little less where it is faint. edges: its pixels where light changes most, none without texture. box:
    float64 (3, 3), unit square to the picture's frame, whose width is ``width``. textured: there is more than a slow
    change of light.
    """

    levels: Float32Array
    coarse: Float32Array
    unit: Float32Array
    edges: Edges
    box: NDArray[np.float64]
    width: float
    textured: bool


def _steps() -> tuple[Float32Array, Float32Array]:
    """x and y of a square's pixels from its middle, in its sides, float32 (SIDE * SIDE,) each."""
    places = ((np.arange(SIDE) + 0.5) / SIDE - 0.5).astype(np.float32)
    across, down = np.meshgrid(places, places)
    return across.ravel(), down.ravel()


_X, _Y = _steps()
_NO_EDGES = Edges(np.zeros((2, 0), np.float32), np.zeros(0, np.float32), np.zeros((0, 6), np.float32))


def board_of(grey: UInt8Array, frame: tuple[float, float]) -> Board:
    """The board of a picture: its thumbnail's grey levels, uint8 (h, w); frame: (width, height) of its frame."""
    rows, columns = inner(grey)
    part = np.ascontiguousarray(grey[rows, columns])
    raw = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(raw, (5, 5), _SMOOTH)
    coarse = cv2.resize(smooth, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel()
    centred = coarse - coarse.mean()
    unit = centred / np.sqrt((centred * centred).sum() + NOISE * GRID * GRID)
    across, down = frame[0] / grey.shape[1], frame[1] / grey.shape[0]
    box = np.array(
        [
            [(columns.stop - columns.start) * across, 0.0, columns.start * across],
            [0.0, (rows.stop - rows.start) * down, rows.start * down],
            [0.0, 0.0, 1.0],
        ]
    )
    textured = cv2.mean(cv2.absdiff(raw, cv2.GaussianBlur(raw, (0, 0), _SLOW)))[0] >= _TEXTURE
    # What has no texture is laid on nothing.
    return Board(smooth, coarse, unit, _edges(smooth) if textured else _NO_EDGES, box, frame[0], textured)


def _edges(levels: Float32Array) -> Edges:
    # Scharr's weights sum to 32 over a step of two pixels.
    across, down = (cv2.Scharr(levels, cv2.CV_32F, x, 1 - x, scale=SIDE / 32).ravel() for x in (1, 0))
    steep = across * across + down * down
    least = np.partition(steep, len(steep) - EDGES)[len(steep) - EDGES]
    above = np.flatnonzero(steep > least)
    # Of equal ones the first.
    chosen = np.sort(np.concatenate([above, np.flatnonzero(steep == least)[: EDGES - len(above)]]))
    across, down, x, y = across[chosen], down[chosen], _X[chosen], _Y[chosen]
    slopes = np.stack([across * x, across * y, across, down * x, down * y, down], axis=1)
    return Edges(np.stack([x, y]) + np.float32(0.5), levels.ravel()[chosen], slopes)
