"""From the working picture to a model's input, as the model's own preprocessing does it, but with OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from modules.records import UInt8Array

#: Raised by hand when the same picture would give another input.
VERSION = 1
#: A picture longer than so many times its short side is cut at both ends: a model that looks at the middle would.
_LONGEST = 4.0
_ENLARGING = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model's own pipeline makes its input.

    size: height and width of the input. scaled: height and width that the picture is brought to before the crop, in
    this way: ``cover`` (its short side fits, the rest is cut), ``fill`` (both sides, the aspect is lost), ``fit`` (its
    long side fits, the rest is ``fill`` coloured). interpolation: the pipeline's word. mean, std: of R, G and B on a
    scale of 0 to 1, for the device.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    way: Literal["cover", "fill", "fit"]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: tuple[int, int, int] = (0, 0, 0)

    def apply(self, rgb: UInt8Array) -> UInt8Array:
        """RGB uint8 (h, w, 3) of any size to the input, uint8 (*size, 3).

        The pipelines shrink with Pillow, which smooths as it shrinks; cv2.INTER_AREA does too. Inputs of photographs
        differ from those of the model's own pipeline by some 40 dB PSNR, vectors by a cosine of more than 0.99
        (tests/unit/test_models.py measures both).
        """
        if self.way == "cover":
            rgb = _without_far_ends(rgb)
        return self._crop(_resize(rgb, *self._scaled_size(*rgb.shape[:2]), self.interpolation))

    def _scaled_size(self, height: int, width: int) -> tuple[int, int]:
        if self.way == "fill":
            return self.scaled
        ratios = (self.scaled[0] / height, self.scaled[1] / width)
        if self.way == "fit":
            return max(1, round(height * min(ratios))), max(1, round(width * min(ratios)))
        # torchvision rounds down; a hair is added against quotients that miss their whole number.
        whole = [math.floor(side * max(ratios) + 1e-6) for side in (height, width)]
        return max(self.scaled[0], whole[0]), max(self.scaled[1], whole[1])

    def _crop(self, rgb: UInt8Array) -> UInt8Array:
        """The middle, with borders where the picture is smaller."""
        (height, width), (tall, wide) = rgb.shape[:2], self.size
        if height < tall or width < wide:
            missing = (max(0, tall - height), max(0, wide - width))
            edges = (missing[0] // 2, missing[0] - missing[0] // 2, missing[1] // 2, missing[1] - missing[1] // 2)
            rgb = np.asarray(cv2.copyMakeBorder(rgb, *edges, cv2.BORDER_CONSTANT, value=self.fill), np.uint8)
            height, width = rgb.shape[:2]
        top, left = round((height - tall) / 2), round((width - wide) / 2)
        return np.ascontiguousarray(rgb[top : top + tall, left : left + wide])


def _without_far_ends(rgb: UInt8Array) -> UInt8Array:
    """Its middle where it is very long: bringing a line of one pixel to full height would take a huge picture."""
    height, width = rgb.shape[:2]
    longest = math.ceil(_LONGEST * min(height, width))
    top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
    return rgb[top : top + longest, left : left + longest]


def _resize(rgb: UInt8Array, height: int, width: int, interpolation: str) -> UInt8Array:
    """To ``height`` and ``width``, each axis by what suits it: INTER_AREA smooths only where both shrink."""
    enlarging = _ENLARGING.get(interpolation, cv2.INTER_CUBIC)
    shrinks = (height <= rgb.shape[0], width <= rgb.shape[1])
    steps = [(width, height)] if shrinks[0] == shrinks[1] else [(width, rgb.shape[0]), (width, height)]
    for step in steps:
        smaller = step[0] <= rgb.shape[1] and step[1] <= rgb.shape[0]
        rgb = np.asarray(cv2.resize(rgb, step, interpolation=cv2.INTER_AREA if smaller else enlarging), np.uint8)
    return rgb
