"""What one plain colour covers of a picture: stripes, a sticker, letters. What it leaves free must agree the better.

Asked where too little agrees otherwise. A drawing is of one colour and in no place large; another picture in the same
frame is of many colours, or lies in one region, and what is free of it agrees in the frame alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching import agreement, geometry
from modules.matching.agreement import NOTHING, Agreement, Light, Overlay, Tiles
from modules.matching.evidence import Evidence
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.records import Float32Array, UInt8Array

#: Flatness from which on two pictures share the colours that one of them might be drawn over with.
_FEW_TONES = 0.6
#: Levels from its middle within which a pixel has the drawing's colour, and the colours that are told apart to find it.
_NEAR, _STEP = 40, 32
#: Levels within which two pixels are of the same colour; a share of the overlap that both have in one colour.
_SAME, _COMMON = 24, 0.1
#: Share of the differing pixels that must be of the drawing's colour; at the edges of thin lines it is mixed.
_ONE_COLOUR = 0.42
#: Largest region of it, and the largest that it encloses, as shares of the overlap; outlines that enclose nothing.
_LARGEST, _SHORTEST = 0.25, 12
#: Share of an enclosed region that must be of the colour for the rest of it to belong to the drawing.
_FILLED = 0.4
#: Textured tiles that must be free of what both have in common, too.
_LEAST_TILES = 8
#: What the free part must show: textured tiles, share of them that agrees, largest region that does not, share of the
#: overlap that is free, share of all texture there that agrees, and of the free pixels that have the right tone.
_TILES, _AGREES, _BLOCK, _FREE, _TEXTURE, _TONE = 24, 0.85, 0.1, 0.3, 0.25, 0.92
#: Pixels that differ, below which nothing is drawn.
_FEWEST = 20
#: Share of a tile that must be free for it to count.
_PART = 0.25
_AROUND = np.ones((3, 3), np.uint8)

Mask = NDArray[np.bool_]


def uncovered(matrix: Matrix, a: Evidence, b: Evidence) -> Agreement:
    """Agreement of what is left of two pictures' overlap when a drawing of one colour over one of them is left out.

    matrix lays a's thumbnail on b's, pixels, float64 (3, 3). NOTHING where no such drawing parts them alone: what is
    free must have the same tones and texture, and enough of it.
    """
    if min(a.flatness, b.flatness) >= _FEW_TONES:
        return NOTHING
    if scale_of(matrix, agreement.centre(a.grey)) > 1:
        matrix, a, b = inverse(matrix), b, a
    overlay = agreement.overlay_of(b.grey, a.grey, matrix)
    if overlay is None:
        return NOTHING
    apart, limit = _apart(overlay)
    there = overlay.weight > 0
    drawn = there & (apart > limit)
    if int(np.count_nonzero(drawn)) < _FEWEST:
        return NOTHING
    colours = _colours(overlay, matrix, a.thumb, b.thumb)
    # Stripes over two different pictures are all that these have in common, and tell nothing.
    differs = cv2.dilate(_common(*colours, there).astype(np.uint8), _AROUND) == 0
    found = NOTHING
    for covering in range(2):
        cover = _cover(colours[covering], drawn, int(np.count_nonzero(there)))
        if cover is None:
            continue
        free = there & ~cover
        toned = free & differs
        if np.count_nonzero(toned & (apart <= limit)) < _TONE * np.count_nonzero(toned):
            continue
        agreed = _free_agreement(overlay, free, (overlay.right, overlay.left)[covering])
        if agreed.share > found.share and _agrees(*_tiles(overlay, toned), _LEAST_TILES):
            found = agreed
    return found


def differ_beside_common(a: Evidence, b: Evidence) -> bool:
    """Whether two pictures, laid on each other as they are, differ wherever they are not of one colour in common.

    Bands over two different pictures agree in all tiles that they run through.
    """
    matrix = geometry.thumb_matrix(geometry.on_its_place(a, b), a, b)
    if scale_of(matrix, agreement.centre(a.grey)) > 1:
        matrix, a, b = inverse(matrix), b, a
    overlay = agreement.overlay_of(b.grey, a.grey, matrix)
    if overlay is None:
        return False
    there = overlay.weight > 0
    common = _common(*_colours(overlay, matrix, a.thumb, b.thumb), there)
    if not common.any():
        return False
    textured, agrees = _tiles(overlay, there & (cv2.dilate(common.astype(np.uint8), _AROUND) == 0))
    count = np.count_nonzero(textured)
    return bool(count >= _LEAST_TILES and np.count_nonzero(textured & agrees) < count / 2)


def _apart(overlay: Overlay) -> tuple[Float32Array, float]:
    """By how many levels each pixel differs but for light, and from how many on it is drawn over.

    Light as most pixels have it, or unchanged if more agree so: a drawing may cover more than half.
    """
    best: tuple[int, Float32Array, float] | None = None
    for light in (agreement.light_of(overlay, None), Light(1.0, 0.0, 0.0)):
        difference = overlay.right - np.float32(light.gain) * overlay.left - np.float32(light.offset)
        apart = np.abs(difference)
        count = int(np.count_nonzero((apart <= agreement.DRAWN) & (overlay.weight > 0)))
        if best is None or count > best[0]:
            best = count, apart, agreement.drawn_limit(light)
    assert best is not None
    return best[1], best[2]


def _colours(overlay: Overlay, matrix: Matrix, fine: UInt8Array, coarse: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """The two thumbnails, BGR uint8 (h, w, 3), on the overlay's grid: the coarse one first, as its planes are."""
    left, right = (agreement.on_grid(overlay, plane, way) for plane, way in ((coarse, np.eye(3)), (fine, matrix)))
    return left, right


