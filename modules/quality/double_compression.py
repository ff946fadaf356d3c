"""What a JPEG file was before it was saved: its own quantised coefficients lack what an earlier table left out."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array

# Low frequencies (row, column): seldom zero, and with steps well above what rounding to whole grey levels adds.
_WHERE = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0))
_PLACES = tuple(8 * row + column for row, column in _WHERE)
# Largest multiple of a step that is counted.
_MOST = 24
# By how much rounding to whole grey levels moves a coefficient between two compressions.
_ROUNDING = 0.6
# Coefficients that a single compression would have put where the earlier one leaves none: at least so many, and at
# least this share; and the share of these that is there all the same.
_LEAST_COUNT, _LEAST_SHARE, _FILLED = 60.0, 0.03, 0.3
_AROUND = np.array([1, 2, 2, 2, 1], np.float32) / 8


def basis() -> Float32Array:
    """The DCT-II basis pictures of ITU-T T.81, A.3.3: float32 (64, 64), a pixel's weight in each coefficient."""
    rows, columns = np.arange(8)[:, None], np.arange(8)
    waves = np.cos(np.pi * rows * (2 * columns + 1) / 16) * np.where(rows == 0, np.sqrt(1 / 8), 0.5)
    return np.asarray(np.einsum("ix,jy->xyij", waves, waves).reshape(64, 64), np.float32)


_WAVES = np.ascontiguousarray(basis()[:, _PLACES])


def first_quality(blocks: Float32Array, table: tuple[int, ...], tables: NDArray[np.int64], own: int) -> int:
    """The IJG quality below ``own`` that a JPEG picture was compressed with before; 100 if none shows.

    Coefficients that were multiples of one step can fall on some multiples of the next one only; a picture that was
    compressed once has them all. blocks: float32 (n, 64), grey levels of the file's own blocks. table: its steps, 64
    numbers in natural order. tables: those of the qualities 1 to 100, (100, 64). Source: J. Lukáš, J. Fridrich,
    "Estimation of primary quantization matrix in double compressed JPEG images", Digital Forensic Research Workshop
    2003.
    """
    steps = tuple(max(1, table[place]) for place in _PLACES)
    multiples = np.minimum(np.rint(np.abs(blocks @ (_WAVES / np.array(steps, np.float32)))), _MOST + 1)
    bins = multiples.astype(np.intp) + np.arange(len(steps)) * (_MOST + 2)
    counted = np.bincount(bins.ravel(), minlength=len(steps) * (_MOST + 2)).reshape(len(steps), -1)
    counts = counted[:, 1:-1].astype(np.float32)
    gaps = _gaps(steps, tables[:, _PLACES].tobytes())
    expected = gaps @ _expected(counts).ravel()
    there = gaps @ counts.ravel()
    enough = np.maximum(_LEAST_COUNT, _LEAST_SHARE * counts.sum())
    filled = np.where(expected >= enough, there / np.maximum(expected, 1), 1.0)
    filled[max(own - 1, 0) :] = 1.0
    best = int(filled.argmin())
    return best + 1 if filled[best] < _FILLED else 100


def _expected(counts: Float32Array) -> Float32Array:
    """What counts (k, n) of the multiples 1 to n would be at least after a single compression.

    The lesser of each row averaged over neighbours and of a geometric fall, both with its sum: coefficients of
    photographs are Laplacian (E. Lam, J. Goodman, "A mathematical analysis of the DCT coefficient distributions for
    images", IEEE Transactions on Image Processing 2000), or fall faster at first.
    """
    wide = np.pad(counts, ((0, 0), (2, 2)), mode="edge")
    size = counts.shape[1]
    mean = sum((weight * wide[:, step : step + size] for step, weight in enumerate(_AROUND)), np.zeros_like(counts))
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    number = np.arange(1, size + 1, dtype=np.float32)
    ratio = 1 - total / np.maximum((counts @ number)[:, None], total)
    return np.asarray(
        np.minimum(
            mean * total / np.maximum(mean.sum(axis=1, keepdims=True), 1), total * (1 - ratio) * ratio ** (number - 1)
        ),
        np.float32,
    )


@cache
def _gaps(steps: tuple[int, ...], tables: bytes) -> Float32Array:
    """1 at multiples of ``steps`` on which no multiple of a table's steps can fall, (tables, steps x _MOST).

    tables: int64 (tables, steps), as bytes.
    """
    values = np.array(steps, np.float32)[None, :, None] * np.arange(1, _MOST + 1)
    earlier = np.frombuffer(tables, np.int64).reshape(-1, len(steps), 1).astype(np.float32)
    off = np.abs(np.rint(values / earlier) * earlier - values)
    reach = np.array(steps, np.float32)[None, :, None] / 2 + _ROUNDING
    return np.asarray((off > reach).reshape(len(earlier), -1), np.float32)
