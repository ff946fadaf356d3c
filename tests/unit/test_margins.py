"""What of a picture is border, and that borders neither part a copy from its original nor pass for content."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from modules.features.borders import inner
from modules.matching.margins import is_margin
from modules.matching.relations import holds, orient
from modules.matching.verdicts import verify_pair
from modules.records import Kind, UInt8Array
from tests.drawings import as_png, evidence, leaves

ACCEPTED = (Kind.COPY, Kind.PART)


def grey(picture: Image.Image) -> UInt8Array:
    return np.asarray(picture.convert("L"), np.uint8)


def turned(picture: Image.Image, border: str) -> Image.Image:
    """Turned a little, cropped, in a border: with black wedges at its corners."""
    cut = picture.rotate(8, resample=Image.Resampling.BICUBIC).crop((30, 20, 420, 330))
    return ImageOps.expand(cut, 36, fill=border)


@pytest.mark.parametrize("captions", [False, True])
def test_a_border_is_no_content_and_a_border_in_a_border_neither(captions: bool) -> None:
    framed = ImageOps.expand(ImageOps.expand(leaves(1), 20, fill="white"), 12, fill="black")
    assert inner(grey(framed), captions=captions) == (slice(32, 392), slice(32, 512))
    assert inner(grey(leaves(1)), captions=captions) == (slice(0, 360), slice(0, 480))


def test_a_caption_is_content_where_it_is_asked_for() -> None:
    sheet = ImageOps.expand(leaves(1), 12, fill="white")
    captioned = Image.new("RGB", (504, 454), "white")
    captioned.paste(sheet, (0, 0))
    ImageDraw.Draw(captioned).text((40, 392), "and many words below", fill="black", font_size=30)
    assert inner(grey(captioned)) == (slice(12, 372), slice(12, 492))
    assert inner(grey(captioned), captions=True) == (slice(12, 454), slice(12, 492))


def test_a_sky_that_fades_into_the_picture_is_content() -> None:
    sky = np.asarray(leaves(2)).astype(np.float32)
    fade = np.clip(np.arange(360)[:, None, None] / 100, 0, 1)
    faded = (1 - fade) * 240 + fade * sky
    assert inner(faded.mean(axis=2).astype(np.uint8), captions=True)[0].start == 0


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
