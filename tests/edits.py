"""Named edits of a picture, as people and platforms make them; the same seed makes the same bytes.

Levels as in the project's measurements: ``easy``, ``medium``, ``hard``, ``embedded``. Tests, ``benchmarks/quality`` and
``benchmarks/recall.py`` make their truth with these.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from tests.compositions import caption, meme, on_clutter, pasted, phone, screenshot, words

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


def _faded(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Half way to white, as behind the words of a slide."""
    return Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.45)


def _gamma(picture: Image.Image, rng: random.Random) -> Image.Image:
    power = rng.choice([0.6, 1.6])
    return picture.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


def _tinted(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Another white balance, and darker towards the corners."""
    gains = np.array([rng.uniform(0.88, 1.12) for _ in range(3)])
    across, down = np.linspace(-1, 1, picture.width)[None, :, None], np.linspace(-1, 1, picture.height)[:, None, None]
    lit = np.asarray(picture) * gains * (1 - 0.25 * (across**2 + down**2))
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _oversharpened(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Enlarged and sharpened until it looks crisper than the original, as upscalers do."""
    large = _scaled(1.8, 2.2)(picture, rng)
    return ImageEnhance.Contrast(large.filter(ImageFilter.UnsharpMask(3, 220, 1))).enhance(1.1)


def _thumbnail(picture: Image.Image, rng: random.Random) -> Image.Image:
    small = picture.copy()
    small.thumbnail((160, 160), Image.Resampling.LANCZOS)
    return small


def _flipped(picture: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.flip(picture)


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


def _text(picture: Image.Image, rng: random.Random) -> Image.Image:
    drawn = picture.copy()
    size = max(10, picture.height // 10)
    place = picture.width * 0.05, picture.height * rng.uniform(0.1, 0.8)
    colour = rng.choice(["white", "yellow", "black"])
    ImageDraw.Draw(drawn).text(place, words(rng, 3), fill=colour, font_size=size, stroke_width=1)
    return drawn


def _watermark(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A name across the picture, half transparent and tilted."""
    layer = Image.new("RGBA", (2 * picture.width, 2 * picture.height), (0, 0, 0, 0))
    size = max(12, picture.width // 7)
    place = picture.width, picture.height
    ImageDraw.Draw(layer).text(place, words(rng, 2), (255, 255, 255, 140), font_size=size, anchor="mm")
    left, top = picture.width // 2, picture.height // 2
    tilted = layer.rotate(rng.choice([-30, 30])).crop((left, top, left + picture.width, top + picture.height))
    return Image.alpha_composite(picture.convert("RGBA"), tilted).convert("RGB")


def _slogan(picture: Image.Image, rng: random.Random) -> Image.Image:
    """White words with black edges at the top and the bottom."""
    drawn = picture.copy()
    pen, size = ImageDraw.Draw(drawn), max(12, picture.height // 8)
    for line in (0.1, 0.9):
        place = picture.width / 2, picture.height * line
        slogan = words(rng, 3).upper()
        pen.text(place, slogan, "white", font_size=size, anchor="mm", stroke_width=2, stroke_fill="black")
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


def _padded(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Black on all four sides until the picture fills less than half, as players and frames for albums do."""
    return ImageOps.expand(picture, (picture.width // 4, picture.height // 4), fill="black")


def _stretched(picture: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.choice([0.75, 0.8, 1.25, 1.33])
    return picture.resize((round(picture.width * factor), picture.height), Image.Resampling.BICUBIC)


def _squeezed(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Another shape altogether: to the square, or by more than a third."""
    width = rng.choice([picture.height, round(0.6 * picture.width), round(1.7 * picture.width)])
    return picture.resize((width, picture.height), Image.Resampling.BICUBIC)


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


def _slanted_stripes(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Tilted lines over a quarter of the picture."""
    drawn = picture.copy()
    pen, colour = ImageDraw.Draw(drawn), rng.choice(["black", "white", "#cc3344"])
    step = max(8, picture.width // 7)
    for x in range(-picture.height, picture.width, step):
        pen.line((x, picture.height, x + picture.height, 0), fill=colour, width=max(1, step // 6))
    return drawn


def _shuffled_pixels(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A fifth of the pixels change places with each other, wherever they are."""
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = np.array(picture).reshape(-1, 3)
    moved = noise.choice(len(pixels), len(pixels) // 5, replace=False)
    pixels[moved] = pixels[noise.permutation(moved)]
    return Image.fromarray(pixels.reshape(picture.height, picture.width, 3))


def _displaced_pixels(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Each pixel comes from up to three pixels away, as through frosted glass."""
    noise = np.random.default_rng(rng.getrandbits(32))
    down, across = np.indices((picture.height, picture.width))
    down = np.clip(down + noise.integers(-3, 4, down.shape), 0, picture.height - 1)
    across = np.clip(across + noise.integers(-3, 4, across.shape), 0, picture.width - 1)
    return Image.fromarray(np.asarray(picture)[down, across])


def _shuffled_blocks(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Cut into a grid of six by six; a third of the pieces change places."""
    width, height = picture.width // 6, picture.height // 6
    places = [(column * width, row * height) for row in range(6) for column in range(6)]
    chosen = rng.sample(places, 12)
    drawn = picture.copy()
    for (x, y), (left, top) in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        drawn.paste(picture.crop((left, top, left + width, top + height)), (x, y))
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


def _reposted(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Turned a little, cropped, grey, with a border, and small."""
    turned = picture.rotate(rng.choice([-8, 8]), resample=Image.Resampling.BICUBIC)
    cropped = _cropped(0.8)(turned, rng)
    return _scaled(0.5, 0.7)(_bordered(_grey(cropped, rng), rng), rng)


_ALL = (
    Edit("jpeg75", "easy", _same, quality=75),
    Edit("jpeg30", "easy", _same, quality=30),
    Edit("jpeg10", "easy", _same, quality=10),
    Edit("png", "easy", _same, ".png"),
    Edit("webp", "easy", _same, ".webp", quality=70),
    Edit("smaller", "easy", _scaled(0.35, 0.7)),
    Edit("larger", "easy", _scaled(1.3, 2.0)),
    Edit("thumbnail", "easy", _thumbnail),
    Edit("oversharpened", "easy", _oversharpened),
    Edit("brightness", "easy", _enhanced(ImageEnhance.Brightness, 0.7, 1.3)),
    Edit("contrast", "easy", _enhanced(ImageEnhance.Contrast, 0.7, 1.4)),
    Edit("saturation", "easy", _enhanced(ImageEnhance.Color, 0.4, 1.7)),
    Edit("gamma", "easy", _gamma),
    Edit("tinted", "easy", _tinted),
    Edit("faded", "easy", _faded),
    Edit("blur", "easy", _filtered(ImageFilter.GaussianBlur(1.5))),
    Edit("sharpen", "easy", _filtered(ImageFilter.UnsharpMask(2, 150))),
    Edit("noise", "easy", _noise),
    Edit("grey", "easy", _grey),
    Edit("crop5", "easy", _cropped(0.95)),
    Edit("crop10", "easy", _cropped(0.90)),
    Edit("crop20", "medium", _cropped(0.80)),
    Edit("mirror", "medium", _mirrored),
    Edit("flip", "medium", _flipped),
    Edit("rotate5", "medium", _rotated(5, expand=False)),
    Edit("text", "medium", _text),
    Edit("slogan", "medium", _slogan),
    Edit("watermark", "medium", _watermark),
    Edit("sticker", "medium", _sticker),
    Edit("border", "medium", _bordered),
    Edit("padded", "medium", _padded),
    Edit("stretch", "medium", _stretched),
    Edit("squeezed", "medium", _squeezed),
    Edit("pixelate", "medium", _pixelated),
    Edit("stripes", "medium", _striped),
    Edit("slanted-stripes", "medium", _slanted_stripes),
    Edit("crop50", "hard", _cropped(0.50)),
    Edit("crop30", "hard", _cropped(0.30)),
    Edit("quarter", "hard", _quarter),
    Edit("rotate25", "hard", _rotated(25, expand=True)),
    Edit("perspective", "hard", _perspective),
    Edit("shuffled-pixels", "hard", _shuffled_pixels),
    Edit("displaced-pixels", "hard", _displaced_pixels),
    Edit("shuffled-blocks", "hard", _shuffled_blocks),
    Edit("combined", "hard", _combined),
    Edit("reposted", "hard", _reposted),
    Edit("screenshot", "embedded", screenshot),
    Edit("phone", "embedded", phone),
    Edit("caption", "embedded", caption),
    Edit("meme", "embedded", meme),
    Edit("pasted", "embedded", pasted),
    Edit("clutter", "embedded", on_clutter),
)

#: By name, in the order of their levels.
EDITS: dict[str, Edit] = {edit.name: edit for edit in _ALL}
