from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from modules.errors import StateError
from modules.records import Keypoints, UInt8Array
from modules.state.keypoint_file import KeypointFile
from modules.state.schemas import keypoints_table


def sha(i: int) -> bytes:
    return bytes([i] * 32)


def keypoints(i: int) -> Keypoints:
    rng = np.random.default_rng(i)
    points = rng.integers(0, 65536, (i, 4)).astype(np.uint16)
    return Keypoints(points, rng.integers(0, 256, (i, 128)).astype(np.uint8), bytes(i), b"a" * i, b"f" * 2 * i)


def indices(shas: UInt8Array) -> NDArray[np.int32]:
    """Picture i has SHA-256 i, 100 and above are unknown."""
    first = shas[:, 0].astype(np.int32)
    return np.where(first < 100, first, np.int32(-1))


TABLES = (
    keypoints_table([(sha(i), keypoints(i)) for i in (2, 120, 0)]),
    keypoints_table([(sha(2), keypoints(7)), (sha(1), keypoints(1)), (sha(3), keypoints(3))]),
)


def build(path: Path, wanted: list[bool]) -> KeypointFile:
    return KeypointFile.build(path, TABLES, indices, np.array(wanted))


def same(a: Keypoints, b: Keypoints) -> bool:
    arrays = (a.points == b.points).all() and (a.descriptors == b.descriptors).all()
    return bool(arrays and (a.thumb, a.alpha, a.frames) == (b.thumb, b.alpha, b.frames))


def read_elsewhere(file: KeypointFile, i: int) -> tuple[bytes, int]:
    return file.read(i).descriptors.tobytes(), os.getpid()


def test_the_wanted_ones_are_read_by_number_and_the_first_row_counts(tmp_path: Path) -> None:
    file = build(tmp_path / "k", [True, False, True, True])
    for i in (3, 0, 2):
        assert same(file.read(i), keypoints(i))
    with pytest.raises(KeyError):
        file.read(1)


def test_a_grown_file_has_more_and_equals_the_one_before_which_stays(tmp_path: Path) -> None:
    file = build(tmp_path / "k", [True, False, False, False])
    size = (tmp_path / "k").stat().st_size
    grown = file.grow(TABLES, indices, np.array([True, False, True, False]))
    assert same(grown.read(0), keypoints(0))
    assert same(grown.read(2), keypoints(2))
    assert same(file.read(0), keypoints(0))
    with pytest.raises(KeyError):
        file.read(2)
    assert grown == file
    assert hash(grown) == hash(file)
    assert (tmp_path / "k").stat().st_size > size


def test_another_process_reads_the_same(tmp_path: Path) -> None:
    file = build(tmp_path / "k", [True] * 4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        data, process = pool.apply(read_elsewhere, (file, 3))
    assert data == keypoints(3).descriptors.tobytes()
    assert process != os.getpid()


def test_many_handles_share_one_open_file(tmp_path: Path) -> None:
    packed = pickle.dumps(build(tmp_path / "k", [True] * 4))
    pickle.loads(packed).read(1)
    before = len(os.listdir("/proc/self/fd"))
    handles = [pickle.loads(packed) for _ in range(50)]
    assert all(same(handle.read(2), keypoints(2)) for handle in handles)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(packed) < 400


def test_none_wanted_and_one_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        build(tmp_path / "none", [False] * 4).read(0)
    with pytest.raises(StateError, match="keypoints of 2 pictures are missing"):
        build(tmp_path / "missing", [True] * 6)
