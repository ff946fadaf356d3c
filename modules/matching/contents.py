"""What two files hold besides what their first pictures show: other frames, other pages, other opacity."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.sequences import Frames
from modules.matching.agreement import filled, placed
from modules.matching.evidence import Evidence
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.records import Float32Array, UInt8Array

Mask = NDArray[np.bool_]

#: Tiles along the longer side of a plane, and their side at least, pixels.
_TILES, _SMALLEST_TILE = 16, 8
#: Smoothing before slopes are taken, pixels: dither and the blocks of compression go.
_BLUR = 0.7
#: Levels over two pixels from which on a tile's slopes tell something, and what compression makes of them.
_SLOPE, _NOISE = 8.0, 4.0
#: Correlation of slopes below which a tile differs: of copies at a third of the size or of two tones, two in a hundred
#: text tiles lie below .35 to .6; of pages with other words in one layout, three in four lie below .24.
_CORRELATION = 0.3
#: Levels by which the means of a tile without slopes may differ: more than what an edit of the light does.
_TONE = 48.0
#: Share of the tiles of two opacities that may differ: GIF knows no soft shadows.
_OTHER_ALPHA = 0.15
#: Share of the tiles of two frames that may differ beyond that of the first pictures, which may bear a caption or a
#: logo, and the most that those are believed to bear. Copies at a quarter of the size or of 32 colours differ in none,
#: other pages in one layout in eight of ten tiles.
_OTHER_FRAME, _MOST_DRAWN = 0.04, 0.3
#: Pixels of a plane by which a matrix may be wrong.
_ASTRAY = 4.0
#: Share of a tile that must be seen in both.
_SEEN = 0.5


def contradict(matrix: Matrix, a: Evidence, b: Evidence) -> bool:
    """Whether two files hold other things, though the first pictures of both agree.

    matrix: pixels of a's thumbnail to those of b's, float64 (3, 3); all else lies on each other as the first pictures
    do. A still picture and a file of several are never the same, nor are an animation and a document. Where both have
    transparency, what is opaque must agree. Pure, and the same for (b, a) under the inverse.
    """
    if (a.frames is None) != (b.frames is None):
        return True
    if a.frames is not None and b.frames is not None and not _frames_agree(matrix, a, b, a.frames, b.frames):
        return True
    if a.alpha is None or b.alpha is None:
        return False
    return different(_between(matrix, a, b, a.alpha, b.alpha), a.alpha, b.alpha) > _OTHER_ALPHA


def _frames_agree(matrix: Matrix, a: Evidence, b: Evidence, of_a: Frames, of_b: Frames) -> bool:
    if of_a.planes is None or of_b.planes is None or of_a.timed != of_b.timed:
        return False
    # Frames of an animation that are alike are made one by some programs; pages stay as many as they are.
    if not of_a.timed and of_a.count != of_b.count:
        return False
    drawn = different(matrix, a.grey.astype(np.uint8), b.grey.astype(np.uint8))
    return all(
        different(_between(matrix, a, b, left, right), left, right) <= min(drawn, _MOST_DRAWN) + _OTHER_FRAME
        for left, right in zip(of_a.planes, of_b.planes, strict=True)
    )


def _between(matrix: Matrix, a: Evidence, b: Evidence, left: UInt8Array, right: UInt8Array) -> Matrix:
    """The matrix of the thumbnails for two planes that show what they show, at other sizes."""
    return _resized(b.thumb, right) @ matrix @ _resized(left, a.thumb)


def _resized(here: UInt8Array, there: UInt8Array) -> Matrix:
    """Pixels of one picture to those of the same at another size."""
    down, across = (there.shape[axis] / here.shape[axis] for axis in (0, 1))
    return np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])


def different(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> float:
    """Share of the tiles that tell something, 0 to 1, in which two planes differ: grey levels, uint8 (h, w).

    matrix: pixels of a to those of b, float64 (3, 3), good to some pixels. Brightness and contrast are forgiven.
    """
    if scale_of(matrix, _middle(a)) > 1:
        matrix, a, b = inverse(matrix), b, a
    ways = [matrix]
    whole = _resized(a, b)
    if np.abs(placed(matrix, a) - placed(whole, a)).max() <= _ASTRAY:
        # Most copies are whole, and keypoints are not as sure of it.
        ways.append(whole)
    found = []
    for way in ways:
        drawn = _drawn(a, way, b.shape)
        found.append(_differing(drawn, b, filled(placed(way, a, 1.0), *b.shape)))
        if not found[-1]:
            return 0.0
        shift = _shift(drawn, b)
        if shift is not None:
            moved = shift @ way
            found.append(_differing(_drawn(a, moved, b.shape), b, filled(placed(moved, a, 1.0), *b.shape)))
    return min(found)


def _shift(drawn: Float32Array, b: UInt8Array) -> Matrix | None:
    """What moves a drawn plane onto another one, (3, 3); None where that is too far.

    Source: C. Kuglin and D. Hines, "The phase correlation image alignment method", 1975.
    """
    window = cv2.createHanningWindow((b.shape[1], b.shape[0]), cv2.CV_32F) if min(b.shape) > 1 else None
    (x, y), _ = cv2.phaseCorrelate(drawn, b.astype(np.float32), window)
    return None if max(abs(x), abs(y)) > _ASTRAY else np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _differing(drawn: Float32Array, b: UInt8Array, mask: UInt8Array) -> float:
    """Share of the tiles that tell something in which two planes on one grid differ where ``mask`` is 1.

    Slopes are compared, not tones, along each axis for itself: the lines of all pages in one layout lie on each other,
    and just the slopes along them tell the words apart.
    """
    tile = max(_SMALLEST_TILE, max(b.shape) // _TILES)
    planes = [cv2.GaussianBlur(plane, (0, 0), _BLUR) for plane in (drawn, b.astype(np.float32))]
    weight = mask.astype(np.float32)
    share = _means(weight, tile)
    seen, some = share >= _SEEN, np.maximum(share, np.float32(1e-6))
    differs, tells = np.zeros((2, *share.shape), np.bool_)
    for across, down in ((1, 0), (0, 1)):
        x, y = (cv2.Sobel(plane, cv2.CV_32F, across, down, ksize=1) * weight for plane in planes)
        xx, yy, xy = (_means(product, tile) / some for product in (x * x, y * y, x * y))
        sloped = seen & (np.maximum(xx, yy) >= _SLOPE**2)
        differs |= sloped & (xy < _CORRELATION * np.sqrt((xx + _NOISE**2) * (yy + _NOISE**2)))
        tells |= sloped
    left, right = (_means(plane * weight, tile) / some for plane in planes)
    repainted = seen & ~tells & (np.abs(left - right) > _TONE)
    return float(np.count_nonzero(differs | repainted) / max(1, int(np.count_nonzero(tells | repainted))))


def _means(plane: Float32Array, tile: int) -> Float32Array:
    """Means over the tiles of a plane, float32 (h, w); what is left over at its ends is in none."""
    height, width = (max(1, side // tile) for side in plane.shape)
    part = plane[: height * tile, : width * tile]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _middle(plane: UInt8Array) -> tuple[float, float]:
    return (plane.shape[1] - 1) / 2, (plane.shape[0] - 1) / 2


def _drawn(fine: UInt8Array, to_coarse: Matrix, shape: tuple[int, ...]) -> Float32Array:
    """``fine`` on the coarse grid, (h, w) = ``shape``; area-averaged first, so that nothing aliases."""
    factor = min(1.0, scale_of(to_coarse, _middle(fine)))
    size = max(2, round(fine.shape[1] * factor)), max(2, round(fine.shape[0] * factor))
    small = np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.uint8)
    matrix = to_coarse @ _resized(small, fine)
    drawn = cv2.warpPerspective(small.astype(np.float32), matrix, shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.float32)
