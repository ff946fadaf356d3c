"""The pictures of golden pairs, each made from its name and random numbers of that name: the same every time."""

from __future__ import annotations

import functools
import io
import random
from itertools import chain

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scripts.make_sample import draw_picture, photographs
from tests.drawings import leaves, page
from tests.pictures import draw

#: Long side, pixels, of the photographs.
SIDE = 400
LEAVES, DRAWN, SMALL = range(40, 48), range(4), range(4)
#: A subject's opacity falls to nothing within so many pixels of its edge, as that of a thing that was there.
_SOFT = 2


@functools.cache
def bases() -> dict[str, Image.Image]:
    """Photographs that packages carry, and drawn pictures as full of things: all different."""
    found = {}
    for name, path in photographs():
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        found[name.partition(".")[0]] = picture
    made = chain(
        ((f"leaves{seed}", leaves(seed, (SIDE, 3 * SIDE // 4))) for seed in LEAVES),
        ((f"drawn{seed}", draw_picture(seed)) for seed in DRAWN),
        ((f"small{seed}", draw(seed)) for seed in SMALL),
    )
    return found | dict(made)


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    """The picture's file as cameras write it."""
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def scene(number: int, share: float, place: tuple[float, float] | None) -> Image.Image:
    """A fixed background, and before it a thing that takes ``share`` of the area.

    place: where in the room that is left it stands, each 0 to 1; None where it is gone.
    """
    ground = leaves(70 + number, (SIDE, 3 * SIDE // 4))
    if place is None:
        return ground
    side = share**0.5
    size = round(side * ground.width), round(side * ground.height)
    subject = leaves(80 + number, size)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((_SOFT, _SOFT, size[0] - _SOFT, size[1] - _SOFT), min(size) // 4, 255)
    left, top = (
        round(at * room) for at, room in zip(place, (ground.width - size[0], ground.height - size[1]), strict=True)
    )
    ground.paste(subject, (left, top), mask.filter(ImageFilter.GaussianBlur(_SOFT / 2)))
    return ground


def before_depths(number: int, step: int) -> Image.Image:
    """Two layers of things that a camera, moved by ``step``, sees moved by so many pixels, and by three times that."""
    wide, high = SIDE, 3 * SIDE // 4
    far, near = leaves(100 + number, (wide + 60, high)), leaves(110 + number, (wide + 60, high))
    blobs = np.random.default_rng(number).normal(0, 1, (6, 8)).astype(np.float32)
    mask = Image.fromarray(((blobs > 0.4) * 255).astype(np.uint8)).resize(near.size, Image.Resampling.BICUBIC)
    mask = mask.point([0] * 128 + [255] * 128)
    shown = far.crop((step, 0, step + wide, high))
    box = (3 * step, 0, 3 * step + wide, high)
    shown.paste(near.crop(box), (0, 0), mask.crop(box))
    return shown


def lit(picture: Image.Image, angle: float, strength: float) -> Image.Image:
    """The picture in light that falls off across it, towards ``angle`` (radians)."""
    down, across = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    gain = 1 + strength * (across * np.cos(angle) + down * np.sin(angle))
    return Image.fromarray(np.clip(np.asarray(picture, np.float32) * gain[..., None], 0, 255).astype(np.uint8))


def one_line_more(seed: int) -> Image.Image:
    """The page of this seed with one of its lines rewritten."""
    sheet = page(seed)
    pen = ImageDraw.Draw(sheet)
    top = 50 + 23 * random.Random(seed).randrange(5, 25)
    pen.rectangle((40, top - 1, 580, top + 20), fill="white")
    pen.text((50, top), "In witness whereof nobody has signed anything", fill="black", font_size=15)
    return sheet
