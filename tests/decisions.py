"""Decisions, plan rows and a store for the tests of the outputs."""

from __future__ import annotations

import hashlib

import numpy as np

from modules.records import Decision, Kind


def decision(
    key: str,
    *,
    group: int = 1,
    group_size: int = 1,
    best: bool | None = None,
    relation: Kind | None = None,
    claimed: bool = False,
    similarity: float = 1.0,
    confidence: float | None = None,
    seed: int = 0,
    etag: str = "e1",
    data: bytes = b"picture",
    format: str = "JPEG",
    camera: str = "",
    gps: bool = False,
    damaged: bool = False,
) -> Decision:
    """A decision on one blob of ``data``; best unless it has a relation or is said not to be."""
    if best is None:
        best = relation is None
    if not best and relation is None:
        relation = Kind.COPY
    histogram = np.random.default_rng(seed).integers(0, 256, 128, dtype=np.uint8).tobytes()
    return Decision(
        key=key,
        etag=etag,
        size=len(data),
        md5=hashlib.md5(data).digest(),
        sha=hashlib.sha256(data).digest(),
        group=group,
        group_size=group_size,
        best=best,
        witness=None if best else "c/in/a.jpg",
        relation=relation,
        claimed=claimed,
        similarity=similarity,
        confidence=confidence,
        width=640,
        height=480,
        format=format,
        quality=71.239,
        sharpness=0.5,
        exposure=0.25,
        contrast=0.125,
        noise=1.0,
        compression=0.75,
        dominant_colours=3,
        palette=bytes([0xA1, 0xB2, 0xC3, 105, 0, 0, 0, 51]),
        taken="2024-05-01 12:00:00",
        camera=camera,
        gps=gps,
        damaged=damaged,
        hsv_histogram=histogram,
    )
