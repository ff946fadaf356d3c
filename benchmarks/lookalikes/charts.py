"""Drawings of data: charts of one report, positions on one board, maps in one style."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from benchmarks.lookalikes.base import (
    BLACK,
    WHITE,
    Colour,
    Photos,
    Setting,
    area,
    box,
    canvas,
    colour,
    compressed,
    disc,
    line,
    numbers,
    text,
    unchanged,
)
from benchmarks.lookalikes.words import words
from modules.records import UInt8Array

_Values = list[list[float]]


def charts(rng: random.Random, photos: Photos) -> Setting:
    """One chart with other data: bars, lines, points or a pie; or one value of it changed."""
    size = rng.choice([(640, 480), (800, 600), (480, 320), (1000, 500), (900, 900)])
    series, count, few = rng.randint(1, 3), rng.randint(4, 12), rng.random() < 0.3
    ground = rng.choice([WHITE, WHITE, (248, 248, 248), (30, 32, 38)])
    ink: Colour = (225, 225, 225) if sum(ground) < 300 else (50, 50, 50)
    inks = [colour(rng, 30, 210) for _ in range(6)]
    title, names, paint = words(rng, 4), [words(rng, 1)[:5] for _ in range(count)], rng.choice([_bars, _lines, _pie])
    quality = rng.choice([0, 0, 0, 60, 80])

    def values(rng: random.Random) -> _Values:
        return [[rng.uniform(0.06, 0.95) for _ in range(count)] for _ in range(series)]

    first = values(rng)

    def draw(rng: random.Random) -> UInt8Array:
        data = values(rng)
        if few:
            row, column = rng.randrange(series), rng.randrange(count)
            data = [
                [first[a][b] if (a, b) != (row, column) else data[a][b] for b in range(count)] for a in range(series)
            ]
        shown = canvas(size, ground)
        text(shown, (size[0] / 2, 0.08 * size[1]), title, 0.05 * size[1], ink, weight=600, align="centre")
        paint(shown, data, names, ink, inks)
        return shown

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        return compressed(picture, quality) if quality else picture

    return Setting(draw, finish)


def _axes(shown: UInt8Array, names: list[str], ink: Colour) -> tuple[float, float, float, float]:
    """Draw axes with names below, in place; (left, top, width, height) of the plot."""
    height, width = shown.shape[:2]
    left, top, wide, tall = 0.1 * width, 0.15 * height, 0.86 * width, 0.7 * height
    for step in range(6):
        y = top + tall * step / 5
        line(shown, [(left, y), (left + wide, y)], (150, 150, 150))
        text(shown, (left - 6, y + 5), str(100 - 20 * step), 0.032 * height, ink, align="right")
    for number, name in enumerate(names):
        at = left + wide * (number + 0.5) / len(names), top + tall + 0.055 * height
        text(shown, at, name, 0.03 * height, ink, align="centre")
    line(shown, [(left, top), (left, top + tall), (left + wide, top + tall)], ink, 2)
    return left, top, wide, tall


def _bars(shown: UInt8Array, data: _Values, names: list[str], ink: Colour, inks: list[Colour]) -> None:
    left, top, wide, tall = _axes(shown, names, ink)
    slot = wide / len(names)
    for row, values in enumerate(data):
        for number, value in enumerate(values):
            x = left + slot * (number + 0.15 + 0.7 * row / len(data))
            box(shown, (x, top + tall * (1 - value), x + 0.68 * slot / len(data), top + tall), inks[row])


def _lines(shown: UInt8Array, data: _Values, names: list[str], ink: Colour, inks: list[Colour]) -> None:
    left, top, wide, tall = _axes(shown, names, ink)
    for row, values in enumerate(data):
        points = [(left + wide * (n + 0.5) / len(names), top + tall * (1 - value)) for n, value in enumerate(values)]
        if row < 2:
            line(shown, points, inks[row], max(2, shown.shape[0] // 160))
        for point in points:
            disc(shown, point, shown.shape[0] / 110, inks[row])


def _pie(shown: UInt8Array, data: _Values, names: list[str], ink: Colour, inks: list[Colour]) -> None:
    height, width = shown.shape[:2]
    values = np.cumsum([0.0, *data[0][:6]])
    angles = -90 + 360 * values / values[-1]
    centre, radius = (round(0.4 * width), round(0.55 * height)), round(0.36 * min(height, 0.9 * width))
    for number, (start, end) in enumerate(pairwise(angles)):
        cv2.ellipse(shown, centre, (radius, radius), 0, float(start), float(end), inks[number], -1, cv2.LINE_AA)
        y = (0.25 + 0.09 * number) * height
        box(shown, (0.76 * width, y - 0.04 * height, 0.8 * width, y), inks[number])
        share = f"{names[number % len(names)]} {(end - start) / 3.6:.0f} %"
        text(shown, (0.82 * width, y), share, 0.035 * height, ink)


def boards(rng: random.Random, photos: Photos) -> Setting:
    """Positions of one game, some moves apart, on one board: chess or go."""
    side = rng.choice([320, 400, 480, 640, 720])
    quality = rng.choice([0, 0, 0, 70])
    maker = _chess if rng.random() < 0.55 else _go
    draw = maker(rng, side)

    def finish(rng: random.Random, picture: UInt8Array) -> UInt8Array:
        return compressed(picture, quality) if quality else picture

    return Setting(draw, finish)


_MEN = {"K": "♚", "Q": "♛", "R": "♜", "B": "♝", "N": "♞", "P": "♟"}
_START = "rnbqkbnrpppppppp" + "." * 32 + "PPPPPPPPRNBQKBNR"


def _moved(rng: random.Random, position: list[str], moves: int) -> list[str]:
    """After some moves; none of them need be good, or even allowed."""
    position = list(position)
    for _ in range(moves):
        start = rng.choice([place for place, man in enumerate(position) if man != "."])
        end = rng.choice([place for place, man in enumerate(position) if man.lower() != "k" and place != start])
        position[end], position[start] = position[start], "."
    return position


def _chess(rng: random.Random, side: int) -> Callable[[random.Random], UInt8Array]:
    light, dark = rng.choice(
        [((240, 217, 181), (181, 136, 99)), ((238, 238, 210), (118, 150, 86)), ((222, 227, 230), (140, 162, 173))]
    )
    first = _moved(rng, list(_START), rng.randint(4, 40))
    moves = rng.choice([1, 2, 8, 30])
    cell = side / 8

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas((side, side), light)
        for place, man in enumerate(_moved(rng, first, moves)):
            row, column = divmod(place, 8)
            if (row + column) % 2:
                box(shown, (column * cell, row * cell, (column + 1) * cell, (row + 1) * cell), dark)
            if man == ".":
                continue
            at, form = ((column + 0.5) * cell, (row + 0.82) * cell), _MEN[man.upper()]
            for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)) if man.isupper() else ():
                text(shown, (at[0] + dx, at[1] + dy), form, 0.8 * cell, BLACK, face="uni", align="centre")
            fill = (250, 250, 250) if man.isupper() else (20, 20, 20)
            text(shown, at, form, 0.8 * cell, fill, face="uni", align="centre")
        return shown

    return draw


def _go(rng: random.Random, side: int) -> Callable[[random.Random], UInt8Array]:
    count = rng.choice([9, 13, 19])
    wood = (rng.randint(205, 230), rng.randint(165, 190), rng.randint(100, 130))
    cell = side / (count + 1)
    points = [(row, column) for row in range(count) for column in range(count)]
    played, moves = rng.sample(points, rng.randint(count, 4 * count)), rng.choice([1, 2, 10])

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas((side, side), wood)
        for number in range(1, count + 1):
            line(shown, [(cell, number * cell), (count * cell, number * cell)], (60, 45, 20))
            line(shown, [(number * cell, cell), (number * cell, count * cell)], (60, 45, 20))
        free = [point for point in points if point not in played]
        for turn, (row, column) in enumerate(played[: -rng.randint(1, 3)] + rng.sample(free, moves)):
            at = (column + 1) * cell, (row + 1) * cell
            disc(shown, at, 0.47 * cell, (25, 25, 25) if turn % 2 else (245, 245, 242))
            disc(shown, at, 0.47 * cell, (40, 40, 40), 1)
        return shown

    return draw


def maps(rng: random.Random, photos: Photos) -> Setting:
    """Maps in one style: another place, or one place with another way or mark on it."""
    size = rng.choice([(600, 600), (800, 600), (1080, 1080), (512, 512)])
    style = rng.choice(
        [
            ((242, 239, 233), (255, 255, 255), (250, 205, 120), (170, 211, 223), (205, 232, 190)),
            ((232, 234, 237), (255, 255, 255), (253, 226, 147), (156, 192, 249), (197, 232, 197)),
            ((36, 47, 62), (56, 65, 78), (116, 104, 85), (23, 38, 60), (38, 60, 63)),
        ]
    )
    same, seed = rng.random() < 0.4, rng.getrandbits(32)

    def draw(rng: random.Random) -> UInt8Array:
        place = random.Random(seed) if same else random.Random(rng.getrandbits(32))
        shown = canvas(size, style[0])
        crossings = _town(place, shown, style)
        if same:
            way = [rng.choice(crossings)]
            for _ in range(rng.randint(3, 9)):
                near = sorted(crossings, key=lambda one: abs(one[0] - way[-1][0]) + abs(one[1] - way[-1][1]))
                way.append(rng.choice(near[1:6]))
            line(shown, way, (30, 100, 230), max(4, size[0] // 120))
            disc(shown, way[-1], size[0] / 50, (220, 50, 40))
            disc(shown, way[-1], size[0] / 110, WHITE)
        return shown

    return Setting(draw, unchanged)


def _town(rng: random.Random, shown: UInt8Array, style: tuple[Colour, ...]) -> list[tuple[float, float]]:
    """Water, parks, streets on a bent grid and names, in place; where streets cross."""
    height, width = shown.shape[:2]
    own, count = numbers(rng), rng.randint(7, 12)
    for tone in rng.choices(style[3:], k=rng.randint(2, 6)):
        corners = own.normal(0, 0.16, (7, 2)) + own.uniform(0, 1, 2)
        hull = cv2.convexHull((corners * (width, height)).astype(np.float32))[:, 0]
        area(shown, [(float(x), float(y)) for x, y in hull], tone)
    y, x = np.mgrid[0:count, 0:count] / (count - 1) * 1.4 - 0.2
    angle, bend = rng.uniform(0, 1.5), 0.025
    grid = np.stack([x, y], axis=-1) - 0.5 + own.normal(0, bend, (count, count, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = (grid @ turn * 1.3 + 0.5) * (width, height)
    ways = [grid[number] for number in range(count)] + [grid[:, number] for number in range(count)]
    wide = max(3, width // 130)
    for edge in (True, False):
        for number, way in enumerate(ways):
            main = number % 5 == 0
            tone = style[2] if main else style[1]
            ink = _darker(tone) if edge else tone
            line(shown, [(float(a), float(b)) for a, b in way], ink, wide * (2 if main else 1) + (2 if edge else 0))
    dark = sum(style[0]) < 300
    for _ in range(rng.randint(6, 14)):
        at = rng.uniform(0, 0.85) * width, rng.uniform(0.05, 0.98) * height
        text(shown, at, words(rng, 1), width / rng.choice([45, 55, 32]), (200, 200, 200) if dark else (80, 80, 90))
    inside = [(float(a), float(b)) for a, b in grid.reshape(-1, 2) if 0 < a < width and 0 < b < height]
    return inside


def _darker(tone: Colour) -> Colour:
    return tone[0] * 4 // 5, tone[1] * 4 // 5, tone[2] * 4 // 5
