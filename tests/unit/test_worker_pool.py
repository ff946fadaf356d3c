"""Processes of a pool: started before they are needed, and patient with tasks that get no processor."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from modules.bounded_queue import Aborted
from modules.worker_pool import WorkerCrashedError, WorkerPool, _Worker


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


def no_setup() -> None:
    """Leaves a process as it is."""


def pin(core: int) -> None:
    """An initializer that leaves a process one core."""
    os.sched_setaffinity(0, {core})


def work(seconds: float) -> float:
    """Computes for so much CPU time; how long it took by the clock."""
    began, until = time.monotonic(), time.process_time() + seconds
    while time.process_time() < until:
        pass
    return time.monotonic() - began


@contextmanager
def busy(core: int, programs: int) -> Iterator[None]:
    """Other programs that want all of a core."""
    code = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(programs)]
    try:
        for program in started:
            assert program.stdout is not None
            assert program.stdout.readline()
        yield
    finally:
        for program in started:
            program.kill()
            program.communicate()


def test_a_task_that_others_leave_no_processor_is_not_late() -> None:
    core = min(os.sched_getaffinity(0))
    with WorkerPool(1, partial(pin, core)) as pool:
        pool.run(work, 0.0, timeout=60.0)
        with busy(core, 6):
            assert pool.run(work, 0.6, timeout=1.0) > 1.0


def test_a_task_that_computes_for_too_long_is_late_and_so_is_one_that_waits() -> None:
    with WorkerPool(1, no_setup) as pool:
        for function in (work, time.sleep):
            with pytest.raises(WorkerCrashedError, match=r"took longer than 0\.5 s"):
                pool.run(function, 3600.0, timeout=0.5)


def wait_for_ever(mark: Path) -> None:
    """In a worker process: says that it is at work, and never ends."""
    mark.touch()
    threading.Event().wait()


def test_processes_at_work_are_closed_by_those_who_wait_for_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closers: list[str] = []
    kill, exit_code = _Worker.kill, _Worker.exit_code

    def noted(close: Callable[[_Worker], int | None]) -> Callable[[_Worker], int | None]:
        def closing(worker: _Worker) -> int | None:
            closers.append(threading.current_thread().name)
            return close(worker)

        return closing

    monkeypatch.setattr(_Worker, "kill", noted(kill))
    monkeypatch.setattr(_Worker, "exit_code", noted(exit_code))
    with ThreadPoolExecutor(2, thread_name_prefix="caller") as threads:
        with WorkerPool(3, no_setup) as pool:
            pool.run(os.getpid, timeout=60.0)
            runs = [threads.submit(pool.run, wait_for_ever, tmp_path / str(n), timeout=60.0) for n in range(2)]
            while len(list(tmp_path.iterdir())) < 2:
                assert not any(run.done() for run in runs)
        for run in runs:
            with pytest.raises(Aborted):
                run.result()
    assert sorted(name.partition("_")[0] for name in closers) == ["caller", "caller"]
    with pytest.raises(Aborted):
        pool.run(os.getpid, timeout=60.0)
