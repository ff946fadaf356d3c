import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.bounded_queue import Cancellation
from modules.errors import RetryLaterError
from modules.matching.evidence import evidence_of
from modules.matching.keep import Keep
from modules.matching.relations import verdict
from modules.quality.score import score
from modules.records import Grade, Keypoints, Kind
from modules.stages import pair_work
from modules.stages.pair_work import HeldKeypoints, PairContext, Pairs
from modules.stages.verify import Verifier, verdicts_family
from modules.state.keypoint_file import KeypointFile
from modules.worker_pool import WorkerPool
from tests.drawings import analysed, as_png, leaves
from tests.state import FAMILIES, STATE, WANTED, State, blob, item, processed


class Deadly(KeypointFile):
    """Stands for memory that runs out: who reads it is killed from outside."""

    def read(self, picture: int) -> Keypoints:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Counted(KeypointFile):
    """Has the same picture under every number, and notes which was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[int] = []

    def read(self, i: int) -> Keypoints:
        self.asked.append(i)
        found = analysed(as_png(leaves(1, (64, 48)))).keypoints
        assert found is not None
        return found


def no_setup() -> None:
    """The initializer of these tests' worker processes."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


def context_of(state: State, tmp_path: Path, pool: WorkerPool) -> PairContext:
    """Of the two pictures of a new state."""
    blobs = [blob("a"), blob("b")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(b), b.key) for b in blobs])
    index.number_pictures(WANTED)
    return PairContext(
        state.thread,
        state_prefix=STATE,
        writer=writer,
        index=index,
        pictures=index.pictures(score, Keep.parse(["quality"]).order, "c/in/"),
        keypoints_family=FAMILIES.keypoints,
        pool=pool,
        cancel=Cancellation(threading.Event()),
        scratch=tmp_path,
        shard_rows=10,
        shard_seconds=1000.0,
        advance=lambda count: None,
    )


class Standing(HeldKeypoints):
    """Has one file, whichever pairs are asked for."""

    def __init__(self, around: PairContext, file: KeypointFile) -> None:
        super().__init__(around)
        self._standing = file

    def of(self, pairs: Pairs) -> KeypointFile:
        return self._standing


@pytest.mark.parametrize(("least", "kind"), [(Grade.LENIENT, Kind.COPY), (Grade.NORMAL, Kind.NONE)])
def test_a_cached_verdict_of_a_lower_grade_does_not_count(
    state: State, tmp_path: Path, least: Grade, kind: Kind
) -> None:
    pairs = np.array([[0, 1]], np.int32)
    with WorkerPool(1, no_setup) as pool:
        around = context_of(state, tmp_path, pool)
        verifier = Verifier(around, HeldKeypoints(around), least)
        verifier._cached._cache.add(pairs, verdict(Kind.COPY, grade=Grade.LENIENT)[None])
        assert verifier(pairs)["kind"].tolist() == [kind]
        verifier.close()


def test_killed_workers_leave_no_verdict_that_nobody_found(state: State, tmp_path: Path) -> None:
    with WorkerPool(1, no_setup) as pool:
        around = context_of(state, tmp_path, pool)
        verifier = Verifier(around, Standing(around, Deadly(tmp_path / "keypoints.bin")))
        with pytest.raises(RetryLaterError, match="run again"):
            verifier(np.array([[0, 1]], np.int32))
        verifier.close()
    assert state.keys(verdicts_family(FAMILIES.keypoints)) == []


def test_pairs_that_share_a_picture_are_verified_one_after_the_other() -> None:
    """However the pictures are numbered: in the order of their numbers most would be read twice."""
    names = np.random.default_rng(0).permutation(360).reshape(3, 120)
    chains = np.concatenate([np.stack([chain[:-1], chain[1:]], axis=1) for chain in names]).astype(np.int32)
    pairs = chains[np.random.default_rng(1).permutation(len(chains))]
    assert len(pairs) > pair_work.MOST_PAIRS
    ordered = pairs[pair_work.neighbours_together(pairs)].tolist()
    assert sorted(ordered) == sorted(pairs.tolist())
    assert sum(not set(a) & set(b) for a, b in itertools.pairwise(ordered)) == len(names) - 1


@settings(max_examples=50)
@given(pairs=st.integers(0, 5000), processes=st.integers(1, 64))
def test_tasks_cover_all_pairs_once_and_end_with_small_ones(pairs: int, processes: int) -> None:
    tasks = list(pair_work.tasks_of(pairs, processes))
    assert [n for task in tasks for n in range(pairs)[task]] == list(range(pairs))
    sizes = [task.stop - task.start for task in tasks]
    assert all(size <= pair_work.MOST_PAIRS for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert all(size >= pair_work.LEAST_PAIRS for size in sizes[:-1])
    assert not sizes or sizes[-1] <= max(pair_work.LEAST_PAIRS, pairs / processes)


def test_no_more_pictures_are_held_than_bytes_allow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, held = Counted(tmp_path / "keypoints.bin"), pair_work.Held()
    one = evidence_of(file.read(0), (64, 48))
    monkeypatch.setattr(pair_work, "HELD_BYTES", 2 * one.nbytes)
    for picture in (1, 2, 1, 3, 1, 2):
        assert held.get(file, picture, (64, 48)).nbytes == one.nbytes
    assert file.asked == [0, 1, 2, 3, 2]
