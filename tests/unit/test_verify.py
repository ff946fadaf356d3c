import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modules.bounded_queue import Cancellation
from modules.errors import RetryLaterError
from modules.matching.keep import Keep
from modules.quality.score import score
from modules.records import Keypoints
from modules.stages.verify import VERDICTS_FAMILY, Verifier
from modules.state.keypoint_file import KeypointFile
from modules.worker_pool import WorkerPool
from tests.state import FAMILIES, STATE, WANTED, State, blob, item, processed


class Deadly(KeypointFile):
    """Stands for memory that runs out: who reads it is killed from outside."""

    def read(self, picture: int) -> Keypoints:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def no_setup() -> None:
    """The initializer of these tests' worker processes."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


def test_killed_workers_leave_no_verdict_that_nobody_found(state: State, tmp_path: Path) -> None:
    blobs = [blob("a"), blob("b")]
    index, writer = state.start(blobs)
    state.commit(index, writer, [processed(item(b), b.key) for b in blobs])
    index.number_pictures(WANTED)
    with WorkerPool(1, no_setup) as pool:
        verifier = Verifier(
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
        verifier._file = Deadly(tmp_path / "keypoints.bin")
        verifier._held[:] = True
        with pytest.raises(RetryLaterError, match="run again"):
            verifier(np.array([[0, 1]], np.int32))
        verifier.close()
    assert state.keys(VERDICTS_FAMILY) == []
