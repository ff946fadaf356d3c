"""Compact local evidence: a binary code and a rough place for each of a picture's strongest keypoints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.features.keypoints import mirror_descriptors
from modules.records import Keypoints, UInt8Array

#: Raised by hand when codes of the same keypoints change.
VERSION = 3
#: Keypoints of a picture that have a code: the strongest ones, but of one cell of a grid laid over it only so many
#: before those of the others, or large letters beside a picture would have them all.
MAX_CODES = 56
_GRID, _OF_A_CELL = 4, 5
#: Bytes of a code, and of a row that holds it, x, y, log2 of the scale and the angle.
CODE_BYTES, ROW_BYTES = 16, 20
#: Steps of the scale's byte to an octave: 16 bits of scale make 256 steps.
SCALE_STEPS = 16
# Medians of the numbers of root-SIFT descriptors, over the photographs that scikit-image carries, made equal for
# mirrored ones: half of the bits of a code are set, and mirroring a picture permutes them.
_MEDIANS = np.array(
    [
        27, 22, 20, 22, 24, 17, 13, 18, 50, 34, 24, 24, 28, 20, 16, 30,
        54, 30, 18, 20, 26, 22, 22, 35, 28, 17, 12, 17, 24, 22, 22, 24,
        40, 26, 20, 28, 36, 22, 16, 22, 82, 43, 26, 32, 42, 31, 20, 39,
        90, 46, 24, 32, 35, 25, 23, 46, 43, 22, 16, 23, 34, 28, 22, 28,
        40, 22, 16, 22, 36, 28, 20, 26, 82, 39, 20, 31, 42, 32, 26, 43,
        90, 46, 23, 25, 35, 32, 24, 46, 43, 28, 22, 28, 34, 23, 16, 22,
        27, 18, 13, 17, 24, 22, 20, 22, 50, 30, 16, 20, 28, 24, 24, 34,
        54, 35, 22, 22, 26, 20, 18, 30, 28, 24, 22, 22, 24, 17, 12, 17,
    ],
    np.uint8,
)  # fmt: skip


def codes(keypoints: Keypoints) -> UInt8Array:
    """Rows of the strongest keypoints, spread a little: uint8 (min(n, MAX_CODES), 20), those that tell most first.

    The first 16 bytes have one bit for every number of the descriptor: whether it is above its median. Hamming
    distances of these order descriptors nearly as well as their own distances do, in an eighth of the memory (the idea:
    C. Strecha et al., "LDAHash: Improved Matching with Smaller Descriptors", IEEE Transactions on Pattern Analysis and
    Machine Intelligence 2012). Then x and y (0 to 255 over width and height), the scale (round(16 * log2) of what
    the keypoint has) and the angle (0 to 255 over a full turn).
    """
    chosen = _chosen(keypoints.points)
    points = keypoints.points[chosen]
    bits = np.packbits(keypoints.descriptors[chosen] > _MEDIANS, axis=1)
    scale = np.rint(SCALE_STEPS * np.log2(points[:, 2:3].astype(np.float64) + 1))
    places = [points[:, :2] >> 8, np.minimum(scale, 255), points[:, 3:] >> 8]
    return np.concatenate([bits, *(part.astype(np.uint8) for part in places)], axis=1)


def _chosen(points: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Rows of those that get a code, at most MAX_CODES."""
    column, row = (points[:, axis].astype(np.int64) * _GRID >> 16 for axis in (0, 1))
    cell = row * _GRID + column
    order = np.argsort(cell, kind="stable")
    place = np.empty(len(points), np.int64)
    place[order] = np.arange(len(points)) - np.searchsorted(cell[order], cell[order])
    return np.argsort(place >= _OF_A_CELL, kind="stable")[:MAX_CODES]


def mirror_codes(bits: UInt8Array) -> UInt8Array:
    """What codes without their places, uint8 (n, 16), would be had the picture been mirrored left to right."""
    return np.packbits(mirror_descriptors(np.unpackbits(bits, axis=1)), axis=1)
