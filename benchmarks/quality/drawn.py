"""What hard negatives are drawn with: marks on photographs, frames around them, and pictures with little in them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.drawings import page

TEXTURES = ("blades", "grit", "bricks")


def _noise(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(32))


def _words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices("abcdefghiklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(count))


def _colour(rng: random.Random, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _badge(rng: random.Random, side: int) -> Image.Image:
    """A round logo with detail enough for keypoints of its own."""
    badge = Image.new("RGBA", (240, 240), (0, 0, 0, 0))
    pen = ImageDraw.Draw(badge)
    pen.ellipse((0, 0, 239, 239), fill="#10336b", outline="#f2c230", width=12)
    for _ in range(14):
        x, y, size = rng.randint(40, 180), rng.randint(40, 180), rng.randint(8, 40)
        pen.regular_polygon((x, y, size), rng.randint(3, 6), rng.randint(0, 90), fill=_colour(rng, 90), outline="white")
    pen.text((48, 150), "ACME PRESS", fill="white", font_size=26, stroke_width=1, stroke_fill="black")
    return badge.resize((side, side), Image.Resampling.LANCZOS)


def logo(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The same logo in the lower right corner."""
    marked = picture.copy()
    side = max(24, round(0.28 * min(picture.size)))
    badge = _badge(rng, side)
    marked.paste(badge, (picture.width - side - 8, picture.height - side - 8), badge)
    return marked


