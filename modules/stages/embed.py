"""Device stage: batches of small pictures to vectors, one extractor after the other, on one device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modules.devices import Device, DeviceLostError, release_memory, take, trouble_of
from modules.features.base import Extractor
from modules.records import Float32Array, Processed

log = logging.getLogger(__name__)


class Embedder:
    """One replica of every extractor on one device. Called by one device worker at a time; loads weights when first
    called, in that worker's thread. Short of memory, it halves the batch and keeps the smaller size.
    """

    def __init__(self, extractors: Sequence[Extractor], device: Device) -> None:
        self._extractors = list(extractors)
        self._device = device
        self._loaded = False
        self._lost: str | None = None

    @property
    def device(self) -> Device:
        """As it is used now: its batch may have been halved."""
        return self._device

    def __call__(self, batch: list[Processed]) -> list[Processed]:
        """The same pictures in the same order, with vectors in place of the extractors' inputs.

        Raises DeviceLostError when the device fails or has not enough memory for a single picture, now and whenever it
        is called after that.
        """
        if self._lost is not None:
            raise DeviceLostError(self._lost)
        if not self._loaded:
            self._load()
        embedded: list[Processed] = []
        while len(embedded) < len(batch):
            piece = batch[len(embedded) : len(embedded) + self._device.batch_size]
            embedded += self._attempt(piece)
        return embedded

    def _load(self) -> None:
        if self._device.reason:  # without one, no model is asked for
            log.info("models run on %s in %s (%s)", self._device.name, self._device.dtype, self._device.reason)
        try:
            take(self._device)
            self._set_up()
        except (RuntimeError, MemoryError) as error:
            if trouble_of(error) is None:
                raise
            raise self._lose(error) from None
        self._loaded = True

    def _set_up(self) -> None:
        for extractor in self._extractors:
            extractor.setup(self._device)

    def _attempt(self, piece: list[Processed]) -> list[Processed]:
        """The piece embedded, or nothing when the batch was halved instead. Raises DeviceLostError."""
        try:
            return self._embed(piece)
        except (RuntimeError, MemoryError) as error:
            trouble = trouble_of(error)
            if trouble is None:
                raise
            if trouble == "lost" or self._device.batch_size == 1:
                raise self._lose(error) from None
        # Not in the handler: the exception holds the tensors that are to go.
        self._halve()
        return []

    def _halve(self) -> None:
        smaller = replace(self._device, batch_size=self._device.batch_size // 2)
        log.warning("device %s is short of memory: batches of %d from now on", smaller.name, smaller.batch_size)
        self._device = smaller
        try:
            release_memory(smaller)
            self._set_up()
        except (RuntimeError, MemoryError) as error:
            if trouble_of(error) is None:
                raise
            raise self._lose(error) from None

    def _lose(self, error: Exception) -> DeviceLostError:
        """Let go of the replicas; the error to raise."""
        what = "has too little memory" if trouble_of(error) == "memory" else "is lost"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        self._lost = f"device {self._device.name} {what} ({reason})"
        self._extractors.clear()
        return DeviceLostError(self._lost)

    def _embed(self, batch: list[Processed]) -> list[Processed]:
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
    """The item border of the device stage: what a model has no numbers for becomes a row with its reason."""
    if one.analysis is None:
        return one
    for name, vector in vectors.items():
        if not np.isfinite(vector).all():
            # Of this model on this device, not of the bytes: tried again on the next start.
            return replace(one, analysis=None, failure=f"{name} gives a vector that is not finite", permanent=False)
    return replace(one, analysis=replace(one.analysis, pixels={}), vectors=vectors)
