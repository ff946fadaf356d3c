"""What all scenes are made with: pictures that differ for certain, letters of many scripts, and how cameras see.

Letters are those that OpenCV carries within itself (Rubik and WenQuanYi Micro Hei) and Pillow's bitmap font, so that a
seed draws the same picture wherever the pinned packages are installed, whatever fonts a machine has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.records import UInt8Array

Photos = Sequence[Image.Image]
#: ``count`` different pictures of one scene, for a seeded generator and photographs to cut from.
Scene = Callable[[random.Random, int, Photos], list[Image.Image]]
Colour = tuple[int, int, int]
Floats = NDArray[np.float32]

#: A difference that a person sees at full size: in some square of SPOT pixels the colours differ by VISIBLE of 255 on
#: average. That is more than taking a picture does to it: grain of deviation 5 and a JPEG file of quality 39 change
#: such squares of the photographs that packages carry by 8 at most (median) and 44 (the worst, at coloured edges). A
#: digit 10 pixels high, black on white, is at 60 and more.
SPOT = 5
VISIBLE = 48
#: Draws of one picture before a scene is said to have no more to show, and scenes before the family is said so: some
#: show too little, as a dark thing that moves before a dark ground. For pairs of the 23 families at 40 seeds each the
#: first scene did, but for one of ``expressions``.
_TRIES = 24
_SCENES = 12

#: Standard deviation of the sum of two even bytes: (256 ** 2 - 1) / 12 each.
_TWO_BYTES = 104.5
#: Cubic interpolation is for small pictures, where it shows: it takes four times as long as linear one.
_SMALL = 300_000

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


class Setting(NamedTuple):
    """One scene. ``draw``: what is to be seen, another thing each time; ``finish``: how it was taken, grain and all."""

    draw: Callable[[random.Random], UInt8Array]
    finish: Callable[[random.Random, UInt8Array], UInt8Array]


Setup = Callable[[random.Random, Photos], Setting]


def scene_of(setup: Setup) -> Scene:
    """The scene function of a setup: draws until each picture differs visibly from every one before it.

    What is compared is drawn, not yet taken: another grain or tilt alone makes no other picture.
    """

    def scene(rng: random.Random, count: int, photos: Photos) -> list[Image.Image]:
        for _ in range(_SCENES):
            setting = setup(rng, photos)
            drawn: list[UInt8Array] = []
            while len(drawn) < count and (one := _another(setting, rng, drawn)) is not None:
                drawn.append(one)
            if len(drawn) == count:
                return [Image.fromarray(setting.finish(rng, one)) for one in drawn]
        raise ValueError(f"no scene of this family shows {count} different pictures: ask for fewer")

    return scene


def _another(setting: Setting, rng: random.Random, drawn: Sequence[UInt8Array]) -> UInt8Array | None:
    for _ in range(_TRIES):
        candidate = setting.draw(rng)
        if all(visibly_different(candidate, one) for one in drawn):
            return candidate
    return None


def visibly_different(first: UInt8Array, second: UInt8Array) -> bool:
    """Whether a person who looks at both at full size sees another thing. uint8 (h, w), (h, w, 3) or (h, w, 4)."""
    if first.shape != second.shape:
        return True
    difference = cv2.absdiff(_seen(first), _seen(second))
    return float(cv2.blur(difference, (SPOT, SPOT)).max()) >= VISIBLE


def _seen(picture: UInt8Array) -> UInt8Array:
    """With transparency as a fourth colour, and no colour where nothing is to be seen."""
    if picture.ndim == 2 or picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:]
    return np.concatenate([(picture[..., :3].astype(np.uint16) * alpha // 255).astype(np.uint8), alpha], axis=2)


def unchanged(rng: random.Random, picture: UInt8Array) -> UInt8Array:
    """For what reaches its file as it was drawn."""
    return picture


def numbers(rng: random.Random) -> np.random.Generator:
    """A generator of arrays that hangs on ``rng`` alone."""
    return np.random.default_rng(rng.getrandbits(64))


def colour(rng: random.Random, low: int = 0, high: int = 255) -> Colour:
    """Any colour between two levels."""
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def canvas(size: tuple[int, int], ground: Colour = WHITE) -> UInt8Array:
    """uint8 (h, w, 3) of one colour; size is (w, h)."""
    picture = np.empty((size[1], size[0], 3), np.uint8)
    cv2.rectangle(picture, (0, 0), size, ground, -1)
    return picture


def cut(rng: random.Random, photos: Photos, size: tuple[int, int], least: float = 0.5) -> UInt8Array:
    """Some part of some photograph, at least ``least`` of the largest one that fits; uint8 (h, w, 3) of size (w, h).

    Raises:
        ValueError: no photographs.
    """
    if not photos:
        raise ValueError("this scene is made of photographs: give at least one")
    photo = photos[rng.randrange(len(photos))]
    fit = min(photo.width / size[0], photo.height / size[1]) * rng.uniform(least, 1)
    width, height = size[0] * fit, size[1] * fit
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    found = photo.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2).convert("RGB")
    if rng.random() < 0.5:
        found = found.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(found, np.uint8)


@lru_cache(maxsize=8)
def _face(name: str) -> Any:
    return cv2.FontFace(name)


def text(
    picture: UInt8Array,
    at: tuple[float, float],
    words: str,
    size: float,
    ink: Colour = BLACK,
    *,
    weight: int = 400,
    face: str = "sans",
    align: str = "left",
) -> None:
    """Write on a picture, in place. at: (x, y) of the base line; size: pixels an em; face: sans, italic or uni."""
    # The weight is always given: a face keeps that of the call before.
    place, size = (round(at[0]), round(at[1])), round(size)
    if align != "left":
        wide = cv2.getTextSize((0, 0), words, (0, 0), _face(face), size, weight)[2]
        place = place[0] - (wide if align == "right" else wide // 2), place[1]
    cv2.putText(picture, words, place, ink, _face(face), size, weight)


def mono(picture: UInt8Array, at: tuple[float, float], words: str, size: float, ink: Colour = BLACK) -> None:
    """Write in cells of equal width, as cash registers and terminals do; ``at`` and ``size`` as for ``text``."""
    for number, letter in enumerate(words):
        if letter != " ":
            text(picture, (at[0] + number * size * 0.6, at[1]), letter, size, ink, face="uni")


def box(picture: UInt8Array, place: tuple[float, float, float, float], fill: Colour, radius: float = 0) -> None:
    """A filled rectangle (left, top, right, bottom) with round corners, in place."""
    x0, y0, x1, y1 = (round(value) for value in place)
    r = round(min(radius, (x1 - x0) / 2, (y1 - y0) / 2))
    if r < 1:
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), fill, -1)
        return
    cv2.rectangle(picture, (x0 + r, y0), (x1 - r, y1), fill, -1)
    cv2.rectangle(picture, (x0, y0 + r), (x1, y1 - r), fill, -1)
    for x, y in ((x0 + r, y0 + r), (x1 - r, y0 + r), (x0 + r, y1 - r), (x1 - r, y1 - r)):
        cv2.circle(picture, (x, y), r, fill, -1, cv2.LINE_AA)


def frame(picture: UInt8Array, place: tuple[float, float, float, float], ink: Colour, width: int = 1) -> None:
    """A rectangle's outline, in place."""
    x0, y0, x1, y1 = (round(value) for value in place)
    cv2.rectangle(picture, (x0, y0), (x1, y1), ink, width)


