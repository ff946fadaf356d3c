"""Whether what lies around a part of a picture is plain margin: a border, or the wedges beside a turned picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import UInt8Array

#: Colour distance, in levels of the worst channel, within which a region is of one plain colour.
_PLAIN = 24
#: Share of the region that must have that colour, or one of two.
_PLAIN_SHARE, _TWO_SHARE = 0.98, 0.95
#: Share of the second colour that must lie right beside the picture: wedges do, the words of a caption do not.
_BESIDE = 0.9
#: Pixels that are looked at to see whether a region is plain.
_ENOUGH = 400
_SEAM, _TOUCH = np.ones((5, 5), np.uint8), np.ones((9, 9), np.uint8)

Mask = NDArray[np.bool_]


def is_margin(picture: UInt8Array, covered: UInt8Array) -> bool:
    """Whether what is not ``covered``, uint8 (h, w), of a picture, BGR uint8 (h, w, 3), is plain but for JPEG noise.

    Of one colour, or of a second one too, right beside what is covered: a turned picture in a border.
    """
    # The seam is half this and half that; it belongs to neither.
    rest = cv2.dilate(covered, _SEAM) == 0
    sparse = picture[::2, ::2][rest[::2, ::2]]
    sample = sparse[:: 1 + len(sparse) // _ENOUGH]
    if len(sample) == 0:
        return True
    one = _is_near(sample, _middle(sample))
    others = sample[~one]
    if len(others) <= (1 - _PLAIN_SHARE) * len(sample):
        return True
    second = _middle(others)
    if np.count_nonzero(one) + np.count_nonzero(_is_near(others, second)) < _TWO_SHARE * len(sample):
        return False
    return _lies_beside(rest & _is_near(picture, second) & ~_is_near(picture, _middle(sample)), covered)


def _lies_beside(coloured: Mask, covered: UInt8Array) -> bool:
    """Whether nearly all of what is coloured, (h, w), belongs to regions that touch what is covered."""
    _, regions = cv2.connectedComponents(coloured.astype(np.uint8), connectivity=8)
    beside = np.unique(regions[cv2.dilate(covered, _TOUCH) == 1])
    own = regions[coloured]
    return bool(np.count_nonzero(np.isin(own, beside)) >= _BESIDE * len(own))


def _middle(pixels: UInt8Array) -> NDArray[np.int16]:
    """The median colour of pixels, uint8 (n, 3)."""
    place = len(pixels) // 2
    return np.asarray(np.partition(pixels, place, axis=0)[place], np.int16)


def _is_near(pixels: UInt8Array, colour: NDArray[np.int16]) -> Mask:
    """Which pixels, uint8 (..., 3), are of a colour."""
    apart = np.abs(pixels.astype(np.int16) - colour)
    return np.asarray((apart <= _PLAIN).all(axis=-1))
