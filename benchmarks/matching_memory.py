"""Peak memory and time of matching without verification: ``matching_memory.py [ROWS] [--effort EFFORT]``.

Synthetic: ROWS pictures in families of near copies, so that every one has its full number of neighbours, 256-d
float16 vectors, perceptual hashes of which many are equal, codes of keypoints. Candidates, verdicts (by rule) and
groups are made as in a run; vectors and codes count as well. Memory is above that of the interpreter and its
libraries; on Linux the peak is the kernel's own (VmHWM).
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modules import deduplication
from modules.devices import Device
from modules.features.codes import MAX_CODES, ROW_BYTES
from modules.matching import relations
from modules.matching.local_neighbours import LocalCodes
from modules.matching.relations import Verdicts
from modules.matching.thresholds import Thresholds
from modules.records import VERDICT_DTYPE, Float32Array, Kind, LookLevel, Pictures, UInt8Array

DIM = 256
FAMILY = 30
COPIES = 3
LIMIT = 4096
_BLOCK = 8192


class Plain:
    """An extractor of ready-made vectors that has the eight variants of the perceptual one."""

    name = family = "synthetic"
    dim = DIM

    @property
    def fingerprint(self) -> str:
        """Of nothing: it computes nothing."""
        return "0" * 16

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        """As it is."""
        return rgb

    def setup(self, device: Device) -> None:
        """Nothing to load."""

    def embed(self, batch: UInt8Array) -> Float32Array:
        """Numbers as they are."""
        return batch.astype(np.float32)

    def variants(self, vectors: Float32Array) -> list[Float32Array]:
        """Eight orders of the numbers."""
        return [np.ascontiguousarray(np.roll(vectors, 32 * turn, axis=1)) for turn in range(8)]


def memory(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def synthetic(rows: int) -> tuple[Pictures, NDArray[np.float16]]:
    """Pictures in families of FAMILY rows; the vectors of a family are near each other."""
    rng = np.random.default_rng(1)
    vectors = np.empty((rows, DIM), np.float16)
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        family = np.arange(start, stop) // FAMILY
        centres = np.stack([np.random.default_rng(int(one)).normal(size=DIM) for one in np.unique(family)])
        block = centres[family - family[0]] + rng.normal(scale=0.35, size=(stop - start, DIM))
        vectors[start:stop] = block / np.linalg.norm(block, axis=1, keepdims=True)
    pictures = Pictures(
        sha=rng.integers(0, 256, (rows, 32), dtype=np.uint8),
        width=np.full(rows, 640, np.int32),
        height=np.full(rows, 480, np.int32),
        size=np.full(rows, 100_000, np.int64),
        quality=rng.uniform(0, 100, rows).astype(np.float32),
        sharpness=np.ones(rows, np.float32),
        exposure=np.ones(rows, np.float32),
        noise=np.ones(rows, np.float32),
        compression=np.ones(rows, np.float32),
        content=np.ones(rows, np.float32),
        texture=np.ones(rows, np.float32),
        steepness=np.ones(rows, np.float32),
        saved=np.ones(rows, np.float32),
        earlier=np.ones(rows, np.float32),
        chroma=np.ones(rows, np.float32),
        described=np.ones(rows, np.float32),
        damaged=np.zeros(rows, np.bool_),
        indexed=np.zeros(rows, np.bool_),
        told=np.zeros(rows, np.float32),
        accompanied=np.zeros(rows, np.bool_),
        phash=rng.integers(0, rows // 4 + 1, rows, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        rank=rng.permutation(rows).astype(np.int32),
    )
    return pictures, vectors


def codes(rows: int) -> LocalCodes:
    """Of families of COPIES pictures that have half of their codes in common, the others at random."""
    rng = np.random.default_rng(1)
    shared = rng.integers(0, 256, (-(-rows // COPIES), MAX_CODES, ROW_BYTES), dtype=np.uint8)
    made = rng.integers(0, 256, (rows, MAX_CODES, ROW_BYTES), dtype=np.uint8)
    # Places as well: what copies have in common lies alike in them.
    made[:, ::2] = np.repeat(shared, COPIES, axis=0)[:rows, ::2]
    return LocalCodes(made, np.full(rows, MAX_CODES, np.uint8))


def judge(pairs: NDArray[np.int32]) -> Verdicts:
    """Rows are copies within runs of COPIES inside a family, else nothing to each other."""
    verdicts = np.zeros(len(pairs), VERDICT_DTYPE)
    verdicts[(pairs[:, 0] // COPIES) == (pairs[:, 1] // COPIES)] = relations.verdict(
        Kind.COPY, cover_a=1.0, cover_b=1.0, agreement=1.0
    )
    return verdicts


def confirm(pairs: NDArray[np.int32], verdicts: Verdicts) -> Verdicts:
    """What a closer look would say of copies."""
    del pairs
    seen = verdicts.copy()
    seen["looked"], seen["confidence"] = LookLevel.PICTURES, 1.0
    return seen


def main() -> int:
    """Print bytes a picture; exit code 1 when they are over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    parser.add_argument("--effort", choices=("fast", "balanced", "thorough"), default="balanced")
    arguments = parser.parse_args()
    rows, effort = arguments.rows, arguments.effort
    # Loads FAISS and its buffers, and lets both ways of searching run once.
    small, few = synthetic(500)
    search = partial(deduplication.same_picture, thresholds=Thresholds({Plain.name: 0.6}), effort=effort, k=None)
    search(small, {Plain.name: (few, Plain())}, codes(500), verify=judge, look=confirm, accepted=())
    base = memory("VmRSS")
    pictures, vectors = synthetic(rows)
    families, local = {Plain.name: (vectors, Plain())}, codes(rows)
    asked = 0

    def verify(pairs: NDArray[np.int32]) -> Verdicts:
        nonlocal asked
        asked += len(pairs)
        return judge(pairs)

    start, cpu = time.perf_counter(), time.process_time()
    found = search(pictures, families, local, verify=verify, look=confirm, accepted=(Kind.COPY, Kind.PART))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    used = (memory("VmHWM") - base) / rows
    print(f"rows {rows}, pairs a picture {asked / rows:.1f}, groups {len(found.keepers())}")
    print(f"a picture: {1e3 * cpu / rows:.2f} ms of CPU, {1e3 * wall / rows:.2f} ms of time")
    parts = f"vectors {vectors.nbytes / rows:.0f}, codes {local.codes.nbytes / rows:.0f}"
    print(f"peak bytes a picture {used:.0f} ({parts}), limit {LIMIT}")
    return int(used > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
