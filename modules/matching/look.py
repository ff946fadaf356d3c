"""Two pictures laid on each other and looked at closely: what parts them, as the numbers that a confidence rests on.

Asked only of pairs that are about to be joined: of their thumbnails first, of the pictures themselves where those leave
a doubt. One transform is refined until the two lie on each other to a fraction of a pixel; what then still moves, what
one shows outside of all that the other shows around its place, and which tiles do not correlate is evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from modules.matching.agreement import Tiles, corners, filled, placed
from modules.matching.flow import Flow, refined
from modules.matching.geometry import Matrix, inverse, scale_of
from modules.matching.light import relit
from modules.matching.rearranged import rearranged
from modules.matching.regions import Regions, regions_of
from modules.records import Float32Array, UInt8Array

#: Long side of the overlap, in pixels, at which two pictures are compared at most: that of a working picture.
LOOK_SIDE = 512
#: Least short side of an overlap: what is smaller is enlarged to it, for tiles and flow need room.
LEAST_SIDE = 48
#: Pixels beside an edge of the moving picture that are not compared: smoothing mixes what lies beyond into them.
_SEAM = 2.5
#: Side of a tile, pixels.
_TILE = 8
#: Side of the patches whose colours are compared, pixels.
_PATCH = 12
#: Variance of a tile, in levels, from which on it has texture.
_TEXTURED = 30.0
#: Correlation below which two tiles that have texture contradict each other.
_CONTRADICTS = 0.5

#: What is told of a pair, in this order; see :func:`compare`.
FEATURES = (
    *("seen", "area", "textured", "tiles", "flat_low", "flat_high", "moved"),
    *("shift_50", "shift_75", "shift_90", "shift_97", "shifted_1", "shifted_2", "shifted_block"),
    *("alike_02", "alike_10", "alike_25", "alike_50", "apart", "contradicts", "contradictions", "contradicting_block"),
    *("bent_02", "bent_10", "bent_50", "bent_apart", "one_sided_low", "one_sided_high"),
    *("noise_50", "noise_90", "noise_99", "peak_low", "peak_high"),
    *("regions", "mass_low", "mass_high", "largest_low", "largest_high"),
    *("region_area", "region_share", "region_spread"),
    *("tones", "saturation", "blend", "blended", "edge", "rearranged", "colour_50", "colour_95", "colour_99"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a pair. features: float32 (len(FEATURES),), NaN where there is nothing to tell it by.

    box_a, box_b: left, top, right and bottom of the largest disagreement, as shares of each one's width and height,
    float32 (4,); all 0 where nothing disagrees.
    """

    features: Float32Array
    box_a: Float32Array
    box_b: Float32Array


@dataclass(frozen=True, slots=True)
class Grid:
    """Two pictures brought to one resolution, that of the coarser one, and to the box that both share.

    fixed: RGB or BGR uint8 (h, w, 3), the box of b. moving: the same of a, in its own shape. matrix: pixels of moving
    to those of fixed. before: pixels of a to those of moving. after: pixels of fixed to those of b. seen: pixels of
    the grid for one of the coarser picture.
    """

    moving: UInt8Array
    fixed: UInt8Array
    matrix: Matrix
    before: Matrix
    after: Matrix
    seen: float


def compare(a: UInt8Array, b: UInt8Array, matrix: Matrix, *, stored: float = 1.0, side: int = LOOK_SIDE) -> Look | None:
    """Look at two pictures, uint8 (h, w, 3) with the same order of channels; None where they hardly overlap.

    matrix: pixels of a to those of b, float64 (3, 3). stored: pixels of what is given for one of the picture as it is
    stored, at most 1: less for thumbnails. side: pixels of the overlap's longer side at most.
    """
    grid = _grid(a, b, matrix, side)
    if grid is None:
        return None
    moving, fixed = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (grid.moving, grid.fixed))
    flow = refined(moving, fixed, grid.matrix, lambda m: _mask(moving, m, fixed.shape))
    if flow is None:
        return None
    found = dict.fromkeys(FEATURES, math.nan)
    found["seen"] = math.log(max(min(1.0, grid.seen * stored), 1e-3))
    found["area"] = math.log(cv2.countNonZero(flow.mask))
    _note_shifts(found, flow)
    x, y = relit(flow.laid, fixed, flow.mask)
    _note_tiles(found, x, y, flow)
    tones = [_flatness(grey, flow.mask) for grey in (flow.laid, fixed)]
    found["flat_low"], found["flat_high"] = min(tones), max(tones)
    laid = _laid(grid.moving, flow.matrix, fixed.shape)
    parted = regions_of(x, y, flow.mask, laid, grid.fixed)
    _note_regions(found, parted)
    found["rearranged"] = rearranged(x, y, flow.mask)
    _note_colours(found, laid, grid.fixed, flow.mask)
    boxes = (
        _shares(parted, inverse(flow.matrix @ grid.before), a),
        _shares(parted, grid.after, b),
    )
    return Look(np.array([found[name] for name in FEATURES], np.float32), *boxes)


