"""What of a picture is border, and that borders neither part a copy from its original nor pass for content."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from modules.matching.margins import content_box, is_margin
from modules.matching.relations import holds, orient
from modules.matching.verdicts import verify_pair
from modules.records import Float32Array, Kind
from tests.drawings import as_png, evidence, leaves

ACCEPTED = (Kind.COPY, Kind.PART)


def grey(picture: Image.Image) -> Float32Array:
    return np.asarray(picture.convert("L"), np.float32)


def turned(picture: Image.Image, border: str) -> Image.Image:
    """Turned a little, cropped, in a border: with black wedges at its corners."""
    cut = picture.rotate(8, resample=Image.Resampling.BICUBIC).crop((30, 20, 420, 330))
    return ImageOps.expand(cut, 36, fill=border)


def test_a_border_is_no_content_and_a_border_in_a_border_neither() -> None:
    framed = ImageOps.expand(ImageOps.expand(leaves(1), 20, fill="white"), 12, fill="black")
    assert content_box(grey(framed)) == (32, 32, 512, 392)
    assert content_box(grey(leaves(1))) == (0, 0, 480, 360)


def test_a_sky_that_fades_into_the_picture_is_content() -> None:
    sky = np.asarray(leaves(2)).astype(np.float32)
    fade = np.clip(np.arange(360)[:, None, None] / 100, 0, 1)
    faded = (1 - fade) * 240 + fade * sky
    assert content_box(faded.mean(axis=2).astype(np.float32))[1] == 0


def test_wedges_beside_a_picture_in_a_border_are_margin_and_a_caption_is_none() -> None:
    sheet = Image.new("RGB", (128, 96), "white")
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((20, 20, 108, 76), fill="black")
    covered = np.zeros((96, 128), np.uint8)
    cv2.fillConvexPoly(covered, np.array([[24, 30], [100, 22], [104, 66], [28, 74]], np.int32), 1)
    assert is_margin(np.array(sheet), covered)
    captioned = Image.new("RGB", (128, 96), "white")
    ImageDraw.Draw(captioned).text((10, 74), "and many words below", fill="black", font_size=14)
    above = np.zeros((96, 128), np.uint8)
    above[:60] = 1
    assert is_margin(np.array(Image.new("RGB", (128, 96), "white")), above)
    assert not is_margin(np.array(captioned), above)


@pytest.mark.parametrize("border", ["white", "#2a4a7a", "#aa2222"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_original_holds_what_was_turned_cropped_and_bordered_and_not_the_other_way_round(
    border: str, seed: int
) -> None:
    found = verify_pair(evidence(as_png(turned(leaves(seed), border))), evidence(as_png(leaves(seed))))[None]
    assert found["kind"][0] == Kind.PART
    assert holds(found, ACCEPTED)[0]
    assert not holds(orient(found), ACCEPTED)[0]


def test_a_frame_that_copies_have_too_belongs_to_the_picture() -> None:
    framed = ImageOps.expand(leaves(1), 40, fill="white")
    tilted = framed.rotate(6, resample=Image.Resampling.BICUBIC, fillcolor="black")
    found = verify_pair(evidence(as_png(tilted)), evidence(as_png(framed)))[None]
    assert holds(found, ACCEPTED)[0]


def test_two_pictures_in_the_same_border_stay_two() -> None:
    one, other = (evidence(as_png(turned(leaves(seed), "#2a4a7a"))) for seed in (1, 2))
    assert verify_pair(one, other)["kind"] == Kind.NONE
