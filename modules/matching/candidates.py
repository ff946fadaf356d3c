"""Which pairs are worth a look: neighbours in every vector family and among perceptual hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.base import Extractor
from modules.matching.hash_neighbours import hash_neighbours
from modules.matching.ledger import Pairs, PairSet
from modules.matching.vector_neighbours import vector_neighbours
from modules.records import Pictures

Vectors = Mapping[str, tuple[NDArray[Any], Extractor]]


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search goes.

    least: per extractor, the cosine below which a neighbour is not worth a look. k: neighbours of a picture and
    extractor, at most. hashes: whether neighbours among perceptual hashes count too.
    """

    least: Mapping[str, float]
    k: int
    hashes: bool = True


def propose(pictures: Pictures, vectors: Vectors, search: Search, subset: NDArray[np.int32] | None = None) -> Pairs:
    """Candidate pairs, int32 (m, 2), i < j, unique, sorted; a few dozen a picture at most.

    vectors: per extractor, its vectors of all pictures, float16 (n, d) of length 1 (an array or a memory map),
    and the extractor. subset: rows to look at, ascending; None for all. The same input gives the same pairs
    whatever the number of threads.
    """
    rows = np.arange(len(pictures), dtype=np.int32) if subset is None else subset
    found = PairSet(len(pictures))
    for name in sorted(vectors):
        family, extractor = vectors[name]
        for left, right in vector_neighbours(family, extractor, rows, least=search.least[name], k=search.k):
            found.add(left, right)
    if search.hashes:
        for left, right in hash_neighbours(pictures.phash, pictures.rank, rows):
            found.add(left, right)
    return found.pairs()
