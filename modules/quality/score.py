"""One number for how good a copy of a picture is, to choose the best one of a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array

VERSION = 3
# Among copies of one picture exposure and contrast differ little; what was lost for good counts most.
_RESOLUTION = 52.0
_SHARPNESS, _NOISE, _COMPRESSION, _CONTRAST, _EXPOSURE = 21.0, 9.0, 12.0, 5.0, 1.0
_LEAST, _MOST = 32 * 32, 100e6


def score(
    width: NDArray[np.int32],
    height: NDArray[np.int32],
    *,
    sharpness: Float32Array,
    exposure: Float32Array,
    contrast: Float32Array,
    noise: Float32Array,
    compression: Float32Array,
    content: Float32Array,
) -> Float32Array:
    """Quality, 0 to 100, float32 (n,), from columns (n,) of facts.

    52 for the logarithm of the number of pixels that are no plain border (32 x 32 to 100 megapixels), 21 for sharpness,
    9 for freedom of noise, 12 for compression, 5 for contrast, 1 for exposure, all but the first each 0 (bad) to 1.
    A copy of half the width and height loses 6.3, more than what it gains in sharpness; one enlarged to 1.5 times gains
    3.7, and loses more by its empty frequencies.
    """
    pixels = np.asarray(width, np.float64) * np.asarray(height, np.float64) * np.asarray(content, np.float64)
    resolution = np.clip(np.log(np.maximum(pixels, 1) / _LEAST) / np.log(_MOST / _LEAST), 0, 1)
    total = (
        _RESOLUTION * resolution
        + _SHARPNESS * np.asarray(sharpness, np.float64)
        + _COMPRESSION * np.asarray(compression, np.float64)
        + _NOISE * np.asarray(noise, np.float64)
        + _CONTRAST * np.asarray(contrast, np.float64)
        + _EXPOSURE * np.asarray(exposure, np.float64)
    )
    return np.asarray(np.clip(total, 0, 100), np.float32)
