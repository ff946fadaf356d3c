"""What of a picture is only plain margin: borders of one colour, and the wedges beside a turned picture in a border."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array, UInt8Array

#: Levels from its middle within which a line of a border lies, and the share of the line that must.
_TONE, _LINE = 12.0, 0.95
#: Share of the line behind the border that may have its tone, at most: a sky fades into the picture and stays.
_BEHIND = 0.6
#: How deep a border may be, as a share of the side; borders in borders.
_DEEPEST, _ROUNDS = 0.3, 2
#: Colour distance, in levels of the worst channel, within which a region is of one plain colour.
_PLAIN = 24
#: Share of the region that must have that colour, or one of two.
_PLAIN_SHARE, _TWO_SHARE = 0.98, 0.95
#: Share of the second colour that must lie right beside the picture: wedges do, the words of a caption do not.
_BESIDE = 0.9
#: Pixels that are looked at to see whether a region is plain.
_ENOUGH = 400
_SEAM, _TOUCH = np.ones((5, 5), np.uint8), np.ones((9, 9), np.uint8)

#: left, top, right and bottom in pixels, the last two exclusive.
Box = tuple[int, int, int, int]
Mask = NDArray[np.bool_]


def content_box(grey: Float32Array) -> Box:
    """The part of a picture, grey levels float32 (h, w), within its borders of one tone that end abruptly."""
    top, left = 0, 0
    bottom, right = grey.shape
    for _ in range(_ROUNDS):
        part = grey[top:bottom, left:right]
        above, below = _depth(part), _depth(part[::-1])
        part = part[above : len(part) - below]
        before, behind = _depth(part.T), _depth(part.T[::-1])
        top, bottom, left, right = top + above, bottom - below, left + before, right - behind
        if not (above or below or before or behind):
            break
    return left, top, right, bottom


def _depth(grey: Float32Array) -> int:
    """How many lines at the top are border."""
    first = grey[0]
    tone = first[len(first) // 2]
    if np.count_nonzero(np.abs(first - tone) <= _TONE) < _LINE * len(first):
        return 0
    deepest = int(_DEEPEST * len(grey))
    share = np.count_nonzero(np.abs(grey[: deepest + 3] - tone) <= _TONE, axis=1) / len(first)
    depth = int(np.argmin(share >= _LINE))
    if share[depth] >= _LINE or depth > deepest:
        return 0
    # One line between border and content may hold a mixture of both: resampling made it.
    mixed = depth + 1 < len(share) and share[depth + 1] <= _BEHIND < share[depth]
    return depth + int(mixed) if mixed or share[depth] <= _BEHIND else 0


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
