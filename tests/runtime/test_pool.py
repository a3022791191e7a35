"""Workers that crash, hang or eat memory cost one task each."""

from __future__ import annotations

import multiprocessing.spawn
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dfdetect.config.params import RuntimeParams
from dfdetect.errors import MediaError, UserError
from dfdetect.runtime.executor import run, worker_count


def square(x: int) -> int:
    time.sleep(0.02 if x % 2 else 0)
    return x * x


def misbehave(what: str) -> str:
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(60)
    if what == "memory":
        return str(len(bytearray(3_000_000_000)))
    if what == "array":
        import numpy as np

        return str(np.ones(400_000_000).sum())
    if what == "media":
        raise MediaError("no video stream", "no_video")
    if what == "bug":
        raise ValueError("unforeseen")
    if what == "user":
        raise UserError("weights are missing")
    return what


def runtime(workers: int, memory_limit_mb: int = 1500) -> RuntimeParams:
    return RuntimeParams(num_workers=workers, memory_limit_mb=memory_limit_mb)


def test_results_come_in_the_order_of_the_tasks() -> None:
    outcomes = list(run(square, list(range(40)), runtime(2), label="test"))
    assert [o.task for o in outcomes] == list(range(40))
    assert [o.value for o in outcomes] == [x * x for x in range(40)]
    assert {o.status for o in outcomes} == {"ok"}


def test_the_bar_counts_videos_and_not_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert [o.value for o in run(len, ["abc", "de"], runtime(1), label="download x", videos=len)] == [3, 2]
    shown = capsys.readouterr().err
    assert "download x: 100%" in shown
    assert " 5/5 " in shown
    assert "video/s" in shown


def test_workers_that_cannot_start_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    resource_tracker.ensure_running()  # or it too would be what stands in for Python below
    monkeypatch.setattr("dfdetect.runtime.pool.START_LIMIT_S", 1.0)
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(shutil.which("false") or ""))
    with pytest.raises(UserError, match="end before they take a task: is the environment whole"):
        list(run(square, [1, 2], runtime(2), label="test"))


def test_no_tasks_start_no_worker() -> None:
    assert list(run(square, [], runtime(2), label="test")) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory limits are set on Linux only")
def test_each_kind_of_failure_costs_one_task_and_says_why() -> None:
    tasks = ["a", "crash", "b", "hang", "c", "memory", "array", "media", "bug", "d"]
    outcomes = {o.task: o for o in run(misbehave, tasks, runtime(2), label="test", timeout_s=4)}
    assert [outcomes[t].value for t in "abcd"] == list("abcd")
    assert outcomes["crash"].status == "crashed"
    assert "SIGSEGV" in str(outcomes["crash"].reason)
    assert (outcomes["hang"].status, outcomes["hang"].reason) == ("timeout", "took longer than 4 s")
    assert outcomes["memory"].status == outcomes["array"].status == "out_of_memory"
    assert (outcomes["media"].status, outcomes["media"].reason) == ("no_video", "no video stream")
    assert outcomes["bug"].status == "failed"
    assert "ValueError: unforeseen" in str(outcomes["bug"].reason)


def test_a_user_error_stops_the_run() -> None:
    with pytest.raises(UserError, match="weights are missing"):
        list(run(misbehave, ["a", "user", "b"], runtime(1), label="test"))


def write_pid_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody waits for counts."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at /proc")
def test_a_killed_run_leaves_no_worker_behind(tmp_path: Path) -> None:
    code = (
        "from dfdetect.runtime.executor import run; from dfdetect.config.params import RuntimeParams\n"
        "from tests.runtime import test_pool\n"
        f"list(run(test_pool.write_pid_and_wait, [{str(tmp_path / 'pid')!r}], RuntimeParams(), label='test'))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as process:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 30
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


THREADED = """
import sys

import cv2, numpy, scipy.fft

if "torch" in sys.argv:
    import torch

from dfdetect.runtime.executor import run
from dfdetect.runtime.threads import one_thread
from dfdetect.config.params import RuntimeParams


def threads(_):
    from threadpoolctl import threadpool_info

    import torch

    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    found = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    return {**found, "torch": torch.get_num_threads(), "cv2": cv2.getNumThreads()}


if __name__ == "__main__":
    (outcome,) = run(threads, [0], RuntimeParams(num_workers=1), label="test")
    assert outcome.status == "ok", outcome
    assert len(outcome.value) >= 4, outcome
    assert set(outcome.value.values()) == {1}, outcome
    before = threads(0)
    assert min(before.values()) > 1, before
    with one_thread():
        assert set(threads(0).values()) == {1}, threads(0)
    assert threads(0) == before, (before, threads(0))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="libraries take one thread anyway on one processor")
@pytest.mark.parametrize("brought", ["torch", "nothing"])
def test_a_worker_computes_on_one_thread_whatever_the_main_module_imports(tmp_path: Path, brought: str) -> None:
    """A spawned worker imports the caller's main module first, before its environment is set."""
    script = tmp_path / "script.py"
    script.write_text(THREADED)
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, str(script), brought]
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FORKED = """
import multiprocessing

import cv2, numpy

from dfdetect.runtime.threads import use_one_thread

picture = numpy.zeros((2000, 2000, 3), numpy.uint8)
for _ in range(20):
    cv2.setNumThreads(4)
    cv2.GaussianBlur(picture, (31, 31), 5)  # OpenCV's own threads are there now
    child = multiprocessing.get_context("fork").Process(target=use_one_thread)
    child.start()
    child.join(20)
    code = child.exitcode
    child.kill()  # or this process would wait for it at its end
    assert code == 0, code
"""


def test_a_forked_process_of_one_thread_does_not_wait_for_threads_that_are_not_there() -> None:
    command, root = [sys.executable, "-c", FORKED], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_auto_takes_the_processors_that_may_be_used() -> None:
    assert worker_count(RuntimeParams()) == len(os.sched_getaffinity(0))
    assert worker_count(RuntimeParams(num_workers=3)) == 3
