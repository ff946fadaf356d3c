"""Edits of a picture as people and platforms make them, in memory; the same seed makes the same bytes."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from modules.records import UInt8Array

Draw = Callable[[Image.Image, random.Random], Image.Image]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: ``draw`` changes the pixels, ``quality`` is that of the JPEG they are written as."""

    name: str
    draw: Draw
    quality: int = 85

    def apply(self, rgb: UInt8Array, seed: str) -> bytes:
        """The edited picture as a file's bytes. rgb: uint8 (h, w, 3); seed: what its chances hang on."""
        out = io.BytesIO()
        edited = self.draw(Image.fromarray(rgb), random.Random(f"{self.name} {seed}"))
        edited.save(out, "JPEG", quality=self.quality)
        return out.getvalue()


def _same(picture: Image.Image, _: random.Random) -> Image.Image:
    return picture


def _smaller(picture: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.uniform(0.3, 0.6)
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _brightness(picture: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(rng.choice([0.7, 1.3]))


def _crop(area: float) -> Draw:
    """Keeps ``area`` of the picture, somewhere in it."""

    def draw(picture: Image.Image, rng: random.Random) -> Image.Image:
        side = area**0.5
        width, height = max(1, round(picture.width * side)), max(1, round(picture.height * side))
        left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
        return picture.crop((left, top, left + width, top + height))

    return draw


def _flip(picture: Image.Image, _: random.Random) -> Image.Image:
    return ImageOps.mirror(picture)


def _border(picture: Image.Image, rng: random.Random) -> Image.Image:
    width = max(1, round(rng.uniform(0.04, 0.12) * max(picture.size)))
    return ImageOps.expand(picture, width, fill=rng.choice(["white", "black"]))


def _text(picture: Image.Image, rng: random.Random) -> Image.Image:
    drawn = picture.copy()
    words = " ".join("".join(rng.choices("abdeghiklmnoprstu", k=rng.randint(3, 8))) for _ in range(3))
    place = picture.width * 0.05, picture.height * rng.uniform(0.1, 0.8)
    pen = ImageDraw.Draw(drawn)
    pen.text(place, words, fill=rng.choice(["white", "yellow", "black"]), font_size=max(8, picture.height // 10))
    return drawn


def _next_shot(picture: Image.Image, rng: random.Random) -> Image.Image:
    """As a hand that held the camera on would have it: turned, moved and zoomed a little, in slightly other light."""
    turned = picture.rotate(rng.choice([-2, 2]), resample=Image.Resampling.BICUBIC)
    return ImageEnhance.Brightness(_crop(0.85)(turned, rng)).enhance(rng.choice([0.9, 1.1]))


#: The edit that stands for another picture of the same scene.
NEXT_SHOT = "next shot"
EDITS = (
    Edit("re-encoded", _same, quality=40),
    Edit("smaller", _smaller),
    Edit("brightness", _brightness),
    Edit("crop to 80 %", _crop(0.8)),
    Edit("crop to 50 %", _crop(0.5)),
    Edit("flip", _flip),
    Edit("border", _border),
    Edit("text", _text),
    Edit(NEXT_SHOT, _next_shot),
)
