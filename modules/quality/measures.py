"""What of a picture's quality its pixels tell without a second one: sharpness, exposure, contrast, noise, texture."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.borders import inner
from modules.features.decode import WORKING_SIDE
from modules.records import Float32Array, UInt8Array

# Larger pictures come from cameras, whose lenses and sensors seldom fill the finest frequencies.
_MOST_PIXELS = 3_000_000
_TILE = 128
# Powers of ten by which the finest frequencies lie below the coarse ones: of sharp pictures, of blurred ones.
_FINE, _EMPTY = 1.35, 2.85
# Pictures whose frequencies fall less than this are small print at best, and pixels in disorder at worst.
_NO_LESS, _STEEP, _DISORDER = 0.25, 2.8, 0.3
# Logarithm of the variance of the Laplacian of most sharp photographs; how far from it nothing is left.
_NATURAL, _REACH = 1.9, 2.0
# Pixels of the largest squares that are looked for; the peaks of their spectrum in no picture, and in enlarged ones.
_LARGEST_CELL = 16
_CELL_PEAKS = (0.15, 0.3)
# How much of sharpness lies in the finest frequencies, the rest in the strength of edges.
_FINENESS = 2 / 3
# Noise of this many grey levels halves the measure.
_HALF_NOISE = 7.0
# Variance of the Laplacian of Gaussian below for white noise of variance 1: the sum of its squared weights.
_LOG_ENERGY = 0.49
# Levels within which a corner is of one tone, their standard deviation, and the share of the picture that counts.
_PLAIN_LEVELS, _PLAIN_DEVIATION, _PLAIN_SHARE = 4, 1.5, 0.01
# Immerkaer's mask, the difference of two Laplacians, is the product of this with itself: blind to edges and ramps.
_NOISE_MASK = np.array([1, -2, 1], np.float32)


def sharpness(steep: float, native: UInt8Array | None, pixels: int, sigma: float = 0.0) -> float:
    """Two thirds how well a picture's pixels are used (:func:`fineness`), one third how natural its edges are, 0 to 1.

    Pictures of more than 3 megapixels, and those without a part at their own size, have fineness 1. steep:
    :func:`steepness` of the working picture. native: a part of the picture at its own size, uint8 (h, w), grey, or
    None. pixels: of the picture. sigma: :func:`noise_level` of the working picture.
    """
    fine = 1.0
    if native is not None and pixels <= _MOST_PIXELS:
        fine = fineness(native, sigma) * (1 - cells(native))
    return _FINENESS * fine + (1 - _FINENESS) * edges(steep)


def edges(steep: float) -> float:
    """How natural a :func:`steepness` is: 1 that of most sharp photographs, less if blurred or over-sharpened, to 0."""
    return float(np.clip(1 - abs(steep - _NATURAL) / _REACH, 0, 1))


def steepness(grey: UInt8Array, sigma: float, side: int | None = None) -> float:
    """How strong edges are: the variance of the Laplacian of Gaussian on a logarithmic scale, 0 to about 4.

    At the working size: smaller pictures are enlarged to it, so that a copy made smaller has weaker edges. What noise
    adds to it is taken off. grey: the working picture, uint8 (h, w). sigma: its :func:`noise_level`. side: the longer
    one of the picture that ``grey`` is only a part of. Source: S. Pertuz et al., "Analysis of focus measure operators
    for shape-from-focus", Pattern Recognition 2013 (LAP4).
    """
    height, width = grey.shape
    scale = WORKING_SIDE / (side or max(height, width))
    if scale > 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0.8)
    response = cv2.Laplacian(smooth, cv2.CV_16S)
    # The same as OpenCV's meanStdDev says, which is ten times slower for 16 bits.
    variance = cv2.norm(response, cv2.NORM_L2SQR) / response.size - cv2.mean(response)[0] ** 2
    return float(np.log10(1 + max(0.0, variance - _LOG_ENERGY * sigma**2)))


def fineness(native: UInt8Array, sigma: float = 0.0) -> float:
    """How far a picture's detail reaches into the finest frequencies that its pixels can hold, 0 to 1.

    Compares the power above 0.8 of the Nyquist frequency with that between 0.2 and 0.4, off the axes (where the blocks
    of JPEG lie). Photographs fall with the square of the frequency; enlarged, blurred and strongly compressed ones
    fall off a cliff, pixels in disorder do not fall at all. What noise of standard deviation ``sigma`` adds is taken
    off: its power is the same at all frequencies. native: grey uint8 (h, w), h and w at least 32, else 1 is returned.
    Source of the law: D. Field, "Relations between the statistics of natural images and the response properties of
    cortical cells", JOSA A 1987.
    """
    power = _spectrum(native)
    if power is None:
        return 1.0
    bands = _bands(math.isqrt(len(power)))
    coarser, coarse, fine = (max(0.0, float(power[band].mean()) - sigma**2) for band in bands)
    # Strong blur empties the coarse band too: an eighth of what the next coarser one has is expected of it.
    fall = float(np.log10((max(coarse, coarser / 8) + 0.1) / (fine + 0.1)))
    filled = min(1.0, max(0.0, (_EMPTY - fall) / (_EMPTY - _FINE)))
    return filled * min(1.0, max(_DISORDER, 1 - _STEEP * (_NO_LESS - fall)))


def cells(native: UInt8Array) -> float:
    """How far a grey picture, uint8 (h, w), is made of equal squares, as plain enlarging makes them, 0 to 1.

    Steps between neighbours then come at equal distances along both axes: a peak of their spectrum, at distances of up
    to 16 pixels, that reaches a good part of their sum.
    """
    if min(native.shape) < 32:
        return 0.0
    peaks = []
    for picture, axis in ((cv2.absdiff(native[:, 1:], native[:, :-1]), 0), (cv2.absdiff(native[1:], native[:-1]), 1)):
        steps = cv2.reduce(picture, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        power = np.abs(np.fft.rfft(steps))
        peaks.append(power[len(steps) // _LARGEST_CELL :].max() / max(power[0], 1.0))
    none, all_of_it = _CELL_PEAKS
    return float(np.clip((min(peaks) - none) / (all_of_it - none), 0, 1))


@cache
def _bands(side: int) -> tuple[NDArray[np.intp], ...]:
    """Places in a flat spectrum of side x side: 0.1 to 0.2, 0.2 to 0.4 and above 0.8 of Nyquist, off the axes."""
    axis = np.minimum(np.arange(side), side - np.arange(side)) * (2.0 / side)
    far, near = np.maximum(axis[:, None], axis), np.minimum(axis[:, None], axis)
    ranges = ((0.1, 0.2), (0.2, 0.4), (0.8, 1.01))
    return tuple(np.flatnonzero((far >= low) & (far < high) & (near > 0.08)) for low, high in ranges)


@cache
def _window(side: int) -> Float32Array:
    return np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)


def _spectrum(native: UInt8Array) -> Float32Array | None:
    """Sum of the power spectra of the windowed tiles of a grey picture over their number, flat; None if too small.

    Tiles are transformed in pairs, as the real and the imaginary part of one: its power at a frequency and at the
    opposite one is, taken together, that of both. So only sums over bands that hold both are right.
    """
    side = min(_TILE, *native.shape)
    if side < 32:
        return None
    window = _window(side)
    rows, columns = native.shape[0] // side, native.shape[1] // side
    cut = native[: rows * side, : columns * side].reshape(rows, side, columns, side)
    tiles = cut.swapaxes(1, 2).reshape(-1, side, side)
    pair = np.zeros((side, side, 2), np.float32)
    total = np.zeros((side, side), np.float32)
    for number, tile in enumerate(tiles):
        part = number % 2
        pair[..., part] = cv2.subtract(tile, cv2.mean(tile)[0], dtype=cv2.CV_32F) * window
        if part or number == len(tiles) - 1:
            planes = cv2.dft(pair)
            total += planes[..., 0] ** 2 + planes[..., 1] ** 2
            pair[..., 1] = 0
    return np.asarray(total / (len(tiles) * float((window**2).sum())), np.float32).ravel()


def exposure(grey: UInt8Array) -> float:
    """How much of the range of tones a grey picture uses without clipping, 0 to 1.

    The product of: the range between the 2nd and the 98th percentile over 160 levels, the share of pixels that
    are not clipped to black or white beyond a natural 2 %, and a mean that is not far from the middle.
    """
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    share = np.cumsum(counts) / counts.sum()
    low, high = np.searchsorted(share, [0.02, 0.98])
    span = min(1.0, float(high - low) / 160)
    clipped = float(share[1] + 1 - share[253])
    mean = float(counts @ np.arange(256)) / float(counts.sum()) / 255
    middle = 1 - max(0.0, abs(mean - 0.5) - 0.2) / 0.3
    return float(np.clip(span * (1 - max(0.0, clipped - 0.02)) * (0.5 + 0.5 * middle), 0, 1))


def contrast(rgb: UInt8Array) -> float:
    """Contrast of lightness and colour, uint8 (h, w, 3), 0 to 1: a copy that lost its colours has less of it.

    What is twice 64 x 64 already costs least. The root mean square distance of the pixels from their mean in CIE Lab,
    over 40 units. Source: E. Peli, "Contrast in complex images", JOSA A 1990 (RMS contrast), taken over all three
    channels.
    """
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    light, *colours = cv2.meanStdDev(cv2.cvtColor(small, cv2.COLOR_RGB2Lab))[1].ravel().tolist()
    return min(1.0, math.hypot(light * 100 / 255, *colours) / 40)


def noise_level(grey: UInt8Array) -> float:
    """Standard deviation of the noise of a grey picture, in grey levels.

    Measured in the calmest tenth of its 16 x 16 tiles that are not clipped to black or white; 0 if it has none.
    Source: J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 1996; the choice
    of tiles keeps texture from counting as noise.
    """
    height, width = (side // 16 * 16 for side in grey.shape)
    if not height or not width:
        return 0.0
    part = grey[:height, :width]
    response = cv2.convertScaleAbs(cv2.sepFilter2D(part, cv2.CV_16S, _NOISE_MASK, _NOISE_MASK))
    tiles = (width // 16, height // 16)
    mean = cv2.resize(part, tiles, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(response.astype(np.float32), tiles, interpolation=cv2.INTER_AREA)
    levels = levels[(mean > 12) & (mean < 243)]
    if not levels.size:
        return 0.0
    return _low(levels) * math.sqrt(math.pi / 2) / 6


def _low(levels: Float32Array) -> float:
    """The 10th percentile of levels (n,), between its neighbours as NumPy's has it, at a tenth of that one's cost."""
    place = 0.1 * (len(levels) - 1)
    below = int(place)
    ordered = np.sort(levels)
    above = min(below + 1, len(levels) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def noise(sigma: float) -> float:
    """How free of noise a picture is, 1 (not any) to 0, from its :func:`noise_level`.

    Little noise costs little: compression takes that away too, and is no better for it.
    """
    return 1 / (1 + (sigma / _HALF_NOISE) ** 2)


def content(grey: UInt8Array, inside: tuple[slice, slice] | None = None) -> float:
    """Share of a grey picture, uint8 (h, w), that is not plain border, above 0 to 1: it adds pixels only.

    Borders are those of :func:`modules.features.borders.inner` (``inside``, where that is known already), and corners
    of one tone, as turning leaves them.
    """
    part = np.ascontiguousarray(grey[inner(grey) if inside is None else inside])
    height, width = part.shape
    corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    corners = [corner for corner in corners if _begins_plain(part, corner)]
    share = _plain_share(part, corners) if corners else 0.0
    return max(part.size / grey.size * (1 - share), 0.01)


def _plain_share(grey: UInt8Array, corners: list[tuple[int, int]]) -> float:
    """Share of a grey picture that these corners (x, y) fill with one tone."""
    height, width = grey.shape
    plain = np.zeros((height + 2, width + 2), np.uint8)
    for corner in corners:
        mask = np.zeros_like(plain)
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
        filled = cv2.floodFill(grey, mask, corner, 0, _PLAIN_LEVELS, _PLAIN_LEVELS, flags)[0]
        if filled < _PLAIN_SHARE * grey.size:
            continue
        # A sky is smooth too, but not of one tone.
        deviation = cv2.meanStdDev(grey, mask=mask[1:-1, 1:-1])[1][0, 0]
        if deviation <= _PLAIN_DEVIATION:
            plain |= mask
    return cv2.countNonZero(plain[1:-1, 1:-1]) / grey.size


def _begins_plain(grey: UInt8Array, corner: tuple[int, int]) -> bool:
    """Whether the pixels next to a corner (x, y) are of one tone: where they are not, it is not worth filling."""
    rows, columns = (slice(0, 4) if place == 0 else slice(-4, None) for place in corner[::-1])
    part = grey[rows, columns]
    return int(part.max()) - int(part.min()) <= 2 * _PLAIN_LEVELS


def texture(grey: UInt8Array) -> float:
    """Share of the 8 x 8 tiles of a grey picture whose standard deviation is 5 levels or more, 0 to 1."""
    small = cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32)
    # Means of whole numbers over 256 of them: float32 holds them exactly.
    mean, square = (cv2.resize(plane, (8, 8), interpolation=cv2.INTER_AREA) for plane in (small, small * small))
    return float(np.count_nonzero(square - mean * mean >= 5 * 5) / mean.size)
