"""What parts two pictures that agree, on their common ground: light, colour, shape, drawing, and what lies beyond."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.agreement import centre, filled, placed
from modules.matching.composition import is_pasted
from modules.matching.evidence import Evidence, reduced
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.matching.relations import Verdicts
from modules.records import Float32Array, Margin, UInt8Array

#: Least pixels that tell anything, and levels beside the other picture, and median residuals, from which on one counts
#: as drawn over.
_LEAST, _DRAWN, _RESIDUALS = 40, 12.0, 2.5
#: Mean distance from grey, in levels, of a picture without colour, and of one with.
_GREY, _COLOURED = 1.5, 4.0
#: What lies beyond is looked at where it is more than this share, in so many pixels; within so many levels of the
#: median, in this share of the pixels, it is plain.
_BEYOND, _ENOUGH, _PLAIN, _PLAIN_SHARE = 0.02, 400, 24, 0.98
#: The same share of plain ground with something on it: the words of a caption, the buttons of a screen.
_GROUND_SHARE = 0.7
#: The light of two copies differs by one gain in this range and an offset.
_GAINS = (0.4, 2.5)
_QUANTILES = (0.15, 0.5, 0.85)
#: Places at which light and colour are compared.
_SAMPLES = 600
_AROUND = np.ones((3, 3), np.uint8)
_LEVELS = np.arange(256.0)


def note(verdict: Verdicts, matrix: Matrix, a: Evidence, b: Evidence) -> Verdicts:
    """The verdict, an array of VERDICT_DTYPE without dimensions, with what parts a from b; it is changed in place.

    matrix: pixels of a's thumbnail to those of b's, float64 (3, 3). Columns as records.VERDICT_DTYPE has them.
    """
    back = inverse(matrix)
    a_on_b, b_on_a = placed(matrix, a.thumb), placed(back, b.thumb)
    area_a, area_b = _area(b_on_a, a.thumb), _area(a_on_b, b.thumb)
    verdict["area_a"], verdict["area_b"] = area_a, area_b
    verdict["margin_a"] = _margin(back, b_on_a, b.thumb, a.thumb, area_a)
    verdict["margin_b"] = _margin(matrix, a_on_b, a.thumb, b.thumb, area_b)
    verdict["bend"] = min(255, round(100 * _bend(a_on_b, a.thumb)))
    ground = _Ground.of(matrix, a, b)
    if ground is not None:
        _note_pixels(verdict, ground)
    return verdict


def _note_pixels(verdict: Verdicts, ground: _Ground) -> None:
    where = np.flatnonzero(ground.both)
    where = where[:: 1 + len(where) // _SAMPLES]
    a, b = (picture.reshape(-1, 3).take(where, axis=0).T.copy() for picture in (ground.a, ground.b))
    light, *colour = _middles(cv2.absdiff(a, b))
    verdict["light"], verdict["colour"] = light, max(colour)
    colours = [_colourfulness(pixels) for pixels in (a, b)]
    verdict["grey_a"] = colours[0] < _GREY and colours[1] > _COLOURED
    verdict["grey_b"] = colours[1] < _GREY and colours[0] > _COLOURED
    shares = _drawn(ground, a[0], b[0])
    verdict["drawn_a"], verdict["drawn_b"] = (min(255, round(1000 * share)) for share in shares)


def _middles(values: UInt8Array) -> list[int]:
    """The upper median of each row of values, uint8 (k, n)."""
    place = values.shape[1] // 2
    middles: list[int] = np.partition(values, place, axis=1)[:, place].tolist()
    return middles


def _colourfulness(pixels: UInt8Array) -> float:
    """Mean distance from grey of pixels Y, Cr, Cb, uint8 (3, n)."""
    red, blue = np.abs(pixels[1:].astype(np.int16) - 128)
    return float(np.add.reduce(np.maximum(red, blue), dtype=np.int64)) / len(red)


@functools.lru_cache(maxsize=256)
def _outline(height: int, width: int) -> Float32Array:
    """Corners of a picture, float32 (4, 2), from the outer edges of its pixels."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - np.float32(0.5)


def _area(corners: Matrix, outer: UInt8Array) -> float:
    """Share of ``outer`` on which a picture with these corners lies, whatever there is to be seen."""
    height, width = outer.shape[:2]
    shared = cv2.intersectConvexConvex(corners.astype(np.float32), _outline(height, width))[0]
    share: float = shared / (height * width)
    return min(1.0, share)


def _bend(corners: Matrix, inner: UInt8Array) -> float:
    """By how much the sides of a picture with these corners differ in how they are scaled: 0 for every similarity."""
    height, width = inner.shape[:2]
    places = corners.tolist()
    lengths: list[float] = [math.dist(places[n], places[n - 3]) / (width, height)[n % 2] for n in range(4)]
    return float(max(lengths) / max(min(lengths), 1e-6)) - 1


