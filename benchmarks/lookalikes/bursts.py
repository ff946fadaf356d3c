"""Shots of one place a moment apart: something moved, came or went, the camera moved a little, the light changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.lookalikes.base import (
    Floats,
    Photos,
    Setting,
    area,
    box,
    canvas,
    clouds,
    colour,
    compressed,
    cut,
    disc,
    grain,
    laid,
    line,
    lit,
    numbers,
    text,
    turned,
)
from modules.records import UInt8Array

_SIZES = ((500, 375), (375, 500), (500, 333), (640, 480), (320, 240), (800, 600), (854, 480), (1024, 683))


def _size(rng: random.Random) -> tuple[int, int]:
    return rng.choice(_SIZES)


def _taken(noise: float, quality: int, sway: float = 0.0) -> Setting:
    """Only its ``finish`` counts: sensor noise, exposure and compression differ a little from shot to shot."""

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        if sway:
            picture = turned(picture, 0, 1, (rng.uniform(-sway, sway), rng.uniform(-sway, sway)))
        picture = lit(picture, rng.uniform(0.97, 1.03))
        return compressed(grain(rng, picture, noise), max(25, quality + rng.randint(-6, 6)))

    return Setting(lambda _: np.zeros((1, 1, 3), np.uint8), finish)


def _camera(rng: random.Random) -> Setting:
    quality = rng.choice([45, 60, 75, 85, 92])
    return _taken(rng.choice([0.5, 1.5, 3, 5]), quality, rng.choice([0, 0, 0.5, 1.0]))


class Subject(NamedTuple):
    """Something cut out: uint8 (h, w, 3), and how much of each pixel it covers, float32 (h, w)."""

    picture: UInt8Array
    cover: Floats


def _subject(rng: random.Random, photos: Photos, pixels: float, ground: UInt8Array) -> Subject:
    """Of some outline, about ``pixels`` large, out of some photograph, in the light that the ground is in."""
    tall = rng.uniform(0.6, 2.4)
    # An outline fills some half of its box.
    width = max(12, round((pixels / 0.5 / tall) ** 0.5))
    height = max(12, round(width * tall))
    part = cut(rng, photos, (width, height), 0.2)
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[..., rng.sample(range(3), 3)])
    return Subject(_suited(lit(part, rng.uniform(0.75, 1.2)), ground), _outline(rng, width, height))


#: So far the tone of what is cut out goes to that of its ground: things in one place share its light, in part.
_LIGHT = 0.4
#: Channels of a photograph without colours are at most so far apart on average.
_GREY = 3


def _suited(part: UInt8Array, ground: UInt8Array) -> UInt8Array:
    """Nearer to the ground's light, and grey before a grey one."""
    small = ground[::8, ::8].astype(np.float32)
    if float(np.ptp(small, axis=2).mean()) < _GREY:
        part = np.asarray(cv2.cvtColor(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    own = max(1.0, float(part.mean()))
    return lit(part, 1 - _LIGHT + _LIGHT * min(2.0, float(small.mean()) / own))


def _outline(rng: random.Random, width: int, height: int) -> Floats:
    """A figure with head and body, a rounded thing, or a ragged one."""
    mask = np.zeros((height, width), np.uint8)
    kind = rng.random()
    if kind < 0.4:
        head = width * rng.uniform(0.18, 0.28)
        cv2.circle(mask, (width // 2, round(head) + 1), round(head), 255, -1)
        shoulder, hip = height * rng.uniform(0.25, 0.35), height * rng.uniform(0.5, 0.65)
        spread, legs = width * rng.uniform(0.3, 0.48), width * rng.uniform(0.15, 0.4)
        half = width / 2
        outline = [(half - spread, shoulder), (half, 1.6 * head), (half + spread, shoulder), (half + 0.6 * spread, hip)]
        outline += [
            (half + legs, height),
            (half, hip + 0.1 * height),
            (half - legs, height),
            (half - 0.6 * spread, hip),
        ]
        area(mask, outline, 255)
    else:
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        bumps = 0.0 if kind < 0.65 else 0.5
        own = numbers(rng)
        waves = sum(own.normal(0, bumps / k**1.3) * np.cos(k * angles + own.uniform(0, 7)) for k in (2, 3, 4, 5, 7))
        radius = np.clip(0.82 + 0.4 * waves, 0.35, 1)
        points = np.stack(
            [width / 2 * (1 + radius * np.cos(angles)), height / 2 * (1 + radius * np.sin(angles))], axis=1
        )
        area(mask, [(float(x), float(y)) for x, y in points], 255)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 1.3)) / 255, np.float32)


def _put(ground: UInt8Array, subject: Subject, at: tuple[float, float], shade: float = 0.0) -> None:
    """Lay it over the ground with its middle there, in place, within the edges; with a shadow at its foot."""
    height, width = subject.cover.shape
    left, top = round(at[0] - width / 2), round(at[1] - height / 2)
    if shade:
        foot = (round(at[0] + width * 0.1), round(top + height * 0.97))
        dark = np.zeros(ground.shape[:2], np.float32)
        cv2.ellipse(dark, foot, (max(2, width // 2), max(1, width // 8)), 0, 0, 360, shade, -1)
        dark = cv2.GaussianBlur(dark, (0, 0), max(1, width / 14))
        ground[:] = lit(ground, np.asarray(1 - dark, np.float32))
    y0, y1 = max(0, top), min(ground.shape[0], top + height)
    x0, x1 = max(0, left), min(ground.shape[1], left + width)
    if y0 >= y1 or x0 >= x1:
        return
    inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    ground[y0:y1, x0:x1] = laid(ground[y0:y1, x0:x1], subject.picture[inside], subject.cover[inside])


def _posed(rng: random.Random, subject: Subject, much: float) -> Subject:
    """The same thing a moment later: leaning, nearer, or bent a little."""
    height, width = subject.cover.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.gauss(0, 8 * much), 1 - 0.12 * much * rng.random())
    matrix[0, 1] += rng.gauss(0, 0.15 * much)
    moved = [cv2.warpAffine(one, matrix, (width, height)) for one in subject]
    return Subject(np.asarray(moved[0], np.uint8), np.asarray(moved[1], np.float32))


def burst_moved(rng: random.Random, photos: Photos) -> Setting:
    """A subject of 1 to 30 % of the area that moved before a fixed ground."""
    size = _size(rng)
    ground = cut(rng, photos, size)
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.3))))
    subject = _subject(rng, photos, share * size[0] * size[1], ground)
    height, width = subject.cover.shape
    start = rng.uniform(0.25, 0.75) * size[0], min(rng.uniform(0.4, 0.8) * size[1], size[1] - 0.3 * height)
    reach, pose, shade = rng.choice([0.3, 0.6, 1.2, 3.0]), rng.choice([0, 0.5, 1]), rng.choice([0, 0.35, 0.5])

    def draw(rng: random.Random) -> UInt8Array:
        shown = ground.copy()
        x = min(max(start[0] + reach * width * rng.uniform(-1, 1), 0.2 * width), size[0] - 0.2 * width)
        y = min(max(start[1] + 0.3 * reach * height * rng.uniform(-1, 1), 0.3 * height), size[1] - 0.2 * height)
        _put(shown, _posed(rng, subject, pose) if pose else subject, (x, y), shade)
        return shown

    return Setting(draw, _camera(rng).finish)


