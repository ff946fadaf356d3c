"""Named edits of a picture, as people and platforms make them; the same seed makes the same bytes.

Levels as in the project's measurements: ``easy``, ``medium``, ``hard``, ``embedded``. Tests and
``benchmarks/recall.py`` make their truth with these.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Draw = Callable[[Image.Image, random.Random], Image.Image]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: ``draw`` changes the pixels, the rest says how they are written."""

    name: str
    level: str
    draw: Draw
    suffix: str = ".jpg"
    quality: int = 90

    def apply(self, picture: Image.Image, seed: int) -> bytes:
        """The edited picture as a file's bytes."""
        edited = self.draw(picture.convert("RGB"), random.Random(f"{self.name} {seed}"))
        out = io.BytesIO()
        if self.suffix == ".png":
            edited.save(out, "PNG")
        elif self.suffix == ".webp":
            edited.save(out, "WEBP", quality=self.quality)
        else:
            edited.save(out, "JPEG", quality=self.quality)
        return out.getvalue()


def _same(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture


def _scaled(low: float, high: float) -> Draw:
    def draw(picture: Image.Image, rng: random.Random) -> Image.Image:
        factor = rng.uniform(low, high)
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        return picture.resize(size, Image.Resampling.LANCZOS)

    return draw


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance], *factors: float) -> Draw:
    return lambda picture, rng: kind(picture).enhance(rng.choice(factors))


def _filtered(kind: ImageFilter.Filter) -> Draw:
    return lambda picture, rng: picture.filter(kind)


def _grey(picture: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.grayscale(picture).convert("RGB")


def _noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32)
    noisy = pixels + np.random.default_rng(rng.getrandbits(32)).normal(0, 14, pixels.shape)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _cropped(area: float) -> Draw:
    """Keeps ``area`` of the picture, somewhere in it."""

    def draw(picture: Image.Image, rng: random.Random) -> Image.Image:
        side = area**0.5
        width, height = round(picture.width * side), round(picture.height * side)
        left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
        return picture.crop((left, top, left + width, top + height))

    return draw