def frame(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The same ornate frame, a third of the whole picture's area."""
    inner = picture.resize((480, 360))
    noise = _noise(rng).integers(0, 256, (46, 60, 3), dtype=np.uint8)
    ornate = Image.fromarray(noise).resize((600, 460), Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(1))
    pen = ImageDraw.Draw(ornate)
    for inset in (4, 40, 50):
        pen.rectangle((inset, inset, 599 - inset, 459 - inset), outline="#caa540", width=3)
    ornate.paste(inner, (60, 50))
    return ornate


def emoji(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The same large smiling face over each picture, and two small ones."""
    marked = picture.copy()
    pen = ImageDraw.Draw(marked)
    for across, down, share in ((0.55, 0.4, 0.5), (0.05, 0.05, 0.22), (0.1, 0.7, 0.18)):
        side = share * min(picture.size)
        x, y = across * picture.width, down * picture.height
        pen.ellipse((x, y, x + side, y + side), fill="#ffcc22", outline="#885500", width=max(1, int(side / 25)))
        for eye in (0.24, 0.6):
            pen.ellipse((x + side * eye, y + side * 0.26, x + side * (eye + 0.16), y + side * 0.44), fill="#442200")
        mouth = (x + side * 0.2, y + side * 0.3, x + side * 0.8, y + side * 0.85)
        pen.chord(mouth, 15, 165, fill="#aa2222", outline="#442200", width=max(1, int(side / 30)))
    return marked


def watermark(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The same agency's name, half transparent, over and over across the picture."""
    layer = Image.new("RGBA", (picture.width * 2, picture.height * 2), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    size = max(12, picture.height // 12)
    for y in range(0, layer.height, size * 3):
        for x in range((y // size % 2) * size * 4, layer.width, size * 9):
            pen.text((x, y), "stockphotos", fill=(255, 255, 255, 130), font_size=size, stroke_width=1)
    left, top = picture.width // 2, picture.height // 2
    tilted = layer.rotate(20).crop((left, top, left + picture.width, top + picture.height))
    return Image.alpha_composite(picture.convert("RGBA"), tilted).convert("RGB")


def collage(pictures: Sequence[Image.Image]) -> Image.Image:
    """Four pictures, two by two, with white gaps."""
    sheet = Image.new("RGB", (820, 620), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture.resize((400, 300)), (5 + place % 2 * 410, 5 + place // 2 * 310))
    return sheet


def _clouds(rng: random.Random, cells: int, size: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Soft noise in -1..1 with about ``cells`` patches across."""
    coarse = _noise(rng).normal(0, 1, (cells, cells)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth, np.float32) / 3, -1, 1)


def _plain(rng: random.Random, top: np.ndarray, bottom: np.ndarray, patches: float, grain: float) -> Image.Image:
    """From ``top`` to ``bottom`` colour, with soft ``patches`` and ``grain`` of so many grey values."""
    width, height = rng.choice([(480, 360), (500, 333), (400, 500)])
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    canvas = top * (1 - down) + bottom * down + patches * _clouds(rng, rng.randint(3, 6), (width, height))[..., None]
    canvas = canvas + _noise(rng).normal(0, grain, (height, width, 1))
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def sky(rng: random.Random) -> Image.Image:
    """A clear or slightly hazy sky."""
    blue = np.array([rng.randint(60, 140), rng.randint(120, 190), rng.randint(190, 245)], np.float32)
    return _plain(rng, blue, blue + rng.randint(15, 70), rng.choice([0, 4, 10]), rng.uniform(0.5, 2.5))


def wall(rng: random.Random) -> Image.Image:
    """A plastered wall, evenly lit or from one side."""
    paint = np.array(_colour(rng, 120, 235), np.float32)
    return _plain(rng, paint, paint - rng.randint(0, 40), rng.choice([2, 5, 8]), rng.uniform(2, 6))


def near_empty_page(rng: random.Random) -> Image.Image:
    """A white page with one line of words, or a stroke and a number."""
    sheet = Image.new("RGB", (600, 800), "white")
    pen = ImageDraw.Draw(sheet)
    if rng.random() < 0.5:
        pen.text((60, 80), _words(rng, 3).capitalize(), fill="black", font_size=22)
    else:
        across = rng.randint(80, 300)
        pen.line((across, 700, across + rng.randint(60, 200), 700 - rng.randint(0, 30)), fill="#223388", width=3)
        pen.text((290, 760), str(rng.randint(1, 400)), fill="black", font_size=18)
    return sheet


def scan(rng: random.Random) -> Image.Image:
    """A page of print in one layout and other words, laid a little crookedly, with grain."""
    sheet = page(rng.getrandbits(32)).rotate(rng.uniform(-0.8, 0.8), Image.Resampling.BICUBIC, fillcolor="white")
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((50, 8, 550, 36), fill="#2b4d7e")
    pen.text((60, 10), "Municipal Water Works - Quarterly Statement", fill="white", font_size=20)
    pixels = np.asarray(sheet, np.float32) * 0.94 + _noise(rng).normal(4, 3, (sheet.height, sheet.width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def icon(rng: random.Random) -> Image.Image:
    """A few flat shapes on one colour, 256 x 256."""
    drawing = Image.new("RGB", (256, 256), rng.choice(["white", "#f4f4f4", "#222831", "#1d70b8"]))
    pen = ImageDraw.Draw(drawing)
    for _ in range(rng.randint(1, 3)):
        x, y, size = rng.randint(70, 186), rng.randint(70, 186), rng.randint(24, 64)
        if rng.random() < 0.4:
            pen.ellipse((x - size, y - size, x + size, y + size), outline=_colour(rng), width=rng.randint(8, 20))
        else:
            pen.regular_polygon((x, y, size), rng.randint(3, 8), rng.randint(0, 359), fill=_colour(rng))
    return drawing


def flat_drawing(rng: random.Random) -> Image.Image:
    """A bar chart as reports have it: the same axes, other bars."""
    drawing = Image.new("RGB", (480, 320), "white")
    pen = ImageDraw.Draw(drawing)
    pen.line((50, 20, 50, 280, 460, 280), fill="black", width=2)
    for line in range(5):
        pen.line((50, 30 + line * 50, 460, 30 + line * 50), fill="#dddddd")
        pen.text((14, 22 + line * 50), str(100 - line * 20), fill="black", font_size=14)
    for bar in range(8):
        pen.rectangle((65 + bar * 50, 280 - rng.randint(10, 240), 95 + bar * 50, 279), fill="#4477aa")
    return drawing


def texture_frames(kind: str, rng: random.Random, count: int) -> list[Image.Image]:
    """``count`` frames of 360 x 270, side by side, of one endless texture; ``kind`` is one of ``TEXTURES``."""
    width, height = 360 * count, 270
    grain = _noise(rng).normal(128, 40, (height, width))
    field = (
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5)).convert("RGB")
    )
    pen = ImageDraw.Draw(field)
    for _ in range(900 * count if kind != "bricks" else 0):
        x, y, shade = rng.uniform(0, width), rng.uniform(0, height), rng.randint(40, 210)
        if kind == "blades":
            tip = x + rng.uniform(-15, 15), y - rng.uniform(15, 40)
            pen.line((x, y, *tip), fill=(shade // 2, shade, shade // 3), width=rng.randint(1, 3))
        else:
            size = rng.uniform(3, 9)
            pen.ellipse((x, y, x + size, y + size * 0.8), fill=(shade, shade, shade - 15))
    for row in range(height // 30 + 1 if kind == "bricks" else 0):
        for x in range(-(row % 2) * 30, width, 60):
            shade = rng.randint(110, 190)
            pen.rectangle((x + 2, row * 30 + 2, x + 57, row * 30 + 27), fill=(shade, shade // 2, shade // 3))
    return [field.crop((360 * place, 0, 360 * (place + 1), height)) for place in range(count)]


def blank(number: int, rng: random.Random) -> Image.Image:
    """One colour, another for every number below 1,000; half of them with grain, as a scanner or lens cap gives it."""
    size = rng.choice([(200, 150), (210, 297), (320, 200), (150, 150)])
    base = np.array([number % 10, number // 10 % 10, number // 100 % 10], np.float32)
    # Paper rather than paint: most blank pictures of a collection are white or nearly so.
    colour = 255 - base * (3 if number % 3 else 25)
    grain = _noise(rng).normal(0, rng.choice([0, 1.5]), (size[1], size[0], 1))
    canvas = colour + grain
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
