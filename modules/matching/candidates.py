"""Which pairs are worth a look: from the nearest ones, which settle most pictures, to the hard ones among the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.base import Extractor
from modules.features.codes import MAX_CODES
from modules.matching.hash_neighbours import hash_neighbours
from modules.matching.ledger import Found, Pairs, PairSet
from modules.matching.local_neighbours import LocalCodes, Poll, local_neighbours
from modules.matching.vector_neighbours import vector_neighbours
from modules.records import Effort, Pictures

Rows = NDArray[np.int32]
Vectors = Mapping[str, tuple[NDArray[Any], Extractor]]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one search goes.

    neighbours: of a picture and extractor, at most. variants: pictures ask mirrored and turned too. hashes: neighbours
    among perceptual hashes count. poll: how keypoints' codes vote, None for not at all.
    """

    neighbours: int
    variants: bool = False
    hashes: bool = False
    poll: Poll | None = None


#: Copies that are near are joined first; what is dear is done for those that are left, until nothing moves.
_NEAREST = Reach(2, hashes=True)
REACHES: Mapping[Effort, tuple[Reach, ...]] = {
    "fast": (Reach(2), Reach(4, variants=True, hashes=True)),
    "balanced": (_NEAREST, Reach(4, variants=True, poll=Poll())),
    "thorough": (
        _NEAREST,
        Reach(12, variants=True, poll=Poll(MAX_CODES, MAX_CODES, answers=24, probes=32, least=0.35, partners=12)),
    ),
}


class Search:
    """Proposes pairs among those pictures that it is called with; once is enough for most of them.

    vectors: per extractor, its vectors of all pictures, float16 (n, d) of length 1 (an array or a memory map), and the
    extractor. least: per extractor, the cosine below which a neighbour is not worth a look. local: codes of all
    pictures' keypoints, for a reach with a poll.
    """

    def __init__(
        self,
        pictures: Pictures,
        vectors: Vectors,
        least: Mapping[str, float],
        reach: Reach,
        local: LocalCodes | None = None,
    ) -> None:
        self._pictures = pictures
        self._vectors = vectors
        self._least = least
        self._reach = reach
        self._local = local
        self._open = np.ones(len(pictures), np.bool_)

    def __call__(self, rows: Rows) -> Pairs:
        """Candidate pairs among ``rows``, ascending: int32 (m, 2), i < j, unique, sorted; a handful a picture.

        Called again with fewer rows, only those ask that had more partners than could be named. The same calls give
        the same pairs whatever the number of threads.
        """
        pairs = PairSet(len(self._pictures))
        asking = rows[self._open[rows]]
        self._open[asking] = False
        for found in self._searches(rows, asking):
            pairs.add(found.left, found.right)
            self._open[found.asked[found.crowded]] = True
        if self._reach.hashes:
            for left, right in hash_neighbours(self._pictures.phash, self._pictures.rank, rows):
                pairs.add(left, right)
        return pairs.pairs()

    def _searches(self, rows: Rows, asking: Rows) -> Iterator[Found]:
        reach = self._reach
        for name in sorted(self._vectors):
            family, extractor = self._vectors[name]
            least, k = self._least[name], reach.neighbours
            yield from vector_neighbours(family, extractor, rows, asking, least=least, k=k, variants=reach.variants)
        if self._local is not None and reach.poll is not None:
            sizes = np.stack([self._pictures.width, self._pictures.height], axis=1)
            yield from local_neighbours(self._local, sizes, rows, asking, reach.poll)
