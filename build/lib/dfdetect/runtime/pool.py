"""Worker processes on this machine: a crash, a hang or a memory blow-up costs one video."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool

from dfdetect.errors import MediaError, UserError
from dfdetect.runtime.threads import tune_allocator, use_one_thread

Task = TypeVar("Task")
Value = TypeVar("Value")

# A worker is replaced after this many tasks: decoders leak.
TASKS_PER_WORKER = 500
# Importing what a worker needs takes seconds, on a slow network disk a minute; none at all by then means none ever.
START_LIMIT_S = 300.0
_NO_WORKERS = (
    "the worker processes end before they take a task: is the environment whole (`make setup`), and is "
    "runtime.memory_limit_mb enough for the libraries themselves (about 600)?"
)


@dataclass(frozen=True)
class Outcome(Generic[Task, Value]):
    """What became of one task: `value` if status is ok, else the reason in words."""

    task: Task
    value: Value | None
    status: str  # ok, timeout, crashed, out_of_memory, failed, or a MediaError's status
    reason: str | None = None


# What became of a task: its status, its value and, unless it is ok, the reason; or `user_error`, which stops the run.
Answer = tuple[str, Any, str | None]


class Pool(Protocol):
    """Worker processes.

    Args:
        workers: how many there are at most.
    """

    workers: int

    def submit(self, work: Callable[[Any], Any], task: Any, limit_s: float) -> Any:
        """Hand a task over, without waiting. Returns a handle for `settle`."""
        ...

    def settle(self, handle: Any) -> Answer:
        """Wait for one task and put what happened into words."""
        ...

    def close(self) -> None:
        """End the workers once every task is settled."""
        ...

    def stop(self) -> None:
        """End the workers now, whatever they do."""
        ...


class LocalPool:
    """Worker processes on this machine; one that ends is replaced.

    Args:
        workers: processes.
        memory_limit_mb: private memory that each may hold; 0: no limit.
    """

    def __init__(self, workers: int, memory_limit_mb: int) -> None:
        self.workers = workers
        context = multiprocessing.get_context("spawn")
        # A bare byte, not an Event: a worker that is killed while it holds an Event's lock would stop this process too.
        self._started, self._began = context.RawValue("b", 0), time.monotonic()
        self._processes = ProcessPool(
            max_workers=workers,
            max_tasks=TASKS_PER_WORKER,
            initializer=_prepare_worker,
            initargs=[memory_limit_mb, self._started],
            context=context,
        )

    def submit(self, work: Callable[[Any], Any], task: Any, limit_s: float) -> Any:
        """Hand a task over; the time limit counts from when a worker takes it.

        Raises:
            UserError: the worker processes end before they take a task.
        """
        try:
            return self._processes.schedule(_guarded, args=[work, task], timeout=limit_s), limit_s
        except BrokenProcessPool:
            raise UserError(_NO_WORKERS) from None

    def settle(self, handle: Any) -> Answer:
        """Wait for one task and put what happened into words.

        Raises:
            UserError: as in submit.
        """
        future, limit_s = handle
        self._await_start(future)
        try:
            answer: Answer = future.result()
        except BrokenProcessPool:
            raise UserError(_NO_WORKERS) from None
        except FutureTimeout:
            return ("timeout", None, f"took longer than {limit_s:g} s")
        except ProcessExpired as error:
            return ("crashed", None, f"its worker process ended: {_exit_reason(error.exitcode)}")
        return answer

    def _await_start(self, future: Any) -> None:
        """Wait until a worker is there: what starts them may fail without a word, and the task would wait for ever."""
        while not (self._started.value or concurrent.futures.wait([future], timeout=0.2).done):
            if time.monotonic() - self._began > START_LIMIT_S:
                raise UserError(_NO_WORKERS)

    def close(self) -> None:
        """End the workers once every task is settled."""
        self._processes.close()
        self._processes.join()

    def stop(self) -> None:
        """End the workers now, whatever they do."""
        self._processes.stop()
        self._processes.join()


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return f"signal {name}" + (" (the system may be out of memory)" if name == "SIGKILL" else "")
    return f"exit code {code}"


def _guarded(work: Callable[[Any], Any], task: Any) -> Answer:
    """Run in the worker: turn exceptions into words there, since not every exception survives pickling."""
    try:
        return ("ok", work(task), None)
    except MediaError as error:
        return (error.status, None, error.reason)
    except UserError as error:
        return ("user_error", None, str(error))
    except MemoryError:
        return ("out_of_memory", None, "needed more memory than runtime.memory_limit_mb allows")
    except Exception as error:  # one video's unforeseen trouble is a row of the table, with where it happened
        if "not enough memory" in str(error) or "Insufficient memory" in str(error):  # torch's and OpenCV's words
            return ("out_of_memory", None, f"needed more memory than runtime.memory_limit_mb allows ({error})"[:300])
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return ("failed", None, f"{type(error).__name__}: {error} (at {where})"[:500])


def _prepare_worker(memory_limit_mb: int, started: Any) -> None:
    """One thread a library, freed memory kept, a memory limit; Ctrl-C is the parent's to handle, its end ends this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    limit_memory(memory_limit_mb)
    tune_allocator()
    use_one_thread()  # the main module's imports came before these variables
    started.value = 1


def _end_with_parent() -> None:
    """Wait for the parent's end: killed, it cannot take its workers along, and they would finish their videos."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def limit_memory(megabytes: int) -> None:
    """Cap this process's private writable memory: one video's blow-up is then a MemoryError, not the machine's end.

    Uses RLIMIT_DATA: an address-space limit would count the libraries' mappings too. 0 sets no limit; a no-op where the
    system has no such limit.
    """
    if megabytes <= 0 or not sys.platform.startswith("linux"):
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = megabytes * 1024 * 1024
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
