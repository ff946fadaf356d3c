"""What two aligned pictures are to each other, and which of them may stand for the other one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.agreement import centre, filled, placed
from modules.matching.composition import LEAST_FILL, setting
from modules.matching.evidence import Evidence
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.records import VERDICT_DTYPE, Grade, Kind, UInt8Array

Verdicts = NDArray[Any]

#: From this share on a picture counts as shown by another one.
HELD_COVER = 0.9
#: A part may show its content at most this much finer (pixels a side) than the picture that holds it.
MAX_FINER = 1.5
#: The same of a picture in a composition: screens enlarge it to their width.
MAX_FINER_INSIDE = 4.0
#: Colour distance, in levels of the worst channel, within which a border is one plain colour.
_PLAIN = 24
#: Share of an uncovered region that must have its colour for the region to be a plain border.
_PLAIN_SHARE = 0.98
_SEAM = np.ones((5, 5), np.uint8)
#: Pixels that are looked at to see whether a region is plain.
_ENOUGH = 400


def covers(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> tuple[float, float]:
    """Share of a that b shows and share of b that a shows, plain borders aside, 0 to 1 each.

    a, b: thumbnails, BGR uint8; matrix: pixels of a to pixels of b, float64 (3, 3).
    """
    return _share(b, a, inverse(matrix)), _share(a, b, matrix)


def _share(inner: UInt8Array, outer: UInt8Array, matrix: Matrix) -> float:
    """Share of ``outer`` on which ``inner`` lies."""
    height, width = outer.shape[:2]
    mask = filled(placed(matrix, inner), height, width)
    share: float = cv2.countNonZero(mask) / (height * width)
    if share == 1.0:
        return 1.0
    # The seam is half this and half that; it belongs to neither.
    rest = outer[::2, ::2][cv2.dilate(mask, _SEAM)[::2, ::2] == 0]
    if len(rest) == 0 or _is_plain(rest[:: 1 + len(rest) // _ENOUGH]):
        return 1.0
    return share


def _is_plain(pixels: UInt8Array) -> bool:
    """Whether pixels, uint8 (n, 3), are of one colour but for JPEG noise."""
    channels = pixels.T.astype(np.int16)
    ordered = np.sort(channels, axis=1)
    # Twice the median, a whole number.
    middle = ordered[:, (len(pixels) - 1) // 2] + ordered[:, len(pixels) // 2]
    near = np.logical_and.reduce(np.abs(2 * channels - middle[:, None]) <= 2 * _PLAIN)
    return bool(np.count_nonzero(near) >= _PLAIN_SHARE * len(pixels))


def relate(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> tuple[Kind, float, float]:
    """Kind, cover of a and cover of b of two pictures whose overlap agrees. Arguments as in :func:`covers`."""
    cover_a, cover_b = covers(matrix, a, b)
    if cover_a >= HELD_COVER and cover_b >= HELD_COVER:
        return Kind.COPY, cover_a, cover_b
    if cover_a >= HELD_COVER:
        return setting(matrix, a, b, cover_b), cover_a, cover_b
    if cover_b >= HELD_COVER:
        return setting(inverse(matrix), b, a, cover_a), cover_a, cover_b
    return Kind.RELATED, cover_a, cover_b


def verdict(
    kind: Kind,
    *,
    cover_a: float = 0.0,
    cover_b: float = 0.0,
    scale: float = 1.0,
    mirrored: bool = False,
    turn: float = 0.0,
    agreement: float = 0.0,
    inliers: int = 0,
    grade: Grade = Grade.STRICT,
) -> Verdicts:
    """One verdict, an array of VERDICT_DTYPE without dimensions."""
    found = np.zeros((), dtype=VERDICT_DTYPE)
    found["kind"], found["scale"], found["mirrored"], found["turn"] = kind, scale, mirrored, turn
    found["cover_a"] = found["area_a"] = cover_a
    found["cover_b"] = found["area_b"] = cover_b
    found["agreement"], found["inliers"] = agreement, inliers
    found["grade"] = Grade.NONE if kind == Kind.NONE else grade
    return found


def orient(verdicts: Verdicts) -> Verdicts:
    """The same verdicts, any shape of VERDICT_DTYPE, with a and b swapped."""
    swapped = verdicts.copy()
    for name in ("cover", "area", "margin", "grey", "drawn"):
        swapped[f"{name}_a"], swapped[f"{name}_b"] = verdicts[f"{name}_b"], verdicts[f"{name}_a"]
    known = verdicts["scale"] > 0
    swapped["scale"] = np.where(known, 1 / np.where(known, verdicts["scale"], 1), 0)
    # Undoing a turn turns back; undoing a mirroring followed by a turn is that very thing again.
    swapped["turn"] = np.where(verdicts["mirrored"], verdicts["turn"], -verdicts["turn"])
    return swapped


def demand(verdicts: Verdicts, least: Grade) -> Verdicts:
    """The same verdicts, any shape of VERDICT_DTYPE; those of a lower grade say that the pictures are different."""
    demanded = verdicts.copy()
    demanded["kind"] = np.where(verdicts["grade"] >= least, verdicts["kind"], Kind.NONE)
    return demanded


def holds(verdicts: Verdicts, relations: Collection[Kind], *, any_resolution: bool = False) -> NDArray[np.bool_]:
    """Whether b of each verdict (n,) may stand for a: shows it whole and not much coarser, in an accepted way.

    A copy may be of any resolution, because the better one is asked to stand for the other first. A part is
    held by what it is a part of. Of a picture and a composition around it, the picture stands for the
    composition, never the other way round, and neither for a collage in which it is one of several. Of two
    pictures of one scene each may stand for the other. any_resolution: a part and a composition too may be held by
    something much coarser: where another keep policy than quality was asked for, detail is not what counts.
    """
    kind = verdicts["kind"]
    # scale: pixels of b for one of a, so less than 1 says that a is the finer one.
    fine_enough = (verdicts["scale"] * MAX_FINER >= 1) | any_resolution
    shown = verdicts["cover_a"] >= HELD_COVER
    copy = (kind == Kind.COPY) & shown
    part = (kind == Kind.PART) & shown & fine_enough
    composed = (
        (kind == Kind.EMBEDDED)
        & (verdicts["cover_b"] >= HELD_COVER)
        & (verdicts["cover_a"] >= LEAST_FILL)
        & ((verdicts["scale"] * MAX_FINER_INSIDE >= 1) | any_resolution)
    )
    held = np.zeros(kind.shape, dtype=np.bool_)
    scene = kind == Kind.SCENE
    kinds = ((Kind.COPY, copy), (Kind.PART, part), (Kind.EMBEDDED, composed), (Kind.SCENE, scene))
    for relation, applies in kinds:
        if relation in relations:
            held |= applies
    return held


def pixel_scale(matrix: Matrix, a: Evidence, b: Evidence) -> float:
    """Stored pixels of b for one of a. matrix: thumbnail pixels of a to those of b."""
    grown = scale_of(matrix, centre(a.grey))
    shrunk_a, shrunk_b = (max(picture.size) / float(max(picture.grey.shape)) for picture in (a, b))
    return grown * shrunk_b / shrunk_a