def line(picture: UInt8Array, points: Sequence[tuple[float, float]], ink: Colour, width: int = 1) -> None:
    """A smooth line through points (x, y), in place."""
    cv2.polylines(picture, [np.array(points).round().astype(np.int32)], False, ink, width, cv2.LINE_AA)


def area(picture: NDArray[Any], points: Sequence[tuple[float, float]], fill: Any) -> None:
    """A filled polygon, in place."""
    cv2.fillPoly(picture, [np.array(points).round().astype(np.int32)], fill, cv2.LINE_AA)


def disc(picture: UInt8Array, at: tuple[float, float], radius: float, fill: Any, width: int = -1) -> None:
    """A filled circle or, with a width, a ring; in place."""
    cv2.circle(picture, (round(at[0]), round(at[1])), max(1, round(radius)), fill, width, cv2.LINE_AA)


def inset(picture: UInt8Array, at: tuple[int, int], part: UInt8Array) -> None:
    """Lay one picture into another, in place; at: (left, top)."""
    picture[at[1] : at[1] + part.shape[0], at[0] : at[0] + part.shape[1]] = part


def laid(ground: UInt8Array, part: UInt8Array, cover: Floats) -> UInt8Array:
    """``part`` over ``ground`` where ``cover`` (0 to 1, (h, w)) is; all of one size."""
    return np.asarray(cv2.blendLinear(part, ground, np.ascontiguousarray(cover), 1 - cover), np.uint8)


