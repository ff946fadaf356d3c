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
from modules.matching.ledger import Found, best_partners
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
    vectors: Vectors, extractor: Extractor, rows: Rows, asking: Rows, *, least: float, k: int, variants: bool
) -> Iterator[Found]:
    """Neighbours of pictures as they are and, with ``variants``, mirrored and turned; in pieces.

    vectors: float16 (n, d) of length 1, of all pictures. rows: those to look at, ascending. asking: those of them whose
    neighbours are looked for. least: cosine below which a neighbour is not worth a look. k: neighbours of a picture, at
    most; of each variant at most VARIANT_NEIGHBOURS. Memory: the index, 4 d bytes a row up to FLAT_ROWS rows and d + 8
    above, and one batch.
    """
    if len(rows) < 2 or not len(asking):
        return
    index, unit = _index(vectors, rows)
    for start in range(0, len(asking), _BATCH):
        batch = asking[start : start + _BATCH]
        plain = vectors[batch].astype(np.float32)
        products, places = [], []
        for number, variant in enumerate(extractor.variants(plain) if variants else [plain]):
            # A picture finds itself first.
            wanted = k + 1 if number == 0 else min(k, VARIANT_NEIGHBOURS)
            found = index.search(_whole(variant, unit), min(wanted, len(rows)))
            products.append(found[0])
            places.append(found[1])
        near = np.hstack(places) >= 0
        near &= np.hstack(products) >= least * unit**2
        yield _nearest(near, np.hstack(products), rows[np.hstack(places)], batch, k)


def _nearest(near: NDArray[np.bool_], products: Float32Array, neighbours: Rows, batch: Rows, k: int) -> Found:
    """The k nearest of all variants' neighbours, (b, m) each, of the pictures of a batch (b,)."""
    left, column = np.nonzero(near & (neighbours != batch[:, None]))
    right, product = neighbours[left, column], products[left, column]
    best, crowded = best_partners(left, right, product, k)
    cut = np.zeros(len(batch), np.bool_)
    cut[crowded] = True
    # As they are, pictures were asked for k partners and themselves.
    cut |= near[:, : k + 1].all(axis=1) & (near.shape[1] > k)
    return Found(batch[left[best]], right[best], batch, cut)


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
