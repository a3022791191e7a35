"""Map one function over many videos in worker processes, of this machine or of a Ray cluster.

The order of the results is the order of the tasks whatever the number of workers, and only a bounded number of tasks is
in flight, so that memory does not grow with the dataset.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from tqdm import tqdm

from dfdetect.config.params import RuntimeParams
from dfdetect.errors import UserError
from dfdetect.runtime.pool import LocalPool, Outcome, Pool, Task, Value
from dfdetect.runtime.threads import cpu_count

# More tasks than workers in flight, so that a slow video at the head of the line does not idle the others.
IN_FLIGHT_PER_WORKER = 8


def worker_count(runtime: RuntimeParams) -> int:
    """The number of worker processes that the params ask for; `auto` is the processors this process may use."""
    return cpu_count() if runtime.num_workers == "auto" else int(runtime.num_workers)


def open_pool(runtime: RuntimeParams, tasks: int, *, gpu: bool = False) -> Pool:
    """The workers that the params ask for, no more than there are tasks.

    Args:
        gpu: give each worker its share of a GPU (Ray only; here they see all of them anyway).
    Raises:
        UserError: Ray is asked for, and is not installed or cannot be reached.
    """
    if runtime.executor == "ray":
        from dfdetect.runtime.ray import RayPool

        return RayPool(runtime, tasks, gpu=gpu)
    return LocalPool(min(worker_count(runtime), tasks), runtime.memory_limit_mb)


def run(
    work: Callable[[Task], Value],
    tasks: Sequence[Task],
    runtime: RuntimeParams,
    *,
    label: str,
    timeout_s: float | None = None,
    videos: Callable[[Task], int] = lambda _: 1,
    gpu: bool = False,
) -> Iterator[Outcome[Task, Value]]:
    """Yield an Outcome for each task, in the order of the tasks, with a progress bar.

    Args:
        work: a picklable function of one task; a MediaError that it raises becomes that task's status.
        tasks: picklable.
        runtime: which workers, their memory limit and time limit.
        label: what the progress bar says.
        timeout_s: seconds a task may take; None takes the runtime's.
        videos: how many videos a task is, for the progress bar.
        gpu: `work` uses a GPU where there is one.
    Raises:
        UserError: raised by `work`: it concerns the whole run, so it stops it; or there are no workers to be had.
    """
    if not tasks:
        return
    limit_s = runtime.timeout_s if timeout_s is None else timeout_s
    pool = open_pool(runtime, len(tasks), gpu=gpu)
    remaining = iter(tasks)
    try:
        with tqdm(total=sum(map(videos, tasks)), desc=label, unit="video", file=sys.stderr, **_bar_style()) as bar:
            first = islice(remaining, pool.workers * IN_FLIGHT_PER_WORKER)
            waiting = deque((task, pool.submit(work, task, limit_s)) for task in first)
            while waiting:
                task, handle = waiting.popleft()
                status, value, reason = pool.settle(handle)
                if status == "user_error":
                    raise UserError(reason)
                for following in islice(remaining, 1):
                    waiting.append((following, pool.submit(work, following, limit_s)))
                yield Outcome(task, value, status, reason)
                bar.update(videos(task))
    except BaseException:
        pool.stop()
        raise
    pool.close()


def _bar_style() -> dict[str, Any]:
    """A live bar on a terminal; a line now and then in a log."""
    return {"dynamic_ncols": True} if sys.stderr.isatty() else {"mininterval": 10, "ascii": True, "ncols": 100}
