"""The runtime's workers on a Ray cluster: same tasks, same order, same words for what went wrong.

Each worker is a Ray actor that holds a LocalPool of one process, so that a crash, a hang or a memory blow-up costs one
video there as it does here. What may be lost besides is the actor, with its machine: its tasks go to others.

The project's folder must be at the same path on all machines: code, videos, artifacts and the result cache are read and
written there. Before it is given a task, every worker shows that it sees a file just made here and can write beside it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfdetect.config.params import RuntimeParams
from dfdetect.errors import UserError
from dfdetect.runtime.pool import Answer, LocalPool

MEETING = Path(".cache/cluster")  # where workers show that they see the driver's files
# Tasks handed to one worker: one that it works on, and the next.
AHEAD = 2
# A task whose worker was lost so many times is given up, and a run that loses so many in a row as they start.
ATTEMPTS = 3
# Until the first worker is there; a cluster's processors may be taken by others.
START_S = 120.0
KNOCK_S = 10.0


class Member:
    """One worker, as it runs on some machine of the cluster (wrapped into a Ray actor)."""

    def __init__(self) -> None:
        self._pool: LocalPool | None = None

    def start(self, root: str, token: str, memory_limit_mb: int) -> str | None:
        """Look for the driver's token in the project's folder and answer it. Returns what is wrong, or None."""
        here, meeting = socket.gethostname(), Path(root) / MEETING / token
        if not (meeting / "driver").is_file():
            return f"{here} does not see {meeting / 'driver'}, which {root} holds on the machine that asks"
        try:
            (meeting / uuid.uuid4().hex).touch()
        except OSError as error:
            return f"{here} cannot write to {meeting}: {error.strerror}"
        os.chdir(root)
        # The process that is spawned would import Ray's own main module again.
        sys.modules["__main__"].__dict__.pop("__file__", None)
        self._pool = LocalPool(1, memory_limit_mb)
        return None

    def attempt(self, work: Callable[[Any], Any], task: Any, limit_s: float) -> Answer:
        """One task, in this worker's process."""
        assert self._pool is not None
        return self._pool.settle(self._pool.submit(work, task, limit_s))


@dataclass
class _Order:
    """One task on its way."""

    work: Callable[[Any], Any]
    task: Any
    limit_s: float
    losses: int = 0  # workers that were lost over it
    answer: Answer | None = None


@dataclass
class _Worker:
    """An actor and what it was asked, in the order in which it answers; the first, without an order, is its start."""

    actor: Any
    asked: deque[tuple[Any, _Order | None]] = field(default_factory=deque)
    ready: bool = False


