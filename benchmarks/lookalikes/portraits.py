"""One person with another look on the face, and a figure that moves before a fixed camera."""

from __future__ import annotations

import random
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.lookalikes.base import (
    Colour,
    Floats,
    Photos,
    Setting,
    area,
    box,
    canvas,
    colour,
    compressed,
    cut,
    disc,
    grain,
    laid,
    line,
    lit,
    turned,
)
from modules.records import UInt8Array

#: Faces are drawn so many times as large, then made small.
_FINE = 4


class _Person(NamedTuple):
    """What stays the same from one portrait to the next. Lengths are shares of the picture's width."""

    size: tuple[int, int]
    ground: int
    skin: int
    hair: int
    width: float
    height: float
    eyes: float
    eye: float
    nose: float
    mouth: float
    brow: float
    fringe: float
    long_hair: bool
    glasses: bool
    beard: bool
    shirt: int


def _person(rng: random.Random) -> _Person:
    return _Person(
        size=rng.choice([(92, 112), (92, 112), (64, 64), (128, 128), (180, 200)]),
        ground=rng.randint(30, 230),
        skin=rng.randint(95, 215),
        hair=rng.randint(10, 130),
        width=rng.uniform(0.27, 0.33),
        height=rng.uniform(0.37, 0.44),
        eyes=rng.uniform(0.115, 0.15),
        eye=rng.uniform(0.042, 0.06),
        nose=rng.uniform(0.1, 0.16),
        mouth=rng.uniform(0.08, 0.13),
        brow=rng.uniform(0.012, 0.03),
        fringe=rng.uniform(0.15, 0.32),
        long_hair=rng.random() < 0.4,
        glasses=rng.random() < 0.3,
        beard=rng.random() < 0.25,
        shirt=rng.randint(20, 220),
    )