def _grid(a: UInt8Array, b: UInt8Array, matrix: Matrix, side: int) -> Grid | None:
    """The overlap alone; None where there is hardly any."""
    ends = placed(matrix, a)
    height, width = b.shape[:2]
    left, top = np.clip(np.floor(ends.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(ends.max(axis=0)) + 1, 0, (width, height)).astype(int)
    if min(right - left, bottom - top) < 4:
        return None
    grown = scale_of(matrix, ((a.shape[1] - 1) / 2, (a.shape[0] - 1) / 2))
    # Where a's pixels are larger than b's, a is the coarser one.
    coarse = min(1.0, 1 / max(grown, 1e-6))
    factor = min(coarse, side / max(right - left, bottom - top))
    least = LEAST_SIDE / min(right - left, bottom - top)
    fixed, to_fixed = _resized(b[top:bottom, left:right], max(factor, min(least, 8.0)))
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    whole = to_fixed @ shift @ matrix
    shrink = scale_of(whole, ((a.shape[1] - 1) / 2, (a.shape[0] - 1) / 2))
    moving, to_moving = _resized(a, shrink) if shrink < 0.8 else (a, np.eye(3))
    after = inverse(to_fixed @ shift)
    return Grid(moving, fixed, whole @ inverse(to_moving), to_moving, after, factor / coarse)


def _resized(picture: UInt8Array, factor: float) -> tuple[UInt8Array, Matrix]:
    """A picture by ``factor``, and pixel centres of the one to those of the other, float64 (3, 3)."""
    if abs(factor - 1) < 1e-3:
        return picture, np.eye(3)
    height, width = picture.shape[:2]
    size = max(2, round(width * factor)), max(2, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    across, down = size[0] / width, size[1] / height
    to = np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8), to


def _mask(moving: UInt8Array, matrix: Matrix, shape: tuple[int, ...]) -> UInt8Array:
    """Where the moving picture lies on the grid, without its seam, uint8 (h, w), 1 or 0."""
    inset = min(_SEAM / max(scale_of(matrix, (0.0, 0.0)), 1e-3), min(moving.shape[:2]) / 2 - 1)
    return filled(placed(matrix, moving, max(inset, 0.0)), shape[0], shape[1])


def _laid(moving: UInt8Array, matrix: Matrix, shape: tuple[int, ...]) -> UInt8Array:
    size = shape[1], shape[0]
    return np.asarray(cv2.warpPerspective(moving, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _note_shifts(found: dict[str, float], flow: Flow) -> None:
    found["moved"] = flow.moved
    known = flow.textured
    count = int(np.count_nonzero(known))
    found["textured"] = count / max(1, int(np.count_nonzero(flow.inside)))
    if count < 6:
        return
    shifts = np.sort(flow.shifts[known])
    for name, share in (("shift_50", 0.5), ("shift_75", 0.75), ("shift_90", 0.9), ("shift_97", 0.97)):
        found[name] = float(shifts[min(count - 1, int(share * count))])
    found["shifted_1"], found["shifted_2"] = (float(np.mean(shifts >= least)) for least in (0.7, 1.5))
    found["shifted_block"] = math.log1p(_largest(known & (flow.shifts >= 0.7)))


def _largest(mask: Float32Array | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """Tiles of the largest connected region."""
    if not mask.any():
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max())


def _note_tiles(found: dict[str, float], x: UInt8Array, y: UInt8Array, flow: Flow) -> None:
    """Correlations of tiles, as they lie and each moved to where its flow says."""
    height, width = (length // _TILE * _TILE for length in y.shape)
    part = np.s_[:height, :width]
    planes = [cv2.GaussianBlur(plane[part], (3, 3), 0.8).astype(np.float32) for plane in (x, y, flow.bent(y))]
    weight = flow.mask[part].astype(np.float32)
    tiles = Tiles.of(planes[0], planes[1], weight, _TILE)
    counts = tiles.count >= 0.6
    textured = counts & (tiles.texture > _TEXTURED)
    both = counts & (np.minimum(tiles.var_x, tiles.var_y) > _TEXTURED)
    number = int(np.count_nonzero(textured))
    found["tiles"] = math.log1p(number)
    if number < 4:
        return
    _note_quantiles(found, "alike", tiles.correlation[textured], ((2, 0.02), (10, 0.1), (25, 0.25), (50, 0.5)))
    found["apart"] = float(np.mean(tiles.correlation[textured] < _CONTRADICTS))
    contradicts = both & (tiles.correlation < _CONTRADICTS)
    found["contradicts"] = float(np.count_nonzero(contradicts)) / max(1, int(np.count_nonzero(both)))
    found["contradictions"] = math.log1p(int(np.count_nonzero(contradicts)))
    found["contradicting_block"] = math.log1p(_largest(contradicts))
    only_x = counts & (tiles.var_x > 2 * _TEXTURED) & (tiles.var_y < _TEXTURED / 2)
    only_y = counts & (tiles.var_y > 2 * _TEXTURED) & (tiles.var_x < _TEXTURED / 2)
    sides = sorted(math.log1p(int(np.count_nonzero(side))) for side in (only_x, only_y))
    found["one_sided_low"], found["one_sided_high"] = sides
    bent = Tiles.of(planes[0], planes[2], weight, _TILE).correlation[textured]
    _note_quantiles(found, "bent", bent, ((2, 0.02), (10, 0.1), (50, 0.5)))
    found["bent_apart"] = float(np.mean(bent < _CONTRADICTS))


def _note_quantiles(
    found: dict[str, float], name: str, values: Float32Array, wanted: tuple[tuple[int, float], ...]
) -> None:
    ordered = np.sort(values)
    for percent, share in wanted:
        found[f"{name}_{percent:02}"] = float(ordered[int(share * len(ordered))])


def _flatness(grey: UInt8Array, mask: UInt8Array) -> float:
    """Share of the four most frequent of 32 tones."""
    tones = cv2.calcHist([grey], [0], mask, [32], [0, 256]).ravel()
    return float(np.sort(tones)[-4:].sum() / max(1.0, tones.sum()))


def _note_regions(found: dict[str, float], parted: Regions) -> None:
    found["noise_50"], found["noise_90"], found["noise_99"] = parted.noise
    found["peak_low"], found["peak_high"] = sorted(parted.peaks)
    found["regions"] = math.log1p(parted.count)
    found["mass_low"], found["mass_high"] = sorted(map(math.log1p, parted.mass))
    found["largest_low"], found["largest_high"] = sorted(map(math.log1p, parted.largest))
    found["region_area"], found["region_share"] = math.log1p(parted.area), parted.share
    found["region_spread"] = parted.spread
    found["tones"], found["saturation"] = parted.tones, parted.saturation
    found["blend"], found["blended"], found["edge"] = parted.blend, parted.blended, parted.edge


def _note_colours(found: dict[str, float], x: UInt8Array, y: UInt8Array, mask: UInt8Array) -> None:
    """What of the colours no one change of all colours explains."""
    size = max(1, y.shape[1] // _PATCH), max(1, y.shape[0] // _PATCH)
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (x, y)]
    there = cv2.resize(mask * 255, size, interpolation=cv2.INTER_AREA).ravel() > 230
    if np.count_nonzero(there) < 16:
        return
    before, after = (
        cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).reshape(-1, 3)[there].astype(np.float64) for picture in small
    )
    before = np.column_stack([before, np.ones(len(before))])
    weight = np.ones(len(before))
    for _ in range(3):
        scaled = before * weight[:, None]
        ridge = np.diag([1.0, 1.0, 1.0, 1e-3]) * 0.05 * len(before)
        change = np.linalg.solve(before.T @ scaled + ridge, scaled.T @ after[:, 1:])
        apart = np.abs(before @ change - after[:, 1:]).max(axis=1)
        weight = 1 / (1 + (apart / max(2 * float(np.median(apart)), 2.0)) ** 2)
    ordered = np.sort(apart)
    for name, share in (("colour_50", 0.5), ("colour_95", 0.95), ("colour_99", 0.99)):
        found[name] = float(ordered[int(share * len(ordered))])


def _shares(parted: Regions, matrix: Matrix, picture: UInt8Array) -> Float32Array:
    """The box of the largest region as shares of a picture. matrix: pixels of the grid to those of the picture."""
    left, top, right, bottom = parted.box
    if right <= left:
        return np.zeros(4, np.float32)
    ends = corners(matrix, (left, top, right, bottom))
    places = (ends + 0.5) / (picture.shape[1], picture.shape[0])
    box = np.concatenate([places.min(axis=0), places.max(axis=0)])
    return np.asarray(np.clip(box, 0, 1), np.float32)