def _common(left: UInt8Array, right: UInt8Array, there: Mask) -> Mask:
    """Where both pictures have the colour that they have in common most often, if that is much of them."""
    same: Mask = there & (cv2.absdiff(left, right).max(axis=2) <= _SAME)
    if not same.any():
        return same
    both: Mask = same & _near(left, _commonest(left[same]), _SAME)
    enough = bool(np.count_nonzero(both) > _COMMON * np.count_nonzero(there))
    return both if enough else np.zeros(both.shape, np.bool_)


def _commonest(pixels: UInt8Array) -> NDArray[np.int16]:
    """The most frequent colour of pixels, uint8 (n, 3)."""
    cells = (pixels // _STEP).astype(np.int64) @ [64, 8, 1]
    return np.asarray(np.median(pixels[cells == np.bincount(cells).argmax()], axis=0), np.int16)


def _near(picture: UInt8Array, colour: NDArray[np.int16], levels: int) -> Mask:
    apart = cv2.absdiff(picture, np.broadcast_to(colour, picture.shape).astype(np.uint8)).max(axis=2)
    return np.asarray(apart <= levels, np.bool_)


def _cover(picture: UInt8Array, drawn: Mask, area: int) -> Mask | None:
    """Where a drawing of one colour lies on ``picture``; None where none, or no such one, explains what differs."""
    own = drawn & _near(picture, _commonest(picture[drawn]), _NEAR)
    if np.count_nonzero(own) < _ONE_COLOUR * np.count_nonzero(drawn):
        return None
    edged = cv2.dilate(own.astype(np.uint8), _AROUND)
    cover = edged.copy()
    outlines, _ = cv2.findContours(edged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        if len(outline) < _SHORTEST:
            continue
        inside = cv2.drawContours(np.zeros_like(edged), [outline], -1, 1, cv2.FILLED)
        filled, coloured = np.count_nonzero(inside), np.count_nonzero(inside & edged)
        if coloured > _LARGEST * area:
            return None
        if filled <= _LARGEST * area and coloured > _FILLED * filled:
            # The eyes of a face.
            cover |= inside.astype(np.uint8)
    return np.asarray(cover, np.bool_)


def _free_agreement(overlay: Overlay, free: Mask, original: Float32Array) -> Agreement:
    """Agreement of the free part, NOTHING if that is too little. original: the picture that is not drawn on."""
    textured, agrees = _tiles(overlay, free)
    enough = np.count_nonzero(free) >= _FREE * np.count_nonzero(overlay.weight)
    if not enough or not _agrees(textured, agrees, _TILES):
        return NOTHING
    plain = agreement.smoothed(original)
    whole = Tiles.of(plain, plain, overlay.weight, overlay.side).textured()
    agreed = agreement.counted(textured, agrees, agrees)
    enough = np.count_nonzero(whole & textured & agrees) >= _TEXTURE * np.count_nonzero(whole)
    return agreed if enough and agreed.block <= _BLOCK else NOTHING


def _tiles(overlay: Overlay, free: Mask) -> tuple[Mask, Mask]:
    """Which tiles have texture where they are free, and which agree there."""
    weight = free.astype(np.float32)
    kept: Float32Array = np.maximum(agreement.smoothed(weight), np.float32(1e-3))
    left, right = (
        np.asarray(agreement.smoothed(plane * weight) / kept, np.float32) for plane in (overlay.left, overlay.right)
    )
    tiles = Tiles.of(left, right, weight, overlay.side)
    return tiles.textured(_PART), tiles.agrees()


def _agrees(textured: Mask, agrees: Mask, least: int) -> bool:
    count = np.count_nonzero(textured)
    return bool(count >= least and np.count_nonzero(textured & agrees) >= _AGREES * count)
