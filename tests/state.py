"""One state in memory and indices of it as successive starts build them, for the tests of the index."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from modules.memory_store import MemoryStore
from modules.records import (
    Analysis,
    BlobInfo,
    Facts,
    Keypoints,
    Processed,
    WorkItem,
)
from modules.state.commit import Families, add_commit, commit_rows, load_index
from modules.state.index import ScratchIndex
from modules.state.shards import ShardWriter, list_shards, read_shards
from modules.store_thread import StoreThread

STATE = "c/out/_state/"
DECODER = "d2"
FAMILIES = Families.of("f1", "k1", {"perceptual": "perceptual/p1", "clip": "clip/c1"})
WANTED = FAMILIES.all


def read_shard(thread: StoreThread, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    ((_, table),) = read_shards(thread, [key], columns)
    return table


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def blob(name: str, *, md5: str | None = None, size: int = 10, etag: str = "e1", archived: bool = False) -> BlobInfo:
    digest = None if md5 is None else hashlib.md5(md5.encode()).digest()
    return BlobInfo(f"c/in/{name}", size, etag, digest, "image/jpeg", archived)


def facts(seed: int = 1, **changes: int) -> Facts:
    values = {"width": 40, "height": 30, "phash": (1 << 63) + seed, **changes}
    size, colours = 1000 + seed, seed % 7
    return Facts(
        values["width"],
        values["height"],
        "jpeg",
        size,
        sharpness=0.5,
        exposure=0.25,
        contrast=0.5,
        noise=1.0,
        compression=0.75,
        content=1.0,
        texture=1.0,
        steepness=2.0,
        saved=0.75,
        earlier=1.0,
        chroma=0.5,
        described=0.5,
        dominant_colours=colours,
        palette=bytes(range(4)),
        phash=values["phash"],
        hsv_histogram=bytes(128),
        taken="2024-05-01 12:00:00",
        camera="",
        gps=bool(seed % 2),
        damaged=False,
        indexed=False,
    )


def keypoints() -> Keypoints:
    return Keypoints(np.ones((2, 4), np.uint16), np.ones((2, 128), np.uint8), b"t")


def processed(item: WorkItem, data: str, *, only: Iterable[str] | None = None) -> Processed:
    """What the stages make of a blob whose bytes are ``data``; ``only``: families, by default what the item asks."""
    wanted = item.families if only is None else frozenset(only)
    analysis = Analysis(
        facts(len(data)) if FAMILIES.facts in wanted else None, keypoints() if FAMILIES.keypoints in wanted else None
    )
    vectors = {name: np.full(4, len(data), np.float32) for name, family in FAMILIES.vectors.items() if family in wanted}
    return Processed(item, sha(data), analysis, vectors=vectors)


def failed(item: WorkItem, data: str, reason: str = "truncated") -> Processed:
    return Processed(item, sha(data), None, failure=reason)


class Killed(Exception):
    """Stands for a kill: nothing is written from here on."""


class State:
    """One state prefix in memory, and indices of it as successive starts would build them."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.thread = StoreThread(self.store)
        self._folder = folder
        self._starts = itertools.count(1)
        self._open: list[ScratchIndex] = []

    def start(self, *parts: Sequence[BlobInfo], decoder: str = DECODER) -> tuple[ScratchIndex, ShardWriter]:
        attempt = next(self._starts)
        index = ScratchIndex(self._folder / f"{attempt}.db", decoder)
        self._open.append(index)
        for n, part in enumerate(parts):
            index.add_listing(n, part)
        load_index(index, self.thread, STATE, FAMILIES)
        return index, ShardWriter(self.thread, STATE, 1, attempt)

    def commit(
        self, index: ScratchIndex, writer: ShardWriter, rows: Sequence[Processed], decoder: str = DECODER
    ) -> None:
        add_commit(index, FAMILIES, commit_rows(writer, FAMILIES, rows[0].item.part, rows, decoder))

    def keys(self, family: str) -> list[str]:
        return list_shards(self.thread, STATE, family)

    def close(self) -> None:
        for index in self._open:
            index.close()
        self.thread.close()


def work(index: ScratchIndex, *parts: int, exact_pass: bool = True) -> list[tuple[str, frozenset[str]]]:
    items = itertools.chain.from_iterable(index.work(part, WANTED, exact_pass=exact_pass) for part in parts or (0,))
    return [(item.blob.key.removeprefix("c/in/"), item.families) for item in items]


def names(index: ScratchIndex, *parts: int, exact_pass: bool = True) -> list[str]:
    return [name for name, _ in work(index, *parts, exact_pass=exact_pass)]


def item(info: BlobInfo, part: int = 0, families: frozenset[str] = WANTED) -> WorkItem:
    return WorkItem(part, info, families)
