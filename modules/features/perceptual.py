"""The hand-made one of the embedded extractors: a global descriptor that needs neither weights nor torch."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from modules.devices import Device
from modules.features.base import fingerprint
from modules.features.trimmed import FromTrimmed
from modules.records import Float32Array, UInt8Array

#: Raised by hand when vectors change their meaning.
VERSION = 3
SIDE = 64
_BLOCKS = 16
_GRID = 4
_DIRECTIONS = 12
_LIGHT = 6
#: Mirrored (left to right) or not, then turned by so many quarters against the clock: the order of variants.
SYMMETRIES = tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4))
# Pictures at a time: what they need of memory stays in the CPU's cache.
_CHUNK = 16

Int64Array = NDArray[np.int64]


class Perceptual(FromTrimmed):
    """Orientation histograms on a soft 4 x 4 grid (192 numbers) and the layout of light (6 x 6 numbers).

    Everything up to the last division is done on integers: a vector is equal to the last bit whatever batch its
    picture came in, and turning or mirroring a picture permutes its vector. After N. Dalal, B. Triggs,
    "Histograms of Oriented Gradients for Human Detection", CVPR 2005, and A. Oliva, A. Torralba, "Modeling the
    Shape of the Scene", IJCV 2001 (one coarse descriptor of the whole picture).
    """

    name = "perceptual"
    family = name
    side = SIDE
    dim = _GRID * _GRID * _DIRECTIONS + _LIGHT * _LIGHT

    @property
    def fingerprint(self) -> str:
        """Of the code alone: there are no weights."""
        return fingerprint(self.name, VERSION, SIDE, self.dim)

    def setup(self, device: Device) -> None:
        """Nothing to load; it runs on the CPU, whatever the device."""

    def embed(self, batch: UInt8Array) -> Float32Array:
        """uint8 (n, 64, 64, 1) to float32 (n, 228), each of length 1; zeros for a picture of one tone."""
        out = np.empty((len(batch), self.dim), np.float32)
        for start in range(0, len(batch), _CHUNK):
            grey = batch[start : start + _CHUNK, :, :, 0]
            # Light weighs half as much as orientation.
            out[start : start + _CHUNK] = _unit([(_orientation(grey), 1.0), (_light(grey), 0.5)])
        return out

    def variants(self, vectors: Float32Array) -> list[Float32Array]:
        """Vectors of the same pictures mirrored and turned, in the order of SYMMETRIES; the first unchanged."""
        return [np.ascontiguousarray(vectors[:, _permutation(*symmetry)]) for symmetry in SYMMETRIES]


@functools.cache
def _weights() -> NDArray[np.int16]:
    """Weight of every direction, int16 (511 * 511, 12), for a gradient (dy + 255, dx + 255).

    The square root of the magnitude, shared out by the tenth power of the cosine to each direction: twelve
    directions then add up to nearly the same for every angle. The root keeps strong edges (text, corners that
    a turn left black) from drowning the rest.
    """
    dy, dx = (axis[:, :, None] for axis in np.mgrid[0:256, 0:256].astype(np.float64))
    numbers = np.arange(_DIRECTIONS)
    angles = numbers * (2 * np.pi / _DIRECTIONS)
    magnitude = np.sqrt(dx * dx + dy * dy)
    cosine = np.maximum(dx * np.cos(angles) + dy * np.sin(angles), 0) / np.maximum(magnitude, 1)
    square = cosine * cosine
    fourth = square * square
    # Rounded twice: gradients mirrored at the diagonal must get equal weights in spite of the last digits of a cosine.
    quarter = np.rint(np.round(256 * np.sqrt(magnitude) * (fourth * fourth * square), 6))
    weights = np.empty((511, 511, _DIRECTIONS), np.int16)
    # The other three quarters are the same, mirrored.
    weights[255:, 255:] = quarter
    weights[255:, :256] = quarter[:, ::-1, (_DIRECTIONS // 2 - numbers) % _DIRECTIONS]
    weights[:256] = weights[:254:-1][..., -numbers % _DIRECTIONS]
    return weights.reshape(-1, _DIRECTIONS)


def _orientation(grey: UInt8Array) -> Int64Array:
    """Integers (n, 192): roots of the cells' histograms, less 85 % of each direction's mean over the cells.

    The roots keep one strong edge from deciding alone; the mean is what most pictures have in common.
    """
    count = len(grey)
    framed = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.int32)
    gradient = (framed[:, 2:, 1:-1] - framed[:, :-2, 1:-1] + 255) * 511
    gradient += framed[:, 1:-1, 2:] - framed[:, 1:-1, :-2] + 255
    side = SIDE // _BLOCKS
    blocks = np.zeros((count, _BLOCKS, _BLOCKS, _DIRECTIONS), np.int32)
    table = _weights()
    for y in range(side):
        for x in range(side):
            blocks += np.take(table, gradient[:, y::side, x::side], axis=0)
    cells = _pool(blocks.astype(np.int64), _GRID).reshape(count, _GRID * _GRID, _DIRECTIONS)
    roots = np.rint(np.sqrt(cells.astype(np.float64))).astype(np.int64)
    centred = roots * (20 * _GRID * _GRID) - 17 * roots.sum(axis=1, keepdims=True)
    return np.asarray(centred.reshape(count, -1), np.int64)


def _light(grey: UInt8Array) -> Int64Array:
    """Integers (n, 36): mean light of the cells of a soft 6 x 6 grid, less the mean of these."""
    count, side = len(grey), SIDE // _BLOCKS
    blocks = grey.reshape(count, _BLOCKS, side, _BLOCKS, side).astype(np.int64).sum(axis=(2, 4))
    cells = _pool(blocks[..., None], _LIGHT) * 1024
    full = _pool(np.ones((1, _BLOCKS, _BLOCKS, 1), np.int64), _LIGHT)
    means = (cells // full).reshape(count, -1)
    return np.asarray(means * means.shape[1] - means.sum(axis=1, keepdims=True), np.int64)


def _pool(blocks: Int64Array, grid: int) -> Int64Array:
    """Blocks (n, 16, 16, c) to overlapping cells (n, grid, grid, c) with triangular integer weights."""
    blocks_at = (2 * np.arange(_BLOCKS) + 1) * grid
    cells_at = (2 * np.arange(grid) + 1) * _BLOCKS
    weights = np.maximum(2 * _BLOCKS - np.abs(cells_at[:, None] - blocks_at), 0)
    rows = np.stack([_weighted(blocks, row, 1) for row in weights], axis=1)
    return np.stack([_weighted(rows, row, 2) for row in weights], axis=2)


def _weighted(blocks: Int64Array, weights: Int64Array, axis: int) -> Int64Array:
    """Sum over an axis of ``blocks`` times ``weights``, where these are not zero."""
    total = np.zeros(blocks.shape[:axis] + blocks.shape[axis + 1 :], np.int64)
    for i in np.flatnonzero(weights):
        total += blocks.take(i, axis=axis) * weights[i]
    return total


def _unit(parts: list[tuple[Int64Array, float]]) -> Float32Array:
    """Parts (n, d) side by side, each brought to its weight in length, all together to length 1."""
    scaled, total = [], np.zeros((len(parts[0][0]), 1))
    for numbers, weight in parts:
        length = np.sqrt((numbers * numbers).sum(axis=1, keepdims=True).astype(np.float64))
        scaled.append(numbers * (weight / np.maximum(length, 1)))
        total += np.where(length > 0, weight * weight, 0)
    return (np.concatenate(scaled, axis=1) / np.sqrt(np.maximum(total, 1e-12))).astype(np.float32)


@functools.cache
def _permutation(mirrored: bool, turns: int) -> NDArray[np.intp]:
    """For every number of a changed picture's vector, where it stands in the unchanged picture's.

    Mirroring turns a gradient's angle a to 180 - a; a quarter against the clock (y points down) to a - 90.
    """
    orders, start = [], 0
    for grid, bins in ((_GRID, _DIRECTIONS), (_LIGHT, 1)):
        cells = np.arange(start, start + grid * grid * bins).reshape(grid, grid, bins)
        start += cells.size
        if mirrored:
            cells = cells[:, ::-1, (bins // 2 - np.arange(bins)) % bins]
        cells = np.rot90(cells, turns)[..., (np.arange(bins) + turns * (bins // 4)) % bins]
        orders.append(cells.ravel())
    return np.concatenate(orders)