def clouds(rng: random.Random, size: tuple[int, int], cells: int) -> Floats:
    """Soft noise of about -1 to 1, float32 (h, w), with so many patches across."""
    coarse = numbers(rng).uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def grain(rng: random.Random, picture: UInt8Array, deviation: float, cell: float = 1.0) -> UInt8Array:
    """Noise as a sensor makes it, of one ``deviation`` in grey values; ``cell`` pixels wide."""
    height, width = picture.shape[:2]
    shape = 2, max(1, round(height / cell)), max(1, round(width / cell))
    # The sum of two even distributions is normal enough for a grain, and quicker.
    first, second = numbers(rng).integers(0, 256, shape, np.uint8)
    share = deviation / _TWO_BYTES
    noise = cv2.addWeighted(first, share, second, share, -255 * share, dtype=cv2.CV_32F)
    if noise.shape != (height, width):
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(picture, _each_channel(picture, noise), dtype=cv2.CV_8U), np.uint8)


def _each_channel(picture: UInt8Array, values: Floats) -> Floats:
    return values if picture.ndim == 2 else np.asarray(cv2.merge([values] * picture.shape[2]), np.float32)


def turned(
    picture: UInt8Array, degrees: float, zoom: float = 1.0, shift: tuple[float, float] = (0, 0), fill: Any = None
) -> UInt8Array:
    """Rotated round the middle, enlarged and moved (pixels); what comes in is ``fill``, mirrored edges without it."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    matrix[:, 2] += shift
    edge = cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT
    how = cv2.INTER_CUBIC if height * width < _SMALL else cv2.INTER_LINEAR
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=how, borderMode=edge, borderValue=fill or 0)
    return np.asarray(moved, np.uint8)


def lit(picture: UInt8Array, gain: float | Floats) -> UInt8Array:
    """Brightness times ``gain`` (one, or of each pixel)."""
    if isinstance(gain, float):
        return np.asarray(cv2.convertScaleAbs(picture, alpha=gain), np.uint8)
    return np.asarray(cv2.multiply(picture, _each_channel(picture, gain), dtype=cv2.CV_8U), np.uint8)


def compressed(picture: UInt8Array, quality: int) -> UInt8Array:
    """Through a JPEG file."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def scanned(rng: random.Random, page: UInt8Array, paper: Colour, skew: float = 0.8) -> UInt8Array:
    """A page on a scanner: tone of paper, ink that is not black, a little crooked and soft, uneven light, grain."""
    tone = np.array(paper, np.float32) / 255
    table = np.clip(np.arange(256)[:, None] * tone * (1 - 0.12) + 0.12 * 235 * tone, 0, 255).astype(np.uint8)
    toned = np.asarray(cv2.LUT(page, table[None]), np.uint8)
    moved = turned(toned, rng.uniform(-skew, skew), 1, (rng.uniform(-6, 6), rng.uniform(-6, 6)), fill=paper)
    if rng.random() < 0.6:
        moved = np.asarray(cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.4, 0.9)), np.uint8)
    if rng.random() < 0.4:
        size = moved.shape[1], moved.shape[0]
        moved = lit(moved, np.asarray(1 + 0.06 * clouds(rng, size, 2), np.float32))
    return grain(rng, moved, rng.uniform(0.5, 5))
