"""Device stage: batches of small pictures to vectors, one extractor after the other, on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modules.features.base import Extractor
from modules.records import Float32Array, Processed


class Embedder:
    """Called by one device worker only; loads weights at its first batch, in that worker's thread."""

    def __init__(self, extractors: Sequence[Extractor], device: str) -> None:
        self._extractors = extractors
        self._device = device
        self._ready = False

    def __call__(self, batch: list[Processed]) -> list[Processed]:
        """The same pictures in the same order, with vectors in place of the extractors' inputs."""
        if not self._ready:
            for extractor in self._extractors:
                extractor.setup(self._device)
            self._ready = True
        vectors: list[dict[str, Float32Array]] = [{} for _ in batch]
        for extractor in self._extractors:
            inputs = {
                n: one.analysis.pixels[extractor.name]
                for n, one in enumerate(batch)
                if one.analysis is not None and extractor.name in one.analysis.pixels
            }
            if inputs:
                for n, vector in zip(inputs, extractor.embed(np.stack(list(inputs.values()))), strict=True):
                    vectors[n][extractor.name] = vector
        return [_without_pixels(one, found) for one, found in zip(batch, vectors, strict=True)]


def _without_pixels(one: Processed, vectors: dict[str, Float32Array]) -> Processed:
    if one.analysis is None:
        return one
    return replace(one, analysis=replace(one.analysis, pixels={}), vectors=vectors)
