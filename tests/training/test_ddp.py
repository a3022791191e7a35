"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tables import clips, write_faces

ROOT = Path(__file__).parents[2]
# `python -m tests.training.ddp_main` in both processes: Lightning starts the second with the first one's command line
COMMAND = [sys.executable, "-m", "tests.training.ddp_main"]
RECIPE = {"epochs": 2, "lr": 0.01, "frames_per_video": 4, "val_frames_per_video": 5}
SETTINGS = {"drop_rate": 0.0, "norm": False}  # what draws or averages within a process differs between the two


def run(log: Path, **extra: str) -> int | None:
    """Train in a process of its own, until it and all that it started have ended. Returns its exit code."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **extra}
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT", "PL_GLOBAL_SEED"):
        env.pop(name, None)
    deadline = time.monotonic() + 400
    with log.open("w") as file:
        started = subprocess.Popen(COMMAND, cwd=log.parent, env=env, stdout=file, stderr=file, start_new_session=True)
    while started.poll() is None or is_alive(started.pid):
        if time.monotonic() > deadline:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            return None
        time.sleep(0.1)
    return started.returncode


def is_alive(group: int) -> bool:
    """Is any process of the group left?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def trained(project: Path) -> tuple[dict[str, object], dict[str, torch.Tensor], str]:
    """Train to the end; returns metrics, weights and what was printed."""
    log = project / "log.txt"
    code = run(log)
    assert code == 0, log.read_text()
    metrics = json.loads((project / "metrics/details/train.json").read_text())
    return metrics, load_file(project / "models/detector/model.safetensors"), log.read_text()


@pytest.mark.slow
def test_two_processes_equal_one_also_after_an_interruption(project: Path, write_params: Callable[..., Path]) -> None:
    # an odd number of validation samples does not part evenly, and one of them cannot be read
    made = clips(train=8, val=7)
    write_faces(project / "data/made", made, spoiled=frozenset({"val/clip002.mp4"}))
    write_params(**RECIPE, settings=SETTINGS, batch_size=8, devices=1, drop_last=True, num_candidates=None)
    single, weights, _ = trained(project)
    write_params(
        **RECIPE, settings=SETTINGS, batch_size=4, devices=2, strategy="ddp", num_candidates=None, checkpoint_steps=1
    )
    log = project / "log.txt"
    assert run(log, TERM_AFTER_SAVE="1") == 2, log.read_text()
    assert "the training was interrupted; its state is in" in log.read_text()
    double, again, printed = trained(project)
    assert "resuming the interrupted training" in printed
    assert double["data"] == single["data"]
    assert double["unreadable"] == single["unreadable"]
    assert set(weights) == set(again)
    for name, value in weights.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-4)
    for name in ("val_auc", "val_frame_auc", "train_acc", "val_acc", "val_frame_acc", "val_loss", "train_loss"):
        assert double["best"][name] == pytest.approx(single["best"][name], abs=1e-3)
