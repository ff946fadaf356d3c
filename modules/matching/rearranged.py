"""Whether what contradicts in two aligned pictures is found elsewhere in the other one: blocks that changed places."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.agreement import Tiles
from modules.records import UInt8Array

#: Long side at which blocks are sought, and side of a tile, pixels; a tile is sought with so much around it.
_SIDE, _TILE, _AROUND = 128, 8, 2
#: Variance of a tile from which on it has something to be found by, and correlation below which it contradicts.
_TEXTURED, _CONTRADICTS = 40.0, 0.5
#: Tiles that must contradict for the question to be asked, the share of all that they must be, and how many are sought.
_FEWEST, _SHARE, _MOST = 6, 0.08, 48
#: Correlation from which on a tile is found; pixels within which tiles moved alike, and how many must have.
_FOUND, _ALIKE, _TOGETHER = 0.85, 2.5, 3


def rearranged(x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> float:
    """Share of the contradicting tiles that are found elsewhere in the other picture, moved as others are, 0 to 1.

    The lesser one of both directions; NaN where hardly anything contradicts. x, y: grey uint8 (h, w) in one light, laid
    on each other; mask: where they are compared, uint8 (h, w). What a moved subject uncovers is found nowhere.
    """
    factor = min(1.0, _SIDE / max(x.shape))
    size = tuple(max(_TILE, round(length * factor) // _TILE * _TILE) for length in (x.shape[1], x.shape[0]))
    small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (x, y, mask * 255)]
    weight = (small[2] > 128).astype(np.float32)
    left, right = (plane.astype(np.float32) for plane in small[:2])
    tiles = Tiles.of(left, right, weight, _TILE)
    textured = (tiles.count >= 0.9) & (tiles.texture > _TEXTURED)
    apart = textured & (tiles.correlation < _CONTRADICTS)
    count = int(np.count_nonzero(apart))
    if count < _FEWEST or count < _SHARE * np.count_nonzero(textured):
        return math.nan
    return min(_found(left, right, apart), _found(right, left, apart))


def _found(source: NDArray[np.float32], target: NDArray[np.float32], apart: NDArray[np.bool_]) -> float:
    """Share of the tiles of ``target`` that are found in ``source``, moved together with others."""
    places = np.argwhere(apart)
    places = places[:: 1 + len(places) // _MOST] * _TILE
    height, width = target.shape
    moves = np.full((len(places), 2), np.nan)
    for row, (top, left) in enumerate(places.tolist()):
        rows = slice(max(0, top - _AROUND), min(height, top + _TILE + _AROUND))
        columns = slice(max(0, left - _AROUND), min(width, left + _TILE + _AROUND))
        answers = cv2.matchTemplate(source, target[rows, columns], cv2.TM_CCOEFF_NORMED)
        _, best, _, (at_x, at_y) = cv2.minMaxLoc(answers)
        if best >= _FOUND:
            moves[row] = at_x - columns.start, at_y - rows.start
    with np.errstate(invalid="ignore"):
        near = np.abs(moves[:, None] - moves[None]).max(axis=2) <= _ALIKE
    return float(np.mean(near.sum(axis=1) >= _TOGETHER))
