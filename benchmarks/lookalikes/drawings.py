"""Small and flat drawings: icons of one set, flags, drawings on a transparent ground."""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.lookalikes.base import (
    WHITE,
    Colour,
    Photos,
    Setting,
    area,
    box,
    canvas,
    colour,
    disc,
    inset,
    line,
    text,
    unchanged,
)
from modules.records import UInt8Array

#: Signs of the font that icons are made of; none is another one turned or mirrored, for that would be one picture.
_SIGNS = "★☀☂☎♀♠♣♥♫✓✗✿❀→■▲●○◎◇△§&@#%$€£¥+÷=?!ADEGHKMNPQRSTX2345679"
_FLAG_COLOURS: tuple[Colour, ...] = (
    *((200, 16, 46), (0, 56, 168), (255, 205, 0), (0, 122, 61), (255, 255, 255), (0, 0, 0)),
    *((0, 106, 167), (255, 130, 0), (117, 178, 221), (141, 27, 61), (0, 151, 169)),
)


def _glyph(rng: random.Random, side: int, fill: Colour, detail: int) -> UInt8Array:
    """How much of a drawing covers each pixel, uint8 (side, side): strokes, shapes, or a sign."""
    fine = 4
    layer = canvas((side * fine, side * fine), (0, 0, 0))
    unit = side * fine / 16
    if rng.random() < 0.35:
        at = side * fine / 2, 0.78 * side * fine
        text(layer, at, rng.choice(_SIGNS), 0.8 * side * fine, fill, face=rng.choice(["uni", "sans"]), align="centre")
        return np.asarray(cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA)[..., 0], np.uint8)
    for _ in range(rng.randint(2, detail)):
        x, y, size = rng.uniform(4, 12) * unit, rng.uniform(4, 12) * unit, rng.uniform(1.5, 4.5) * unit
        kind, stroke = rng.random(), max(2, round(1.3 * unit))
        shade = fill if rng.random() < 0.75 else (0, 0, 0)
        if kind < 0.25:
            disc(layer, (x, y), size, shade, -1 if rng.random() < 0.5 else stroke)
        elif kind < 0.5:
            box(layer, (x - size, y - size * 0.6, x + size, y + size * 0.6), shade, rng.choice([0, unit]))
        elif kind < 0.75:
            ends = [(rng.uniform(2, 14) * unit, rng.uniform(2, 14) * unit) for _ in range(rng.randint(2, 4))]
            line(layer, ends, fill, stroke)
        else:
            corners, start = rng.randint(3, 6), rng.uniform(0, 6)
            angles = [start + 2 * np.pi * n / corners for n in range(corners)]
            area(layer, [(x + size * float(np.cos(a)), y + size * float(np.sin(a))) for a in angles], shade)
    return np.asarray(cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA)[..., 0], np.uint8)


