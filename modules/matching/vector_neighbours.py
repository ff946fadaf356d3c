"""Nearest neighbours by cosine, exact for small sets and through inverted lists for large ones.

All arithmetic is done on whole numbers small enough that float32 sums them without rounding: neither threads nor
the order in which a BLAS adds can turn one bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.base import Extractor
from modules.records import Float32Array

#: Neighbours, at most, of each mirrored or turned variant of a picture.
VARIANT_NEIGHBOURS = 4
#: Above this, inverted lists with one byte a dimension; below, every vector is compared in float32.
FLAT_ROWS = 16_384
_BATCH = 1024
#: A unit vector times this, rounded: products of two sum to at most 2^22, exact in float32.
_GRID = 2048
#: The largest number of a vector in inverted lists, where queries too are cut to signed bytes.
_BYTE = 127
_SEED = 20_240_501
_LIST_ROWS = 256
#: Vectors for each list that its centre is learnt from.
_SAMPLE = 24
_PROBES = 16
#: Vectors that one query may look at: one crowded list (blank pictures) must not make the search quadratic.
_MAX_CODES = 200_000
_LLOYD_ROUNDS = 5

Rows = NDArray[np.int32]
Vectors = NDArray[Any]


def vector_neighbours(
    vectors: Vectors, extractor: Extractor, rows: Rows, *, least: float, k: int
) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows that are near each other as they are, mirrored or turned; pieces of two (m,) arrays.

    vectors: float16 (n, d) of length 1, of all pictures. rows: those to look at. least: cosine below which a
    neighbour is not worth a look. k: neighbours of a picture, at most; of each variant at most VARIANT_NEIGHBOURS.
    Memory: the index, 4 d bytes a row up to FLAT_ROWS rows and d + 8 above, and one batch.
    """
    if len(rows) < 2:
        return
    index, unit = _index(vectors, rows)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        for number, variant in enumerate(extractor.variants(vectors[batch].astype(np.float32))):
            # A picture finds itself first.
            wanted = k + 1 if number == 0 else min(k, VARIANT_NEIGHBOURS)
            products, places = index.search(_whole(variant, unit), min(wanted, len(rows)))
            near = (places >= 0) & (products >= least * unit**2)
            yield np.repeat(batch, near.sum(axis=1)), rows[places[near]]


def _whole(vectors: Vectors, unit: float) -> Float32Array:
    whole: Float32Array = np.rint(np.asarray(vectors, dtype=np.float32) * np.float32(unit))
    return whole


def _index(vectors: Vectors, rows: Rows) -> tuple[Any, float]:
    """A FAISS index of the rows, and the length that a unit vector has in it."""
    import faiss  # noqa: PLC0415  (the processes that verify pairs import this package and need no FAISS)

    dim = vectors.shape[1]
    unit = float(_GRID)
    index: Any = faiss.IndexFlatIP(dim)
    if len(rows) > FLAT_ROWS:
        unit = _BYTE / _largest(vectors, rows)
        index.add(_centroids(vectors, rows))
        lists = index.ntotal
        index = faiss.IndexIVFScalarQuantizer(
            index, dim, lists, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT, False
        )
        index.is_trained = True
        index.nprobe = min(_PROBES, lists)
        index.max_codes = _MAX_CODES
    for start in range(0, len(rows), _BATCH):
        index.add(_whole(vectors[rows[start : start + _BATCH]], unit))
    return index, unit


def _largest(vectors: Vectors, rows: Rows) -> float:
    blocks = (vectors[rows[start : start + _BATCH]] for start in range(0, len(rows), _BATCH))
    return max(float(np.abs(block).max()) for block in blocks) or 1.0


def _centroids(vectors: Vectors, rows: Rows) -> Float32Array:
    """Whole-numbered centres of the inverted lists, (lists, d), by spherical k-means with a fixed seed."""
    import faiss  # noqa: PLC0415  (as above)

    lists = max(1, len(rows) // _LIST_ROWS)
    sample = np.random.default_rng(_SEED).permutation(len(rows))[: _SAMPLE * lists]
    points = _whole(vectors[rows[np.sort(sample)]], _GRID)
    centroids = points[:: max(1, len(points) // lists)][:lists].copy()
    del sample
    for _ in range(_LLOYD_ROUNDS):
        index = faiss.IndexFlatIP(points.shape[1])
        index.add(centroids)
        home = index.search(points, 1)[1][:, 0]
        order = np.argsort(home, kind="stable")
        used, starts = np.unique(home[order], return_index=True)
        # Whole numbers, few enough to be summed in float32 without rounding.
        sums = np.add.reduceat(points[order], starts, axis=0).astype(np.float64)
        length = np.maximum(np.sqrt((sums**2).sum(axis=1, keepdims=True)), 1)
        centroids[used] = _whole(sums / length, _GRID)
    return centroids
