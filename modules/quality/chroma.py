"""How finely a picture keeps its colours: most formats save them at half the resolution, and nothing brings it back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import UInt8Array

#: What the decoders of JPEG and WebP make of colours that were kept at half the width and height.
HALVED = 0.5
# Colours that were doubled in size change by steps that alternate in roughness; others by less than this share.
_EVEN = 0.9
# Squares of second differences (of levels) below which there is no colour to tell from rounding.
_LEAST = 0.3


def chroma(kept: float, colour: UInt8Array | None) -> float:
    """The linear resolution of a picture's colours beside that of its light: 1 only where that shows, 0.5, or between.

    kept: what its own file keeps of it. colour: a part of the picture at its own size, RGB uint8 (h, w, 3), None where
    there is none: then the file's word is taken. A file that keeps every pixel of what had been halved before shows it:
    doubled by the weights 3/4 and 1/4 (libjpeg), every other first difference is the mean of those beside it. Source of
    the idea: A. Popescu, H. Farid, "Exposing digital forgeries by detecting traces of resampling", IEEE Transactions on
    Signal Processing 2005.
    """
    if kept < 1 or colour is None:
        return kept
    if min(colour.shape[:2]) < 16:
        return HALVED
    planes = cv2.cvtColor(colour, cv2.COLOR_RGB2YCrCb)
    power = np.zeros(2)
    for channel in (1, 2):
        plane = planes[..., channel].astype(np.int16)
        for lines in (plane, plane.T):
            power += _roughness(lines)
    even = power.min() / max(power.max(), 1e-9)
    return 1.0 if even >= _EVEN and power.mean() >= _LEAST else HALVED


def _roughness(lines: NDArray[np.int16]) -> NDArray[np.float64]:
    """Mean squares of how far steps between neighbours along lines, (h, w), are from the mean of those beside them.

    The even steps', then the odd ones', (2,).
    """
    steps = lines[:, 1:] - lines[:, :-1]
    rough = (2 * steps[:, 1:-1] - steps[:, :-2] - steps[:, 2:]).astype(np.float32)
    power = np.einsum("ij,ij->j", rough, rough) / len(rough)
    return np.array([power[1::2].mean(), power[::2].mean()])
