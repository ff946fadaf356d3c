"""Pictures laid on each other without keypoints, as a fast run does."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from modules.feature_extraction import Analyser
from modules.matching.board import EDGES, SIDE
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.geometry import full_matrix
from modules.matching.registration import register
from modules.matching.verdicts import verify_pairs
from modules.records import Kind
from tests.drawings import as_png, leaves, page
from tests.edits import EDITS

SIZE = (480, 360)
FRAME = np.array([512.0, 384.0])


def fast(picture: Image.Image) -> Evidence:
    found = Analyser((), 10**8, "fast").analyse(as_png(picture), facts=False, keypoints=True, extractors=frozenset())
    assert found.keypoints is not None
    assert len(found.keypoints.points) == 0
    return evidence_of(found.keypoints, picture.size)


def placed(a: Image.Image, b: Image.Image) -> np.ndarray | None:
    """The transform, (3, 3), from the frame of a to that of b."""
    left, right = fast(a), fast(b)
    assert left.board is not None
    assert right.board is not None
    (found,) = register([(left.board, right.board)])
    return full_matrix(found[0], left.size) if found else None


def verdicts(*pairs: tuple[Image.Image, Image.Image]) -> np.ndarray:
    return verify_pairs([(fast(a), fast(b)) for a, b in pairs])


def turned(picture: Image.Image) -> Image.Image:
    return picture.rotate(5, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def sticker(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    ImageDraw.Draw(picture).ellipse((290, 40, 390, 140), fill="yellow", outline="black", width=6)
    return picture


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda picture: picture.resize((200, 150)),
    "stretched": lambda picture: picture.resize((480, 270)),
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "quarter": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "border": lambda picture: ImageOps.expand(picture, 40, "navy"),
    "turned": turned,
    "sticker": sticker,
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
    "pixelated": lambda picture: picture.resize((120, 90)).resize(SIZE, Image.Resampling.NEAREST),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(name: str) -> None:
    for seed in (1, 2):
        picture = leaves(seed)
        (verdict,) = verdicts((picture, COPIES[name](picture)))
        assert verdict["kind"] == Kind.COPY
        assert bool(verdict["mirrored"]) == (name in ("mirrored", "flipped"))


@pytest.mark.parametrize("kept", [0.9, 0.8, 0.6])
def test_crops_are_parts_at_their_place(kept: float) -> None:
    picture = leaves(3)
    width, height = (round(side * kept) for side in SIZE)
    left, top = (SIZE[0] - width), (SIZE[1] - height) // 2
    crop = picture.crop((left, top, left + width, top + height))
    (verdict,) = verdicts((crop, picture))
    assert verdict["kind"] == Kind.PART
    assert verdict["cover_a"] > 0.95
    assert verdict["cover_b"] == pytest.approx(kept**2, abs=0.1)
    matrix = placed(crop, picture)
    assert matrix is not None
    for x, y in ((0.1, 0.1), (0.9, 0.2), (0.5, 0.9)):
        there = matrix @ (x * FRAME[0], y * FRAME[1], 1)
        wanted = np.array([(left + x * width) / SIZE[0], (top + y * height) / SIZE[1]]) * FRAME
        assert np.abs(there[:2] - wanted).max() < 8  # frame units: two pixels of a thumbnail


@pytest.mark.parametrize("name", ["rotate25", "crop30", "meme", "pasted"])
def test_what_lies_far_from_a_symmetry_is_found(name: str) -> None:
    pictures = [leaves(seed) for seed in range(8)]
    edited = [Image.open(io.BytesIO(EDITS[name].apply(picture, n))) for n, picture in enumerate(pictures)]
    kinds = verdicts(*zip(pictures, edited, strict=True))["kind"]
    assert np.isin(kinds, (Kind.COPY, Kind.PART, Kind.EMBEDDED)).sum() >= 6


def test_different_pictures_are_not_joined() -> None:
    pairs = [(leaves(seed), leaves(seed + 1)) for seed in range(6)]
    pairs += [(page(seed), page(seed + 1)) for seed in range(6)]
    assert (verdicts(*pairs)["kind"] == Kind.NONE).all()


def test_a_copy_whose_edge_is_clipped_to_white_is_found() -> None:
    levels = np.asarray(leaves(8), np.float32)
    levels[270:] = 180 + 0.29 * levels[270:]
    picture = Image.fromarray(levels.astype(np.uint8))
    lit = Image.fromarray(np.clip(1.42 * levels, 0, 255).astype(np.uint8))
    board, other = fast(picture).board, fast(lit).board
    assert board is not None
    assert other is not None
    assert not np.allclose(board.box, other.box)  # a border is seen in the lighter one
    (verdict,) = verdicts((lit, picture))
    assert verdict["kind"] == Kind.COPY
    assert not verdict["mirrored"]
    assert abs(verdict["scale"] - 1) < 0.02


def test_plain_pictures_are_left_to_the_stricter_rule() -> None:
    plain = [Image.new("RGB", SIZE, tone) for tone in ("white", "white", "silver")]
    same, other = verdicts((plain[0], plain[1]), (plain[0], plain[2]))
    assert (same["kind"], other["kind"]) == (Kind.COPY, Kind.NONE)


def test_the_others_of_a_batch_change_nothing() -> None:
    pictures = [fast(edit(leaves(seed))) for seed in (4, 5) for edit in COPIES.values()]
    boards = [picture.board for picture in pictures if picture.board is not None]
    assert len(boards) == len(pictures)
    pairs = [(a, b) for a in boards for b in boards[::3]]
    together, alone = register(pairs), [register([pair])[0] for pair in pairs]
    assert any(together)
    for found, same in zip(together, alone, strict=True):
        for one, other in zip(found, same, strict=True):
            assert np.array_equal(one.matrix, other.matrix)
            assert one.mirrored == other.mirrored


def test_board_of_a_flat_picture_has_no_edges_and_lies_on_nothing() -> None:
    board, other = fast(Image.new("RGB", SIZE, "grey")).board, fast(leaves(4)).board
    assert board is not None
    assert other is not None
    assert not board.textured
    assert (board.edges.slopes.shape, other.edges.slopes.shape) == ((0, 6), (EDGES, 6))
    assert board.levels.shape == (SIDE, SIDE)
    assert register([(board, board), (board, other), (other, board)]) == [(), (), ()]
