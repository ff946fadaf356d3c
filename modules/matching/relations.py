"""What two aligned pictures are to each other, and which of them may stand for the other one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.agreement import covered
from modules.matching.geometry import Matrix, Size, inverse, scale_of
from modules.records import VERDICT_DTYPE, Kind, UInt8Array

Verdicts = NDArray[Any]

#: From this share on a picture counts as shown by another one.
HELD_COVER = 0.9
#: A part may show its content at most this much finer (pixels a side) than the picture that holds it.
MAX_FINER = 1.5
#: A composition counts as a copy of the picture in it only if that fills this share of it: a collage does not.
EMBEDDED_COVER = 0.5
#: Colour distance, in levels of the worst channel, within which a border is one plain colour.
_PLAIN = 24
#: Share of an uncovered region that must have its colour for the region to be a plain border.
_PLAIN_SHARE = 0.98
#: A side is cut when the step across it is this many times the picture's own change beside it, plus a margin.
_CUT_RATIO = 1.6
_CUT_MARGIN = 8.0
#: Share of the sides, by length, that must be cut.
_CUT_SHARE = 0.6
_SAMPLES = 48


def covers(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> tuple[float, float]:
    """Share of a that b shows and share of b that a shows, plain borders aside, 0 to 1 each.

    a, b: thumbnails, BGR uint8; matrix: pixels of a to pixels of b, float64 (3, 3).
    """
    return _share(b, a, inverse(matrix)), _share(a, b, matrix)


def _share(inner: UInt8Array, outer: UInt8Array, matrix: Matrix) -> float:
    """Share of ``outer`` on which ``inner`` lies."""
    mask = covered(matrix, inner, outer)
    # The seam is half this and half that; it belongs to neither.
    seam = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.bool_)
    rest = outer[~seam]
    if len(rest) == 0 or _is_plain(rest):
        return 1.0
    return float(mask.mean())


def _is_plain(pixels: UInt8Array) -> bool:
    """Whether pixels, uint8 (n, 3), are of one colour but for JPEG noise."""
    distance = np.abs(pixels.astype(np.float32) - np.median(pixels, axis=0)).max(axis=1)
    return bool((distance <= _PLAIN).mean() >= _PLAIN_SHARE)


def relate(matrix: Matrix, a: UInt8Array, b: UInt8Array) -> tuple[Kind, float, float]:
    """Kind, cover of a and cover of b of two pictures whose overlap agrees. Arguments as in :func:`covers`."""
    cover_a, cover_b = covers(matrix, a, b)
    if cover_a >= HELD_COVER and cover_b >= HELD_COVER:
        return Kind.COPY, cover_a, cover_b
    if cover_a >= HELD_COVER:
        return (Kind.EMBEDDED if _is_pasted(matrix, a, b) else Kind.PART), cover_a, cover_b
    if cover_b >= HELD_COVER:
        return (Kind.EMBEDDED if _is_pasted(inverse(matrix), b, a) else Kind.PART), cover_a, cover_b
    return Kind.RELATED, cover_a, cover_b


def _is_pasted(matrix: Matrix, inner: UInt8Array, outer: UInt8Array) -> bool:
    """Whether ``inner`` ends at an edge in ``outer`` where a crop of it would go on.

    Of the sides that have something of ``outer`` beyond them, most must be cut, by length.
    """
    height, width = inner.shape[:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    corners = corners @ matrix[:2, :2].T + matrix[:2, 2]
    cut = whole = 0.0
    centre = corners.mean(axis=0)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = float(np.linalg.norm(end - start))
        if length < 4:
            continue
        outward = np.array([end[1] - start[1], start[0] - end[0]]) / length
        if outward @ (start - centre) < 0:
            outward = -outward
        verdict = _is_cut(outer, start, end, outward)
        if verdict is not None:
            whole += length
            cut += length * verdict
    return whole > 0 and cut > _CUT_SHARE * whole


def _is_cut(outer: UInt8Array, start: Matrix, end: Matrix, outward: Matrix) -> bool | None:
    """Whether the picture changes abruptly across a side; None where nothing lies beyond it."""
    along = start + np.linspace(0.08, 0.92, _SAMPLES)[:, None] * (end - start)
    lines = {offset: along + offset * outward for offset in (-6, -2, 2, 6)}
    height, width = outer.shape[:2]
    beyond = lines[6]
    inside = ((beyond >= 0) & (beyond <= [width - 1, height - 1])).all(axis=1)
    if inside.mean() < 0.75:
        return None
    values = {offset: _sampled(outer, line) for offset, line in lines.items()}
    across = _step(values[-2], values[2])
    beside = 0.5 * (_step(values[-6], values[-2]) + _step(values[2], values[6]))
    return across > _CUT_RATIO * beside + _CUT_MARGIN


def _sampled(picture: UInt8Array, places: Matrix) -> NDArray[np.float32]:
    sampled = cv2.remap(
        picture,
        places[:, 0].astype(np.float32)[None],
        places[:, 1].astype(np.float32)[None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled[0], dtype=np.float32)


def _step(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.abs(left - right).max(axis=1).mean())


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
) -> Verdicts:
    """One verdict, an array of VERDICT_DTYPE without dimensions."""
    return np.array((kind, cover_a, cover_b, scale, mirrored, turn, agreement, inliers), dtype=VERDICT_DTYPE)


def orient(verdicts: Verdicts) -> Verdicts:
    """The same verdicts, any shape of VERDICT_DTYPE, with a and b swapped."""
    swapped = verdicts.copy()
    swapped["cover_a"], swapped["cover_b"] = verdicts["cover_b"], verdicts["cover_a"]
    known = verdicts["scale"] > 0
    swapped["scale"] = np.where(known, 1 / np.where(known, verdicts["scale"], 1), 0)
    # Undoing a turn turns back; undoing a mirroring followed by a turn is that very thing again.
    swapped["turn"] = np.where(verdicts["mirrored"], verdicts["turn"], -verdicts["turn"])
    return swapped


def holds(verdicts: Verdicts, relations: Collection[Kind], *, any_resolution: bool = False) -> NDArray[np.bool_]:
    """Whether b of each verdict (n,) may stand for a: shows it whole and not much coarser, in an accepted way.

    A copy may be of any resolution, because the better one is asked to stand for the other first. A part is
    held by what it is a part of. Of a picture and a composition around it, the picture stands for the
    composition, never the other way round, and not for a collage of which it fills less than half. Of two
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
        & (verdicts["cover_a"] >= EMBEDDED_COVER)
        & fine_enough
    )
    held = np.zeros(kind.shape, dtype=np.bool_)
    scene = kind == Kind.SCENE
    kinds = ((Kind.COPY, copy), (Kind.PART, part), (Kind.EMBEDDED, composed), (Kind.SCENE, scene))
    for relation, applies in kinds:
        if relation in relations:
            held |= applies
    return held


def pixel_scale(matrix: Matrix, a: UInt8Array, b: UInt8Array, size_a: Size, size_b: Size) -> float:
    """Stored pixels of b for one of a. matrix: thumbnail pixels of a to those of b."""
    grown = scale_of(matrix)
    shrunk_a, shrunk_b = (max(size) / float(max(t.shape[:2])) for size, t in ((size_a, a), (size_b, b)))
    return grown * shrunk_b / shrunk_a
