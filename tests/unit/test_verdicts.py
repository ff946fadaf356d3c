"""Verdicts on whole pictures: what joins them, what never may, and how sure it is."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from skimage import data

from modules.matching.agreement import Agreement
from modules.matching.evidence import Evidence
from modules.matching.relations import Verdicts, demand, verdict
from modules.matching.verdicts import FEW_KEYPOINTS, MIN_TILES, grade, verify_pair
from modules.records import Grade, Kind
from tests.drawings import as_png, evidence, leaves
from tests.edits import EDITS


@functools.cache
def original(seed: int = 1) -> Evidence:
    return evidence(as_png(leaves(seed)))


def judge(picture: Image.Image, other: Evidence) -> Verdicts:
    return verify_pair(evidence(as_png(picture)), other)


def in_blocks(picture: Image.Image, side: int, moved: int) -> Image.Image:
    """``moved`` of the picture's side x side blocks change places with each other, all in turn."""
    width, height = picture.width // side, picture.height // side
    corners = [(x * width, y * height) for x in range(side) for y in range(side)]
    chosen = random.Random(5).sample(corners, moved)
    shuffled = picture.copy()
    for (x, y), place in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
        shuffled.paste(picture.crop((x, y, x + width, y + height)), place)
    return shuffled


@pytest.mark.parametrize(("side", "moved"), [(4, 6), (8, 16), (3, 9)])
def test_a_picture_whose_blocks_changed_places_is_a_copy(side: int, moved: int) -> None:
    found = judge(in_blocks(leaves(1), side, moved), original())
    assert found["kind"] == Kind.COPY
    assert found["grade"] >= Grade.NORMAL


def test_a_picture_seen_from_aside_is_a_copy() -> None:
    # Each corner of the picture is at another distance from the eye.
    bent = leaves(1).transform(
        (480, 360), Image.Transform.PERSPECTIVE, (1.05, 0.16, -30, 0.04, 1.2, -25, 0.0003, 0.0005)
    )
    assert judge(bent, original())["kind"] != Kind.NONE


@pytest.mark.parametrize("name", ["stripes", "watermark", "text", "slogan", "sticker"])
def test_what_is_drawn_over_a_picture_does_not_part_it_from_itself(name: str) -> None:
    found = verify_pair(evidence(EDITS[name].apply(leaves(2), 3)), original(2))
    assert found["kind"] == Kind.COPY
    assert found["grade"] >= Grade.NORMAL


@pytest.mark.parametrize(
    "name", ["screenshot", "caption", "meme", "border", "stripes", "watermark", "text", "sticker", "pasted"]
)
def test_what_two_pictures_share_around_or_over_them_does_not_join_them(name: str) -> None:
    found = verify_pair(*(evidence(EDITS[name].apply(leaves(seed), 7)) for seed in (1, 2)))
    assert found["kind"] == Kind.NONE


def framed(picture: Image.Image, width: int) -> Image.Image:
    """In a frame of coloured noise, the same for every picture."""
    size = picture.width + 2 * width, picture.height + 2 * width
    noise = np.random.default_rng(4).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    frame = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    frame.paste(picture, (width, width))
    return frame


@pytest.mark.parametrize("width", [50, 100])
def test_an_ornate_frame_joins_no_two_pictures(width: int) -> None:
    found = judge(framed(leaves(1), width), evidence(as_png(framed(leaves(2), width))))
    assert demand(found, Grade.LENIENT)["kind"] == Kind.NONE


def chart(heights: list[int]) -> Image.Image:
    drawing = Image.new("RGB", (480, 320), "white")
    pen = ImageDraw.Draw(drawing)
    pen.line((50, 20, 50, 280, 460, 280), fill="black", width=2)
    for line in range(5):
        pen.line((50, 30 + line * 50, 460, 30 + line * 50), fill="#dddddd")
        pen.text((14, 22 + line * 50), str(100 - line * 20), fill="black", font_size=14)
    for place, height in enumerate(heights):
        pen.rectangle((65 + place * 50, 280 - height, 95 + place * 50, 279), fill="#4477aa")
    return drawing


