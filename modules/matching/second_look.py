"""A pair that is about to be joined, looked at again: its thumbnails first, then the pictures themselves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.confidence import confidence, in_doubt
from modules.matching.evidence import Evidence, flatness, frame, reduced
from modules.matching.geometry import Matrix, inverse, thumb_matrix
from modules.matching.look import LOOK_SIDE, Look, compare
from modules.matching.relations import Verdicts
from modules.records import LookLevel, Method, UInt8Array

#: Pixels of the overlap's longer side at which photographs are compared, and pages, screens and drawings, for whose
#: text all that the working picture has is used; the flatness of both (see Evidence) that tells them apart.
PHOTO_SIDE, PAGE_SIDE = 448, LOOK_SIDE
PAGE_FLATNESS = 0.6
#: Shares of the rows of a damaged picture that may be intact, from the top.
INTACT = (0.8, 0.55, 0.35, 0.2)
#: Long side of a picture at which its flatness is told.
_SKETCH = 128


def look_of_thumbs(a: Evidence, b: Evidence, verdict: Verdicts) -> Look | None:
    """By the thumbnails of two pictures; verdict: of a and b, VERDICT_DTYPE without dimensions.

    None where no one transform lays them on each other, or they hardly overlap.
    """
    if verdict["method"] == Method.PIECES:
        return None
    matrix = thumb_matrix(verdict["transform"].astype(np.float64), a, b)
    stored = min(max(picture.grey.shape) / max(picture.size) for picture in (a, b))
    return compare(a.thumb[..., ::-1], b.thumb[..., ::-1], matrix, stored=min(1.0, stored), side=PHOTO_SIDE)


def look_closely(a: UInt8Array, b: UInt8Array, verdict: Verdicts) -> Look | None:
    """By two pictures, RGB uint8 (h, w, 3), as :func:`look_of_thumbs`."""
    return _look(a, b, verdict, _matrix(a, b, verdict))


def needs_pictures(verdicts: Verdicts, damaged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of verdicts, VERDICT_DTYPE (...), looked at by their thumbnails, the pictures themselves must tell.

    damaged: whether each of both lost data, (..., 2): a thumbnail of such a picture shows mostly what came of it.
    """
    return np.asarray(in_doubt(verdicts) | (damaged[..., 0] != damaged[..., 1]))


def closest_look(a: UInt8Array, b: UInt8Array, verdict: Verdicts, *, damaged: tuple[bool, bool]) -> Look | None:
    """The look at two pictures of which it is known whether each one is damaged."""
    if damaged[0] != damaged[1]:
        return look_torn(a, b, verdict, first=damaged[0])
    return look_closely(a, b, verdict)


def look_torn(a: UInt8Array, b: UInt8Array, verdict: Verdicts, *, first: bool) -> Look | None:
    """The same of two of which one, the ``first`` or the second, lost data from some row on: by the rows above alone.

    The surest of some guesses at that row, for data after it may look like anything.
    """
    best, sure = None, -1.0
    for share in INTACT:
        parts = (_above(a, share), b) if first else (a, _above(b, share))
        look = _look(*parts, verdict, _matrix(a, b, verdict))
        if look is not None and (found := confidence(look, verdict)) > sure:
            best, sure = look, found
    return best


def _above(picture: UInt8Array, share: float) -> UInt8Array:
    return picture[: max(1, round(share * len(picture)))]


def _matrix(a: UInt8Array, b: UInt8Array, verdict: Verdicts) -> Matrix:
    """Pixels of a to those of b, float64 (3, 3)."""
    return np.asarray(_pixels(b) @ verdict["transform"].astype(np.float64) @ inverse(_pixels(a)))


def _look(a: UInt8Array, b: UInt8Array, verdict: Verdicts, matrix: Matrix) -> Look | None:
    if verdict["method"] == Method.PIECES:
        return None
    pages = min(_flatness(a), _flatness(b)) >= PAGE_FLATNESS
    return compare(a, b, matrix, side=PAGE_SIDE if pages else PHOTO_SIDE)


def _pixels(picture: UInt8Array) -> Matrix:
    """From the frame of a picture to its pixels' centres, float64 (3, 3)."""
    height, width = picture.shape[:2]
    across, down = frame((width, height))
    return np.array([[width / across, 0.0, -0.5], [0.0, height / down, -0.5], [0.0, 0.0, 1.0]])


def _flatness(picture: UInt8Array) -> float:
    small = reduced(picture, min(1.0, _SKETCH / max(picture.shape[:2])))
    return flatness(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8))


def looked(verdict: Verdicts, look: Look | None, level: LookLevel) -> Verdicts:
    """The verdict, VERDICT_DTYPE without dimensions, with what a look says of it; it is changed in place."""
    verdict["looked"] = level
    verdict["confidence"] = confidence(look, verdict)
    if look is not None:
        verdict["box_a"], verdict["box_b"] = look.box_a, look.box_b
    return verdict
