"""The same scene or not: the verdict from vectors alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.base import Extractor
from modules.matching.candidates import Vectors
from modules.matching.ledger import Pairs
from modules.matching.relations import Verdicts
from modules.records import VERDICT_DTYPE, Kind, Pictures

#: Pairs that are compared at once: some 20 MB for vectors of 1,280 numbers.
_BLOCK = 1024

Cosines = NDArray[np.float64]


def cosines(extractor: Extractor, left: NDArray[Any], right: NDArray[Any]) -> Cosines:
    """Cosine of each pair of rows, float64 (n,), in the best of the extractor's mirrored or turned variants.

    left, right: vectors of length 1, float16 (n, d). Products of two float16 and their sums fit float64 without
    rounding, so neither order nor batch changes a bit.
    """
    other = right.astype(np.float64)
    variants = extractor.variants(left.astype(np.float32))
    found: Cosines = np.max([(variant.astype(np.float64) * other).sum(axis=1) for variant in variants], axis=0)
    return found


def margin(found: Mapping[str, Cosines], least: Mapping[str, float]) -> Cosines:
    """By how much pairs pass: the mean over the extractors of (cosine - threshold), float64 (n,).

    A pair is the same scene from 0 on: an extractor that is surer may outvote one that sees less.
    """
    passed: Cosines = np.mean([found[name] - least[name] for name in sorted(found)], axis=0)
    return passed


class SceneVerifier:
    """Called with pairs, int32 (m, 2), as :class:`modules.stages.verify.Verifier` is; needs no pixels and no cache.

    vectors: per extractor, float16 (n, d) of length 1, and the extractor. least: threshold of each. judged: told
    how many pairs were, block by block; what it raises ends the work.
    """

    def __init__(
        self, pictures: Pictures, vectors: Vectors, least: Mapping[str, float], judged: Callable[[int], None]
    ) -> None:
        self._sides = np.maximum(pictures.width, pictures.height).astype(np.float32)
        self._vectors = vectors
        self._least = least
        self._judged = judged

    def __call__(self, pairs: Pairs) -> Verdicts:
        """Verdicts, VERDICT_DTYPE (m,): SCENE or NONE; agreement is the mean cosine, 0 where it is below."""
        verdicts = np.zeros(len(pairs), VERDICT_DTYPE)
        for start in range(0, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            verdicts[start : start + _BLOCK] = self._judge(block)
            self._judged(len(block))
        return verdicts

    def _judge(self, pairs: Pairs) -> Verdicts:
        a, b = pairs[:, 0], pairs[:, 1]
        found = {
            name: cosines(extractor, vectors[a], vectors[b]) for name, (vectors, extractor) in self._vectors.items()
        }
        verdicts = np.zeros(len(pairs), VERDICT_DTYPE)
        verdicts["kind"] = np.where(margin(found, self._least) >= 0, Kind.SCENE, Kind.NONE)
        verdicts["agreement"] = np.clip(np.mean([found[name] for name in sorted(found)], axis=0), 0, 1)
        verdicts["cover_a"] = verdicts["cover_b"] = 1.0
        verdicts["scale"] = self._sides[b] / self._sides[a]
        return verdicts
