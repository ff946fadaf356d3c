"""Pictures that a drawing of one colour covers in large part, and different ones that share such a drawing."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from modules.matching.verdicts import verify_pair
from modules.records import Grade, Kind
from tests.drawings import as_png, evidence, leaves


def slanted(picture: Image.Image, *, width: int = 12, colour: str = "white") -> Image.Image:
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    for x in range(-picture.height, picture.width, 68):
        pen.line((x, picture.height, x + picture.height, 0), fill=colour, width=width)
    return drawn


def level(picture: Image.Image) -> Image.Image:
    """Every other band of it is white: half of the picture."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    for y in range(0, picture.height, 72):
        pen.rectangle((0, y, picture.width, y + 35), fill="white")
    return drawn


def stuck_on(picture: Image.Image, share: float = 0.5) -> Image.Image:
    """A face of ``share`` of the picture's height in its middle."""
    drawn = picture.copy()
    side = round(share * picture.height)
    x, y = (picture.width - side) // 2, (picture.height - side) // 2
    pen = ImageDraw.Draw(drawn)
    pen.ellipse((x, y, x + side, y + side), fill="#ffcc22", outline="#885500", width=3)
    for eye in (0.24, 0.6):
        left, top = x + side * eye, y + side * 0.26
        pen.ellipse((left, top, left + side * 0.16, top + side * 0.18), fill="#442200")
    pen.chord((x + side * 0.2, y + side * 0.3, x + side * 0.8, y + side * 0.85), 15, 165, fill="#aa2222")
    return drawn


def windowed(picture: Image.Image, around: Image.Image) -> Image.Image:
    """The middle of one picture in another one."""
    drawn = around.copy()
    box = (picture.width // 4, picture.height // 4, 3 * picture.width // 4, 3 * picture.height // 4)
    drawn.paste(picture.crop(box), box[:2])
    return drawn


COVERED = {
    "white lines": slanted,
    "black lines": lambda picture: slanted(picture, colour="black"),
    "broad lines": lambda picture: slanted(picture, width=20),
    "bands": level,
    "a large face": stuck_on,
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", list(COVERED))
def test_a_picture_that_is_covered_in_large_part_is_a_copy(name: str, seed: int) -> None:
    found = verify_pair(evidence(as_png(COVERED[name](leaves(seed)))), evidence(as_png(leaves(seed))))
    assert found["kind"] == Kind.COPY
    assert found["grade"] >= Grade.NORMAL


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", list(COVERED))
def test_what_covers_two_pictures_alike_does_not_join_them(name: str, seed: int) -> None:
    other = evidence(as_png(COVERED[name](leaves(seed + 10))))
    for picture in (leaves(seed), COVERED[name](leaves(seed))):
        assert verify_pair(evidence(as_png(picture)), other)["grade"] < Grade.NORMAL


def test_another_picture_in_the_same_surroundings_is_no_drawing() -> None:
    around = evidence(as_png(windowed(leaves(2), leaves(1))))
    assert verify_pair(evidence(as_png(windowed(leaves(3), leaves(1)))), around)["grade"] < Grade.NORMAL
    plain = windowed(Image.new("RGB", (480, 360), "white"), leaves(1))
    large = plain.resize((480, 360)).copy()
    large.paste("white", (40, 30, 440, 330))
    assert verify_pair(evidence(as_png(large)), evidence(as_png(leaves(1))))["grade"] < Grade.NORMAL