def _margin(matrix: Matrix, corners: Matrix, inner: UInt8Array, outer: UInt8Array, area: float) -> Margin:
    """What lies beyond ``inner`` on ``outer``. matrix: inner to outer, corners: of inner there. area: share of outer
    that inner covers.
    """
    if area >= 1 - _BEYOND:
        return Margin.NONE
    where = np.flatnonzero(cv2.dilate(filled(corners, *outer.shape[:2]), _AROUND) == 0)
    if not len(where):
        return Margin.NONE
    beyond = outer.reshape(-1, 3).take(where[:: 1 + len(where) // _ENOUGH], axis=0).T.astype(np.int16)
    low, high = (beyond.shape[1] - 1) // 2, beyond.shape[1] // 2
    ordered = np.sort(beyond, axis=1)
    median = (ordered[:, low] + ordered[:, high]) // 2
    plain = np.logical_and.reduce(np.abs(beyond - median[:, None]) <= _PLAIN)
    if np.count_nonzero(plain) < _PLAIN_SHARE * len(plain):
        return Margin.GROUND if np.count_nonzero(plain) >= _GROUND_SHARE * len(plain) else Margin.PICTURE
    return Margin.BORDER if is_pasted(matrix, inner, outer) else Margin.PLAIN


@dataclass(frozen=True, slots=True)
class _Ground:
    """Two pictures on one grid, Y Cr Cb uint8 (h, w, 3) each, and where both are, bool (h, w)."""

    a: UInt8Array
    b: UInt8Array
    both: NDArray[np.bool_]

    @classmethod
    def of(cls, matrix: Matrix, a: Evidence, b: Evidence) -> _Ground | None:
        """On the grid of the one that shows the overlap in fewer pixels; None where that is too few of them.

        matrix: thumbnail of a to thumbnail of b.
        """
        matrix = _resized(b.thumb, b.small) @ matrix @ _resized(a.small, a.thumb)
        if scale_of(matrix, centre(a.small)) > 1:
            laid, both = _laid(b.small, a.small, inverse(matrix))
            pair = a.small, laid
        else:
            laid, both = _laid(a.small, b.small, matrix)
            pair = laid, b.small
        return cls(*pair, both) if np.count_nonzero(both) >= _LEAST else None


def _resized(before: UInt8Array, after: UInt8Array) -> Matrix:
    """From pixel centres of a picture to those of the same one in another size."""
    across, down = after.shape[1] / before.shape[1], after.shape[0] / before.shape[0]
    return np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])


def _laid(fine: UInt8Array, coarse: UInt8Array, matrix: Matrix) -> tuple[UInt8Array, NDArray[np.bool_]]:
    """``fine`` drawn on the grid of ``coarse``, and where it lies there without its edges."""
    factor = scale_of(matrix, centre(fine))
    if factor < 0.8:
        smaller = reduced(fine, factor)
        matrix, fine = matrix @ _resized(smaller, fine), smaller
    height, width = coarse.shape[:2]
    drawn = cv2.warpPerspective(fine, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mask = filled(placed(matrix, fine), height, width)
    inside = cv2.erode(mask, _AROUND, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(drawn, np.uint8), inside.view(np.bool_)


def _drawn(ground: _Ground, x: UInt8Array, y: UInt8Array) -> tuple[float, float]:
    """Share of the ground that is drawn over on a, and on b. x, y: the levels of some places of it, (n,).

    A pixel counts where it lies outside of all that the other picture has around its place, in the other one's light.
    Whose drawing that is, its outline tells: it is an edge in the picture that is drawn on, and none in the other one.
    """
    left, right = (np.ascontiguousarray(picture[..., 0]) for picture in (ground.a, ground.b))
    places = [round(quantile * (len(x) - 1)) for quantile in _QUANTILES]
    low_x, mid_x, high_x = np.sort(x)[places].tolist()
    low_y, mid_y, high_y = np.sort(y)[places].tolist()
    gain = min(max((high_y - low_y) / max(high_x - low_x, 1.0), _GAINS[0]), _GAINS[1])
    curve = np.minimum(np.maximum(gain * (_LEVELS - mid_x) + mid_y, 0), 255).astype(np.uint8)
    relit: UInt8Array = cv2.LUT(left, curve)
    residual = _middles(cv2.absdiff(curve[x], y).reshape(1, -1))[0]
    # Whole levels lie above a limit where they lie above its whole part.
    outside = cv2.max(_outside(relit, right), _outside(right, relit)) > int(max(_DRAWN, _RESIDUALS * residual))
    drawn = outside & ground.both
    share = np.count_nonzero(drawn) / np.count_nonzero(ground.both)
    if not share:
        return 0.0, 0.0
    changes = cv2.morphologyEx(drawn.view(np.uint8), cv2.MORPH_GRADIENT, _AROUND)
    outline = np.flatnonzero(changes.view(np.bool_) & ground.both)
    edge_a, edge_b = (_steepness(picture, outline) for picture in (relit, right))
    lean = min(max(3 * (edge_a - edge_b) / max(edge_a + edge_b, 1e-6), -1.0), 1.0)
    return share * (1 + lean) / 2, share * (1 - lean) / 2


def _outside(picture: UInt8Array, other: UInt8Array) -> UInt8Array:
    """By how many levels each pixel lies above or below all that ``other`` has around its place, uint8 (h, w)."""
    above, below = cv2.subtract(picture, cv2.dilate(other, _AROUND)), cv2.subtract(cv2.erode(other, _AROUND), picture)
    outside: UInt8Array = cv2.max(above, below)
    return outside


def _steepness(picture: UInt8Array, where: NDArray[np.intp]) -> float:
    """Mean change of light per pixel (times 8) at places, (n,), of a flat picture, uint8 (h, w)."""
    across, down = (slope.ravel().take(where).astype(np.float32) for slope in cv2.spatialGradient(picture))
    return float(np.add.reduce(np.hypot(across, down)) / len(where))
