"""The Ray runtime on this machine with two workers: as the local one, and a worker that is killed costs nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dfdetect.config.params import MouthsParams, RuntimeParams
from dfdetect.errors import UserError
from dfdetect.io.schemas import MOUTHS, VIDEOS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.runtime.executor import run
from dfdetect.runtime.video_stage import Video, VideoStage, run_stage
from tests.runtime import test_pool
from tests.runtime import test_video_stage as test_per_video

ray = pytest.importorskip("ray", reason="Ray is not installed: `make cluster`", exc_type=ImportError)

RAY = RuntimeParams(executor="ray", num_workers=2, timeout_s=60, memory_limit_mb=1500)
LOCAL = RuntimeParams(num_workers=2, timeout_s=60, memory_limit_mb=1500)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    settings = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "log_to_driver": False}
    for attempt in range(3):  # on a busy machine Ray's own processes may take longer than the 30 s that it gives them
        try:
            ray.init(address="local", logging_level="CRITICAL", **settings)
            break
        except Exception:  # Ray's own word for it
            ray.shutdown()
            if attempt == 2:
                raise
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kill_worker(task: tuple[str, int]) -> int:
    """Kill the actor that this process works for: at task 5 the first time; at a negative task every time."""
    folder, number = Path(task[0]), task[1]
    if number < 0 or (number == 5 and not (folder / "killed").exists()):
        (folder / "killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    (folder / f"pid{os.getpid()}").touch()
    return number * number


def kill_and_work(video: Video, faces: Any, params: MouthsParams) -> Any:
    if video.video_id == "v5" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return test_per_video.work(video, faces, params)


def where(_: int) -> tuple[str | None, str]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getcwd()


def test_each_kind_of_outcome_is_that_of_the_local_engine_in_the_same_order() -> None:
    tasks = ["a", "crash", "b", "hang", "c", "memory", "media", "bug", "d"]
    ours = list(run(test_pool.misbehave, tasks, RAY, label="test", timeout_s=5))
    assert [outcome.task for outcome in ours] == tasks
    assert ours == list(run(test_pool.misbehave, tasks, LOCAL, label="test", timeout_s=5))


def test_many_tasks_come_in_order_and_few_are_under_way_at_once() -> None:
    drawn: list[int] = []

    class Tasks(list[int]):
        def __iter__(self) -> Iterator[int]:
            for task in range(60):
                drawn.append(task)
                yield task

    outcomes = run(test_pool.square, Tasks(range(60)), RAY, label="test")
    assert next(outcomes).value == 0
    assert len(drawn) - 60 < 40  # the bar has counted all of them
    assert [outcome.value for outcome in outcomes] == [x * x for x in range(1, 60)]


def test_a_user_error_stops_the_run_and_frees_the_workers() -> None:
    with pytest.raises(UserError, match="weights are missing"):
        list(run(test_pool.misbehave, ["a", "hang", "user", "b"], RAY, label="test", timeout_s=2))
    assert [o.value for o in run(test_pool.square, [3, 4], RAY, label="test")] == [9, 16]
    assert not list(Path(".cache/cluster").iterdir())


def test_the_task_of_a_killed_worker_goes_to_another(project: Path) -> None:
    outcomes = list(run(kill_worker, [(str(project), number) for number in range(12)], RAY, label="test"))
    assert [outcome.value for outcome in outcomes] == [number * number for number in range(12)]
    assert Path("killed").exists()
    assert len(list(project.glob("pid*"))) >= 2


def test_a_task_that_kills_every_worker_is_given_up(project: Path) -> None:
    outcomes = list(run(kill_worker, [(str(project), number) for number in (1, -1, 2)], RAY, label="test"))
    assert [outcome.value for outcome in outcomes] == [1, None, 4]
    assert outcomes[1].status == "crashed"
    assert str(outcomes[1].reason).startswith("its worker was lost 3 times")


def index(count: int) -> None:
    rows = []
    raw = Path("data/set/raw")
    raw.mkdir(parents=True)
    for number in range(count):
        name, text = f"v{number}", "bad" if number == 3 else f"text {number}"
        (raw / name).write_text(text)
        rows.append(
            {"video_id": name, "path": name, "sha256": hashlib.sha256(text.encode()).hexdigest(), "status": "ok"}
        )
    write_table(Path("data/set/videos.parquet"), from_rows(rows, VIDEOS), VIDEOS)


def test_a_stage_writes_the_bytes_of_the_local_engine_though_a_worker_is_killed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(12)
    stage = VideoStage("mouths", MOUTHS, ("dfdetect/runtime/cache.py",), kill_and_work)
    metrics = run_stage(stage, "set", MouthsParams(), RAY)
    assert Path("killed").exists()
    assert metrics["status"] == {"ok": 11, "unreadable": 1}
    ours = test_per_video.digest()
    monkeypatch.chdir(tmp_path_factory.mktemp("local"))
    index(12)
    Path("killed").touch()
    assert run_stage(stage, "set", MouthsParams(), LOCAL) == metrics
    assert test_per_video.digest() == ours


def slow_square(number: int) -> tuple[int, int]:
    time.sleep(0.25)
    return number * number, os.getppid()


NODES = """
import ray
from ray.cluster_utils import Cluster

