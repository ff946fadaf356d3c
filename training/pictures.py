"""Pictures to learn from: procedural ones, textured with patches of the photographs that installed packages carry.

Dead leaves (J. Huang, D. Mumford, "Statistics of Natural Images and Models", CVPR 1999), fractal noise, layered
landscapes, drawings and pages of text stand for photographs: what tells one picture from another is where edges,
tones and textures lie, and that a picture made up by chance has as much of as a real one (M. Baradad et al.,
"Learning to See by Looking at Noise", NeurIPS 2021). Every picture is a function of the seed and its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from modules.features.weights import fitting
from modules.records import UInt8Array
from scripts.make_sample import photographs

#: Side of the square pictures, pixels: half as much again as the network sees, for crops.
SIDE = 192
#: Every so many pictures one is a tile of a photograph itself, as long as there are tiles.
_TILES = 3
#: The one photograph of which its package does not say under which licence it is.
_UNCLEAR = "motorcycle"
_CHUNK = 64

Rng = np.random.Generator
Photos = Sequence[UInt8Array]


def load_photos() -> list[UInt8Array]:
    """The photographs, uint8 (h, w, 3), that scikit-image and scikit-learn carry and whose licence is plain."""
    found = (path for name, path in photographs() if _UNCLEAR not in name)
    return [np.asarray(Image.open(path).convert("RGB"), np.uint8) for path in found]


def make_stock(folder: Path, count: int, seed: int, processes: int) -> Path:
    """A file of ``count`` pictures, uint8 (count, SIDE, SIDE, 3), named by their seed, complete once it has its name.

    Made unless it is there; raises UsageError for one that is damaged or holds another number of pictures.
    """
    path = folder / f"pictures-{seed}.npy"
    shape = (count, SIDE, SIDE, 3)
    if not path.exists():
        unfinished = path.with_suffix(".part")
        stock = open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        with get_context("spawn").Pool(processes, _start, (seed, count)) as pool:
            starts = range(0, count, _CHUNK)
            for start, made in zip(starts, pool.imap(_chunk, starts), strict=True):
                stock[start : start + len(made)] = made
        stock.flush()
        del stock
        unfinished.rename(path)
    with fitting("descriptor", path, "the stock of pictures (remove it to have it made anew)"):
        found = np.load(path, mmap_mode="r").shape
        if found != shape:
            raise ValueError(f"it holds {found}, not {shape}")
    return path


_seed, _count = 0, 0
_photos: Photos = ()
_tiles: Photos = ()


def _start(seed: int, count: int) -> None:
    """In a process of the pool."""
    global _seed, _count, _photos, _tiles  # noqa: PLW0603  (the pool's processes hand their tasks nothing else)
    cv2.setNumThreads(1)
    _seed, _count, _photos = seed, count, load_photos()
    _tiles = [tile for photo in _photos for tile in _cut(photo)]


def _chunk(start: int) -> UInt8Array:
    numbers = range(start, min(start + _CHUNK, _count))
    return np.stack([make_picture(n, np.random.default_rng((_seed, n)), _photos, _tiles) for n in numbers])


def _cut(photo: UInt8Array) -> list[UInt8Array]:
    """Nine tiles that share no pixel."""
    rows, columns = np.array_split(np.arange(len(photo)), 3), np.array_split(np.arange(photo.shape[1]), 3)
    return [photo[row[0] : row[-1] + 1, column[0] : column[-1] + 1] for row in rows for column in columns]


def make_picture(number: int, rng: Rng, photos: Photos, tiles: Photos) -> UInt8Array:
    """One picture, uint8 (SIDE, SIDE, 3). The first ones are tiles of photographs, each used once."""
    if number % _TILES == 0 and number // _TILES < len(tiles):
        return _square(tiles[number // _TILES])
    makers: list[tuple[float, Callable[[Rng, Photos], UInt8Array]]] = [
        (0.48, _leaves),
        (0.24, _landscape),
        (0.06, _noise_picture),
        (0.08, _drawing),
        (0.04, _page),
        (0.1, _objects),
    ]
    chosen = makers[rng.choice(len(makers), p=[share for share, _ in makers])][1]
    picture = chosen(rng, photos)
    if rng.random() < 0.3:
        picture = _vignetted(picture, rng)
    if rng.random() < 0.3:
        picture = _as_rgb(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    return picture


def _square(picture: UInt8Array) -> UInt8Array:
    shrinks = min(picture.shape[:2]) > SIDE
    return np.asarray(
        cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )


def _as_rgb(grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> UInt8Array:
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _fractal(rng: Rng, falloff: float, side: int = SIDE) -> NDArray[np.float64]:
    """Noise of 0 to 1, (side, side), whose octaves weigh 2 ^ -falloff of the one before."""
    total = np.zeros((side, side), np.float32)
    weight, cells = 1.0, int(rng.integers(2, 4))
    while cells <= side:
        grid = rng.random((cells, cells), np.float32)
        total += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        weight, cells = weight * 2**-falloff, cells * 2
    low, high = np.percentile(total[::4, ::4], (1, 99))
    return np.asarray(np.clip((total - low) / max(high - low, 1e-6), 0, 1), np.float64)


def _palette(rng: Rng, count: int) -> NDArray[np.float32]:
    """Colours, float32 (count, 3), around one hue or of any."""
    hue, spread = rng.random(), rng.choice([0.06, 0.15, 0.5, 1.0])
    hsv = np.stack(
        [
            (hue + spread * (rng.random(count) - 0.5)) % 1 * 180,
            np.clip(rng.beta(1.2, 3) + 0.2 * rng.standard_normal(count), 0, 1) * 255,
            np.clip(rng.beta(3, 2) + 0.3 * rng.standard_normal(count), 0, 1) * 255,
        ],
        axis=1,
    )
    rgb = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
    return np.asarray(rgb, np.float32)


def _texture(rng: Rng, photos: Photos) -> UInt8Array:
    """To fill a shape with, uint8 (SIDE, SIDE, 3): a changed patch of a photograph, noise, stripes or one tone."""
    kind = rng.random()
    if kind < 0.55:
        patch = _patch(photos[int(rng.integers(len(photos)))], rng)
        return _recoloured(patch, rng) if rng.random() < 0.6 else patch
    first, second = _palette(rng, 2)
    if kind < 0.8:
        share: NDArray[np.floating[Any]] = _fractal(rng, rng.uniform(0.2, 1.6))[..., None]
    elif kind < 0.87:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        share = (0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period))[..., None]
        share = np.round(share) if rng.random() < 0.5 else share
    else:
        share = _ramp(rng)[..., None]
    return np.asarray(np.clip(first * share + second * (1 - share), 0, 255), np.uint8)


def _ramp(rng: Rng) -> NDArray[np.float32]:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    return np.asarray(0.5 + (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0, 0.5), np.float32)


def _patch(photo: UInt8Array, rng: Rng) -> UInt8Array:
    """Any part of a photograph, turned, mirrored and stretched to a square."""
    height, width = photo.shape[:2]
    side = int(min(height, width) * rng.uniform(0.15, 0.7))
    top, left = rng.integers(0, height - side), rng.integers(0, width - side)
    part = np.rot90(photo[top : top + side, left : left + side], int(rng.integers(4)))
    return _square(np.ascontiguousarray(part[:, :: rng.choice([-1, 1])]))


def _recoloured(picture: UInt8Array, rng: Rng) -> UInt8Array:
    """Channels mixed, and light bent."""
    mix = np.eye(3, dtype=np.float32)[rng.permutation(3)] + 0.35 * rng.standard_normal((3, 3)).astype(np.float32)
    mixed = cv2.transform(picture.astype(np.float32) / 255, mix)
    low, high = np.percentile(mixed[::4, ::4], (2, 98))
    mixed = np.clip((mixed - low) / max(float(high - low), 1e-3), 0, 1)
    return np.asarray(255 * mixed ** np.float32(np.exp(rng.uniform(-0.7, 0.7))), np.uint8)


def _mask(rng: Rng, size: float) -> UInt8Array:
    """A shape somewhere, uint8 (SIDE, SIDE), 0 or 255; size: its half width, pixels."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y = rng.uniform(-0.1, 1.1, 2) * SIDE
    kind = rng.random()
    if kind < 0.3:
        axes = (max(1, int(size)), max(1, int(size * rng.uniform(0.4, 1))))
        cv2.ellipse(mask, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 255, -1)
    elif kind < 0.75:
        corners = int(rng.integers(3, 8))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = size * rng.uniform(0.5, 1.2, corners)
        points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 255)
    else:
        box = cv2.boxPoints(((x, y), (2 * size, 2 * size * rng.uniform(0.1, 1)), rng.choice([0.0, rng.uniform(0, 90)])))
        cv2.fillPoly(mask, [box.astype(np.int32)], 255)
    return mask