def _vehicle(rng: random.Random, width: float) -> Subject:
    """A car or a lorry as seen from a bridge."""
    paint = colour(rng, 20, 240) if rng.random() < 0.5 else (rng.randint(20, 245),) * 3
    scale = 4
    w, h = max(5, round(width)) * scale, max(4, round(width * rng.choice([0.7, 0.8, 1.3]))) * scale
    part = np.full((h, w, 3), paint, np.uint8)
    cover = np.zeros((h, w, 3), np.uint8)
    box(cover, (0, 0.05 * h, w - 1, 0.85 * h), (255,) * 3, w * 0.2)
    box(part, (0.15 * w, 0.15 * h, 0.85 * w, 0.45 * h), (35, 40, 50), w * 0.08)
    box(part, (0, 0.7 * h, w, h), (25, 25, 25))
    box(cover, (0.05 * w, 0.8 * h, 0.95 * w, h - 1), (200,) * 3)
    lamp = rng.choice([(250, 250, 220), (200, 30, 30)])
    for x in (0.02, 0.8):
        box(part, (x * w, 0.55 * h, (x + 0.18) * w, 0.66 * h), lamp)
    small = (w // scale, h // scale)
    shrunk = [cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (part, cover[..., 0])]
    return Subject(np.asarray(shrunk[0], np.uint8), np.asarray(shrunk[1] / 255, np.float32))


def burst_small(rng: random.Random, photos: Photos) -> Setting:
    """Small things that come, go and stand elsewhere, as cars before a camera or birds over a roof."""
    size = _size(rng)
    ground = cut(rng, photos, size)
    near, far = [(rng.uniform(0, 1), rng.uniform(0.6, 0.95)), (rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.5))]
    kind = rng.choice(["cars", "cars", "one", "things"])
    if kind == "cars":
        _road(rng, ground, near, far)
    if rng.random() < 0.4:
        mark = f"CAM {rng.randint(1, 99)} {rng.choice('NSEW')}"
        text(ground, (8, 22), mark, 16, (255, 255, 255), face="uni", weight=600)
    most = rng.uniform(0.002, 0.01) ** 0.5 * (size[0] * size[1]) ** 0.5
    things = [_subject(rng, photos, most**2 * rng.uniform(0.2, 1), ground) for _ in range(3)]

    def draw(rng: random.Random) -> UInt8Array:
        shown = ground.copy()
        for number in range(rng.randint(1, 7) if kind == "cars" else rng.randint(0, 1) if kind == "one" else 3):
            depth = rng.random() ** 0.7
            lane = rng.choice([-0.06, 0, 0.06]) * (1 - 0.7 * depth)
            x = (near[0] + (far[0] - near[0]) * depth + lane) * size[0]
            y = (near[1] + (far[1] - near[1]) * depth) * size[1]
            if kind == "cars":
                _put(shown, _vehicle(rng, most * (1 - 0.65 * depth)), (x, y), 0.3)
            else:
                place = rng.uniform(0.06, 0.94) * size[0], rng.uniform(0.06, 0.94) * size[1]
                _put(shown, things[number], place)
        return shown

    return Setting(draw, _camera(rng).finish)


