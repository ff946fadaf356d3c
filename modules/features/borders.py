"""Plain borders and caption bands around a picture, found so that a copy with them can be compared without."""

from __future__ import annotations

import cv2
import numpy as np

from modules.records import UInt8Array

_TOLERANCE = 12
_PLAIN = 0.95
_CONTENT = 0.5
_DEEPEST = 0.3
_ROUNDS = 2


def trim(grey: UInt8Array) -> UInt8Array:
    """A view of a grey picture, uint8 (h, w), without plain borders, letterboxes and caption bands: :func:`inner`."""
    return grey[inner(grey)]


def inner(grey: UInt8Array, *, captions: bool = False) -> tuple[slice, slice]:
    """Rows and columns of a grey picture, uint8 (h, w), that are no plain border, letterbox or caption band.

    A border starts with a line of one tone, goes at most 30 % deep and ends with such a line right before one
    that mostly differs: a sky or a studio background fades into the picture and stays. Whatever lies
    between two such lines (a caption) goes with them, or stays where ``captions`` count as content.
    """
    top, left = 0, 0
    bottom, right = grey.shape
    for _ in range(_ROUNDS):
        part = grey[top:bottom, left:right]
        above, below = _depth(part, captions), _depth(part[::-1], captions)
        part = part[above : len(part) - below]
        before, behind = _depth(part.T, captions), _depth(part.T[::-1], captions)
        top, bottom, left, right = top + above, bottom - below, left + before, right - behind
        if not (above or below or before or behind):
            break
    return slice(top, bottom), slice(left, right)


def _depth(grey: UInt8Array, captions: bool) -> int:
    """How many rows at the top are border."""
    deepest, width = int(len(grey) * _DEEPEST), grey.shape[1]
    first = np.sort(grey[0])
    tone = int(first[width // 2])  # the median
    low, high = max(0, tone - _TOLERANCE), min(255, tone + _TOLERANCE)
    # Most pictures have no border, and are done with here.
    if deepest < 1 or first.searchsorted(high, "right") - first.searchsorted(low) < _PLAIN * width:
        return 0
    share = _plain_share(grey[: deepest + 3], low, high)
    # One row between border and content may hold a mixture of both: resampling made it.
    ends = (share[:-2] >= _PLAIN) & (share[1:-1] < _PLAIN) & (np.minimum(share[1:-1], share[2:]) <= _CONTENT)
    if captions:
        ends &= np.logical_and.accumulate(share >= _PLAIN)[:-2]
    last = np.flatnonzero(ends[:deepest])
    if not len(last):
        return 0
    depth = int(last[-1]) + 1
    return depth + int(share[depth] > _CONTENT)


def _plain_share(rows: UInt8Array, low: int, high: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of each row's pixels whose tone lies between ``low`` and ``high``."""
    inside = cv2.inRange(np.ascontiguousarray(rows), low, high)
    sums = cv2.reduce(inside, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    return np.asarray(sums / (255.0 * rows.shape[1]), np.float64)
