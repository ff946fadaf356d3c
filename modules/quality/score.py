"""One number for how good a copy of a picture is, to choose the best one of a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array

VERSION = 1
# Among copies of one picture exposure and sharpness differ little; what was lost for good counts most.
_RESOLUTION, _COMPRESSION, _SHARPNESS, _EXPOSURE = 70.0, 15.0, 10.0, 5.0
_LEAST, _MOST = 32 * 32, 100e6


def score(
    width: NDArray[np.int32],
    height: NDArray[np.int32],
    sharpness: Float32Array,
    exposure: Float32Array,
    compression: Float32Array,
) -> Float32Array:
    """Quality, 0 to 100, float32 (n,), from columns (n,) of facts.

    70 for the logarithm of the number of pixels (32 x 32 to 100 megapixels), 15 for compression, 10 for
    sharpness, 5 for exposure, the last three each 0 (bad) to 1 (good).
    """
    pixels = np.asarray(width, np.float64) * np.asarray(height, np.float64)
    resolution = np.clip(np.log(np.maximum(pixels, 1) / _LEAST) / np.log(_MOST / _LEAST), 0, 1)
    total = (
        _RESOLUTION * resolution
        + _COMPRESSION * np.asarray(compression, np.float64)
        + _SHARPNESS * np.asarray(sharpness, np.float64)
        + _EXPOSURE * np.asarray(exposure, np.float64)
    )
    return np.asarray(np.clip(total, 0, 100), np.float32)
