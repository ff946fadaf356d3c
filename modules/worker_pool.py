"""OS processes that stand in for each other: a crash or hang in native code costs one task, not the run.

Every process has a pipe of its own and no lock is shared between processes, so that one that is killed at any
moment leaves nothing held that another one waits for.
"""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import Any

from modules.bounded_queue import Aborted
from modules.errors import ImgsieveError, RetryLaterError

log = logging.getLogger(__name__)

#: Seconds that a process may take to start: it loads the image libraries, on a busy machine from a cold disk.
START_TIMEOUT = 300.0
#: Seconds, at least, until a late process is looked at again.
RETRY = 0.1
#: Tasks of a map for each process that may be under way or wait to be yielded: tasks differ in length.
AHEAD = 4


class WorkerCrashedError(ImgsieveError):
    """A worker process died or hung on one task. permanent: it is the task's own fault and would happen again."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent


def _serve(tasks: Connection, initializer: Callable[[], None]) -> None:
    """What a worker process does: leave signals to the parent, end with it, answer tasks until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    initializer()
    _send(tasks, time.process_time())
    while True:
        try:
            function, args = _receive(tasks)
        except EOFError:
            return
        try:
            answer = (True, function(*args))
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            error.add_note("in a worker process:\n" + traceback.format_exc())
            answer = (False, error)
        _send(tasks, (*answer, time.process_time()))


def _send(pipe: Connection, value: object) -> None:
    """``value`` with its arrays behind it, each on its own: read as one, megabytes are copied again and again.

    Source: PEP 574, pickle protocol 5 with out-of-band data.
    """
    arrays: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    pipe.send((pickled, len(arrays)))
    for array in arrays:
        with array.raw() as raw:
            pipe.send_bytes(raw)


def _receive(pipe: Connection) -> Any:
    """What :func:`_send` sent; its arrays cannot be written to. Raises EOFError, and OSError of the pipe."""
    pickled, arrays = pipe.recv()
    return pickle.loads(pickled, buffers=[pipe.recv_bytes() for _ in range(arrays)])  # from our own processes only


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        signal.raise_signal(signal.SIGKILL)


