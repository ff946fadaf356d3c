"""What of a picture's quality its pixels tell without a second one: sharpness, exposure, contrast, noise, texture."""

from __future__ import annotations

import cv2
import numpy as np

from modules.features.decode import WORKING_SIDE
from modules.records import Float32Array, UInt8Array

# Larger pictures come from cameras, whose lenses and sensors seldom fill the finest frequencies.
_MOST_PIXELS = 3_000_000
_TILE = 128
# Powers of ten by which the finest frequencies lie below the coarse ones: of sharp pictures, of blurred ones.
_FINE, _EMPTY = 1.35, 2.85
# Logarithm of the variance of the Laplacian of most sharp photographs; how far from it nothing is left.
_NATURAL, _REACH = 1.9, 2.0
# How much of sharpness lies in the finest frequencies, the rest in the strength of edges.
_FINENESS = 2 / 3
# Noise of this many grey levels halves the measure.
_HALF_NOISE = 7.0
# Variance of the Laplacian of Gaussian below for white noise of variance 1: the sum of its squared weights.
_LOG_ENERGY = 0.49
# Immerkaer's mask: the difference of two Laplacians, blind to edges and ramps.
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def sharpness(grey: UInt8Array, native: UInt8Array | None, pixels: int, sigma: float = 0.0) -> float:
    """Two thirds how well a picture's pixels are used (:func:`fineness`), one third how natural its edges are, 0 to 1.

    Pictures of more than 3 megapixels, and those without a part at their own size, have fineness 1. grey: the working
    picture, uint8 (h, w). native: a part of the picture at its own size, grey, or None. pixels: of the picture.
    sigma: :func:`noise_level` of ``grey``.
    """
    fine = fineness(native) if native is not None and pixels <= _MOST_PIXELS else 1.0
    return _FINENESS * fine + (1 - _FINENESS) * edges(grey, sigma)


def edges(grey: UInt8Array, sigma: float) -> float:
    """How strong edges are, 1 for most sharp photographs, less for blurred and for over-sharpened ones, down to 0.

    The variance of the Laplacian of Gaussian on a logarithmic scale, at the working size: smaller pictures are enlarged
    to it, so that a copy made smaller has weaker edges. What noise adds to it is taken off. Source: S. Pertuz et al.,
    "Analysis of focus measure operators for shape-from-focus", Pattern Recognition 2013 (LAP4).
    """
    height, width = grey.shape
    scale = WORKING_SIDE / max(height, width)
    if scale > 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0.8)
    variance = float(cv2.meanStdDev(cv2.Laplacian(smooth, cv2.CV_16S))[1][0, 0]) ** 2
    strength = np.log10(1 + max(0.0, variance - _LOG_ENERGY * sigma**2))
    return float(np.clip(1 - abs(strength - _NATURAL) / _REACH, 0, 1))


def fineness(native: UInt8Array) -> float:
    """How far a picture's detail reaches into the finest frequencies that its pixels can hold, 0 to 1.

    Compares the power above 0.8 of the Nyquist frequency with that between 0.2 and 0.4, off the axes (where the blocks
    of JPEG lie). Photographs fall with the square of the frequency; enlarged, blurred and strongly compressed ones
    fall off a cliff. native: grey uint8 (h, w), h and w at least 32, else 1 is returned. Source of the law: D. Field,
    "Relations between the statistics of natural images and the response properties of cortical cells", JOSA A 1987.
    """
    power = _spectrum(native)
    if power is None:
        return 1.0
    side = power.shape[0]
    axis = np.minimum(np.arange(side), side - np.arange(side)) * (2.0 / side)
    far, near = np.maximum(axis[:, None], axis), np.minimum(axis[:, None], axis)

    def mean(low: float, high: float) -> float:
        return float(power[(far >= low) & (far < high) & (near > 0.08)].mean())

    # Strong blur empties the coarse band too: an eighth of what the next coarser one has is expected of it.
    coarse, fine = max(mean(0.2, 0.4), mean(0.1, 0.2) / 8), mean(0.8, 1.01)
    fall = np.log10((coarse + 0.1) / (fine + 0.1))
    return float(np.clip((_EMPTY - fall) / (_EMPTY - _FINE), 0, 1))


def _spectrum(native: UInt8Array) -> Float32Array | None:
    """Mean power spectrum of the windowed tiles of a grey picture, float (side, side); None if it is too small."""
    side = min(_TILE, *native.shape)
    if side < 32:
        return None
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    total = np.zeros((side, side), np.float32)
    for top in range(0, native.shape[0] - side + 1, side):
        for left in range(0, native.shape[1] - side + 1, side):
            tile = native[top : top + side, left : left + side].astype(np.float32)
            planes = cv2.dft((tile - tile.mean()) * window, flags=cv2.DFT_COMPLEX_OUTPUT)
            total += planes[..., 0] ** 2 + planes[..., 1] ** 2
    tiles = (native.shape[0] // side) * (native.shape[1] // side)
    return np.asarray(total / (tiles * float((window**2).sum())), np.float32)


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

    The root mean square distance of the pixels from their mean in CIE Lab, over 40 units. Source: E. Peli, "Contrast in
    complex images", JOSA A 1990 (RMS contrast), taken over all three channels.
    """
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    spread = cv2.meanStdDev(lab)[1].ravel()
    return float(np.clip(np.sqrt((spread**2).sum()) / 40, 0, 1))


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
    response = cv2.absdiff(cv2.filter2D(part, cv2.CV_32F, _NOISE_MASK), 0)
    tiles = (width // 16, height // 16)
    mean = cv2.resize(part, tiles, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(response, tiles, interpolation=cv2.INTER_AREA)[(mean > 12) & (mean < 243)]
    if not levels.size:
        return 0.0
    return float(np.percentile(levels, 10) * np.sqrt(np.pi / 2) / 6)


def noise(sigma: float) -> float:
    """How free of noise a picture is, 1 (not any) to 0, from its :func:`noise_level`.

    Little noise costs little: compression takes that away too, and is no better for it.
    """
    return 1 / (1 + (sigma / _HALF_NOISE) ** 2)


def texture(grey: UInt8Array) -> float:
    """Share of the 8 x 8 tiles of a grey picture whose standard deviation is 5 levels or more, 0 to 1."""
    small = cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA).astype(np.int32)
    tiles = small.reshape(8, 16, 8, 16)
    total, squares = tiles.sum(axis=(1, 3)), (tiles * tiles).sum(axis=(1, 3))
    return float(np.mean(squares * 256 - total * total >= (5 * 256) ** 2))
