"""The GPU benchmark's code runs, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "benchmarks.bench_gpu"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([*COMMAND, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_smoke_runs_all_of_it() -> None:
    page = ROOT / "docs/benchmarks-gpu.md"
    before = page.read_bytes() if page.exists() else None
    done = run("--smoke")
    assert done.returncode == 0, done.stderr
    assert "| recipe `large_gpu`, batch 4, from Parquet |" in done.stdout
    assert "waits for data" in done.stdout
    assert "| 3 |" in done.stdout
    assert (page.read_bytes() if page.exists() else None) == before


def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 2, done.stdout
    assert "no usable GPU" in done.stderr
    assert "Traceback" not in done.stderr