def _road(rng: random.Random, ground: UInt8Array, near: tuple[float, float], far: tuple[float, float]) -> None:
    """Asphalt with lanes that runs from ``near`` to ``far`` (shares of width and height), in place."""
    height, width = ground.shape[:2]
    over = canvas((width, height), (rng.randint(95, 150),) * 3)
    over = grain(rng, over, 5)
    cover = np.zeros((height, width), np.float32)
    corners = [(near[0] - 0.16, near[1] + 0.1), (near[0] + 0.16, near[1] + 0.1), (far[0] + 0.04, far[1])]
    corners.append((far[0] - 0.04, far[1]))
    area(cover, [(x * width, y * height) for x, y in corners], 1.0)
    for lane in (-0.13, 0.0, 0.13):
        for step in range(0, 12, 1 if lane else 2):
            ends = []
            for depth in (step / 12, (step + 1) / 12):
                x = near[0] + (far[0] - near[0]) * depth + lane * (1 - 0.75 * depth)
                ends.append((x * width, (near[1] + 0.1 + (far[1] - near[1] - 0.1) * depth) * height))
            line(over, ends, (215, 215, 205), 1 + (step < 4))
    ground[:] = laid(ground, over, cv2.GaussianBlur(cover, (0, 0), 1.0))


def burst_camera(rng: random.Random, photos: Photos) -> Setting:
    """A camera that moved a little before things at two or more depths: near ones move further."""
    size = _size(rng)
    if rng.random() < 0.5:
        return Setting(_relief(rng, photos, size), _camera(rng).finish)
    margin = round(0.12 * size[0])
    wide = size[0] + 2 * margin, size[1] + 2 * margin
    layers = [Subject(cut(rng, photos, wide), np.ones((wide[1], wide[0]), np.float32))]
    depths = [rng.uniform(0.05, 0.3)]
    for _ in range(rng.randint(1, 2)):
        layers.append(Subject(cut(rng, photos, wide), _skyline(rng, wide, 0.45 + 0.2 * len(depths))))
        depths.append(min(1.0, depths[-1] + rng.uniform(0.25, 0.5)))
    for _ in range(rng.randint(0, 2)):
        layers.append(_standing(rng, photos, layers[0].picture))
        depths.append(rng.uniform(0.6, 1.0))
    reach = rng.uniform(0.03, 0.09) * size[0]

    def draw(rng: random.Random) -> UInt8Array:
        (x, y), zoom = _stand(rng, reach), rng.uniform(0, 0.04)
        shown = np.zeros((wide[1], wide[0], 3), np.uint8)
        for (picture, cover), depth in zip(layers, depths, strict=True):
            matrix = cv2.getRotationMatrix2D((wide[0] / 2, wide[1] / 2), 0, 1 + zoom * depth)
            matrix[:, 2] += (x * depth, y * depth)
            moved = cv2.warpAffine(picture, matrix, wide, borderMode=cv2.BORDER_REFLECT_101)
            shown = laid(shown, moved, cv2.warpAffine(cover, matrix, wide, borderMode=cv2.BORDER_REPLICATE))
        return np.ascontiguousarray(shown[margin:-margin, margin:-margin])

    return Setting(draw, _camera(rng).finish)