def faces(rng: random.Random, photos: Photos) -> Setting:
    """Small grey portraits of one person, drawn: another expression, gaze or turn of the head."""
    person = _person(rng)
    noise, light = rng.uniform(1, 6), rng.uniform(-0.35, 0.35)

    def draw(rng: random.Random) -> UInt8Array:
        width, height = person.size
        wide = canvas((width * _FINE, height * _FINE), (person.ground,) * 3)
        _head(rng, person, wide)
        tilted = turned(wide, rng.gauss(0, 4), rng.uniform(0.94, 1.04), (rng.gauss(0, 6), rng.gauss(0, 5)))
        grey = cv2.cvtColor(tilted, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        across = np.linspace(-1, 1, picture.shape[1], dtype=np.float32)[None] * np.ones((picture.shape[0], 1))
        side = light + rng.gauss(0, 0.08)
        return grain(rng, lit(picture, np.asarray(1 + side * across, np.float32)), noise)

    return Setting(draw, finish)


def _head(rng: random.Random, person: _Person, wide: UInt8Array) -> None:
    """Draw head and shoulders with some look on the face, in place."""
    unit = wide.shape[1]
    turn, nod = rng.gauss(0, 0.045), rng.gauss(0, 0.02)
    middle = (0.5 * unit, 0.47 * wide.shape[0])
    face = (middle[0] + turn * unit * 0.3, middle[1])
    rx, ry = person.width * unit, person.height * unit
    hair, shirt = (person.hair,) * 3, (person.shirt,) * 3
    _oval(wide, (middle[0], wide.shape[0] + 0.1 * unit), (0.48 * unit, 0.3 * unit), shirt)
    _oval(wide, (middle[0], middle[1] + 0.9 * ry), (0.4 * rx, 0.5 * ry), _shade(person.skin, 0.75))
    hairline = 1.5 if person.long_hair else 1.0
    _oval(wide, (middle[0], middle[1] - 0.12 * ry), (1.12 * rx, 1.08 * ry * hairline**0.5), hair)
    for side in (-1, 1):
        _oval(wide, (face[0] + side * rx - turn * rx, face[1]), (0.12 * rx, 0.2 * ry), _shade(person.skin, 0.85))
    _oval(wide, face, (rx, ry), (person.skin,) * 3)
    _modelled(wide, face, (rx, ry), turn)
    fringe = [(face[0] + x * rx, face[1] - ry * (1.02 * (1 - 0.4 * x * x))) for x in np.linspace(-1, 1, 12)]
    low = [(face[0] + x * rx, face[1] - ry * (1.05 - person.fringe - 0.2 * x * x)) for x in np.linspace(1, -1, 12)]
    area(wide, fringe + low, hair)
    centre = (face[0] + turn * unit, face[1] + nod * unit)
    _features(rng, person, wide, centre, unit)


def _features(rng: random.Random, person: _Person, wide: UInt8Array, centre: tuple[float, float], unit: float) -> None:
    x, y = centre[0], centre[1] - 0.06 * unit
    dark, open_eyes = _shade(person.skin, 0.35), rng.choice([0.1, 0.5, 0.8, 1.0, 1.3])
    gaze, raised = (rng.gauss(0, 0.35), rng.gauss(0, 0.2)), rng.gauss(0, 0.015) * unit
    for side in (-1, 1):
        at = x + side * person.eyes * unit, y
        eye = person.eye * unit
        _oval(wide, at, (eye * 1.25, eye * 0.9), _shade(person.skin, 0.8))
        _oval(wide, at, (eye, eye * 0.5 * open_eyes), (225,) * 3)
        pupil = at[0] + gaze[0] * eye * 0.6, at[1] + gaze[1] * eye * 0.3
        disc(wide, pupil, eye * min(0.42, 0.5 * open_eyes), (25,) * 3)
        line(wide, [(at[0] - eye, at[1]), (at[0], at[1] - eye * 0.55 * open_eyes), (at[0] + eye, at[1])], dark, 3)
        slope = side * rng.gauss(0, 0.012) * unit
        brow = y - 0.075 * unit - raised
        line(
            wide,
            [(at[0] - eye * 1.2, brow + slope), (at[0], brow - 0.01 * unit), (at[0] + eye * 1.2, brow - slope)],
            _shade(person.hair, 0.9),
            max(2, round(person.brow * unit)),
        )
        if person.glasses:
            disc(wide, at, eye * 1.7, (30,) * 3, max(2, round(0.012 * unit)))
    tip = y + person.nose * unit
    line(wide, [(x - 0.01 * unit, y), (x - 0.03 * unit, tip), (x + 0.02 * unit, tip + 2)], _shade(person.skin, 0.7), 4)
    _mouth(rng, person, wide, (x, tip + 0.1 * unit), unit)


def _mouth(rng: random.Random, person: _Person, wide: UInt8Array, at: tuple[float, float], unit: float) -> None:
    half = person.mouth * unit * rng.uniform(0.75, 1.25)
    smile, gape = rng.gauss(0.01, 0.03) * unit, max(0.0, rng.gauss(0.0, 0.03)) * unit
    if person.beard:
        _oval(wide, (at[0], at[1] + 0.06 * unit), (half * 1.7, 0.12 * unit), _shade(person.hair, 1.1))
    x = np.linspace(-1, 1, 11)
    upper = [(at[0] + half * v, at[1] + smile * (1 - v * v) - gape * (1 - v * v) * 0.3) for v in x]
    lower = [(at[0] + half * v, at[1] + smile * (1 - v * v) + (gape + 0.014 * unit) * (1 - v * v)) for v in x[::-1]]
    area(wide, upper + lower, _shade(person.skin, 0.25 if gape > 0.012 * unit else 0.55))
    if gape > 0.02 * unit:
        area(wide, [*upper[2:9], *[(px, py + 0.4 * gape) for px, py in upper[8:1:-1]]], (215,) * 3)
    line(wide, lower, _shade(person.skin, 0.65), 3)


def _shade(grey: int, share: float) -> Colour:
    return (min(255, round(grey * share)),) * 3


def _oval(picture: UInt8Array, at: tuple[float, float], axes: tuple[float, float], fill: Colour) -> None:
    half = max(1, round(axes[0])), max(1, round(axes[1]))
    cv2.ellipse(picture, (round(at[0]), round(at[1])), half, 0, 0, 360, fill, -1, cv2.LINE_AA)


def _modelled(picture: UInt8Array, at: tuple[float, float], axes: tuple[float, float], turn: float) -> None:
    """Shading of a round thing lit from the front, in place."""
    height, width = picture.shape[:2]
    x = (np.arange(width, dtype=np.float32)[None] - at[0] - turn * axes[0]) / axes[0]
    y = (np.arange(height, dtype=np.float32)[:, None] - at[1]) / axes[1]
    inside = x * x + y * y
    factor = np.where(inside < 1.05, 1.08 - 0.35 * inside * inside, 1)
    picture[:] = lit(picture, np.asarray(factor, np.float32))


def expressions(rng: random.Random, photos: Photos) -> Setting:
    """Small crops, bent smoothly here and there by some pixels and lit a little otherwise, as a face with another look.

    Stands for faces in training: what moves in a face moves softly, and its outline stays.
    """
    size = rng.choice([(92, 112), (92, 112), (120, 150), (160, 160), (224, 224), (256, 320)])
    ground = cut(rng, photos, size, 0.3)
    if rng.random() < 0.5:
        ground = np.asarray(cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY), np.uint8)
    noise, quality = rng.uniform(0.5, 5), rng.choice([0, 0, 60, 85])
    strongest = 8 * min(1.0, size[0] / 160)
    places = [(rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.85), rng.uniform(0.08, 0.2)) for _ in range(rng.randint(2, 5))]
    across, down = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))

    def draw(rng: random.Random) -> UInt8Array:
        x, y, light = across.copy(), down.copy(), np.ones_like(across)
        for px, py, spread in places:
            bump = _bump(across, down, (px * size[0], py * size[1]), spread * size[0])
            strength, angle = rng.uniform(2, strongest), rng.uniform(0, 2 * np.pi)
            x += strength * np.float32(np.cos(angle)) * bump
            y += strength * np.float32(np.sin(angle)) * bump
            light += np.float32(rng.gauss(0, 0.1)) * bump
        bent = cv2.remap(ground, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        return lit(np.asarray(bent, np.uint8), light)

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        moved = turned(picture, rng.gauss(0, 1), 1 + abs(rng.gauss(0, 0.015)), (rng.gauss(0, 0.7), rng.gauss(0, 0.7)))
        noisy = grain(rng, moved, noise)
        return compressed(noisy, quality) if quality else noisy

    return Setting(draw, finish)


def _bump(across: Floats, down: Floats, at: tuple[float, float], spread: float) -> Floats:
    far = ((across - at[0]) ** 2 + (down - at[1]) ** 2) / (2 * spread * spread)
    return np.asarray(np.exp(-far), np.float32)


class _Figure(NamedTuple):
    """What an actor wears (a picture of the frame's size), and colours of skin and hair."""

    cloth: UInt8Array
    skin: Colour
    hair: Colour


def frames(rng: random.Random, photos: Photos) -> Setting:
    """Frames of a film: a fixed ground and a figure in another pose, blurred where it moves."""
    size = rng.choice([(854, 480), (640, 360), (640, 272), (720, 304), (320, 240), (480, 360)])
    ground = np.asarray(cv2.GaussianBlur(cut(rng, photos, size, 0.6), (0, 0), rng.choice([0.6, 1.2, 2.5])), np.uint8)
    cloth = cut(rng, photos, size, 0.3)
    figure = _Figure(cloth, _shade_of(rng, (205, 160, 130)), colour(rng, 10, 110))
    tall, start = rng.uniform(0.5, 1.5) * size[1], rng.uniform(0.25, 0.75) * size[0]
    wander, bars = rng.choice([0.02, 0.08, 0.2]) * size[0], rng.choice([0, 0, round(0.1 * size[1])])
    tone = np.array([rng.uniform(0.85, 1.1), 1, rng.uniform(0.8, 1.1)], np.float32)
    quality = rng.randint(35, 85)

    def draw(rng: random.Random) -> UInt8Array:
        pose = [rng.gauss(0, 0.5) for _ in range(8)]
        at = start + rng.uniform(-wander, wander), max(0.95 * size[1], 0.3 * size[1] + 0.93 * tall)
        stretch = rng.choice([1, 1, 5, 9])
        shown = _acted(ground, figure, (at, tall), pose, stretch)
        shown = np.asarray(np.clip(shown * tone, 0, 255), np.uint8)
        if bars:
            shown[:bars] = 0
            shown[-bars:] = 0
        return shown

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        shaken = turned(picture, 0, 1, (rng.gauss(0, 0.4), rng.gauss(0, 0.4)))
        return compressed(grain(rng, shaken, rng.uniform(0.5, 3)), quality)

    return Setting(draw, finish)


def _shade_of(rng: random.Random, tone: Colour) -> Colour:
    share = rng.uniform(0.4, 1.1)
    return min(255, round(tone[0] * share)), min(255, round(tone[1] * share)), min(255, round(tone[2] * share))


def _acted(
    ground: UInt8Array, figure: _Figure, place: tuple[tuple[float, float], float], pose: list[float], blur: int
) -> UInt8Array:
    """A figure of so many pixels at a place, (foot, height), over the ground; pose: angles of limbs, radians."""
    (x, foot), tall = place
    unit = tall / 8
    hip, neck = (x, foot - 3.8 * unit), (x + 0.4 * unit * pose[0], foot - 6.7 * unit)
    head = (neck[0] + 0.5 * unit * pose[1], neck[1] - 0.75 * unit)
    body, flesh = np.zeros_like(ground), np.zeros_like(ground)
    thick = max(2, round(0.7 * unit))
    for side in (-1, 1):
        shoulder = neck[0] + side * 0.8 * unit, neck[1] + 0.5 * unit
        lean = side * 0.3 + pose[2 + (side > 0)]
        elbow = shoulder[0] + 1.5 * unit * np.sin(lean), shoulder[1] + 1.5 * unit * np.cos(lean)
        bend = lean + pose[4 + (side > 0)] * 1.5
        hand = elbow[0] + 1.4 * unit * np.sin(bend), elbow[1] + 1.4 * unit * np.cos(bend)
        line(body, [shoulder, elbow, hand], (255,) * 3, thick)
        disc(flesh, hand, 0.35 * unit, (255,) * 3)
        stride = side * 0.15 + 0.4 * pose[6 + (side > 0)]
        knee = hip[0] + side * 0.4 * unit + 1.9 * unit * np.sin(stride), hip[1] + 1.9 * unit * np.cos(stride)
        line(body, [(hip[0] + side * 0.4 * unit, hip[1]), knee, (knee[0], knee[1] + 1.9 * unit)], (255,) * 3, thick)
    trunk = [(neck[0] - 0.9 * unit, neck[1] + 0.3 * unit), (neck[0] + 0.9 * unit, neck[1] + 0.3 * unit)]
    area(
        body,
        [*trunk, (hip[0] + 0.75 * unit, hip[1] + 0.2 * unit), (hip[0] - 0.75 * unit, hip[1] + 0.2 * unit)],
        (255,) * 3,
    )
    shown = ground.copy()
    top = canvas((ground.shape[1], ground.shape[0]), figure.skin)
    _oval(flesh, head, (0.55 * unit, 0.75 * unit), (255, 255, 255))
    box(top, (0, 0, ground.shape[1], max(0, head[1] - 0.25 * unit)), figure.hair)
    _oval(top, (head[0] - 0.2 * unit, head[1]), (0.06 * unit, 0.05 * unit), (20, 20, 20))
    _oval(top, (head[0] + 0.2 * unit, head[1]), (0.06 * unit, 0.05 * unit), (20, 20, 20))
    for layer, mask in ((figure.cloth, body), (top, flesh)):
        soft = cv2.blur(cv2.GaussianBlur(mask[..., 0], (0, 0), 0.8), (blur, 1)) / np.float32(255)
        shown = laid(shown, layer, soft)
    return shown
