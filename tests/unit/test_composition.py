"""How a picture lies in another one: as its crop's whole, in a composition, or in a collage."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.matching.relations import holds
from modules.matching.verdicts import verify_pair
from modules.records import Kind
from tests.drawings import as_png, evidence, leaves
from tests.edits import EDITS


def kind_of(inner: Image.Image, outer: Image.Image) -> Kind:
    return Kind(int(verify_pair(evidence(as_png(inner)), evidence(as_png(outer)))["kind"]))


def collage(columns: int, rows: int, gap: int) -> Image.Image:
    """Pictures in a grid with white gaps; the first one is leaves(1)."""
    sheet = Image.new("RGB", (480 * columns + gap * (columns + 1), 360 * rows + gap * (rows + 1)), "white")
    for place in range(columns * rows):
        x, y = gap + place % columns * (480 + gap), gap + place // columns * (360 + gap)
        sheet.paste(leaves(1 + place), (x, y))
    return sheet


@pytest.mark.parametrize(("columns", "rows", "gap"), [(2, 1, 0), (2, 1, 12), (1, 2, 0), (2, 2, 16)])
def test_a_collage_and_its_pictures_do_not_stand_for_each_other(columns: int, rows: int, gap: int) -> None:
    sheet = evidence(as_png(collage(columns, rows, gap)))
    found = verify_pair(evidence(as_png(leaves(1))), sheet)
    assert found["kind"] == Kind.COLLAGE
    for verdict in (found, verify_pair(sheet, evidence(as_png(leaves(1))))):
        assert not holds(verdict[None], (Kind.COPY, Kind.PART, Kind.EMBEDDED))[0]


@pytest.mark.parametrize("name", ["pasted", "screenshot", "phone", "caption", "meme", "clutter"])
def test_a_picture_on_a_ground_of_its_own_is_embedded_and_stands_for_the_composition(name: str) -> None:
    found = verify_pair(evidence(EDITS[name].apply(leaves(1), 5)), evidence(as_png(leaves(1))))
    assert found["kind"] == Kind.EMBEDDED
    assert holds(found[None], (Kind.EMBEDDED,))[0]


def test_a_picture_on_another_photograph_is_embedded() -> None:
    ground = leaves(9, (800, 600))
    ground.paste(leaves(1), (150, 110))
    assert kind_of(leaves(1), ground) == Kind.EMBEDDED


@pytest.mark.parametrize("box", [(60, 40, 400, 300), (0, 0, 300, 300), (200, 100, 480, 360)])
def test_a_crop_is_not_taken_for_a_pasted_picture(box: tuple[int, int, int, int]) -> None:
    assert kind_of(leaves(1).crop(box), leaves(1)) == Kind.PART


def test_a_stamp_on_a_large_sheet_is_one_of_many_things_on_it() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    sheet = Image.fromarray(noise).resize((1100, 825), Image.Resampling.BICUBIC)
    sheet.paste(leaves(1), (300, 300))
    assert kind_of(leaves(1), sheet) == Kind.COLLAGE


def bright(picture: Image.Image) -> Image.Image:
    """A thing before a white wall: nothing is seen at the picture's edges."""
    wall = Image.new("RGB", (480, 360), "white")
    wall.paste(picture.resize((240, 180)), (120, 90))
    return wall


def test_a_white_picture_on_a_nearly_white_page_ends_where_the_tone_changes() -> None:
    page = Image.new("RGB", (640, 700), "#f8f9fa")
    page.paste(bright(leaves(1)), (80, 150))
    pen = ImageDraw.Draw(page)
    for line, y in enumerate((20, 55, 580, 615, 650)):
        pen.text((80, y), "Words that somebody wrote beside it"[: 35 - 3 * line], fill="black", font_size=24)
    assert kind_of(bright(leaves(1)), page) == Kind.EMBEDDED


def test_a_crop_of_a_white_picture_is_a_part_of_it() -> None:
    assert kind_of(bright(leaves(1)).crop((60, 45, 420, 315)), bright(leaves(1))) != Kind.EMBEDDED


@pytest.mark.parametrize(
    ("seed", "box"),
    [(6, (0, 0, 430, 360)), (7, (0, 0, 350, 360)), (13, (0, 0, 370, 360)), (15, (0, 0, 480, 290))],
)
def test_a_crop_with_one_side_along_something_is_a_part(seed: int, box: tuple[int, int, int, int]) -> None:
    assert kind_of(leaves(seed).crop(box), leaves(seed)) == Kind.PART
