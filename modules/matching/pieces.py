"""Pictures cut into pieces that changed places: blocks of a grid, rows or columns of it, in another order.

No transform lays the one on the other, but nothing was lost: all tones are there as often as before, and wherever
there is something to be recognised, it is found elsewhere, in pieces that moved as wholes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.evidence import Evidence
from modules.matching.geometry import of_one_shape
from modules.records import Float32Array, UInt8Array

#: Levels by which the tones of a channel may differ, on average, when both pictures' pixels are sorted.
_TONES = 5.0
#: Side of a tile, in pixels of the small pictures, and the step from one tile that asks to the next.
_TILE, _STEP = 4, 2
#: Deviation of a tile's levels from which on it asks; tiles that must.
_TEXTURE, _FEWEST = 6.0, 20
#: Mean squared difference, in levels, up to which a tile is found. That of the best other place, more than so many
#: pixels away, must be the larger by this factor: a wall has its like everywhere.
_FOUND, _RATIO, _AROUND = 250.0, 0.4, 2
#: Tiles that make a piece, and pieces that are looked for.
_LEAST, _MOST = 3, 150
#: Levels within which a pixel of a piece is the same, and the square in which all must be.
_SAME, _SOLID = 16, np.ones((5, 5), np.uint8)
#: Variance around a pixel from which on it must be explained.
_VARIANCE = 25.0
#: Share of what explains that may be used twice.
_ONCE = 0.6
#: Every so manieth tile asks first; the share of them that must be found for the others to.
_SAMPLE, _PROMISING = 8, 0.12

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scattered:
    """What the pieces of a picture say.

    explained: share of its textured pixels that they are, 0 to 1. found: share of its textured tiles that have one
    place in the other picture, and no other, 0 to 1. pieces: how many there are.
    """

    explained: float
    found: float
    pieces: int


#: What two different pictures say.
NOTHING = Scattered(0.0, 0.0, 0)


def scattered(a: Evidence, b: Evidence) -> Scattered:
    """How much of b is a, cut into pieces that lie elsewhere: small pictures tell where, larger ones how much.

    Pure: tiles are compared in whole numbers that float32 sums without rounding.
    """
    if not of_one_shape(a, b) or 8 * np.abs(a.tones - b.tones).sum(axis=1).max() > _TONES:
        return NOTHING
    target = b.small
    places, tiles = _tiles(target, _STEP)
    textured = tiles.reshape(len(tiles), 3, -1).std(axis=2).max(axis=1) > _TEXTURE
    places, tiles = places[textured], tiles[textured]
    if len(tiles) < _FEWEST:
        return NOTHING
    answers = _Answers.of(_in_size(a.small, target))
    good, _ = answers.to(tiles[::_SAMPLE])
    if np.count_nonzero(good) < _PROMISING * len(good):
        return NOTHING
    good, homes = answers.to(tiles)
    across, down = b.thumb.shape[1] / target.shape[1], b.thumb.shape[0] / target.shape[0]
    moves = np.rint((places - homes)[good] * (across, down)).astype(np.int64)
    source = _smooth(_in_size(a.thumb, b.thumb))
    return _judged(source, _smooth(b.thumb), moves, np.count_nonzero(good) / len(good))


def _in_size(picture: UInt8Array, like: UInt8Array) -> UInt8Array:
    """One picture in the size of another one."""
    if picture.shape == like.shape:
        return picture
    return np.asarray(cv2.resize(picture, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _smooth(thumb: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(thumb, (5, 5), 1.0), np.uint8)


def _tiles(picture: UInt8Array, step: int) -> tuple[Int64Array, Float32Array]:
    """Upper left corners (x, y) of tiles, int64 (n, 2), and their levels, whole numbers, float32 (n, 48)."""
    tiles = np.lib.stride_tricks.sliding_window_view(picture, (_TILE, _TILE), axis=(0, 1))[::step, ::step]
    down, across = (np.arange(count) * step for count in tiles.shape[:2])
    corners = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    return corners, tiles.reshape(len(corners), -1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Tiles at all places of a picture. corners: (n, 2). levels: with their squared lengths behind, float32 (n, 49).

    shape: how many there are down and across.
    """

    corners: Int64Array
    levels: Float32Array
    shape: tuple[int, int]

    @classmethod
    def of(cls, source: UInt8Array) -> _Answers:
        corners, tiles = _tiles(source, 1)
        levels = np.column_stack([tiles, np.einsum("ij,ij->i", tiles, tiles)])
        return cls(corners, levels, (source.shape[0] - _TILE + 1, source.shape[1] - _TILE + 1))

    def to(self, tiles: Float32Array) -> tuple[NDArray[np.bool_], Int64Array]:
        """Which tiles, (k, 48), are found in one place and no other, bool (k,), and it, (k, 2)."""
        # Squared distances but for the asking tile's own length.
        distances = np.column_stack([-2 * tiles, np.ones(len(tiles), np.float32)]) @ self.levels.T
        nearest = distances.argmin(axis=1)
        own = np.einsum("ij,ij->i", tiles, tiles)
        best = distances[np.arange(len(tiles)), nearest] + own
        homes = self.corners[nearest]
        sheets = distances.reshape(len(tiles), *self.shape)
        for sheet, (x, y) in zip(sheets, homes.tolist(), strict=True):
            sheet[max(0, y - _AROUND) : y + _AROUND + 1, max(0, x - _AROUND) : x + _AROUND + 1] = np.inf
        second = distances.min(axis=1) + own
        return (best < _FOUND * tiles.shape[1]) & (best < _RATIO * second), homes


