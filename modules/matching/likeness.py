"""Whether two pictures look alike as wholes, in one of the eight symmetries: a cheap question before dear ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array

#: Squares along a side of the coarse picture.
_GRID = 16


def coarse_of(grey: Float32Array) -> Float32Array:
    """A picture, grey float32 (h, w), as 256 tones around 0, of length 1; all 0 for one of a single tone."""
    tones = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()
    tones -= tones.mean()
    return np.asarray(tones / max(float(np.linalg.norm(tones)), 1.0), np.float32)


def _symmetries() -> NDArray[np.int64]:
    """Where each of the eight symmetries takes its squares from, int64 (8, 256)."""
    squares = np.arange(_GRID * _GRID).reshape(_GRID, _GRID)
    turned = [np.rot90(squares, turns) for turns in range(4)]
    return np.stack([view.ravel() for square in turned for view in (square, square[:, ::-1])])


_SYMMETRIES = _symmetries()


def likeness(a: Float32Array, b: Float32Array) -> float:
    """Correlation of two coarse pictures, float32 (256,) each, in the best of the eight symmetries."""
    return float((a[_SYMMETRIES] @ b).max())
