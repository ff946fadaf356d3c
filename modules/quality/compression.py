"""What compression took from a picture: by its file's own parameters, and by the traces of earlier ones."""

from __future__ import annotations

import numpy as np

from modules.features.decode import DecodedHeader
from modules.records import Float32Array, UInt8Array

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

# A lossy format whose quantiser is not read counts like a JPEG of about quality 75, a palette like one of 60.
_UNKNOWN_LOSSY = 0.8
_PALETTE = 0.7

# Qualities that are looked for; the coefficients (row, column) that are looked at, counted in halves up to a range.
_EARLIER = np.arange(10, 93)
_WHERE = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))
_RANGE, _STEPS = 160, 2
# A comb that is no accident; fewer coefficients than this tell nothing.
_COMB, _LEAST_COUNT = 0.25, 300
# Multiples of a step fit as well as the step: the coarsest one that fits nearly as well as the best is taken.
_NEARLY = 0.85


def jpeg_quality(table: tuple[int, ...]) -> int:
    """The IJG quality, 1 to 100, whose luminance table lies nearest to ``table`` (64 numbers, natural order)."""
    return int(_QUALITY[np.abs(_TABLES - np.array(table)).sum(axis=1).argmin()])


def _waves() -> Float32Array:
    """The DCT-II basis pictures (ITU-T T.81, A.3.3) of the coefficients looked at, float32 (64, n)."""
    rows, columns = np.arange(8)[:, None], np.arange(8)
    basis = np.cos(np.pi * rows * (2 * columns + 1) / 16) * np.where(rows == 0, np.sqrt(1 / 8), 0.5)
    return np.stack([np.outer(basis[i], basis[j]).ravel() for i, j in _WHERE], axis=1).astype(np.float32)


def _combs() -> tuple[Float32Array, Float32Array]:
    """For every coefficient, value and quality: 1 at multiples of the step, -1 between, and whether it counts.

    Both float32 (coefficients, values, qualities). Values below half a step are zeros of any step: they say nothing.
    """
    values = np.arange(-_RANGE * _STEPS, _RANGE * _STEPS + 1)[None, :, None] / _STEPS
    steps = _TABLES[_EARLIER - 1][:, [8 * row + column for row, column in _WHERE]].T[:, None, :]
    counts = np.abs(values) > steps / 2
    return (np.cos(2 * np.pi * values / steps) * counts).astype(np.float32), counts.astype(np.float32)


_WAVES = _waves()
_COMBS, _COUNTS = _combs()


def earlier_quality(native: UInt8Array) -> int:
    """The IJG quality, 10 to 92, that a picture was once compressed with whatever its file says; 100 if none shows.

    Quantisation leaves DCT coefficients near multiples of its steps; the steps of the IJG tables are tried together.
    Only shows while the picture keeps its 8 x 8 grid. native: uint8 (h, w), grey, cut at multiples of 8. Source:
    Z. Fan, R. de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer estimation", IEEE
    Transactions on Image Processing 2003.
    """
    height, width = (side // 8 for side in native.shape)
    if not height or not width:
        return 100
    blocks = native[: height * 8, : width * 8].reshape(height, 8, width, 8).transpose(0, 2, 1, 3).reshape(-1, 64)
    found = np.rint((blocks.astype(np.float32) @ _WAVES) * _STEPS).astype(np.int64) + _RANGE * _STEPS
    bins = 2 * _RANGE * _STEPS + 1
    histograms = np.stack([np.bincount(np.clip(column, -1, bins) + 1, minlength=bins + 2)[1:-1] for column in found.T])
    fits = np.einsum("kv,kvq->q", histograms.astype(np.float32), _COMBS)
    counts = np.einsum("kv,kvq->q", histograms.astype(np.float32), _COUNTS)
    fits = np.where(counts >= _LEAST_COUNT, fits / np.maximum(counts, 1), 0)
    if fits.max() < _COMB:
        return 100
    return int(_EARLIER[np.argmax(fits >= _NEARLY * fits.max())])


def blockiness(native: UInt8Array) -> float:
    """How much steps between 8 x 8 blocks exceed those inside them, 0 (not at all) to 1.

    native: uint8 (h, w), grey, cut at multiples of 8. Source: Z. Wang, H. Sheikh, A. Bovik, "No-reference perceptual
    quality assessment of JPEG compressed images", ICIP 2002 (its blockiness term).
    """
    excess = []
    for picture in (native.astype(np.int16), native.astype(np.int16).T):
        if picture.shape[1] < 24:
            continue
        steps = np.abs(np.diff(picture, axis=1)).sum(axis=0) / picture.shape[0]
        edge = steps[7::8].mean()
        near = (steps[6::8][: len(steps[7::8])].mean() + steps[8::8].mean()) / 2
        excess.append((edge - near) / (near + 1))
    return float(np.clip(np.mean(excess) * 2, 0, 1)) if excess else 0.0


def compression(header: DecodedHeader, native: UInt8Array | None) -> float:
    """How little compression took away, 0 to 1.

    The file's own parameters or the traces of stronger earlier compression, less visible blocks. native: a part of the
    picture at its own size, grey, cut at multiples of 8; None where there is none.
    """
    earlier = earlier_quality(native) if native is not None else 100
    if header.quantisation is not None and len(header.quantisation) == 64:
        base = _value(min(jpeg_quality(header.quantisation), earlier))
    elif header.palette:
        base = min(_PALETTE, _value(earlier))
    else:
        base = min(1.0 if header.lossless else _UNKNOWN_LOSSY, _value(earlier))
    return base if native is None else float(base * (1 - 0.5 * blockiness(native)))


def _value(quality: int) -> float:
    # The loss grows slowly at first: 0.98 for 95, 0.84 for 75, 0.59 for 50, 0.2 for 16.
    return float(1 - (1 - quality / 100) ** 1.3)
