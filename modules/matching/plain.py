"""The stricter rule for pictures of too little texture to be laid on each other: pixel for pixel alike, or nothing."""

from __future__ import annotations

import cv2
import numpy as np

from modules.records import Float32Array, UInt8Array

#: Levels from black and from white within which a channel counts as clipped.
_CLIPPED = 6
#: Brightness edits scale levels by at most this.
_GAIN = 1.7
#: Smoothing in thumbnail pixels whose result is the slow change of light, and the levels that must remain without it.
_SLOW = 6.0
_DETAIL = 3.0
#: Mean levels by which a channel may differ: what re-encoding does to one plain colour.
_TONE = 1.1
#: Levels by which making a thumbnail smaller may change its mean.
_RESIZED = 0.5


def nearly_identical(a: UInt8Array, b: UInt8Array) -> bool:
    """Whether two thumbnails, BGR uint8, show the same in shape and colour nearly everywhere.

    The rule for pictures with too little texture to be laid on each other: it forgives re-encoding and
    resizing and nothing else, for two blank pages in two shades of white are two pictures.
    """
    # Of many blank pictures nearly all pairs end here.
    if max(abs(one - other) for one, other in zip(cv2.mean(a), cv2.mean(b), strict=True)) > _TONE + _RESIZED:
        return False
    pair = _same_size(a, b)
    if pair is None:
        return False
    difference = pair[0] - pair[1]
    tones = np.abs(difference.mean(axis=(0, 1))).max()
    size = np.abs(difference)
    return bool(tones <= _TONE and size.mean() <= 2.0 and size.max() <= 14.0)


def same_but_for_brightness(a: UInt8Array, b: UInt8Array) -> bool:
    """Whether one gain and offset for all of b turns it into a, where neither is clipped; BGR uint8.

    For pictures with too little texture to be laid on each other, but with some: what is left without the slow change
    of light across the picture must be there and agree, for two plain skies differ by a gain and an offset as well.
    """
    if min(float(cv2.meanStdDev(picture)[1].max()) for picture in (a, b)) < _DETAIL / 2:
        return False  # what varies that little has no detail, whatever its light does
    pair = _same_size(a, b)
    if pair is None:
        return False
    left, right = pair
    clear = ((left > _CLIPPED) & (left < 255 - _CLIPPED) & (right > _CLIPPED) & (right < 255 - _CLIPPED)).all(axis=2)
    if clear.mean() < 0.5:
        return False
    x, y = right[clear].ravel(), left[clear].ravel()
    gain, offset = np.polyfit(x, y, 1) if x.std() > 1.0 else (0.0, 0.0)
    if not 1 / _GAIN <= gain <= _GAIN:
        return False
    residual = np.abs(gain * x + offset - y)
    if residual.mean() > 2.0 or np.percentile(residual, 99) > 14.0:
        return False
    fine = [(picture - cv2.GaussianBlur(picture, (0, 0), _SLOW))[clear].ravel() for picture in pair]
    detailed = min(float(part.std()) for part in fine) >= _DETAIL
    return bool(detailed and np.corrcoef(*fine)[0, 1] >= 0.95)


def _same_size(a: UInt8Array, b: UInt8Array) -> tuple[Float32Array, Float32Array] | None:
    """Two thumbnails on the smaller one's grid, slightly smoothed; None when their shapes differ."""
    shape_a, shape_b = a.shape[1] / a.shape[0], b.shape[1] / b.shape[0]
    if max(shape_a, shape_b) > 1.03 * min(shape_a, shape_b):
        return None
    size = min((a.shape[1], a.shape[0]), (b.shape[1], b.shape[0]))
    left, right = (
        cv2.GaussianBlur(cv2.resize(t, size, interpolation=cv2.INTER_AREA).astype(np.float32), (0, 0), 0.8)
        for t in (a, b)
    )
    return left, right