def _mirrored(picture: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(picture)


def _quarter(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.rotate(rng.choice([90, 180, 270]), expand=True)


def _rotated(degrees: float, expand: bool) -> Draw:
    def draw(picture: Image.Image, rng: random.Random) -> Image.Image:
        angle = rng.choice([-degrees, degrees])
        fill = rng.choice(["black", "white"])
        return picture.rotate(angle, resample=Image.Resampling.BICUBIC, expand=expand, fillcolor=fill)

    return draw


def _words(rng: random.Random, count: int) -> str:
    letters = "abcdefghiklmnoprstuvw"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(count)).capitalize()


def _text(picture: Image.Image, rng: random.Random) -> Image.Image:
    drawn = picture.copy()
    size = max(10, picture.height // 10)
    place = picture.width * 0.05, picture.height * rng.uniform(0.1, 0.8)
    colour = rng.choice(["white", "yellow", "black"])
    ImageDraw.Draw(drawn).text(place, _words(rng, 3), fill=colour, font_size=size, stroke_width=1)
    return drawn


def _sticker(picture: Image.Image, rng: random.Random) -> Image.Image:
    drawn = picture.copy()
    side = round(0.3 * min(picture.size))
    x, y = rng.randint(0, picture.width - side), rng.randint(0, picture.height - side)
    pen = ImageDraw.Draw(drawn)
    pen.ellipse((x, y, x + side, y + side), fill="#ffcc22", outline="#885500", width=max(1, side // 20))
    for centre in (0.3, 0.7):
        eye = x + side * centre, y + side * 0.35
        pen.ellipse((eye[0] - side / 12, eye[1] - side / 12, eye[0] + side / 12, eye[1] + side / 12), fill="#442200")
    mouth = (x + side * 0.25, y + side * 0.4, x + side * 0.75, y + side * 0.8)
    pen.arc(mouth, 20, 160, fill="#442200", width=max(1, side // 12))
    return drawn


def _bordered(picture: Image.Image, rng: random.Random) -> Image.Image:
    width = round(rng.uniform(0.04, 0.12) * max(picture.size))
    return ImageOps.expand(picture, width, fill=rng.choice(["white", "black", "#2a4a7a"]))


def _stretched(picture: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.choice([0.75, 0.8, 1.25, 1.33])
    return picture.resize((round(picture.width * factor), picture.height), Image.Resampling.BICUBIC)


def _pixelated(picture: Image.Image, rng: random.Random) -> Image.Image:
    cell = max(2, max(picture.size) // 120)
    small = picture.resize((max(1, picture.width // cell), max(1, picture.height // cell)), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _striped(picture: Image.Image, rng: random.Random) -> Image.Image:
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    step = picture.height // 8
    for y in range(step // 2, picture.height, max(1, step)):
        pen.rectangle((0, y, picture.width, y + max(1, picture.height // 60)), fill="#dddddd")
    return drawn


def _perspective(picture: Image.Image, rng: random.Random) -> Image.Image:
    w, h = picture.size
    corners = [(0, 0), (0, h), (w, h), (w, 0)]
    quad = [(x + w * rng.uniform(-0.08, 0.08), y + h * rng.uniform(-0.08, 0.08)) for x, y in corners]
    flat = tuple(number for corner in quad for number in corner)
    return picture.transform(picture.size, Image.Transform.QUAD, flat, Image.Resampling.BICUBIC)


def _combined(picture: Image.Image, rng: random.Random) -> Image.Image:
    cropped = _cropped(0.75)(ImageOps.mirror(picture), rng)
    bright = ImageEnhance.Brightness(cropped).enhance(rng.choice([0.75, 1.25]))
    return _text(_scaled(0.6, 0.8)(bright, rng), rng)


def screenshot(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A browser window around the picture: the same chrome around every picture."""
    inner = picture.resize((600, max(1, round(600 * picture.height / picture.width))))
    frame = Image.new("RGB", (680, inner.height + 220), "#f3f4f6")
    pen = ImageDraw.Draw(frame)
    pen.rectangle((0, 0, 680, 44), fill="#3b4252")
    for place, colour in ((16, "#ff5f56"), (40, "#ffbd2e"), (64, "#27c93f")):
        pen.ellipse((place, 15, place + 14, 29), fill=colour)
    pen.rounded_rectangle((100, 10, 560, 34), 10, fill="#e5e9f0")
    pen.text((112, 14), "https://photos.example/album/view", fill="#4c566a", font_size=14)
    pen.text((40, 60), "Photo of the day", fill="#111111", font_size=26)
    frame.paste(inner, (40, 104))
    below = inner.height + 116
    pen.text((40, below), "Like     Comment     Share     Save to album", fill="#333333", font_size=18)
    pen.rectangle((40, below + 36, 640, below + 38), fill="#cccccc")
    pen.text((40, below + 50), "Posted yesterday by a friend of yours, 12 comments", fill="#777777", font_size=16)
    return frame


def caption(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A white band with words above the picture, as memes have it; the words come from ``rng``."""
    band = max(24, picture.height // 4)
    framed = Image.new("RGB", (picture.width, picture.height + band), "white")
    framed.paste(picture, (0, band))
    text = _words(rng, 4)
    ImageDraw.Draw(framed).text((8, band // 4), text, fill="black", font_size=max(12, band // 3))
    return framed


def _pasted(picture: Image.Image, rng: random.Random) -> Image.Image:
    """On a larger, softly patterned background."""
    width, height = round(picture.width * 1.6), round(picture.height * 1.6)
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    ground = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    ground.paste(picture, (rng.randint(0, width - picture.width), rng.randint(0, height - picture.height)))
    return ground


_ALL = (
    Edit("jpeg75", "easy", _same, quality=75),
    Edit("jpeg30", "easy", _same, quality=30),
    Edit("png", "easy", _same, ".png"),
    Edit("webp", "easy", _same, ".webp", quality=70),
    Edit("smaller", "easy", _scaled(0.35, 0.7)),
    Edit("larger", "easy", _scaled(1.3, 2.0)),
    Edit("brightness", "easy", _enhanced(ImageEnhance.Brightness, 0.7, 1.3)),
    Edit("contrast", "easy", _enhanced(ImageEnhance.Contrast, 0.7, 1.4)),
    Edit("saturation", "easy", _enhanced(ImageEnhance.Color, 0.4, 1.7)),
    Edit("blur", "easy", _filtered(ImageFilter.GaussianBlur(1.5))),
    Edit("sharpen", "easy", _filtered(ImageFilter.UnsharpMask(2, 150))),
    Edit("noise", "easy", _noise),
    Edit("grey", "easy", _grey),
    Edit("crop5", "easy", _cropped(0.95)),
    Edit("crop10", "easy", _cropped(0.90)),
    Edit("crop20", "medium", _cropped(0.80)),
    Edit("mirror", "medium", _mirrored),
    Edit("rotate5", "medium", _rotated(5, expand=False)),
    Edit("text", "medium", _text),
    Edit("sticker", "medium", _sticker),
    Edit("border", "medium", _bordered),
    Edit("stretch", "medium", _stretched),
    Edit("pixelate", "medium", _pixelated),
    Edit("stripes", "medium", _striped),
    Edit("crop50", "hard", _cropped(0.50)),
    Edit("crop30", "hard", _cropped(0.30)),
    Edit("quarter", "hard", _quarter),
    Edit("rotate25", "hard", _rotated(25, expand=True)),
    Edit("perspective", "hard", _perspective),
    Edit("combined", "hard", _combined),
    Edit("screenshot", "embedded", screenshot),
    Edit("caption", "embedded", caption),
    Edit("pasted", "embedded", _pasted),
)

#: By name, in the order of their levels.
EDITS: dict[str, Edit] = {edit.name: edit for edit in _ALL}
