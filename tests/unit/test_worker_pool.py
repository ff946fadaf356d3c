"""Processes of a pool that are started before they are needed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from modules.bounded_queue import Aborted
from modules.worker_pool import WorkerPool


def mark(folder: Path) -> None:
    """An initializer that leaves a file of its process."""
    (folder / str(os.getpid())).touch()


def test_processes_that_were_started_do_the_tasks(tmp_path: Path) -> None:
    with WorkerPool(2, partial(mark, tmp_path)) as pool:
        pool.start()
        # The last one that was idle comes first: started in vain, or twice, there would be a further one.
        answers = {pool.run(os.getpid, timeout=60.0) for _ in range(3)}
        assert len(answers) == 1
        assert str(*answers) in {path.name for path in tmp_path.iterdir()}
        assert len(list(tmp_path.iterdir())) <= 2


def test_a_stopped_pool_starts_nothing(tmp_path: Path) -> None:
    with WorkerPool(1, partial(mark, tmp_path)) as pool:
        pool.stop()
        with pytest.raises(Aborted):
            pool.start()
    assert not list(tmp_path.iterdir())
