"""Where two aligned pictures contradict each other: regions in which one lies outside of all that the other shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import UInt8Array

#: Levels outside of the other picture from which on a place belongs to a region, and this many times what nine tenths
#: of all places have: noise and compression leave much everywhere.
_LEVELS, _NOISE = 6.0, 1.5
_AROUND = np.ones((3, 3), np.uint8)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regions:
    """What contradicts. Of the two numbers of a pair the first is of what x has more than y, the second the reverse.

    noise: levels outside of the other picture that a half, nine tenths and 99 of 100 places have at most. peaks: the
    most that any has. count: regions. mass, largest: levels times pixels of all, and of the weightiest one, by the
    picture that shows more there. area: pixels of the largest. share: of all places that lie in regions. spread: share
    of the picture that a box around all regions covers. tones, saturation: of what the regions show in the picture
    that has more of them: share of its four most frequent of 32 tones, and mean distance from grey in levels. blend,
    blended: what remains of their levels, and its share, when they are taken for one tone laid over the other picture:
    hardly anything of a text, a stripe, a watermark. edge: mean slope of light along their outlines. box: left, top,
    right, bottom of the weightiest region, pixels.
    """

    noise: tuple[float, float, float]
    peaks: tuple[float, float]
    count: int = 0
    mass: tuple[float, float] = (0.0, 0.0)
    largest: tuple[float, float] = (0.0, 0.0)
    area: int = 0
    share: float = 0.0
    spread: float = 0.0
    tones: float = 1.0
    saturation: float = 0.0
    blend: float = 0.0
    blended: float = 0.0
    edge: float = 0.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


def regions_of(x: UInt8Array, y: UInt8Array, mask: UInt8Array, full_x: UInt8Array, full_y: UInt8Array) -> Regions:
    """x, y: grey uint8 (h, w) in one light. mask: where they are compared. full_x, full_y: with colours, (h, w, 3)."""
    x, y = (np.asarray(cv2.GaussianBlur(plane, (5, 5), 1.0), np.uint8) for plane in (x, y))
    inside = cv2.erode(mask, _AROUND, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    outside = [cv2.blur(cv2.copyTo(plane, inside), (5, 5)) for plane in (_outside(x, y), _outside(y, x))]
    apart = cv2.max(*outside)
    noise = _noise(apart, inside)
    peaks = cv2.minMaxLoc(outside[0], mask=inside)[1], cv2.minMaxLoc(outside[1], mask=inside)[1]
    where = (apart > max(_LEVELS, _NOISE * noise[1])).astype(np.uint8) & inside
    count, labels, stats, _ = cv2.connectedComponentsWithStats(where, connectivity=8)
    if count < 2:
        return Regions(noise, peaks)
    places = np.flatnonzero(where)
    own = labels.ravel()[places]
    mass = np.bincount(own, apart.ravel()[places], minlength=count)
    steep, outline = _steepness(x, y, where, labels, count)
    shows_x = steep[0] > steep[1]
    sides = float(mass[shows_x].sum()), float(mass[~shows_x].sum())
    largest = float(mass[shows_x].max(initial=0)), float(mass[~shows_x].max(initial=0))
    first = sides[0] >= sides[1]
    more = shows_x if first else ~shows_x
    kept = places[more[own]]
    tones, saturation = _look_of((full_x if first else full_y).reshape(-1, 3)[kept])
    blend, blended = _blend(*((x, y) if first else (y, x)), kept)
    left, top, width, height, area = stats[int(mass[1:].argmax()) + 1].tolist()
    return Regions(
        noise,
        peaks,
        count - 1,
        sides,
        largest,
        area,
        len(places) / max(1, cv2.countNonZero(inside)),
        _spread(where),
        tones,
        saturation,
        blend,
        blended,
        float(steep[0 if first else 1][more].sum() / max(1.0, outline[more].sum())),
        (left, top, left + width, top + height),
    )


def _noise(apart: UInt8Array, inside: UInt8Array) -> tuple[float, float, float]:
    """Levels that a half, nine tenths and 99 of 100 places have at most."""
    levels = cv2.calcHist([apart], [0], inside, [256], [0, 256]).ravel().cumsum()
    half, most, nearly = np.searchsorted(levels, np.array([0.5, 0.9, 0.99]) * max(1.0, float(levels[-1]))).tolist()
    return float(half), float(most), float(nearly)


def _spread(where: UInt8Array) -> float:
    """Share of the picture that a box around all regions covers."""
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / where.size)


def _outside(picture: UInt8Array, other: UInt8Array) -> UInt8Array:
    """By how many levels each pixel lies above or below all that ``other`` has around its place, uint8 (h, w)."""
    above, below = cv2.subtract(picture, cv2.dilate(other, _AROUND)), cv2.subtract(cv2.erode(other, _AROUND), picture)
    return np.asarray(cv2.max(above, below), np.uint8)


def _steepness(
    x: UInt8Array, y: UInt8Array, where: UInt8Array, labels: NDArray[np.int32], count: int
) -> tuple[Floats, Floats]:
    """Sum of the slopes along each region's outline in both pictures, (2, count), and how long that is, (count,).

    The picture that has an edge there is the one that shows something.
    """
    wide = cv2.dilate(where, _AROUND)
    outline = np.flatnonzero(cv2.subtract(wide, cv2.erode(where, _AROUND)))
    # Pixels just outside of a region have no label of their own.
    around = cv2.dilate(labels.astype(np.float32), _AROUND).ravel()[outline].astype(np.int64)
    steep = []
    for picture in (x, y):
        across, down = (slope.ravel()[outline].astype(np.int32) for slope in cv2.spatialGradient(picture))
        steep.append(np.bincount(around, np.abs(across) + np.abs(down), minlength=count)[:count])
    return np.stack(steep), np.bincount(around, minlength=count)[:count].astype(np.float64)


def _blend(shown: UInt8Array, other: UInt8Array, places: NDArray[np.intp]) -> tuple[float, float]:
    """What is left of ``shown`` at some places when it is ``other`` under one tone: levels, and share of its own."""
    if len(places) < 8:
        return 0.0, 0.0
    above, below = shown.ravel()[places].astype(np.float64), other.ravel()[places].astype(np.float64)
    centred, known = above - above.mean(), below - below.mean()
    slope = min(max(float(centred @ known) / max(float(known @ known), 1.0), 0.0), 1.0)
    left = float(np.sqrt(np.mean((centred - slope * known) ** 2)))
    apart = float(np.sqrt(np.mean((above - below) ** 2)))
    return left, left / max(apart, 1.0)


def _look_of(pixels: UInt8Array) -> tuple[float, float]:
    """Share of the four most frequent of 32 tones, and mean distance from grey, of pixels, uint8 (n, 3)."""
    if not len(pixels):
        return 1.0, 0.0
    levels = pixels.astype(np.int64)
    tones = np.bincount(levels.sum(axis=1) // 24, minlength=32)
    spread = levels.max(axis=1) - levels.min(axis=1)
    return float(np.sort(tones)[-4:].sum() / tones.sum()), float(spread.mean())
