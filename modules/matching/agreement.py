"""Do the aligned pixels agree? Two thumbnails, laid on each other, compared tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.evidence import Evidence
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.records import Float32Array, UInt8Array

#: Flatness from which on a picture is a drawing.
_FLAT = 0.84
#: Local correlation from which on a tile agrees.
_TILE_CORRELATION = 0.7
#: Standard deviation, in grey levels, from which on a tile carries texture.
_TEXTURE = 6.0
#: Variance of what JPEG and noise leave on a thumbnail; keeps faint tiles from agreeing or not by chance.
_NOISE = 4.0
#: Levels beside the light of the rest from which on a pixel counts as drawn over, and this many median residuals.
DRAWN, _RESIDUALS = 14.0, 2.5
#: And the most that it takes: of two different pictures the median residual is large as well.
_MOST_DRAWN = 28.0
#: The same of a whole tile without texture.
_REPAINTED = 40.0
#: Share of a tile that must be left free, and of its drawn pixels that must be all brighter, or all darker.
_FREE, _ONE_SIDED = 0.3, 0.9
#: The light of two copies differs by one gain in this range and an offset; rounds in which they are fitted.
_GAINS, _ROUNDS = (0.4, 2.5), 5
#: Share of the tiles from which on nothing else needs to be asked.
_NEARLY_ALL = 0.95
#: Tiles that agree, from which on they tell of the light.
_ENOUGH_TILES = 8
#: Every so many pixels across and down is enough to fit the light.
_STRIDE = 4
#: The same of a tile that is found elsewhere than the rest, and tiles, with its neighbours, that must be.
_PATCH_CORRELATION, _PATCH_TILES = 0.8, 3
_TILE = 8
_KERNEL = (7, 7)
_SMALLEST_TILE = 4
#: Pixels beside an edge of the finer picture that are not compared.
_SEAM = 2.5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the overlap of two aligned pictures says.

    share: of its textured tiles, how many agree, 0 to 1. block: the largest connected region of tiles that do
    not, as a share of the textured ones. sure: the share of tiles that agree by their own texture, and not only in that
    what is drawn over them leaves the right tone. tiles: how many are textured.
    """

    share: float
    block: float
    sure: float
    tiles: int

    @property
    def strength(self) -> float:
        """How much the overlap speaks for one picture, 0 to 1: tiles that are only drawn over speak half as loud."""
        return (self.share + self.sure) / 2


#: What no overlap says.
NOTHING = Agreement(0.0, 1.0, 0.0, 0)


def placed(matrix: Matrix, inner: UInt8Array | Float32Array, inset: float = 0.0) -> Matrix:
    """Corners of ``inner``, (h, w, ...), on the outer picture, float64 (4, 2). matrix: inner to outer, (3, 3).

    inset: how far inside of its own edges, in its own pixels.
    """
    height, width = inner.shape[:2]
    return corners(matrix, (inset, inset, width - inset, height - inset))


def corners(matrix: Matrix, box: tuple[float, float, float, float]) -> Matrix:
    """The same of a part of it: left, top, right and bottom in its pixels, from their outer edges."""
    left, top, right, bottom = (side - 0.5 for side in box)
    # Number by number: for four places, NumPy costs several times the work.
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    box_corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    placed_corners = [(a * x + b * y + c, d * x + e * y + f, g * x + h * y + i) for x, y in box_corners]
    return np.array([(x / depth, y / depth) for x, y, depth in placed_corners])


def filled(places: Matrix, height: int, width: int) -> UInt8Array:
    """A mask, uint8 (h, w), that is 1 within four corners, float64 (4, 2) in pixels, and 0 without."""
    mask = np.zeros((height, width), dtype=np.uint8)
    # Four fractional bits: a corner may lie anywhere between pixels.
    cv2.fillConvexPoly(mask, np.rint(places * 16).astype(np.int32), 1, lineType=cv2.LINE_8, shift=4)
    return mask


def measure(matrix: Matrix, a: Evidence, b: Evidence, patches: Sequence[Matrix] = ()) -> Agreement:
    """Compare the overlap of two pictures' thumbnails; matrix lays a's pixels on b's, float64 (3, 3).

    patches: other such matrices that may be true of a patch of the overlap; a tile agrees where one of them says so.
    What is drawn over one of two drawings is another drawing: there it is not forgiven.

    Each tile's correlation forgives brightness, contrast and colour; smoothing forgives blur and noise. The
    comparison is made at the coarser one's resolution: the finer one shows what the other one cannot.
    """
    if scale_of(matrix, centre(a.grey)) > 1:
        # a's picture is drawn larger on b: b is the finer one.
        matrix, patches, a, b = inverse(matrix), [inverse(patch) for patch in patches], b, a
    return compare(b.grey, a.grey, matrix, patches, forgiving=not are_flat(a, b))


