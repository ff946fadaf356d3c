"""What compression took from a picture: by its file's own parameters, and by the traces of earlier ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.features.decode import DecodedHeader
from modules.quality.double_compression import basis, first_quality
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

# A lossy format whose quantiser is not read counts like a JPEG of about quality 75, a palette like one of 60. So do
# formats that no camera writes: what they hold was most likely compressed before.
_UNKNOWN_LOSSY, _CONVERTED = 0.8, ("WEBP", "AVIF")
_PALETTE = 0.7

# A picture that shows stronger compression than its file admits is no first copy: this much of the measure is lost.
_COPIED = 0.97
# Neighbouring qualities are taken for each other; milder ones than this (93) may hide any of the mild ones.
_SAME, _MILD = 0.02, 0.965

# Coefficients (row, column) are counted by size, in halves up to a range.
_RANGE, _STEPS = 160, 2
# A comb that is no accident; fewer coefficients than this tell nothing.
_COMB, _LEAST_COUNT = 0.25, 300
# Multiples of a step fit as well as the step: the coarsest one that fits nearly as well as the best is taken.
_NEARLY = 0.85


def jpeg_quality(table: tuple[int, ...]) -> int:
    """The IJG quality, 1 to 100, whose luminance table lies nearest to ``table`` (64 numbers, natural order)."""
    return int(_QUALITY[np.abs(_TABLES - np.array(table)).sum(axis=1).argmin()])


class _Search:
    """Some of the coefficients of a block (row, column), and the qualities that are looked for in them."""

    def __init__(self, where: tuple[tuple[int, int], ...], qualities: NDArray[np.int64]) -> None:
        places = [8 * row + column for row, column in where]
        self.qualities = qualities
        self._waves = np.ascontiguousarray(basis()[:, places] * _STEPS)
        values = np.arange(_RANGE * _STEPS + 1)[None, :, None] / _STEPS
        self._steps = _TABLES[qualities - 1][:, places].T
        steps = self._steps[:, None, :]
        # 1 at multiples of the step, -1 between them, (coefficients x values, n). Values below half a step are zeros of
        # any step: they say nothing.
        combs = np.cos(2 * np.pi * values / steps) * (values > steps / 2)
        self._combs = combs.reshape(-1, len(qualities)).astype(np.float32)

    def __call__(self, blocks: Float32Array) -> int:
        """The quality that left its steps in blocks, float32 (n, 64); 100 if none of those looked for did."""
        bins = _RANGE * _STEPS + 2
        found = np.minimum(np.rint(np.abs(blocks @ self._waves)), bins - 1).astype(np.intp)
        found += np.arange(found.shape[1]) * bins
        counted = np.bincount(found.ravel(), minlength=found.shape[1] * bins).reshape(-1, bins)[:, :-1]
        fits = counted.reshape(-1).astype(np.float32) @ self._combs
        # How many values are larger than each: in steps of a half, those above half a step are above the step itself.
        larger = counted.sum(axis=1, keepdims=True) - counted.cumsum(axis=1)
        counts = np.take_along_axis(larger, self._steps, axis=1).sum(axis=0)
        fits = np.where(counts >= _LEAST_COUNT, fits / np.maximum(counts, 1), 0)
        if fits.max() < _COMB:
            return 100
        return int(self.qualities[np.argmax(fits >= _NEARLY * fits.max())])


# Low frequencies are seldom zero after strong compression; weak compression has steps that can be told from rounding
# to whole grey levels only at high ones.
_STRONG = _Search(((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2)), np.arange(10, 93))
_WEAK = _Search(((2, 3), (3, 2), (3, 3), (2, 4), (4, 2), (3, 4), (4, 3), (4, 4)), np.arange(88, 99))


def earlier_quality(native: UInt8Array, *, weak: bool = False) -> int:
    """The IJG quality, 10 to 92, that a picture was once compressed with whatever its file says; 100 if none shows.

    Quantisation leaves DCT coefficients near multiples of its steps; the steps of the IJG tables are tried together.
    Only shows while the picture keeps its 8 x 8 grid. native: uint8 (h, w), grey, cut at multiples of 8. weak: those up
    to 98 are looked for too. Source: Z. Fan, R. de Queiroz, "Identification of bitmap compression history: JPEG
    detection and quantizer estimation", IEEE Transactions on Image Processing 2003.
    """
    blocks = _blocks(native)
    if not len(blocks):
        return 100
    quality = _STRONG(blocks)
    return _WEAK(blocks) if weak and quality == 100 else quality


def _blocks(native: UInt8Array) -> Float32Array:
    """The blocks of 8 x 8 pixels of a grey picture cut at multiples of 8, float32 (n, 64)."""
    height, width = (side // 8 for side in native.shape)
    part = native[: height * 8, : width * 8]
    return part.reshape(height, 8, width, 8).transpose(0, 2, 1, 3).reshape(-1, 64).astype(np.float32)


def blockiness(native: UInt8Array) -> float:
    """How much steps between 8 x 8 blocks exceed those inside them, 0 (not at all) to 1.

    native: uint8 (h, w), grey, cut at multiples of 8. Source: Z. Wang, H. Sheikh, A. Bovik, "No-reference perceptual
    quality assessment of JPEG compressed images", ICIP 2002 (its blockiness term).
    """
    excess = []
    height, width = native.shape
    if width >= 24:
        steps = cv2.reduce(cv2.absdiff(native[:, 1:], native[:, :-1]), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        excess.append(_excess(steps.ravel() / height))
    if height >= 24:
        steps = cv2.reduce(cv2.absdiff(native[1:], native[:-1]), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        excess.append(_excess(steps.ravel() / width))
    return float(np.clip(np.mean(excess) * 2, 0, 1)) if excess else 0.0


def _excess(steps: NDArray[np.float64]) -> float:
    """Of mean steps between neighbouring columns or rows: those at the edges of blocks beside those next to them."""
    edge = steps[7::8].mean()
    near = (steps[6::8][: len(steps[7::8])].mean() + steps[8::8].mean()) / 2
    return float((edge - near) / (near + 1))


def earlier(header: DecodedHeader, native: UInt8Array | None) -> float:
    """What the traces of an earlier compression that was stronger than the file's own tell, 0 to 1; 1: there are none.

    native: a part of the picture at its own size, grey, cut at multiples of 8; None where there is none.
    """
    if native is None:
        return 1.0
    own, table = saved(header), header.quantisation
    if table is None or len(table) != 64:
        found = _value(earlier_quality(native, weak=True))
        return found if found < own else 1.0
    if own > _MILD:
        found = _value(earlier_quality(native, weak=True))
        # What shows in a JPEG file is mostly its own.
        return found if found < own - _SAME else 1.0
    return _value(first_quality(_blocks(native), table, _TABLES, jpeg_quality(table)))


def compression(header: DecodedHeader, native: UInt8Array | None, traces: float) -> float:
    """How little compression took away, 0 to 1.

    The worst of what the file's own parameters, the traces of earlier compression and visible blocks tell; a copy of
    something that was compressed more than its own file is worth a little less than that one. native: as
    :func:`earlier` has it, traces: what that one found.
    """
    own = saved(header)
    if native is None:
        return own
    least = min(own, traces, 1 - 0.5 * blockiness(native))
    return float(_COPIED * least if traces < 1 else least)


def saved(header: DecodedHeader) -> float:
    """How little the file's own compression took away by what its header says, 0 to 1."""
    if header.quantisation is not None and len(header.quantisation) == 64:
        return _value(jpeg_quality(header.quantisation))
    if header.palette or (header.format in _CONVERTED and not header.lossless):
        return _PALETTE
    return 1.0 if header.lossless else _UNKNOWN_LOSSY


def _value(quality: int) -> float:
    # The loss grows slowly at first: 0.98 for 95, 0.84 for 75, 0.59 for 50, 0.2 for 16.
    return float(1 - (1 - quality / 100) ** 1.3)
