"""Pictures cut into pieces that changed places, and others that only look as if they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from benchmarks.quality import drawn
from modules.matching.pieces import NOTHING, scattered
from modules.matching.verdicts import verify_pair
from modules.records import Grade, Kind
from tests.drawings import as_png, evidence, leaves, page


def in_pieces(picture: Image.Image, across: int, down: int, seed: int = 1) -> Image.Image:
    """All pieces of a grid in another order."""
    width, height = picture.width // across, picture.height // down
    places = [(column * width, row * height) for row in range(down) for column in range(across)]
    order = places.copy()
    random.Random(seed).shuffle(order)
    cut = picture.copy()
    for (x, y), place in zip(places, order, strict=True):
        cut.paste(picture.crop((x, y, x + width, y + height)), place)
    return cut


@pytest.mark.parametrize(("across", "down"), [(3, 3), (4, 4), (7, 4), (1, 6), (8, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_picture_in_pieces_is_found(across: int, down: int, seed: int) -> None:
    found = verify_pair(evidence(as_png(in_pieces(leaves(seed), across, down))), evidence(as_png(leaves(seed))))
    assert found["kind"] == Kind.COPY
    assert found["grade"] >= Grade.NORMAL
    assert min(found["cover_a"], found["cover_b"]) == 1.0


def test_pieces_of_two_pictures_in_the_same_tones_are_no_copies() -> None:
    # The pixels of one picture, sorted into the order of the other one's light: all tones are there as often.
    one, other = np.asarray(leaves(3)).reshape(-1, 3), np.asarray(leaves(4)).reshape(-1, 3)
    toned = np.empty_like(one)
    toned[one.sum(axis=1).argsort(kind="stable")] = other[other.sum(axis=1).argsort(kind="stable")]
    strange = Image.fromarray(toned.reshape(360, 480, 3))
    for picture in (strange, in_pieces(strange, 4, 4)):
        assert scattered(evidence(as_png(picture)), evidence(as_png(leaves(4)))).explained < 0.5
        assert verify_pair(evidence(as_png(picture)), evidence(as_png(leaves(4))))["grade"] < Grade.NORMAL


@pytest.mark.parametrize("kind", drawn.TEXTURES)
def test_frames_of_one_texture_are_no_pieces_of_each_other(kind: str) -> None:
    one, other = (evidence(as_png(frame)) for frame in drawn.texture_frames(kind, random.Random(4), 2))
    assert scattered(one, other).found < 0.2
    assert verify_pair(one, other)["grade"] < Grade.NORMAL


def test_pages_of_one_layout_are_no_pieces_of_each_other() -> None:
    assert verify_pair(evidence(as_png(page(1))), evidence(as_png(page(2))))["grade"] < Grade.NORMAL


def test_another_shape_and_other_tones_are_not_looked_at() -> None:
    whole, cut = evidence(as_png(leaves(1))), in_pieces(leaves(1), 4, 4)
    assert scattered(evidence(as_png(cut)), whole) != NOTHING
    assert scattered(evidence(as_png(cut.resize((480, 300)))), whole) == NOTHING
    assert scattered(evidence(as_png(ImageEnhance.Brightness(cut).enhance(0.7))), whole) == NOTHING