class RayPool:
    """Workers on a Ray cluster.

    Args:
        runtime: address, workers (`auto`: the cluster's processors), limits.
        tasks: how many there will be; no more workers are asked for.
        gpu: each worker takes runtime.gpus_per_worker of a GPU.
    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, runtime: RuntimeParams, tasks: int, *, gpu: bool = False) -> None:
        self._ray = _connect(runtime.address)
        self._memory_limit_mb = runtime.memory_limit_mb
        self._gpus = runtime.gpus_per_worker if gpu else 0.0
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        wanted = max(1, processors) if runtime.num_workers == "auto" else int(runtime.num_workers)
        self.workers = min(wanted, tasks)
        self._root, self._token = str(Path.cwd()), uuid.uuid4().hex
        self._meeting = MEETING / self._token
        self._meeting.mkdir(parents=True)
        (self._meeting / "driver").touch()
        self._queue: deque[_Order] = deque()
        self._lost_at_start = 0
        self._workers = [self._hire() for _ in range(self.workers)]

    def submit(self, work: Callable[[Any], Any], task: Any, limit_s: float) -> _Order:
        """Hand a task over; the time limit counts from when a worker takes it."""
        order = _Order(work, task, limit_s)
        self._queue.append(order)
        self._deal()
        return order

    def settle(self, handle: _Order) -> Answer:
        """Wait for one task, keeping the workers busy with those behind it.

        Raises:
            UserError: no worker can be had, or one does not see the project's folder.
        """
        while handle.answer is None:
            self._step()
        return handle.answer

    def close(self) -> None:
        """End the workers; their processes end with them."""
        if self._ray.is_initialized():  # else all have ended already, and a call would start Ray anew
            for worker in self._workers:
                self._ray.kill(worker.actor)
        self._workers.clear()
        shutil.rmtree(self._meeting, ignore_errors=True)

    stop = close

    def _hire(self) -> _Worker:
        """Ask for an actor; it comes when the cluster has a place for it."""
        settings = {
            "num_cpus": 1,
            "num_gpus": self._gpus,
            "max_restarts": 0,
            "runtime_env": {"env_vars": {"PYTHONPATH": _import_path()}},
        }
        actor = self._ray.remote(Member).options(**settings).remote()
        start = actor.start.remote(self._root, self._token, self._memory_limit_mb)
        return _Worker(actor, deque([(start, None)]))

    def _deal(self) -> None:
        """Give waiting tasks to workers, the least busy first."""
        for depth in range(AHEAD):
            for worker in self._workers:
                if self._queue and worker.ready and len(worker.asked) == depth:
                    order = self._queue.popleft()
                    asked = worker.actor.attempt.remote(order.work, order.task, order.limit_s)
                    worker.asked.append((asked, order))

    def _step(self) -> None:
        """Wait until a worker has something to say, and act on it."""
        first = {worker.asked[0][0]: worker for worker in self._workers if worker.asked}
        patience = None if any(worker.ready for worker in self._workers) else START_S
        done, _ = self._ray.wait(list(first), num_returns=1, timeout=patience)
        if not done:
            raise UserError(self._nobody_came())
        for answered in done:
            self._hear(first[answered])
        self._deal()

    def _hear(self, worker: _Worker) -> None:
        errors = self._ray.exceptions
        answered, order = worker.asked[0]
        try:
            said = self._ray.get(answered)
        except errors.RayTaskError as error:  # not of the video: it could not be handed over
            said = ("failed", None, f"{type(error.cause).__name__}: {error.cause}"[:500])
            if order is None:
                raise UserError(f"A worker of the Ray cluster cannot start: {said[2]}") from None
        except errors.RayError as error:
            self._lose(worker, error)
            return
        worker.asked.popleft()
        if order is not None:
            order.answer = said
            return
        if said is not None:
            raise UserError(
                f"Ray: {said}. The project's folder must be shared by all machines of the cluster under the same path "
                f"(docs/cluster.md)."
            )
        worker.ready = True
        self._lost_at_start = 0

    def _lose(self, worker: _Worker, error: Exception) -> None:
        """Put the tasks of a lost worker back, in order, and hire another; the first was being worked on."""
        orders = [order for _, order in worker.asked if order is not None]
        if not worker.ready:
            self._lost_at_start += 1
            if self._lost_at_start >= ATTEMPTS:
                raise UserError(f"Workers of the Ray cluster end while they start: {_in_short(error)}") from None
        if orders:
            orders[0].losses += 1
            if orders[0].losses >= ATTEMPTS:
                orders[0].answer = ("crashed", None, f"its worker was lost {ATTEMPTS} times: {_in_short(error)}")
                del orders[0]
        self._queue.extendleft(reversed(orders))
        self._ray.kill(worker.actor)  # it may only have become unreachable
        self._workers[self._workers.index(worker)] = self._hire()

    def _nobody_came(self) -> str:
        needed = "1 processor" + (f" and {self._gpus:g} of a GPU" if self._gpus else "")
        there = {name: self._ray.cluster_resources().get(name, 0) for name in ("CPU", "GPU")}
        free = {name: self._ray.available_resources().get(name, 0) for name in ("CPU", "GPU")}
        return (
            f"No worker of the Ray cluster came up within {START_S:g} s: one takes {needed}, and of "
            f"{there['CPU']:g} processors and {there['GPU']:g} GPUs {free['CPU']:g} and {free['GPU']:g} are free. "
            f"Wait for them, or lower runtime.gpus_per_worker in params.yaml."
        )


def _connect(address: str | None) -> Any:
    """Ray, connected once a process."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise UserError(
            "runtime.executor in params.yaml is ray, and Ray is not installed: run `make cluster`, or set it to local."
        ) from None
    if ray.is_initialized():
        return ray
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        quiet |= {"include_dashboard": False}
    try:
        _knock(address)
        ray.init(address=address or "local", **quiet)
    except Exception as error:  # Ray raises nearly every kind, and plain Exception where its processes start too slowly
        trouble = _in_short(error)
        if address is None:
            raise UserError(
                f"Ray cannot start on this machine ({trouble}): try again, or set runtime.executor to local."
            ) from None
        raise UserError(
            f"runtime.address in params.yaml is {address}, and no Ray cluster can be reached there ({trouble}): start "
            f"one with `ray start --head` (docs/cluster.md says how, tokens included), or set runtime.address to null."
        ) from None
    return ray


def _knock(address: str | None) -> None:
    """See that somebody listens at host:port or ray://host:port: Ray itself would try for many minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def _import_path() -> str:
    """Where workers look for modules: this project's code first, then what this process was given."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(filter(None, [str(Path(__file__).parents[1]), *given])))


def _in_short(error: Exception) -> str:
    """The first line that says something, of Ray's many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
