"""Pictures inside something else: screenshots, captions, backgrounds. ``tests/edits.py`` names them."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw


def words(rng: random.Random, count: int) -> str:
    """``count`` words of random letters, the first one with a capital."""
    letters = "abcdefghiklmnoprstuvw"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(count)).capitalize()


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


def phone(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A phone's screen with a post: the picture takes its width and a given height, so it is stretched a little."""
    height = round(400 * picture.height / picture.width * rng.uniform(0.85, 1.15))
    screen = Image.new("RGB", (400, height + 260), "#15181c")
    pen = ImageDraw.Draw(screen)
    pen.text((16, 8), "12:47", "white", font_size=16)
    pen.rounded_rectangle((350, 10, 384, 24), 4, outline="white", width=2)
    pen.ellipse((14, 44, 62, 92), fill="#5577cc")
    pen.text((74, 46), words(rng, 2), "white", font_size=18)
    pen.text((74, 70), "@" + words(rng, 1).lower(), "#888888", font_size=15)
    screen.paste(picture.resize((400, height), Image.Resampling.BICUBIC), (0, 110))
    for line in range(3):
        pen.text((16, height + 124 + 26 * line), words(rng, 6), "#dddddd", font_size=17)
    for icon in range(4):
        pen.ellipse((30 + icon * 100, height + 220, 52 + icon * 100, height + 242), outline="#aaaaaa", width=3)
    return screen


def caption(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A white band with words above the picture, as memes have it; the words come from ``rng``."""
    band = max(24, picture.height // 4)
    framed = Image.new("RGB", (picture.width, picture.height + band), "white")
    framed.paste(picture, (0, band))
    ImageDraw.Draw(framed).text((8, band // 4), words(rng, 4), fill="black", font_size=max(12, band // 3))
    return framed


def meme(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Words in a white band above it that is two thirds as high as the picture."""
    band = 2 * picture.height // 3
    framed = Image.new("RGB", (picture.width, picture.height + band), "white")
    framed.paste(picture, (0, band))
    pen = ImageDraw.Draw(framed)
    for line in (0.25, 0.5, 0.75):
        pen.text((picture.width / 2, band * line), words(rng, 3), "black", font_size=max(12, band // 7), anchor="mm")
    return framed


def pasted(picture: Image.Image, rng: random.Random) -> Image.Image:
    """On a larger, softly patterned background."""
    width, height = round(picture.width * 1.6), round(picture.height * 1.6)
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    ground = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    ground.paste(picture, (rng.randint(0, width - picture.width), rng.randint(0, height - picture.height)))
    return ground


def on_clutter(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Smaller, on a picture full of other things."""
    ground = Image.new("RGB", picture.size, "#777777")
    pen = ImageDraw.Draw(ground)
    for _ in range(220):
        x, y, size = rng.uniform(0, picture.width), rng.uniform(0, picture.height), rng.uniform(4, 60)
        colour = rng.randrange(256), rng.randrange(256), rng.randrange(256)
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(
            (x - size, y - size, x + size, y + size / 2), fill=colour
        )
    share = rng.uniform(0.62, 0.7)
    small = picture.resize((round(picture.width * share), round(picture.height * share)), Image.Resampling.LANCZOS)
    ground.paste(small, (rng.randint(0, picture.width - small.width), rng.randint(0, picture.height - small.height)))
    return ground