from dfdetect.runtime.executor import run
from dfdetect.config.params import RuntimeParams
from tests.runtime.test_ray import slow_square

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    runtime = RuntimeParams(executor="ray", address=cluster.address, num_workers=2, timeout_s=60, memory_limit_mb=1500)
    found, removed = [], False
    for outcome in run(slow_square, list(range(60)), runtime, label="test"):
        found.append(outcome.value)
        if not removed and len({worker for _, worker in found}) == 2:  # both nodes are at work
            cluster.remove_node(second, allow_graceful=False)
            removed = True
    assert removed
    assert [value for value, _ in found] == [number * number for number in range(60)], found
    assert len({worker for _, worker in found[-8:]}) == 1, found
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_run_outlives_the_loss_of_a_machine(project: Path) -> None:
    """Two nodes of a cluster, each with its own raylet; one is removed in the middle, without a word to its workers."""
    (project / "nodes.py").write_text(NODES)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "nodes.py"]
    done = subprocess.run(command, env=env, cwd=project, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_workers_of_a_stage_with_a_device_take_their_share_of_a_gpu_and_others_none() -> None:
    runtime = RAY.model_copy(update={"gpus_per_worker": 0.5})
    with_gpu = [o.value for o in run(where, [1, 2], runtime, label="test", gpu=True)]
    assert with_gpu == [("0", os.getcwd())] * 2
    assert {o.value[0] for o in run(where, [1, 2], runtime, label="test") if o.value} <= {"", None}


def test_a_cluster_without_room_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfdetect.runtime.ray.START_S", 2.0)
    runtime = RAY.model_copy(update={"gpus_per_worker": 8.0})
    with pytest.raises(UserError, match=r"one takes 1 processor and 8 of a GPU, and of 2 processors and 1 GPUs"):
        list(run(test_pool.square, [1], runtime, label="test", gpu=True))


def test_a_folder_that_workers_do_not_see_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfdetect.runtime.ray.Path.cwd", lambda: Path("/elsewhere"))
    with pytest.raises(UserError, match=r"does not see /elsewhere/\.cache/cluster/\w+/driver.*must be shared"):
        list(run(test_pool.square, [1], RAY, label="test"))


def test_an_address_where_no_cluster_is_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"runtime\.address in params.yaml is {address}, and no Ray cluster"):
            list(run(test_pool.square, [1], RAY.model_copy(update={"address": address}), label="test"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="make cluster"):
        list(run(test_pool.square, [1], RAY, label="test"))
