"""Two pictures brought to one light: a curve of levels, and what slowly changes across them."""

from __future__ import annotations

import cv2
import numpy as np

from modules.records import UInt8Array

#: Cells of levels that the curve is found by, and pixels of one below which it is not believed.
_CELLS, _FEW = 32, 12
#: The slow change of light is that of a square of this share of the picture's side; most levels that it may have.
_SLOW, _MOST = 4, 48
#: Side of the picture that the slow change is found in.
_COARSE = 32


def relit(x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """The same two pictures, grey uint8 (h, w), one of them in the light of the other one.

    mask: where they are compared, uint8 (h, w), 1 or 0. Of both ways the one that leaves less, beside the contrast that
    is left: what was clipped to white in one picture cannot be had back, but the other one can be clipped as well.
    """
    pairs = (_in_light_of(x, y, mask), y), (x, _in_light_of(y, x, mask))
    left = [_apart(*pair, mask) / max(_contrast(to, mask), 1.0) for pair, to in zip(pairs, (y, x), strict=True)]
    return pairs[0] if left[0] <= left[1] else pairs[1]


def _apart(x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> float:
    """Mean difference, levels."""
    return float(cv2.mean(cv2.absdiff(x, y), mask=mask)[0])


def _contrast(picture: UInt8Array, mask: UInt8Array) -> float:
    """Standard deviation, levels."""
    return float(cv2.meanStdDev(picture, mask=mask)[1][0, 0])


def _in_light_of(x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> UInt8Array:
    lit = cv2.LUT(x, _curve(x, y, mask))
    size = tuple(min(_COARSE, length) for length in (x.shape[1], x.shape[0]))
    weight = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    there = cv2.resize(cv2.copyTo(y, mask), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    here = cv2.resize(cv2.copyTo(lit, mask), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    apart = there - here
    side = max(size) // _SLOW | 1
    slow = cv2.blur(apart, (side, side)) / np.maximum(cv2.blur(weight, (side, side)), 1e-3)
    # Split by sign, so that it is added to bytes as bytes.
    brighter, darker = (
        cv2.resize(np.clip(part, 0, _MOST).astype(np.uint8), (x.shape[1], x.shape[0]), interpolation=cv2.INTER_LINEAR)
        for part in (np.rint(slow), np.rint(-slow))
    )
    return np.asarray(cv2.subtract(cv2.add(lit, brighter), darker), np.uint8)


def _curve(x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> UInt8Array:
    """Of each level of x the level that y has most often in its place, rising, uint8 (256,)."""
    counts = cv2.calcHist([x, y], [0, 1], mask, [_CELLS, 256], [0, 256, 0, 256])
    total = counts.sum(axis=1)
    known = np.flatnonzero(total >= _FEW)
    if len(known) < 2:
        return np.arange(256, dtype=np.uint8)
    # The median: what is drawn over one of them moves a mean.
    middles = (counts.cumsum(axis=1)[known] >= total[known, None] / 2).argmax(axis=1)
    middles = np.maximum.accumulate(middles)
    step = 256 / _CELLS
    levels = np.arange(256)
    found = np.interp(levels, (known + 0.5) * step - 0.5, middles)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)
