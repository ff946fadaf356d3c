"""What two aligned pictures are to each other, and which of them may stand for the other one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.agreement import centre, corners, filled
from modules.matching.composition import LEAST_FILL, setting
from modules.matching.evidence import Box, Evidence
from modules.matching.geometry import Matrix, inverse, moved, scale_of
from modules.matching.margins import is_margin
from modules.records import VERDICT_DTYPE, Grade, Kind, Method, UInt8Array

Verdicts = NDArray[Any]

#: From this share on a picture counts as shown by another one.
HELD_COVER = 0.9
#: A part may show its content at most this much finer (pixels a side) than the picture that holds it.
MAX_FINER = 1.5
#: The same of a picture in a composition: screens enlarge it to their width.
MAX_FINER_INSIDE = 4.0
#: Places along each border of a picture that are looked at in the other one, how many of them must lie on it at least,
#: and levels from which on it has another colour there.
_ALONG, _LEAST_SEEN, _OWN = 16, 3, 40


def relate(matrix: Matrix, a: Evidence, b: Evidence) -> tuple[Kind, float, float]:
    """Kind, share of a that b shows and share of b that a shows, of two pictures whose overlap agrees.

    The shares are 0 to 1, plain borders aside; matrix: pixels of a's thumbnail to those of b's, float64 (3, 3).
    """
    likely = _box(matrix, a, b), _box(inverse(matrix), b, a)
    # Where a border ends, and whose it is, is not always to be seen: what lets one stand for the other counts.
    found = []
    for boxes in dict.fromkeys((likely, (a.content, b.content), (_whole(a), _whole(b)))):
        found.append(_related(matrix, a, b, boxes))
        if found[-1][0] in {Kind.COPY, Kind.PART}:
            return found[-1]
    return found[0]


def _related(matrix: Matrix, a: Evidence, b: Evidence, boxes: tuple[Box, Box]) -> tuple[Kind, float, float]:
    """:func:`relate` of what lies in a box of each."""
    box_a, box_b = boxes
    a_on_b, b_on_a = corners(matrix, box_a), corners(inverse(matrix), box_b)
    cover_a, cover_b = _share(b_on_a, a.thumb, box_a), _share(a_on_b, b.thumb, box_b)
    if cover_a >= HELD_COVER and cover_b >= HELD_COVER:
        return Kind.COPY, cover_a, cover_b
    if cover_a >= HELD_COVER:
        return setting(a_on_b, b.thumb, cover_b), cover_a, cover_b
    if cover_b >= HELD_COVER:
        return setting(b_on_a, a.thumb, cover_a), cover_a, cover_b
    return Kind.RELATED, cover_a, cover_b


def _whole(picture: Evidence) -> Box:
    height, width = picture.grey.shape
    return 0, 0, width, height


def _box(matrix: Matrix, own: Evidence, other: Evidence) -> Box:
    """What of a picture is compared: all of it, or what is within its border, where the other one has no such border.

    A frame, or the wall behind a thing, belongs to a picture whose copies show it too.
    """
    if own.content == _whole(own):
        return own.content
    height, width = own.grey.shape
    left, top, right, bottom = own.content
    across, down = (np.linspace(0, length - 1, _ALONG) for length in (width, height))
    middles = [(left / 2, "x"), ((right + width) / 2, "x"), (top / 2, "y"), ((bottom + height) / 2, "y")]
    depths = (left, width - right, top, height - bottom)
    lines = [
        np.column_stack([np.full(_ALONG, middle), down] if axis == "x" else [across, np.full(_ALONG, middle)])
        for (middle, axis), depth in zip(middles, depths, strict=True)
        if depth
    ]
    here = np.concatenate(lines)
    there = np.rint(moved(matrix, here)).astype(np.int64)
    inside = ((there >= 0) & (there < other.grey.shape[::-1])).all(axis=1)
    seen, found = np.floor(here[inside]).astype(np.int64), there[inside]
    colours = own.thumb[seen[:, 1], seen[:, 0]].astype(np.int16), other.thumb[found[:, 1], found[:, 0]]
    apart = np.abs(colours[0] - colours[1]).max(axis=1)
    return own.content if np.count_nonzero(apart > _OWN) > max(_LEAST_SEEN, len(apart) / 2) else _whole(own)


def _share(inner: Matrix, outer: UInt8Array, box: Box) -> float:
    """Share of a box of ``outer`` on which a picture lies, whose corners there are ``inner``, pixels (4, 2)."""
    left, top, right, bottom = box
    part = outer[top:bottom, left:right]
    mask = filled(inner - (left, top), *part.shape[:2])
    share: float = cv2.countNonZero(mask) / mask.size
    return 1.0 if share == 1.0 or is_margin(part, mask) else share


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
    method: Method = Method.NONE,
    transform: Matrix | None = None,
) -> Verdicts:
    """One verdict, an array of VERDICT_DTYPE without dimensions."""
    found = np.zeros((), dtype=VERDICT_DTYPE)
    found["kind"], found["scale"], found["mirrored"], found["turn"] = kind, scale, mirrored, turn
    found["cover_a"] = found["area_a"] = cover_a
    found["cover_b"] = found["area_b"] = cover_b
    found["agreement"], found["inliers"] = agreement, inliers
    found["grade"] = Grade.NONE if kind == Kind.NONE else grade
    found["method"] = method
    if transform is not None:
        found["transform"] = transform
    return found


def orient(verdicts: Verdicts) -> Verdicts:
    """The same verdicts, any shape of VERDICT_DTYPE, with a and b swapped."""
    swapped = verdicts.copy()
    for name in ("cover", "area", "margin", "grey", "drawn", "box"):
        swapped[f"{name}_a"], swapped[f"{name}_b"] = verdicts[f"{name}_b"], verdicts[f"{name}_a"]
    known = verdicts["scale"] > 0
    swapped["scale"] = np.where(known, 1 / np.where(known, verdicts["scale"], 1), 0)
    laid = verdicts["transform"][..., 2, 2] != 0
    there = np.where(laid[..., None, None], verdicts["transform"], np.eye(3)).astype(np.float64)
    swapped["transform"] = np.where(laid[..., None, None], np.linalg.inv(there), 0)
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