def _judged(source: UInt8Array, target: UInt8Array, moves: Int64Array, found: float) -> Scattered:
    height, width = target.shape[:2]
    explained = np.zeros((height, width), np.bool_)
    used = np.zeros((height, width), np.uint8)
    pieces = 0
    for x, y in _pieces(moves, height, width):
        pieces += 1
        way = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
        laid = cv2.warpAffine(source, way, (width, height))
        there = cv2.warpAffine(np.full((height, width), 255, np.uint8), way, (width, height)) == 255
        near = (cv2.absdiff(laid, target).max(axis=2) <= _SAME) & there
        solid = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_OPEN, _SOLID)
        fresh = cv2.subtract(solid, explained.view(np.uint8))
        explained |= fresh.view(np.bool_)
        used |= cv2.warpAffine(fresh, way, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    textured = _textured(target)
    if np.count_nonzero(used) < _ONCE * np.count_nonzero(explained) or not textured.any():
        return NOTHING
    return Scattered(float(np.count_nonzero(explained & textured) / np.count_nonzero(textured)), found, pieces)


def _pieces(moves: Int64Array, height: int, width: int) -> Iterator[tuple[float, float]]:
    """The moves, (x, y), that many tiles made, the most frequent first; moves: whole pixels, int64 (n, 2)."""
    votes = np.zeros((2 * height, 2 * width), np.float32)
    np.add.at(votes, (moves[:, 1] + height, moves[:, 0] + width), 1)
    for _ in range(_MOST):
        together = cv2.boxFilter(votes, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        y, x = divmod(int(together.argmax()), 2 * width)
        if together[y, x] < _LEAST:
            return
        rows, columns = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
        part = votes[rows, columns]
        down, across = np.mgrid[rows.start : rows.start + part.shape[0], columns.start : columns.start + part.shape[1]]
        yield float((part * across).sum() / part.sum()) - width, float((part * down).sum() / part.sum()) - height
        part[:] = 0


def _textured(target: UInt8Array) -> NDArray[np.bool_]:
    """Pixels around which light changes, (h, w)."""
    grey = cv2.cvtColor(target, cv2.COLOR_BGR2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (5, 5))
    return np.asarray(cv2.blur(grey * grey, (5, 5)) - mean * mean > _VARIANCE)