class _Worker:
    """One process and the parent's end of its pipe."""

    def __init__(self, initializer: Callable[[], None]) -> None:
        # A forked child would inherit the locks of our threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, initializer), name="imgsieve-worker", daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False
        self._used = 0.0  # CPU seconds, when it answered last

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], timeout: float) -> tuple[bool, Any]:
        """(True, result) or (False, exception). Raises EOFError when the process is dead, TimeoutError when late."""
        if not self._ready:
            self._used = self._receive(START_TIMEOUT)
            self._ready = True
        try:
            _send(self._pipe, (function, args))
        except OSError as error:
            raise EOFError from error
        good, answer, self._used = self._receive(timeout)
        return good, answer

    @property
    def started(self) -> bool:
        """False while the process has not said that it is ready."""
        return self._ready

    def _receive(self, timeout: float) -> Any:
        left = timeout
        while not wait([self._pipe, self._process.sentinel], left):
            left = self._left(timeout)
            if left <= 0:
                raise TimeoutError
        try:
            # A process may have answered and died after that: the answer counts.
            if self._pipe.poll():
                return _receive(self._pipe)
        except OSError as error:
            raise EOFError from error
        raise EOFError

    def _left(self, timeout: float) -> float:
        """Seconds that a task may go on which is late by the clock: others may have had the processors meanwhile."""
        import psutil  # noqa: PLC0415 - hardly ever needed, and every process would load it

        try:
            process = psutil.Process(self._process.pid)
            if process.status() != psutil.STATUS_RUNNING:
                return 0.0
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            return RETRY  # it has just died: the next look at it says so
        used = times.user + times.system - self._used
        return max(timeout - used, RETRY) if used < timeout else 0.0

    def kill(self) -> int | None:
        """End the process, whatever it does; its exit code."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return self._process.exitcode

    def terminate(self) -> None:
        """End the process from another thread; the one that waits for its answer sees it die."""
        self._process.kill()

    def exit_code(self) -> int | None:
        """Exit code of a process that closed its pipe."""
        self._process.join()
        self._pipe.close()
        return self._process.exitcode


class WorkerPool:
    """``workers`` processes; threads call :meth:`run`, each holds one process for the length of its task."""

    def __init__(self, workers: int, initializer: Callable[[], None]) -> None:
        """initializer: picklable, called once in every process before its first task."""
        self.workers = workers
        self._initializer = initializer
        self._lock = threading.Lock()
        self._stopped = False
        self._all: set[_Worker] = set()
        # None stands for a process that is yet to be started: a run that finds everything cached needs none.
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def start(self) -> None:
        """Start all processes now, so that they load what they need while the caller prepares their first tasks.

        Comes before any task. Raises Aborted after stop.
        """
        started: list[_Worker] = []
        try:
            started.extend(self._take() for _ in range(self.workers))
        finally:
            for worker in started:
                self._idle.put(worker)

    def run(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        """Run a picklable function in a process, block until done, return or raise what it does.

        timeout: seconds of work; those for which it gets no processor, because others have them, do not count. A task
        whose process was killed from outside is tried once more. Raises WorkerCrashedError when the process died or was
        late, RetryLaterError when it was killed before it was ready, Aborted after stop.
        """
        try:
            return self._attempt(function, args, timeout)
        except (WorkerCrashedError, RetryLaterError) as error:
            if isinstance(error, WorkerCrashedError) and error.permanent:
                raise
            log.warning("a worker process was killed from outside: its task is tried once more")
        return self._attempt(function, args, timeout)

    def _attempt(self, function: Callable[..., Any], args: tuple[Any, ...], timeout: float) -> Any:
        worker = self._take()
        kept: _Worker | None = None
        try:
            good, answer = worker.run(function, args, timeout)
            kept = worker
        except TimeoutError:
            worker.kill()
            self._check_start(worker, "did not start in time")
            raise WorkerCrashedError(f"took longer than {timeout:g} s", permanent=True) from None
        except EOFError:
            code = worker.exit_code()
            if code == -signal.SIGKILL and not worker.started and not self._stopped:
                raise RetryLaterError(
                    "a worker process was killed at its start: see to its memory, run again"
                ) from None
            self._check_start(worker, f"died at its start (exit code {code})")
            # SIGKILL comes from outside (the kernel short of memory, most often): not the task's own fault.
            reason = f"the worker process died (exit code {code})"
            raise WorkerCrashedError(reason, permanent=code != -signal.SIGKILL) from None
        finally:
            if kept is None:
                self._all.discard(worker)
            self._idle.put(kept)
        if good:
            return answer
        raise answer

    def _take(self) -> _Worker:
        """An idle process, started anew in place of one that is gone."""
        worker = self._idle.get()
        try:
            return worker or self._start()
        except BaseException:
            self._idle.put(None)
            raise

    def _check_start(self, worker: _Worker, reason: str) -> None:
        """Tell a stopped pool, and a process that never was ready, from a task that went wrong."""
        if self._stopped:
            raise Aborted from None
        if not worker.started:
            raise ImgsieveError(f"a worker process {reason}: see the messages above it") from None

    def map(
        self, function: Callable[..., Any], tasks: Iterator[tuple[Any, ...]], *, timeout: float
    ) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Run ``function(*task)`` for every task, results in the order of the tasks, few of them under way at once.

        Yields (task, result); the result is a WorkerCrashedError where the process died or hung on the task.
        """

        def attempt(task: tuple[Any, ...]) -> Any:
            try:
                return self.run(function, *task, timeout=timeout)
            except WorkerCrashedError as error:
                return error

        # One thread a process: one thread more, overtaken at every turn, would hold back the task that all wait for.
        with ThreadPoolExecutor(self.workers, thread_name_prefix="task") as threads:
            window: deque[tuple[tuple[Any, ...], Future[Any]]] = deque()
            try:
                for task in tasks:
                    window.append((task, threads.submit(attempt, task)))
                    if len(window) > AHEAD * self.workers:
                        first, result = window.popleft()
                        yield first, result.result()
                while window:
                    first, result = window.popleft()
                    yield first, result.result()
            finally:
                for _, result in window:
                    result.cancel()

    def stop(self) -> None:
        """End all processes at once; callers of :meth:`run` get Aborted."""
        with self._lock:
            self._stopped = True
            workers = list(self._all)
        for worker in workers:
            worker.terminate()

    def _start(self) -> _Worker:
        with self._lock:
            if self._stopped:
                raise Aborted
            worker = _Worker(self._initializer)
            self._all.add(worker)
            return worker

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()
        # One at work comes back, as None, when the thread that waits for its answer has seen it end and closed it.
        # Two who close one may close another file, which has got its number by then.
        for worker in [self._idle.get() for _ in range(self.workers)]:
            if worker is not None:
                worker.kill()
        for _ in range(self.workers):
            self._idle.put(None)  # whoever still waits for one gets Aborted
