"""What an extractor is: a recipe for a small picture and a function from batches of those to vectors."""

from __future__ import annotations

import hashlib
from typing import Protocol

from modules.devices import Device
from modules.records import Float32Array, UInt8Array


class Extractor(Protocol):
    """Turns pictures into vectors whose cosine similarity tells how alike two pictures are.

    Constructors load nothing; :meth:`setup` does. An extractor is picklable before setup.
    """

    name: str
    """As in ``--features``."""
    family: str
    """The name of its shard family, safe in a key: letters, digits, ``.``, ``_`` and ``-`` only."""
    dim: int
    """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Changes exactly when vectors would: extractor, weights, preprocessing and meaning version."""

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        """In a decode process: the working picture, uint8 (h, w, 3), to this extractor's own small uint8 input."""

    def setup(self, device: Device) -> None:
        """In a device worker: load weights onto ``device``. Again with another batch size, this costs nothing."""

    def embed(self, batch: UInt8Array) -> Float32Array:
        """Inputs of :meth:`prepare` stacked, uint8 (n, ...), to float32 (n, dim), each of length 1.

        A picture's vector does not depend on the batch that it came in: models see every batch padded to the
        device's batch size.
        """

    def variants(self, vectors: Float32Array) -> list[Float32Array]:
        """Vectors that the same pictures would have mirrored or turned by quarters, (n, dim) each.

        Includes the unchanged ones first; just these when the extractor cannot tell.
        """


def fingerprint(*parts: object) -> str:
    """16 hex digits over the parts, for names of shard families."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