def test_charts_of_the_same_axes_and_other_bars_are_different() -> None:
    one, other = [200, 40, 120, 90, 230, 60, 150, 30], [50, 180, 60, 210, 100, 170, 40, 140]
    assert judge(chart(one), evidence(as_png(chart(other))))["kind"] == Kind.NONE
    assert judge(chart(one).resize((360, 240)), evidence(as_png(chart(one))))["kind"] == Kind.COPY


def test_a_blurred_picture_is_the_same_as_its_crop_and_mirror_image_and_as_no_other_blurred_one() -> None:
    """It has a few keypoints and little texture: laid on each other as wholes, nearly all must agree."""
    picture = Image.fromarray(data.clock()).convert("RGB")
    clock = evidence(as_png(picture))
    assert len(clock.places) < FEW_KEYPOINTS
    assert judge(picture.crop((9, 6, 394, 293)), clock)["kind"] == Kind.COPY
    assert judge(ImageOps.mirror(picture), clock)["kind"] == Kind.COPY
    for degrees in (0, 10, 20):
        other = Image.fromarray(data.coffee()).rotate(degrees).resize(picture.size)
        assert judge(other.filter(ImageFilter.GaussianBlur(16)), clock)["kind"] == Kind.NONE


def test_the_fewer_places_agree_the_more_of_the_pixels_must() -> None:
    def reached(share: float, support: float, block: float = 0.0) -> Grade:
        return grade(Agreement(share, block, share, tiles=100), support)

    assert [reached(0.75, support) for support in (8, 16, 40)] == [Grade.NONE, Grade.LENIENT, Grade.STRICT]
    assert reached(1.0, 8) == Grade.STRICT
    # Another picture in the same frame is one region, whatever agrees around it.
    assert [reached(0.9, 100, block) for block in (0.1, 0.2, 0.25, 0.3)] == [
        Grade.STRICT,
        Grade.NORMAL,
        Grade.LENIENT,
        Grade.NONE,
    ]
    assert grade(Agreement(1.0, 0.0, 1.0, MIN_TILES - 1), 100) == Grade.NONE


def test_a_verdict_below_what_is_demanded_says_different() -> None:
    verdicts = np.array([verdict(Kind.COPY, grade=which) for which in (Grade.LENIENT, Grade.NORMAL, Grade.STRICT)])
    counts = [
        int((demand(verdicts, Grade.of(name))["kind"] == Kind.COPY).sum()) for name in ("lenient", "normal", "strict")
    ]
    assert counts == [3, 2, 1]
    assert verdicts["kind"].all(), "the cached verdicts stay as they are"
    assert verdict(Kind.NONE)["grade"] == Grade.NONE


def test_a_sign_of_few_strokes_is_the_same_as_its_re_encoding_and_as_no_other_sign() -> None:
    def sign(corners: int) -> Image.Image:
        drawing = Image.new("RGB", (256, 256), "#1d70b8")
        ImageDraw.Draw(drawing).regular_polygon((128, 128, 70), corners, 10, fill="white")
        return drawing

    assert verify_pair(evidence(EDITS["jpeg75"].apply(sign(5), 1)), evidence(as_png(sign(5))))["kind"] == Kind.COPY
    assert judge(sign(3), evidence(as_png(sign(5))))["kind"] == Kind.NONE


def test_a_mirror_image_of_a_picture_that_is_symmetric_in_part_is_a_copy() -> None:
    picture = leaves(7, (480, 320))
    half = picture.crop((0, 0, 90, 320))
    picture.paste(half, (0, 0))
    picture.paste(ImageOps.mirror(half), (90, 0))  # the left part is its own mirror image
    found = judge(ImageOps.mirror(picture), evidence(as_png(picture)))
    assert found["kind"] == Kind.COPY
    assert found["mirrored"]


@pytest.mark.parametrize(("name", "cut"), [("coffee", 0.06), ("coffee", 0.1), ("grass", 0.2), ("gravel", 0.06)])
def test_two_crops_of_one_picture_that_overlap_are_related_and_no_pieces_of_each_other(name: str, cut: float) -> None:
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    width, height = round(picture.width * (1 - cut)), round(picture.height * (1 - cut))
    one = picture.crop((0, 0, width, height))
    other = picture.crop((picture.width - width, picture.height - height, picture.width, picture.height))
    assert judge(one, evidence(as_png(other)))["kind"] == Kind.RELATED