def _stand(rng: random.Random, reach: float) -> tuple[float, float]:
    """Where a camera stands, pixels: one of places so far apart that near things are seen to move on their own."""
    angle, radius = rng.randrange(8) * np.pi / 4, reach * rng.choice([0.5, 1])
    return radius * float(np.cos(angle)), 0.5 * radius * float(np.sin(angle))


def _skyline(rng: random.Random, size: tuple[int, int], level: float) -> Floats:
    """Covered below a line, of roofs or of hills."""
    width, height = size
    own = numbers(rng)
    if rng.random() < 0.5:
        steps = own.uniform(-0.15, 0.1, rng.randint(5, 14))
        edge = np.repeat(steps, -(-width // len(steps)))[:width]
    else:
        edge = 0.12 * clouds(rng, (width, 1), rng.randint(4, 9))[0]
    cover = np.clip(np.arange(height)[:, None] - (level + edge[None]) * height, 0, 1)
    return np.asarray(cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.8), np.float32)


def _standing(rng: random.Random, photos: Photos, ground: UInt8Array) -> Subject:
    """Something near, on an otherwise empty layer of the ground's size."""
    size = ground.shape[1], ground.shape[0]
    one = _subject(rng, photos, size[0] * size[1] * rng.uniform(0.01, 0.06), ground)
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    cover = np.zeros((size[1], size[0]), np.float32)
    height, width = one.cover.shape
    left, top = rng.randint(0, max(0, size[0] - width)), max(0, round(size[1] * rng.uniform(0.85, 0.95)) - height)
    height, width = min(height, size[1] - top), min(width, size[0] - left)
    picture[top : top + height, left : left + width] = one.picture[:height, :width]
    cover[top : top + height, left : left + width] = one.cover[:height, :width]
    return Subject(picture, cover)


def _relief(rng: random.Random, photos: Photos, size: tuple[int, int]) -> Callable[[random.Random], UInt8Array]:
    """One photograph laid over a ground that comes nearer below, with things standing on it."""
    width, height = size
    ground = cut(rng, photos, size)
    near = 0.15 + 0.5 * np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    for _ in range(rng.randint(2, 6)):
        thing = np.zeros((height, width), np.float32)
        x, y, r = rng.uniform(0, width), rng.uniform(0.2, 0.9) * height, rng.uniform(0.06, 0.25) * min(size)
        cv2.ellipse(thing, (round(x), round(y)), (round(r), round(r * rng.uniform(0.6, 2))), 0, 0, 360, 1.0, -1)
        thing = cv2.GaussianBlur(thing, (0, 0), rng.uniform(1.5, 6))
        near = near + thing * rng.uniform(0.2, 0.5)
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    reach = rng.uniform(0.03, 0.08) * width

    def draw(rng: random.Random) -> UInt8Array:
        x, y = _stand(rng, reach)
        return np.asarray(
            cv2.remap(ground, across + x * near, down + y * near, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )

    return draw


def burst_zoom(rng: random.Random, photos: Photos) -> Setting:
    """A second shot by hand: turned, nearer, moved, and something small in it has changed."""
    size = _size(rng)
    ground = cut(rng, photos, size)
    subject = _subject(rng, photos, rng.uniform(0.005, 0.06) * size[0] * size[1], ground)
    sway, camera = rng.choice([0.3, 0.7, 1.0]), _camera(rng)
    gone = rng.random() < 0.3

    def draw(rng: random.Random) -> UInt8Array:
        shown = ground.copy()
        if not gone or rng.random() < 0.5:
            place = rng.uniform(0.2, 0.8) * size[0], rng.uniform(0.3, 0.8) * size[1]
            _put(shown, _posed(rng, subject, 0.7), place, 0.3)
        return shown

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        move = 0.03 * sway * size[0]
        shift = rng.uniform(-move, move), rng.uniform(-move, move)
        moved = turned(picture, rng.gauss(0, 1.5 * sway), 1.04 + 0.08 * sway * rng.random(), shift)
        return camera.finish(rng, moved)

    return Setting(draw, finish)


def burst_light(rng: random.Random, photos: Photos) -> Setting:
    """Other light, shadows or lamps over one place, and something small in it has changed."""
    size = _size(rng)
    ground = cut(rng, photos, size)
    subject = _subject(rng, photos, rng.uniform(0.003, 0.03) * size[0] * size[1], ground)
    camera = _camera(rng)

    def draw(rng: random.Random) -> UInt8Array:
        shown = ground.copy()
        _put(shown, subject, (rng.uniform(0.1, 0.9) * size[0], rng.uniform(0.2, 0.9) * size[1]), 0.3)
        return shown

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        light = _light(rng, size)
        tint = np.array([rng.uniform(0.9, 1.1), 1, rng.uniform(0.9, 1.1)], np.float32)
        changed = np.clip(picture * light[..., None] * tint, 0, 255).astype(np.uint8)
        return camera.finish(rng, changed)

    return Setting(draw, finish)


def _light(rng: random.Random, size: tuple[int, int]) -> Floats:
    """Factors, float32 (h, w): from one side, with a cast shadow or a lamp."""
    width, height = size
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1 + rng.uniform(0, 0.25) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    kind = rng.random()
    if kind < 0.5:
        shadow = np.zeros((height, width), np.uint8)
        left = rng.uniform(-0.2, 0.8) * width
        lean, wide = rng.uniform(-0.5, 0.5) * width, rng.uniform(0.1, 0.5) * width
        area(shadow, [(left, 0), (left + wide, 0), (left + wide + lean, height), (left + lean, height)], 255)
        soft = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(2, 15)).astype(np.float32) / 255
        light = light * (1 - rng.uniform(0.3, 0.55) * soft)
    elif kind < 0.8:
        lamp = np.zeros((height, width), np.uint8)
        disc(lamp, (rng.uniform(0, 1) * width, rng.uniform(0, 0.6) * height), 0.15 * width, 255)
        glow = cv2.GaussianBlur(cv2.resize(lamp, None, fx=0.25, fy=0.25), (0, 0), 0.03 * width).astype(np.float32) / 255
        light = light * (0.75 + rng.uniform(0.3, 0.8) * cv2.resize(glow, size))
    return np.asarray(light * rng.uniform(0.8, 1.15), np.float32)