def icons(rng: random.Random, photos: Photos) -> Setting:
    """Icons of one set: the same tile, stroke and colours, another sign."""
    side = rng.choice([16, 16, 24, 32, 32, 48, 64, 96, 128])
    tile, ink = rng.choice([WHITE, (238, 238, 240), colour(rng, 20, 220)]), colour(rng, 0, 120)
    if sum(tile) < 380:
        ink = (245, 245, 245)
    round_tile, edge = rng.random() < 0.4, rng.random() < 0.3
    kind = rng.random()
    badge = _glyph(rng, max(6, side // 3), WHITE, 3) if kind < 0.2 else None
    shared = _glyph(rng, side, WHITE, 5) if kind > 0.6 else None

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas((side, side), WHITE if round_tile else tile)
        if round_tile:
            box(shown, (0, 0, side - 1, side - 1), tile, side * 0.22)
        if edge:
            cv2.rectangle(shown, (0, 0), (side - 1, side - 1), ink, max(1, side // 24))
        sign = _glyph(rng, side, WHITE, 5) if shared is None else _with_mark(rng, shared)
        cover = sign[..., None].astype(np.float32) / 255
        shown = np.asarray(shown * (1 - cover) + np.array(ink, np.float32) * cover + 0.5, np.uint8)
        if badge is not None:
            corner = np.stack([badge] * 3, axis=-1)
            inset(shown, (side - len(badge), side - len(badge)), corner)
        return shown

    return Setting(draw, unchanged)


def _with_mark(rng: random.Random, shared: UInt8Array) -> UInt8Array:
    """One sign with another small one in its corner: a document to open, to save, to send."""
    sign, half = shared.copy(), len(shared) // 2
    sign[half:, half:] = 0
    sign[-half:, -half:] = _glyph(rng, half, WHITE, 4)
    return sign


def flags(rng: random.Random, photos: Photos) -> Setting:
    """Flags of one design in other colours, or with one colour or sign changed."""
    size = rng.choice([(300, 200), (450, 300), (640, 320), (150, 100), (900, 600), (48, 32)])
    design = rng.choice([_across, _down, _cross, _wedge, _sign])
    one, first = rng.random() < 0.4, _tones(rng)

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas(size)
        colours = _tones(rng)
        if one:
            number = rng.randrange(3)
            colours = [colours[place] if place == number else tone for place, tone in enumerate(first)]
        design(shown, colours)
        return shown

    return Setting(draw, unchanged)


def _tones(rng: random.Random) -> list[Colour]:
    """Three colours. The outer ones are of two sets, so that no flag is another one upside down."""
    first, third = rng.choice(_FLAG_COLOURS[::2]), rng.choice(_FLAG_COLOURS[1::2])
    return [first, rng.choice([tone for tone in _FLAG_COLOURS if tone not in (first, third)]), third]


def _across(shown: UInt8Array, colours: list[Colour]) -> None:
    height, width = shown.shape[:2]
    for number in range(3):
        box(shown, (0, height * number / 3, width, height * (number + 1) / 3), colours[number])


def _down(shown: UInt8Array, colours: list[Colour]) -> None:
    height, width = shown.shape[:2]
    for number in range(3):
        box(shown, (width * number / 3, 0, width * (number + 1) / 3, height), colours[number])


def _cross(shown: UInt8Array, colours: list[Colour]) -> None:
    height, width = shown.shape[:2]
    box(shown, (0, 0, width, height), colours[0])
    for tone, half in ((colours[1], 0.14), (colours[2], 0.07)):
        box(shown, (0, height * (0.5 - half), width, height * (0.5 + half)), tone)
        box(shown, (0.36 * width - half * height, 0, 0.36 * width + half * height, height), tone)


def _wedge(shown: UInt8Array, colours: list[Colour]) -> None:
    height, width = shown.shape[:2]
    box(shown, (0, 0, width, height / 2), colours[0])
    box(shown, (0, height / 2, width, height), colours[1])
    area(shown, [(0, 0), (0.42 * width, height / 2), (0, height)], colours[2])


def _sign(shown: UInt8Array, colours: list[Colour]) -> None:
    height, width = shown.shape[:2]
    _across(shown, [colours[0], colours[1], colours[0]])
    angles = [-np.pi / 2 + n * np.pi / 5 for n in range(10)]
    radii = [0.15 * height * (1 if n % 2 == 0 else 0.4) for n in range(10)]
    star = [
        (width / 2 + r * float(np.cos(a)), height / 2 + r * float(np.sin(a)))
        for a, r in zip(angles, radii, strict=True)
    ]
    area(shown, star, colours[2])


def transparent(rng: random.Random, photos: Photos) -> Setting:
    """Drawings on a transparent ground, uint8 (h, w, 4), also white ones: stickers, logos, signatures."""
    side = rng.choice([64, 128, 200, 256, 400, 512])
    ink = rng.choice([WHITE, WHITE, (0, 0, 0), colour(rng), colour(rng)])
    maker = rng.choice([_logo, _logo, _signature, _sticker])
    paint = maker(rng, side)

    def draw(rng: random.Random) -> UInt8Array:
        alpha, tones = paint(rng)
        shown = np.empty((side, side, 4), np.uint8)
        shown[..., :3] = ink if tones is None else tones
        shown[..., 3] = alpha
        # What cannot be seen has no colour of its own, as most programs write it.
        shown[alpha == 0] = 0
        return shown

    return Setting(draw, unchanged)


_Paint = Callable[[random.Random], tuple[UInt8Array, UInt8Array | None]]


def _logo(rng: random.Random, side: int) -> _Paint:
    ring = canvas((side, side), (0, 0, 0))
    if rng.random() < 0.6:
        disc(ring, (side / 2, side / 2), 0.47 * side, WHITE, max(2, side // 24))

    def paint(rng: random.Random) -> tuple[UInt8Array, UInt8Array | None]:
        return np.maximum(_glyph(rng, side, WHITE, 7), ring[..., 0]), None

    return paint


def _signature(rng: random.Random, side: int) -> _Paint:
    thick = max(1, side // 90)

    def paint(rng: random.Random) -> tuple[UInt8Array, UInt8Array | None]:
        layer = canvas((side, side), (0, 0, 0))
        steps = np.linspace(0, 1, 160)
        waves = [(rng.uniform(0.02, 0.12), rng.uniform(5, 60), rng.uniform(0, 6)) for _ in range(4)]
        y = np.full_like(steps, 0.5)
        for height, pace, phase in waves:
            y += height * np.sin(pace * steps + phase)
        x = 0.1 + 0.8 * steps + 0.04 * np.sin(40 * steps + waves[0][2])
        line(layer, [(float(a) * side, float(b) * side) for a, b in zip(x, y, strict=True)], WHITE, thick)
        return layer[..., 0], None

    return paint


def _sticker(rng: random.Random, side: int) -> _Paint:
    """A smiling face in colours: another look, the same outline."""
    tone = colour(rng, 120, 255)

    def paint(rng: random.Random) -> tuple[UInt8Array, UInt8Array | None]:
        cover, shown, s = canvas((side, side), (0, 0, 0)), canvas((side, side), tone), side / 100
        disc(cover, (50 * s, 50 * s), 46 * s, WHITE)
        wide, gaze = rng.choice([2.0, 5.0, 8.0]), rng.uniform(-3, 3)
        for x in (34, 66):
            cv2.ellipse(
                shown, (round(x * s), round(40 * s)), (round(7 * s), max(1, round(wide * s))), 0, 0, 360, WHITE, -1
            )
            disc(shown, ((x + gaze) * s, 40 * s), min(wide, 4) * s, (30, 20, 20))
        bend, half = rng.uniform(-12, 14), rng.uniform(10, 24)
        mouth = [((50 + half * v) * s, (66 + bend * (1 - v * v)) * s) for v in np.linspace(-1, 1, 15)]
        line(shown, mouth, (90, 20, 20), max(2, round(4 * s)))
        return cover[..., 0], shown

    return paint
