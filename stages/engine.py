"""Map one function over many videos in worker processes: a crash, a hang or a memory blow-up costs one video.

The order of the results is the order of the tasks whatever the number of workers, and only a bounded number of tasks is
in flight, so that memory does not grow with the dataset.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from stages.errors import MediaError, UserError
from stages.host import cpu_count
from stages.params import EngineParams

Task = TypeVar("Task")
Value = TypeVar("Value")

# More tasks than workers in flight, so that a slow video at the head of the line does not idle the others.
IN_FLIGHT_PER_WORKER = 8
# A worker is replaced after this many tasks: decoders leak.
TASKS_PER_WORKER = 500


@dataclass(frozen=True)
class Outcome(Generic[Task, Value]):
    """What became of one task: `value` if status is ok, else the reason in words."""

    task: Task
    value: Value | None
    status: str  # ok, timeout, crashed, out_of_memory, failed, or a MediaError's status
    reason: str | None = None


def worker_count(engine: EngineParams) -> int:
    """The number of worker processes that the params ask for; `auto` is the processors this process may use."""
    return cpu_count() if engine.workers == "auto" else int(engine.workers)


def run(
    work: Callable[[Task], Value],
    tasks: Sequence[Task],
    engine: EngineParams,
    *,
    label: str,
    timeout_s: float | None = None,
    videos: Callable[[Task], int] = lambda _: 1,
) -> Iterator[Outcome[Task, Value]]:
    """Yield an Outcome for each task, in the order of the tasks, with a progress bar.

    Args:
        work: a picklable function of one task; a MediaError that it raises becomes that task's status.
        tasks: picklable.
        engine: workers, memory limit and time limit.
        label: what the progress bar says.
        timeout_s: seconds a task may take; None takes the engine's.
        videos: how many videos a task is, for the progress bar.
    Raises:
        UserError: raised by `work`: it concerns the whole run, so it stops it.
    """
    if not tasks:
        return
    workers = min(worker_count(engine), len(tasks))
    limit_s = engine.timeout_s if timeout_s is None else timeout_s
    pool = ProcessPool(
        max_workers=workers,
        max_tasks=TASKS_PER_WORKER,
        initializer=_prepare_worker,
        initargs=[engine.memory_limit_mb],
        context=multiprocessing.get_context("spawn"),
    )
    waiting: deque[tuple[Task, Any]] = deque()
    remaining = iter(tasks)
    try:
        with tqdm(total=sum(map(videos, tasks)), desc=label, unit="video", file=sys.stderr, **_bar_style()) as bar:
            for _ in range(workers * IN_FLIGHT_PER_WORKER):
                _submit(pool, work, remaining, waiting, limit_s)
            while waiting:
                task, future = waiting.popleft()
                outcome = _settle(task, future, limit_s)
                _submit(pool, work, remaining, waiting, limit_s)
                yield outcome
                bar.update(videos(task))
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()


def _bar_style() -> dict[str, Any]:
    """A live bar on a terminal; a line now and then in a log."""
    return {"dynamic_ncols": True} if sys.stderr.isatty() else {"mininterval": 10, "ascii": True, "ncols": 100}


def _submit(
    pool: ProcessPool, work: Callable[[Any], Any], remaining: Iterator[Any], waiting: deque[Any], limit_s: float
) -> None:
    task = next(remaining, None)
    if task is not None:
        waiting.append((task, pool.schedule(_guarded, args=[work, task], timeout=limit_s)))


def _settle(task: Any, future: Any, limit_s: float) -> Outcome[Any, Any]:
    """Wait for one future and put what happened into words."""
    try:
        kind, value, reason = future.result()
    except FutureTimeout:
        return Outcome(task, None, "timeout", f"took longer than {limit_s:g} s")
    except ProcessExpired as error:
        return Outcome(task, None, "crashed", f"its worker process ended: {_exit_reason(error.exitcode)}")
    if kind == "user_error":
        raise UserError(reason)
    return Outcome(task, value, kind, reason)


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return f"signal {name}" + (" (the system may be out of memory)" if name == "SIGKILL" else "")
    return f"exit code {code}"


def _guarded(work: Callable[[Any], Any], task: Any) -> tuple[str, Any, str | None]:
    """Run in the worker: turn exceptions into words there, since not every exception survives pickling."""
    try:
        return ("ok", work(task), None)
    except MediaError as error:
        return (error.status, None, error.reason)
    except UserError as error:
        return ("user_error", None, str(error))
    except MemoryError:
        return ("out_of_memory", None, "needed more memory than engine.memory_limit_mb allows")
    except Exception as error:  # one video's unforeseen trouble is a ledger row, with where it happened
        if "not enough memory" in str(error) or "Insufficient memory" in str(error):  # torch's and OpenCV's words
            return ("out_of_memory", None, f"needed more memory than engine.memory_limit_mb allows ({error})"[:300])
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return ("failed", None, f"{type(error).__name__}: {error} (at {where})"[:500])


def _prepare_worker(memory_limit_mb: int) -> None:
    """One thread a library, a memory limit, quiet decoders; Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    limit_memory(memory_limit_mb)
    import cv2

    cv2.setNumThreads(1)


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
