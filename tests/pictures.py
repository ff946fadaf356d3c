"""Small textured pictures that tests make themselves: seeded, distinct, and quick to decode."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance


def draw(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A picture of overlapping coloured rectangles and soft noise, different for every seed."""
    rng = np.random.default_rng(seed)
    width, height = size
    canvas = np.full((height, width, 3), rng.integers(60, 200, 3), np.float32)
    for _ in range(60):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(8, width // 3), rng.integers(8, height // 3)
        canvas[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    canvas += rng.normal(0, 6, canvas.shape)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def encode(picture: Image.Image, kind: str = "JPEG", quality: int = 90, **options: Any) -> bytes:
    """A picture as a file's bytes. options: further ones of Pillow's writer."""
    out = io.BytesIO()
    picture.save(out, kind, quality=quality, **options)
    return out.getvalue()


def collection(originals: int) -> dict[str, bytes]:
    """``originals`` pictures; of every third a smaller, a darker and a re-encoded copy, of every ninth an exact one."""
    files = {}
    for seed in range(originals):
        picture = draw(seed)
        files[f"{seed:04d}.jpg"] = encode(picture)
        if seed % 3 == 0:
            files[f"copies/{seed:04d} small.jpg"] = encode(picture.resize((140, 105)))
            files[f"copies/{seed:04d} dark.png"] = encode(ImageEnhance.Brightness(picture).enhance(0.8), "PNG")
            files[f"copies/{seed:04d} low.jpg"] = encode(picture, quality=50)
        if seed % 9 == 0:
            files[f"exact/{seed:04d}.jpg"] = files[f"{seed:04d}.jpg"]
    return files
