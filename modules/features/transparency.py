"""The ground that a transparent picture is laid on, so that what is drawn on it is seen."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from modules.records import UInt8Array

WHITE, BLACK = 255, 0
#: Levels within which what is drawn is lost on its ground: pure tones are, the shades of a white shirt are not.
_NEAR = 16
#: Share of what is drawn that may be lost on white, which nearly all who flatten a picture choose, and on black.
_LOST_ON_WHITE, _LOST_ON_BLACK = 0.5, 0.1
#: Grounds for what is drawn in both; the first of those on which least is lost.
_BETWEEN = (128, 96, 160, 64, 192)


def ground_of(rgba: UInt8Array) -> int:
    """The grey level that a picture, RGBA uint8 (h, w, 4), is laid on: white, else black, else one between them."""
    weights = rgba[:, :, 3].ravel().astype(np.float64)
    total = weights.sum()
    if not total:
        return WHITE
    grey = cv2.cvtColor(rgba, cv2.COLOR_RGBA2GRAY)
    shares = np.bincount(grey.ravel(), weights, minlength=256) / total
    if shares[WHITE - _NEAR :].sum() <= _LOST_ON_WHITE:
        return WHITE
    if shares[: BLACK + _NEAR + 1].sum() <= _LOST_ON_BLACK:
        return BLACK
    return min(_BETWEEN, key=lambda level: float(shares[level - _NEAR : level + _NEAR + 1].sum()))


def laid(rgba: UInt8Array, ground: int) -> UInt8Array:
    """A picture, RGBA uint8 (h, w, 4), on a ground of one grey level: RGB uint8 (h, w, 3)."""
    if rgba[:, :, 3].min(initial=255) == 255:
        return np.ascontiguousarray(rgba[:, :, :3])
    image = Image.fromarray(rgba)
    below = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    return np.asarray(Image.alpha_composite(below, image).convert("RGB"), np.uint8)
