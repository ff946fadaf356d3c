"""Whether a picture inside another one is a crop of it, set into a composition, or one of several in a collage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from modules.matching.agreement import placed
from modules.matching.geometry import Matrix
from modules.records import Float32Array, Kind, UInt8Array

#: A composition shows at least this share of itself as the picture in it; less is one of many things in it.
LEAST_FILL = 0.25
#: From this share on, whatever is beside the picture is an addition to it.
_MOST_FILL = 0.75
#: From this share on, with other things on so few sides only, an edge must be plain to see: one side of a crop may well
#: run along something.
_MOST_FILL_BESIDE, _FEW_SIDES = 0.65, 2
#: A side is cut when the step across it is this many times the picture's own change beside it, plus a margin.
_CUT_RATIO, _CUT_MARGIN = 1.6, 8.0
#: Or when the pictures on both sides of it run on by themselves and not into each other: correlation across, how much
#: less that is than beside, and the least step, in levels.
_ACROSS, _LESS, _STEP = 0.15, 0.4, 12.0
#: Or when a plain line lies between them: its deviation, as a share of theirs, and the levels that they must have.
_GUTTER, _VARIED = 0.55, 8.0
#: Or when one plain tone gives way to another one: least step, in levels, and how far it may go on.
_FAINT, _LEVEL = 5.0, 1.5
#: Share of places along a side that must show that step.
_EVERYWHERE = 0.85
#: Share of the sides, by length, that must be cut.
_CUT_SHARE = 0.7
#: Sides that are shorter, in thumbnail pixels, are not looked at; share of a side that must have something beyond it.
_SHORTEST, _BEYOND = 4.0, 0.75
#: Where along a side it is looked at: not at its corners, which may be round.
_ALONG = np.linspace(0.08, 0.92, 48)
#: Thumbnail pixels outward from a side: inside, on the side, and beyond it.
_OFFSETS = (-6.0, -4.0, -2.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 6.0)
_LINE = slice(3, 11)
#: Levels of fine detail that make a pixel busy, and the share of them that makes another picture of a region.
_FINE, _BUSY = 4.0, 0.3
#: Share of a region's four most frequent tones, of 32, that makes it plain ground with something written on it.
_GROUND = 0.58
#: The same from which on it is a plain margin; thumbnail pixels beside a side that belong to no region.
_PLAIN_MARGIN, _MARGIN = 0.95, 3.0
#: Least area of a region of other pictures, as a share of the picture's own.
_LARGE = 0.4
#: Thumbnail pixels that the line of a side must go on to be looked at there.
_LEAST_EXTENSION = 14.0
#: Sides with other pictures beyond them up to which these are a collage; on more sides they are a background.
_COLLAGE_SIDES = 2


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the inner picture on the outer one: where it begins and ends, and the way out, (2,) each."""

    start: Matrix
    end: Matrix
    outward: Matrix
    length: float


def setting(places: Matrix, outer: UInt8Array, fill: float) -> Kind:
    """PART, EMBEDDED or COLLAGE: how a picture that ``outer`` shows whole lies in it.

    places: its corners there, pixels, float64 (4, 2); outer: a thumbnail, BGR uint8. fill: share of the outer one that
    the inner one is.
    """
    sides = _sides(places, outer)
    if not _are_cut(outer, sides, plainly=len(sides) <= _FEW_SIDES and fill > _MOST_FILL_BESIDE):
        return Kind.PART
    if fill < LEAST_FILL:
        return Kind.COLLAGE
    return Kind.COLLAGE if fill < _MOST_FILL and _is_collage(sides, outer, fill) else Kind.EMBEDDED


def is_pasted(matrix: Matrix, inner: UInt8Array, outer: UInt8Array) -> bool:
    """Whether ``inner`` ends at an edge in ``outer`` where a crop would go on.

    inner, outer: thumbnails, BGR uint8; matrix: pixels of inner to those of outer, float64 (3, 3).
    """
    return _are_cut(outer, _sides(placed(matrix, inner), outer), plainly=False)


def _are_cut(outer: UInt8Array, sides: list[_Side], *, plainly: bool) -> bool:
    """Whether most of the sides, by length, are cut; ``plainly``: by an edge, not only in that the rest is another."""
    left = sum(side.length for side in sides)
    wanted = _CUT_SHARE * left
    for side in sorted(sides, key=lambda side: -side.length):
        if wanted < 0 or wanted >= left:
            break  # whatever the rest is
        left -= side.length
        wanted -= side.length * _is_cut(outer, side, plainly=plainly)
    return wanted < 0


def _sides(corners: Matrix, outer: UInt8Array) -> list[_Side]:
    """Those sides that have something of ``outer`` beyond them."""
    height, width = outer.shape[:2]
    centre = corners.mean(axis=0)
    sides = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = float(np.linalg.norm(end - start))
        if length < _SHORTEST:
            continue
        outward = np.array([end[1] - start[1], start[0] - end[0]]) / length
        if outward @ (start - centre) < 0:
            outward = -outward
        side = _Side(start, end, outward, length)
        beyond = _lines(side, _OFFSETS[-1:])[0]
        if ((beyond >= 0) & (beyond <= [width - 1, height - 1])).all(axis=1).mean() >= _BEYOND:
            sides.append(side)
    return sides


