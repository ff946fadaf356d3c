"""Strong edits of a training picture: what people and services do to pictures, several at once.

An edit is one warp (crop, turn, mirror, perspective, pasting into another picture), what is drawn over it, what light
and colour become, and how it is saved. Parameters are drawn wide: these are no copies of the edits that the benchmark
makes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import UInt8Array
from training.pictures import write

Rng = np.random.Generator
Float = NDArray[np.float32]


def view(picture: UInt8Array, other: UInt8Array, side: int, rng: Rng, strength: float) -> UInt8Array:
    """One edited copy, uint8 (side, side, 3).

    picture: uint8 (n, n, 3). other: one that it may be pasted into. strength: 0 for next to nothing, 1 for the most.
    """
    edited = _warped(picture, other, side, rng, strength)
    if rng.random() < 0.12 * strength:
        edited = _shuffled(edited, rng)
    if rng.random() < 0.45 * strength:
        edited = _drawn_over(edited, rng)
    if rng.random() < 0.7 * strength:
        edited = _lit(edited, rng, strength)
    if rng.random() < 0.5 * strength:
        edited = _degraded(edited, rng)
    if rng.random() < 0.6:
        edited = _saved(edited, int(rng.integers(15, 95)))
    return edited


def _warped(picture: UInt8Array, other: UInt8Array, side: int, rng: Rng, strength: float) -> UInt8Array:
    """The picture, or a part of it, brought into the corners of a quadrangle on a square."""
    size = len(picture)
    corners = _part(size, rng, strength)
    target = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    ground, fill = None, None
    kind = rng.random()
    if kind < 0.36 * strength:
        ground, target = _composition(other, target, side, rng)
    elif kind < 0.62 * strength:
        target = _turned(target, side, rng)
        fill = tuple(float(level) for level in rng.choice([[0, 0, 0], [255, 255, 255], list(rng.integers(0, 256, 3))]))
    elif kind < 0.75 * strength:
        target = target + np.float32(side * 0.2) * (rng.random((4, 2), np.float32) - 0.5)
    corners = _symmetry(corners, rng, strength)
    scale = np.sqrt(_area(corners) / max(_area(target), 1))
    if scale > 1.2:  # what is shrunk is smoothed first, as INTER_AREA would
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45 * float(scale)), np.uint8)
    matrix = cv2.getPerspectiveTransform(corners, np.asarray(target, np.float32))
    if ground is not None:
        out = cv2.warpPerspective(picture, matrix, (side, side), dst=ground, borderMode=cv2.BORDER_TRANSPARENT)
    elif fill is not None:
        out = cv2.warpPerspective(picture, matrix, (side, side), borderValue=fill)
    else:
        out = cv2.warpPerspective(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def _area(corners: Float) -> float:
    return abs(float(cv2.contourArea(corners)))


def _part(size: int, rng: Rng, strength: float) -> Float:
    """Corners of what is kept: all of it, or down to a fifth of its area, of nearly any shape."""
    area = 1.0
    if rng.random() < 0.15 + 0.5 * strength:
        least = 0.9 if rng.random() > strength else 0.2
        area = np.exp(rng.uniform(np.log(least), 0))
    aspect = np.exp(rng.uniform(-0.35, 0.35) * min(1, 2 * (1 - area)))
    width, height = min(1.0, np.sqrt(area * aspect)), min(1.0, np.sqrt(area / aspect))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    box = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
    return np.asarray(box, np.float32) * np.float32(size)


def _symmetry(corners: Float, rng: Rng, strength: float) -> Float:
    """Mirrored and turned by quarters: the order of the corners says so."""
    if rng.random() < 0.3 * strength:
        corners = corners[[1, 0, 3, 2]]
    if rng.random() < 0.25 * strength:
        corners = np.roll(corners, rng.integers(1, 4), axis=0)
    return np.ascontiguousarray(corners)


def _turned(target: Float, side: int, rng: Rng) -> Float:
    """Turned by up to 10 or 45 degrees; shrunk so that all fits, or not."""
    limit = 10 if rng.random() < 0.45 else 45
    angle = np.deg2rad(rng.uniform(-limit, limit))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    fits = 1 / (abs(np.cos(angle)) + abs(np.sin(angle))) if rng.random() < 0.6 else 1.0
    return np.asarray((target - side / 2) @ turn.T * fits + side / 2, np.float32)


def _composition(other: UInt8Array, target: Float, side: int, rng: Rng) -> tuple[UInt8Array, Float]:
    """A ground, uint8 (side, side, 3), and the corners of the picture within it: pasted, captioned or framed."""
    kind = rng.random()
    if kind < 0.3:
        ground, box = cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA), _box(rng, 0.4, 0.85)
    elif kind < 0.45:
        spots = rng.integers(0, 256, (*rng.integers(2, 10, 2), 3)).astype(np.uint8)
        ground, box = cv2.resize(spots, (side, side), interpolation=cv2.INTER_CUBIC), _box(rng, 0.4, 0.85)
    elif kind < 0.7:
        ground, box = _plain(side, rng), _banded(rng)
        _captions(ground, rng)
    else:
        ground, box = _plain(side, rng), _box(rng, *((0.7, 0.97) if kind < 0.85 else (0.45, 0.9)))
        if kind > 0.75:
            _chrome(ground, rng)
    left, top, width, height = box
    corners = target * np.array([width, height], np.float32) + np.array([left, top], np.float32) * side
    return np.asarray(ground, np.uint8), np.asarray(corners, np.float32)


def _plain(side: int, rng: Rng) -> UInt8Array:
    tone = rng.integers(0, 256, 3) if rng.random() < 0.4 else np.full(3, rng.choice([0, 20, 40, 235, 245, 255]))
    return np.broadcast_to(tone.astype(np.uint8), (side, side, 3)).copy()


def _box(rng: Rng, low: float, high: float) -> tuple[float, float, float, float]:
    """Left, top, width and height of a place inside, shares of the side; low, high: of its width and height."""
    width = rng.uniform(low, high)
    height = float(np.clip(width * np.exp(rng.uniform(-0.3, 0.3)), low, high))
    return rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height


def _banded(rng: Rng) -> tuple[float, float, float, float]:
    """A place that leaves a band above, below or both, as wide as the whole; seldom at the sides."""
    band = rng.uniform(0.08, 0.5)
    start = band * rng.choice([0.0, 1.0, rng.random()])
    upright = (0.0, start, 1.0, 1 - band)
    return upright if rng.random() < 0.8 else (start, 0.0, 1 - band, 1.0)


def _captions(ground: UInt8Array, rng: Rng) -> None:
    """Lines of text all over, in place: what the picture leaves free shows them."""
    side, ink = len(ground), 0.0 if ground.mean() > 128 else 255.0
    size, indent = rng.uniform(0.25, 0.7) * side / 128, int(rng.integers(0, side // 2))
    for y in range(int(rng.integers(8, 20)), side, int(30 * size) + int(rng.integers(4, 14))):
        write(ground, rng, (indent, y), size=size, colour=(ink, ink, ink), letters=int(rng.integers(3, 20)))


def _chrome(ground: UInt8Array, rng: Rng) -> None:
    """Bars, lines and text, in place, as a window or a page has them."""
    side = len(ground)
    for _ in range(int(rng.integers(1, 6))):
        y, height = int(rng.integers(0, side)), int(rng.integers(2, side // 6))
        x = int(rng.integers(0, side)) if rng.random() < 0.4 else 0
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        cv2.rectangle(ground, (x, y), (side if rng.random() < 0.5 else x + height * 2, y + height), colour, -1)
    for _ in range(int(rng.integers(0, 5))):
        grey = float(rng.integers(0, 256))
        at = (int(rng.integers(0, side // 2)), int(rng.integers(6, side)))
        write(ground, rng, at, size=rng.uniform(0.2, 0.5), colour=(grey,) * 3, letters=int(rng.integers(4, 20)))


def _drawn_over(picture: UInt8Array, rng: Rng) -> UInt8Array:
    """Text, stickers, stripes, or a watermark all over."""
    picture = np.ascontiguousarray(picture)
    drawn, side = picture.copy(), len(picture)
    colour = tuple(float(level) for level in (rng.integers(0, 256, 3) if rng.random() < 0.5 else [255, 255, 255]))
    kind = rng.random()
    if kind < 0.35:
        for _ in range(int(rng.integers(1, 4))):
            at = (int(rng.integers(-10, side // 2)), int(rng.integers(8, side)))
            size = rng.uniform(0.3, 1.4) * side / 128
            write(drawn, rng, at, size=size, colour=colour, letters=int(rng.integers(4, 18)))
    elif kind < 0.58:
        for _ in range(int(rng.integers(1, 3))):
            (x, y), radius = rng.integers(0, side, 2).tolist(), int(rng.uniform(0.06, 0.22) * side)
            cv2.circle(drawn, (x, y), radius, colour, -1, cv2.LINE_AA)
            for sign in (-1, 1):
                cv2.circle(drawn, (x + sign * radius // 3, y - radius // 4), max(1, radius // 6), (20, 20, 20), -1)
    elif kind < 0.87:
        period, width = int(rng.integers(6, 28)), int(rng.integers(1, 6))
        slope = float(rng.choice([0, 1, -1, rng.uniform(-1, 1)]))
        vertical = rng.random() < 0.5
        for start in range(-side, 2 * side, period):
            ends = ((start, 0), (int(start + slope * side), side))
            (x0, y0), (x1, y1) = ends if vertical else ((ends[0][1], ends[0][0]), (ends[1][1], ends[1][0]))
            cv2.line(drawn, (x0, y0), (x1, y1), colour, width)
    else:
        for y in range(10, side, int(rng.integers(18, 50))):
            at = int(rng.integers(-20, 10)), y
            write(drawn, rng, at, size=0.45 * side / 128, colour=colour, letters=26)
    opacity = rng.uniform(0.3, 1) if rng.random() < 0.5 else 1.0
    return np.asarray(cv2.addWeighted(drawn, opacity, picture, 1 - opacity, 0), np.uint8)


def _lit(picture: UInt8Array, rng: Rng, strength: float) -> UInt8Array:
    """Brightness, contrast, gamma, saturation, tint, grey."""
    light = picture.astype(np.float32) / 255
    light = np.clip(light, 1e-4, 1) ** np.float32(np.exp(strength * rng.uniform(-0.6, 0.6)))
    light = (light - 0.5) * np.float32(np.exp(strength * rng.uniform(-0.6, 0.5))) + 0.5
    light *= np.float32(np.exp(strength * rng.uniform(-0.35, 0.5)))
    grey = cv2.cvtColor(np.clip(light, 0, 1), cv2.COLOR_RGB2GRAY)[..., None]
    saturation = 0.0 if rng.random() < 0.35 else float(np.exp(strength * rng.uniform(-1, 0.7)))
    light = grey + (light - grey) * np.float32(saturation)
    light *= 1 + np.float32(0.15 * strength) * rng.standard_normal(3).astype(np.float32)
    return np.asarray(np.clip(light, 0, 1) * 255, np.uint8)


def _degraded(picture: UInt8Array, rng: Rng) -> UInt8Array:
    """Blur, sharpening, noise, or fewer pixels."""
    side = len(picture)
    edits: tuple[Callable[[], object], ...] = (
        lambda: cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.5)),
        lambda: cv2.addWeighted(picture, 2.5, cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.7, 2)), -1.5, 0),
        lambda: np.clip(picture + rng.uniform(4, 35) * rng.standard_normal(picture.shape, np.float32), 0, 255),
        lambda: _pixelated(picture, int(side / rng.uniform(1.5, 7)), rng),
    )
    return np.asarray(edits[rng.integers(len(edits))](), np.uint8)


def _pixelated(picture: UInt8Array, side: int, rng: Rng) -> object:
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    how = cv2.INTER_NEAREST if rng.random() < 0.6 else cv2.INTER_LINEAR
    return cv2.resize(small, picture.shape[1::-1], interpolation=how)


def _shuffled(picture: UInt8Array, rng: Rng) -> UInt8Array:
    """Blocks exchanged, or pixels displaced by a few."""
    side = len(picture)
    if rng.random() < 0.5:
        far = rng.uniform(1, 0.04 * side)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        shift = rng.uniform(-far, far, (2, side, side)).astype(np.float32)
        near = cv2.remap(picture, x + shift[0], y + shift[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(near, np.uint8)
    cells = int(rng.integers(2, 5))
    edges = np.linspace(0, side, cells + 1).astype(int)
    size = side // cells
    order = np.arange(cells * cells)
    moved = rng.choice(cells * cells, int(rng.integers(2, max(3, cells * cells // 2 + 1))), replace=False)
    order[moved] = np.roll(moved, 1)
    out = picture.copy()
    for to, start in enumerate(order):
        (row, column), (from_row, from_column) = divmod(to, cells), divmod(int(start), cells)
        block = picture[edges[from_row] : edges[from_row] + size, edges[from_column] : edges[from_column] + size]
        out[edges[row] : edges[row] + size, edges[column] : edges[column] + size] = block
    return out


def _saved(picture: UInt8Array, quality: int) -> UInt8Array:
    """As JPEG."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
