"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.synthetic import clips, write_faces

ROOT = Path(__file__).parents[2]
# `python -m tests.train.ddp_main` in both processes: Lightning starts the second with the first one's command line
COMMAND = [sys.executable, "-m", "tests.train.ddp_main"]
RECIPE = {"epochs": 2, "lr": 0.01, "frames_per_video": 4, "val_frames_per_video": 5}
SETTINGS = {"drop_rate": 0.0, "norm": False}  # what draws or averages within a process differs between the two


def run(project: Path) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """Train in a process of its own; returns metrics and weights."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT", "PL_GLOBAL_SEED"):
        env.pop(name, None)
    log = project / "log.txt"
    with log.open("w") as file:  # in a session of its own: a hanging training is ended with the processes it started
        started = subprocess.Popen(COMMAND, cwd=project, env=env, stdout=file, stderr=file, start_new_session=True)
        try:
            code = started.wait(timeout=400)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            code = None
    assert code == 0, log.read_text()
    metrics = json.loads((project / "metrics/train.json").read_text())
    return metrics, load_file(project / "models/detector/model.safetensors")


@pytest.mark.slow
def test_two_processes_equal_one(project: Path, write_params: Callable[..., Path]) -> None:
    # an odd number of validation samples does not part evenly, and one of them cannot be read
    made = clips(train=8, val=7)
    write_faces(project / "data/made", made, spoiled=frozenset({"val/clip002.mp4"}))
    write_params(**RECIPE, settings=SETTINGS, batch_size=8, devices=1, drop_last=True, num_candidates=None)
    single, weights = run(project)
    write_params(**RECIPE, settings=SETTINGS, batch_size=4, devices=2, strategy="ddp", num_candidates=None)
    double, again = run(project)
    assert double["data"] == single["data"]
    assert double["unreadable"] == single["unreadable"]
    assert set(weights) == set(again)
    for name, value in weights.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-4)
    for name in ("val_auc", "val_frame_auc", "val_loss", "train_loss"):
        assert double["best"][name] == pytest.approx(single["best"][name], abs=1e-3)
