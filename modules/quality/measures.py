"""What of a picture's quality can be measured without another picture: sharpness, exposure, compression, texture."""

from __future__ import annotations

import cv2
import numpy as np

from modules.features.decode import WORKING_SIDE, DecodedHeader
from modules.records import UInt8Array

# ITU-T T.81 (JPEG), annex K, table K.1: the luminance table that the IJG library scales to a quality.
_JPEG_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_QUALITY = np.arange(1, 101)
_PERCENT = np.where(_QUALITY < 50, 5000 // _QUALITY, 200 - 2 * _QUALITY)[:, None]
_TABLES = np.clip((np.array(_JPEG_LUMINANCE) * _PERCENT + 50) // 100, 1, 255)

# A lossy format whose quantiser is not read counts like a JPEG of about quality 80, a palette like one of 60.
_UNKNOWN_LOSSY = 0.8
_PALETTE = 0.6


def sharpness(grey: UInt8Array) -> float:
    """Variance of the Laplacian of Gaussian of a grey picture, on a logarithmic scale from 0 to 1.

    Measured at the working size: smaller pictures are enlarged to it, so that a copy made smaller is less sharp.
    Source: S. Pertuz et al., "Analysis of focus measure operators for shape-from-focus", Pattern Recognition
    2013 (LAP4; the variance of the Laplacian).
    """
    height, width = grey.shape
    scale = WORKING_SIDE / max(height, width)
    if scale > 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0.8)
    variance = float(cv2.meanStdDev(cv2.Laplacian(smooth, cv2.CV_16S))[1][0, 0]) ** 2
    return float(np.clip(np.log10(1 + variance) / 4, 0, 1))


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


def jpeg_quality(table: tuple[int, ...]) -> int:
    """The IJG quality, 1 to 100, whose luminance table lies nearest to ``table`` (64 numbers, natural order)."""
    return int(_QUALITY[np.abs(_TABLES - np.array(table)).sum(axis=1).argmin()])


def blockiness(grey: UInt8Array) -> float:
    """How much steps between 8 x 8 blocks exceed those inside them, 0 (not at all) to 1.

    Only meaningful at a picture's own size. Source: Z. Wang, H. Sheikh, A. Bovik, "No-reference perceptual
    quality assessment of JPEG compressed images", ICIP 2002 (its blockiness term).
    """
    excess = []
    for picture in (grey.astype(np.int16), grey.astype(np.int16).T):
        if picture.shape[1] < 24:
            continue
        steps = np.abs(np.diff(picture, axis=1)).sum(axis=0) / picture.shape[0]
        edge = steps[7::8].mean()
        near = (steps[6::8][: len(steps[7::8])].mean() + steps[8::8].mean()) / 2
        excess.append((edge - near) / (near + 1))
    return float(np.clip(np.mean(excess) * 2, 0, 1)) if excess else 0.0


def compression(header: DecodedHeader, grey: UInt8Array, full: bool) -> float:
    """How little compression took away, 0 to 1: the format's own parameters, less visible blocks if ``full``."""
    if header.quantisation is not None and len(header.quantisation) == 64:
        base = (jpeg_quality(header.quantisation) / 100) ** 1.5
    elif header.palette:
        base = _PALETTE
    else:
        base = 1.0 if header.lossless else _UNKNOWN_LOSSY
    return float(base * (1 - 0.5 * blockiness(grey)) if full else base)


def texture(grey: UInt8Array) -> float:
    """Share of the 8 x 8 tiles of a grey picture whose standard deviation is 5 levels or more, 0 to 1."""
    small = cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA).astype(np.int32)
    tiles = small.reshape(8, 16, 8, 16)
    total, squares = tiles.sum(axis=(1, 3)), (tiles * tiles).sum(axis=(1, 3))
    return float(np.mean(squares * 256 - total * total >= (5 * 256) ** 2))