def _leaves(rng: Rng, photos: Photos) -> UInt8Array:
    """Shapes that cover each other, large ones rarer than small ones by a power law."""
    picture = _texture(rng, photos)
    textures = [_texture(rng, photos) for _ in range(int(rng.integers(2, 6)))]
    least, exponent = rng.uniform(3, 12), rng.uniform(1.5, 3)
    for _ in range(int(rng.integers(12, 150))):
        size = min(least * rng.random() ** (-1 / exponent), SIDE / 2.5)
        shift = rng.integers(0, SIDE, 2)
        texture = np.roll(textures[rng.integers(len(textures))], shift, axis=(0, 1))
        _lay(picture, texture, _mask(rng, size), rng)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.5)), np.uint8)
    return picture


def _objects(rng: Rng, photos: Photos) -> UInt8Array:
    """A few things on a soft ground, as in a picture of goods or a portrait."""
    ground = cv2.GaussianBlur(_texture(rng, photos), (0, 0), rng.uniform(4, 16))
    picture = np.asarray(ground, np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        _lay(picture, _texture(rng, photos), _mask(rng, rng.uniform(0.1, 0.35) * SIDE), rng)
    return picture


def _lay(picture: UInt8Array, texture: UInt8Array, mask: UInt8Array, rng: Rng) -> None:
    """Cover a picture, in place; shapes are lit from somewhere and may throw a shadow."""
    if rng.random() < 0.3:
        shadow = np.roll(mask, rng.integers(-6, 7, 2), axis=(0, 1))
        soft = cv2.GaussianBlur(shadow, (0, 0), 3)[..., None].astype(np.uint16)
        picture[:] = picture * (510 - soft) // 510
    cover = mask > 0
    lit = texture[cover]
    if rng.random() < 0.5:
        lit = np.clip(lit * (0.6 + 0.8 * _ramp(rng)[cover][:, None]), 0, 255).astype(np.uint8)
    picture[cover] = lit


def _landscape(rng: Rng, photos: Photos) -> UInt8Array:
    """Layers behind each other, each below a ragged line, under a sky."""
    picture = _texture(rng, photos) if rng.random() < 0.4 else _sky(rng)
    level = rng.uniform(0.2, 0.5)
    for _ in range(int(rng.integers(1, 5))):
        line = _fractal(rng, rng.uniform(0.6, 1.5))[int(rng.integers(SIDE))]
        edge = SIDE * (level + rng.uniform(0.05, 0.4) * (line - 0.5))
        cover = np.arange(SIDE)[:, None] > edge[None]
        picture[cover] = _texture(rng, photos)[cover]
        level += rng.uniform(0.08, 0.3)
    for _ in range(int(rng.integers(0, 8))):
        _lay(picture, _texture(rng, photos), _mask(rng, rng.uniform(4, 30)), rng)
    return picture


def _sky(rng: Rng) -> UInt8Array:
    top, bottom, cloud = _palette(rng, 3)
    share = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    clouds = np.clip(_fractal(rng, rng.uniform(0.8, 1.4)) * 2 - rng.uniform(0.6, 1.2), 0, 1)[..., None]
    sky = top * (1 - share) + bottom * share
    return np.asarray(sky * (1 - clouds) + cloud * clouds, np.uint8)


def _noise_picture(rng: Rng, photos: Photos) -> UInt8Array:
    """Fractal noise in three channels that have more or less in common."""
    falloff, shared = rng.uniform(0.4, 1.5), rng.uniform(0, 0.9)
    base = _fractal(rng, falloff)
    channels = [shared * base + (1 - shared) * _fractal(rng, falloff) for _ in range(3)]
    return np.asarray(255 * np.stack(channels, axis=-1), np.uint8)


def _drawing(rng: Rng, photos: Photos) -> UInt8Array:
    """Flat shapes and lines on one tone."""
    colours = _palette(rng, 6)
    picture = np.broadcast_to(colours[0].astype(np.uint8), (SIDE, SIDE, 3)).copy()
    for _ in range(int(rng.integers(2, 25))):
        colour = colours[rng.integers(1, 6)].tolist()
        if rng.random() < 0.4:
            ends = rng.integers(0, SIDE, (int(rng.integers(2, 6)), 2)).astype(np.int32)
            cv2.polylines(picture, [ends], bool(rng.random() < 0.3), colour, int(rng.integers(1, 5)), cv2.LINE_AA)
        else:
            picture[_mask(rng, rng.uniform(4, 60)) > 0] = colour
    return picture


def _page(rng: Rng, photos: Photos) -> UInt8Array:
    """Lines of text, with a picture or none."""
    paper, ink = rng.uniform(190, 255), rng.uniform(0, 90)
    picture = np.full((SIDE, SIDE, 3), paper, np.uint8)
    y = int(rng.integers(8, 30))
    while y < SIDE - 6:
        at = int(rng.integers(4, 20)), y
        size = rng.uniform(0.25, 0.6)
        write(picture, rng, at, size=size, colour=(ink,) * 3, letters=int(rng.integers(8, 40)))
        y += int(rng.integers(9, 22))
    if rng.random() < 0.6:
        side = int(rng.integers(40, 110))
        top, left = rng.integers(0, SIDE - side, 2)
        inset = cv2.resize(_leaves(rng, photos), (side, side), interpolation=cv2.INTER_AREA)
        picture[top : top + side, left : left + side] = inset
    return picture


_LETTERS = "etaoinshrdlucmfwypvbgkjqxzETAOINSHR0123456789 .,:!?%&  "
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def write(
    picture: UInt8Array, rng: Rng, at: tuple[int, int], *, size: float, colour: tuple[float, ...], letters: int
) -> None:
    """Letters by chance on a picture, in place. at: (x, y) of their base line's left end. size: 1 is 22 pixels high."""
    text = "".join(_LETTERS[n] for n in rng.integers(0, len(_LETTERS), letters))
    font = _FONTS[rng.integers(len(_FONTS))]
    cv2.putText(picture, text, at, font, size, colour, 1 + int(size > 0.8 and rng.random() < 0.5), cv2.LINE_AA)


def _vignetted(picture: UInt8Array, rng: Rng) -> UInt8Array:
    """Light falls off from one side or from the middle."""
    light = 0.5 + 0.8 * _ramp(rng)[..., None]
    return np.asarray(np.clip(picture * light, 0, 255), np.uint8)