def are_flat(a: Evidence, b: Evidence) -> bool:
    """Whether both are drawings, charts or pages, on which every line is content."""
    return min(a.flatness, b.flatness) >= _FLAT


def centre(picture: Float32Array | UInt8Array) -> tuple[float, float]:
    """The middle of a picture, (h, w), in pixels."""
    return (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2


def compare(
    coarse: Float32Array,
    fine: Float32Array,
    to_coarse: Matrix,
    patches: Sequence[Matrix] = (),
    *,
    forgiving: bool = True,
) -> Agreement:
    """Agreement of two grey pictures, float32 (h, w), of which ``to_coarse`` (3, 3) lays the finer on the other.

    forgiving: tiles may agree where something is drawn over one of the pictures.
    """
    overlay = overlay_of(coarse, fine, to_coarse)
    if overlay is None:
        return NOTHING
    height, width = overlay.left.shape
    explained = np.zeros((height // overlay.side, width // overlay.side), np.bool_)
    for patch in patches:
        explained |= _explained(replace(overlay, right=on_grid(overlay, fine, patch)))
    return _judged(overlay, explained, forgiving=forgiving)


@dataclass(frozen=True, slots=True)
class Overlay:
    """Two pictures on one grid, float32 (h, w) each, h and w multiples of ``side``, the side of a tile in pixels.

    weight: 1 where both are there, 0 elsewhere. corner: where the grid begins on the coarse picture, (x, y).
    """

    left: Float32Array
    right: Float32Array
    weight: Float32Array
    side: int
    corner: tuple[int, int]


def overlay_of(coarse: Float32Array, fine: Float32Array, to_coarse: Matrix) -> Overlay | None:
    """The overlap alone; None where it is smaller than a tile."""
    # Smoothing mixes what lies beyond an edge into the pixels beside it.
    inset = min(_SEAM / max(scale_of(to_coarse, centre(fine)), 1e-3), min(fine.shape) / 2 - 1)
    mask = filled(placed(to_coarse, fine, max(inset, 0.0)), *coarse.shape)
    area = cv2.countNonZero(mask)
    if area < _SMALLEST_TILE**2:
        return None
    side = min(max(round(math.sqrt(area) / 10), _SMALLEST_TILE), _TILE)
    x, y, width, height = cv2.boundingRect(mask)
    part = np.s_[y : y + height, x : x + width]
    # What is beyond the last pixels must not be smoothed into them as an edge.
    left = cv2.copyMakeBorder(coarse[part], 0, -height % side, 0, -width % side, cv2.BORDER_REPLICATE)
    weight = cv2.copyMakeBorder(
        mask[part].astype(np.float32), 0, -height % side, 0, -width % side, cv2.BORDER_CONSTANT, value=0.0
    )
    overlay = Overlay(left, left, weight, side, (x, y))
    return replace(overlay, right=on_grid(overlay, fine, to_coarse))


def on_grid(overlay: Overlay, fine: NDArray[Any], to_coarse: Matrix) -> NDArray[Any]:
    """``fine``, (h, w) or (h, w, 3), on the overlay's grid."""
    x, y = overlay.corner
    height, width = overlay.left.shape
    shifted = to_coarse.copy()
    shifted[:2] -= np.array([[x], [y]]) * to_coarse[2]
    return _drawn(fine, shifted, (width, height))


def _explained(overlay: Overlay) -> Mask:
    """Tiles that agree, and most of whose neighbours do: one alone may do so by chance."""
    left, right = (smoothed(plane) for plane in (overlay.left, overlay.right))
    tiles = Tiles.of(left, right, overlay.weight, overlay.side)
    agrees = (tiles.correlation >= _PATCH_CORRELATION) & (tiles.texture >= _TEXTURE**2)
    around = cv2.boxFilter(agrees.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(agrees & (around >= _PATCH_TILES))


def smoothed(plane: Float32Array) -> Float32Array:
    """Without the noise that copies differ by."""
    return np.asarray(cv2.GaussianBlur(plane, _KERNEL, 1.0), np.float32)


def _drawn(fine: NDArray[Any], to_coarse: Matrix, size: tuple[int, int]) -> NDArray[Any]:
    """``fine`` on the coarse grid; area-averaged first, so that nothing aliases."""
    factor = scale_of(to_coarse, centre(fine))
    height, width = fine.shape[:2]
    if factor < 0.8:
        reduced = max(2, round(width * factor)), max(2, round(height * factor))
        fine = cv2.resize(fine, reduced, interpolation=cv2.INTER_AREA)
        across, down = width / reduced[0], height / reduced[1]
        enlarge = np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])
        to_coarse = to_coarse @ enlarge
    if to_coarse[2, 0] or to_coarse[2, 1]:
        return np.asarray(cv2.warpPerspective(fine, to_coarse, size, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(cv2.warpAffine(fine, to_coarse[:2], size, borderMode=cv2.BORDER_REPLICATE))


def _judged(overlay: Overlay, explained: Mask, *, forgiving: bool) -> Agreement:
    side = overlay.side
    left, right = (smoothed(plane) for plane in (overlay.left, overlay.right))
    tiles = Tiles.of(left, right, overlay.weight, side)
    textured = tiles.textured()
    if not textured.any():
        return NOTHING
    agrees = tiles.agrees() | explained
    light = _light_of_tiles(tiles, agrees & textured & ~explained)
    sure = agrees
    nearly_all = np.count_nonzero(agrees & textured) >= _NEARLY_ALL * np.count_nonzero(textured)
    if light is None or (forgiving and not nearly_all):
        light = light_of(overlay, light)
    if forgiving and not nearly_all:
        rest, bare = _agrees_but_for_drawing(overlay, light)
        sure = agrees | rest
        agrees = sure | bare
    textured = textured | _repainted(tiles, light)
    return counted(textured, agrees, sure)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Of every tile: share of its pixels that count, means and deviations, correlation, and the greater variance."""

    count: Float32Array
    mean_x: Float32Array
    mean_y: Float32Array
    var_x: Float32Array
    var_y: Float32Array
    correlation: Float32Array
    texture: Float32Array

    @classmethod
    def of(cls, x: Float32Array, y: Float32Array, weight: Float32Array, side: int) -> Tiles:
        """x, y: grey levels; weight: 1 where they count, else 0; float32 (h, w) each, multiples of ``side``."""
        planes = np.empty((6, *x.shape), np.float32)
        planes[0] = weight
        # Around 0, so that float32 squares keep their last bits.
        for place, plane in ((1, x), (2, y)):
            np.subtract(plane, np.float32(128), out=planes[place])
            planes[place] *= weight
        for place, (one, other) in ((3, (1, 1)), (4, (2, 2)), (5, (1, 2))):
            np.multiply(planes[one], planes[other], out=planes[place])
        count, *sums = _means(planes, side)
        some: Float32Array = np.maximum(count, np.float32(1e-6))
        mean_x, mean_y, square_x, square_y, product = (total / some for total in sums)
        var_x: Float32Array = np.maximum(square_x - mean_x * mean_x, np.float32(0))
        var_y: Float32Array = np.maximum(square_y - mean_y * mean_y, np.float32(0))
        spread = np.sqrt((var_x + np.float32(_NOISE)) * (var_y + np.float32(_NOISE)))
        correlation = np.asarray((product - mean_x * mean_y) / spread, np.float32)
        return cls(count, mean_x, mean_y, var_x, var_y, correlation, np.maximum(var_x, var_y))

    def textured(self, part: float = 0.5) -> Mask:
        """Tiles that have texture, and of whose pixels at least this part counts."""
        return np.asarray((self.count >= part) & (self.texture >= _TEXTURE**2))

    def agrees(self) -> Mask:
        """Tiles whose textures agree."""
        return np.asarray(self.correlation >= _TILE_CORRELATION)


def _means(planes: Float32Array, side: int) -> Float32Array:
    """Means over side x side tiles of each of (n, h, w), both multiples of ``side``."""
    count, height, width = planes.shape
    # One below the other: OpenCV costs more to ask than to answer.
    column = planes.reshape(count * height, width)
    means = cv2.resize(column, (width // side, count * height // side), interpolation=cv2.INTER_AREA)
    return np.asarray(means).reshape(count, height // side, width // side)


@dataclass(frozen=True, slots=True)
class Light:
    """y is gain * x + offset in most places, but for a median error of ``residual`` levels."""

    gain: float
    offset: float
    residual: float


def _light_of_tiles(tiles: Tiles, agrees: Mask) -> Light | None:
    """The light by the tiles that agree; None where too few do."""
    if np.count_nonzero(agrees) < _ENOUGH_TILES:
        return None
    ratios = tiles.var_y[agrees] / np.maximum(tiles.var_x[agrees], np.float32(1))
    gain = min(max(math.sqrt(_middle(np.asarray(ratios, np.float32))), _GAINS[0]), _GAINS[1])
    return Light(gain, _middle(tiles.mean_y[agrees] - gain * tiles.mean_x[agrees]) + 128 * (1 - gain), 0.0)


def _middle(values: Float32Array) -> float:
    """The upper median."""
    place = len(values) // 2
    return float(np.partition(values, place)[place])


def light_of(overlay: Overlay, light: Light | None) -> Light:
    """The light of the rest of the picture: the half of all pixels that it fits best, starting from ``light``.

    Source: P. Rousseeuw, "Least median of squares regression", Journal of the American Statistical Association 1984.
    """
    sample = np.s_[::_STRIDE, ::_STRIDE]
    there = overlay.weight[sample] > 0
    x, y = overlay.left[sample][there], overlay.right[sample][there]
    if light is None:
        light, rounds = _fitted(x, y), _ROUNDS - 1
    else:
        rounds = 2
    for _ in range(rounds):
        residuals = np.abs(_residual(x, y, light))
        kept = residuals <= max(_middle(residuals), 3.0)
        light = _fitted(x[kept], y[kept])
    return Light(light.gain, light.offset, _middle(np.abs(_residual(x, y, light))))


def _residual(x: Float32Array, y: Float32Array, light: Light) -> Float32Array:
    apart = y - np.float32(light.gain) * x
    apart -= np.float32(light.offset)
    return np.asarray(apart)


def _fitted(x: Float32Array, y: Float32Array) -> Light:
    """By least squares."""
    mean_x, mean_y = (float(np.add.reduce(values)) / len(values) for values in (x, y))
    from_x = x - np.float32(mean_x)
    slope = float(from_x @ y) / max(float(from_x @ from_x), 1.0)
    gain = min(max(slope, _GAINS[0]), _GAINS[1])
    return Light(gain, mean_y - gain * mean_x, 0.0)


def drawn_limit(light: Light) -> float:
    """Levels beside the light from which on a pixel counts as drawn over."""
    return min(max(DRAWN, _RESIDUALS * light.residual), _MOST_DRAWN)


def _agrees_but_for_drawing(overlay: Overlay, light: Light) -> tuple[Mask, Mask]:
    """Tiles that agree where nothing is drawn over either picture: stripes, letters, lines of a watermark.

    What is drawn is of one tone, so within a tile its pixels are all brighter or all darker than the other picture;
    those of a different picture are both, and leave nothing that agrees. Returns those whose rest agrees by its
    texture, and those whose rest carries none, but has the right tone.
    """
    side = overlay.side
    x, y = (cv2.GaussianBlur(plane, (3, 3), 0.6) for plane in (overlay.left, overlay.right))
    difference = _residual(x, y, light) * overlay.weight
    limit = np.float32(drawn_limit(light))
    drawn_over = np.stack([difference > limit, difference < -limit])
    brighter, darker = _means(drawn_over.astype(np.float32), side)
    free = overlay.weight * ~(drawn_over[0] | drawn_over[1])
    tiles = Tiles.of(x, y, free, side)
    drawn = brighter + darker
    one_sided = np.maximum(brighter, darker) >= _ONE_SIDED * drawn
    left_over = one_sided & (tiles.count >= _FREE * (tiles.count + drawn))
    bare = tiles.texture < _TEXTURE**2
    return left_over & ~bare & (tiles.correlation >= _TILE_CORRELATION), left_over & bare


def _repainted(tiles: Tiles, light: Light) -> Mask:
    """Tiles that are plain in both pictures, and of two tones: the bars of two charts, the fields of two flags."""
    apart = tiles.mean_y - light.gain * tiles.mean_x - (light.offset - 128 * (1 - light.gain))
    plain = (tiles.count >= 0.5) & (tiles.texture < _TEXTURE**2)
    return np.asarray(plain & (np.abs(apart) > _REPAINTED))


def counted(textured: Mask, agrees: Mask, sure: Mask) -> Agreement:
    """The agreement of tiles, of which at least one is textured."""
    tiles = int(np.count_nonzero(textured))
    shares = [np.count_nonzero(textured & which) / tiles for which in (agrees, sure)]
    differs = (textured & ~agrees).astype(np.float32)
    # Tiles that agree by chance must not break up a region that differs: the neighbourhood decides.
    around = cv2.boxFilter(differs, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    judged = cv2.boxFilter(textured.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    region = (textured & (2 * around > judged)).astype(np.uint8)
    block = 0
    if region.any():
        _, _, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=8)
        block = int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    return Agreement(shares[0], block / tiles, shares[1], tiles)