def _lines(side: _Side, offsets: Sequence[float]) -> Matrix:
    """Places along a side, so far outward from it each, float64 (len(offsets), samples, 2)."""
    along = side.start + _ALONG[:, None] * (side.end - side.start)
    return np.asarray(along + np.asarray(offsets)[:, None, None] * side.outward)


def _is_cut(outer: UInt8Array, side: _Side, *, plainly: bool) -> bool:
    """Whether ``outer`` changes abruptly across a side, where a crop would go on."""
    places = _lines(side, _OFFSETS).astype(np.float32)
    lines = cv2.remap(outer, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lines = lines.astype(np.float32)
    far_in, near_in, near_out, out = lines[0], lines[2], lines[8], lines[11]
    across, within, without = (_step(*two) for two in ((near_in, near_out), (far_in, near_in), (near_out, out)))
    if across > _CUT_RATIO * 0.5 * (within + without) + _CUT_MARGIN:
        return True
    if _is_faint_edge(far_in, near_in, near_out, out):
        return True
    if plainly:
        return False
    tones = lines.mean(axis=2)
    varied = tones.std(axis=1)
    if min(varied[1], varied[2]) > _VARIED and varied[_LINE].min() < _GUTTER * min(varied[1], varied[2], varied[11]):
        return True
    grey = [line.mean(axis=1) for line in (far_in, near_in, near_out, out)]
    run = _alike(grey[1], grey[2])
    beside = max(_alike(grey[0], grey[1]), _alike(grey[2], grey[3]))
    return across > _STEP and run < _ACROSS and beside > run + _LESS


def _is_faint_edge(far_in: Float32Array, near_in: Float32Array, near_out: Float32Array, out: Float32Array) -> bool:
    """Whether the tone changes all along a side, rows of pixels (n, 3), by the same little, and beside it not."""
    across = near_out - near_in
    middle = np.median(across, axis=0)
    channel = int(np.abs(middle).argmax())
    step = abs(float(middle[channel]))
    if step < _FAINT:
        return False
    beside = max(float(np.abs(np.median(rows, axis=0)).max()) for rows in (near_in - far_in, out - near_out))
    if beside > _LEVEL:
        return False
    return bool((np.abs(across[:, channel] - middle[channel]) <= step / 2).mean() >= _EVERYWHERE)


def _step(left: Float32Array, right: Float32Array) -> float:
    return float(np.abs(left - right).max(axis=1).mean())


def _alike(left: Float32Array, right: Float32Array) -> float:
    """Correlation of two rows of tones; of those that hardly vary it is near 0."""
    x, y = left - left.mean(), right - right.mean()
    return float((x @ y) / np.sqrt((x @ x + 200) * (y @ y + 200)))


def _extended(side: _Side, outer: UInt8Array) -> list[_Side]:
    """What the line of a side goes on as, both ways, to the edges of ``outer``."""
    last = np.array([outer.shape[1] - 1, outer.shape[0] - 1], np.float64)
    parts = []
    along = (side.end - side.start) / side.length
    for start, way in ((side.end, along), (side.start, -along)):
        # How far it is to the edge that comes first; a line along an axis never meets the other two.
        rooms = [(last[n] - start[n] if way[n] > 0 else start[n]) / abs(way[n]) for n in (0, 1) if abs(way[n]) > 0.05]
        if (room := min(rooms)) >= _LEAST_EXTENSION:
            parts.append(_Side(start, start + room * way, side.outward, float(room)))
    return parts


def _is_collage(sides: list[_Side], outer: UInt8Array, fill: float) -> bool:
    """Whether other pictures lie on one or two sides, and nothing but plain margins on the rest.

    Other pictures have fine detail, no plain ground as captions have, a size of their own, which the head of a window
    has not, and edges in line with this one's. On more sides they are one background.
    """
    grey = cv2.cvtColor(outer, cv2.COLOR_BGR2GRAY)
    fine = cv2.absdiff(grey, cv2.GaussianBlur(grey, (9, 9), 2.0)) > _FINE
    height, width = grey.shape
    down, across = np.mgrid[:height, :width]
    settled = pictures = 0
    for side in sides:
        beyond = (across - side.start[0]) * side.outward[0] + (down - side.start[1]) * side.outward[1] > _MARGIN
        tones = grey[beyond]
        ground = np.sort(np.bincount(tones >> 3, minlength=32))[-4:].sum() / len(tones)
        settled += ground < _PLAIN_MARGIN
        large = beyond.mean() >= _LARGE * fill
        other = large and ground < _GROUND and fine[beyond].mean() >= _BUSY
        pictures += other and all(_is_cut(outer, part, plainly=False) for part in _extended(side, outer))
    return pictures >= 1 and settled <= _COLLAGE_SIDES
