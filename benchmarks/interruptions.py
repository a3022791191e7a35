"""Kill the data stages at random moments, run them again, and compare what they publish with an undisturbed run's.

`make interruptions`. Each trial empties one stage, starts its real command, sends SIGKILL to the whole process group,
to one worker, or to the command alone, and runs the command again until it succeeds. Then the bytes must be those of
the undisturbed run, nothing unfinished may be left, and no finished video may be computed twice.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.trials import CLIPS, DATASET, STAGES, Project, kill_group, workers_of
from dfdetect.arguments import parser

TARGETS = ("group", "worker", "command")
# Of the undisturbed time, the moments at which a kill may come.
MOMENTS = (0.02, 1.05)
MAX_RUNS = 6


@dataclass(frozen=True)
class Trial:
    """What came of one kill.

    hit: whether the stage was still running. runs: commands until one succeeded. lost: finished videos computed again.
    """

    stage: str
    target: str
    hit: bool
    runs: int
    lost: int


def outputs(stage: str) -> tuple[str, ...]:
    """Names of what a stage publishes."""
    return {"download": ("raw", "videos", "download"), "audit": ("leaks", "audit")}.get(stage, (stage,))


def empty(project: Project, stage: str) -> None:
    """Remove what a stage has published and remembers, as if it had never run."""
    data, cache = project.root / "data" / DATASET, project.root / ".cache"
    for name in outputs(stage):
        for path in (data / name, data / f"{name}.parquet", data / f"{name}.csv", data / f"{name}.partial"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for path in (project.root / "metrics" / DATASET).rglob(f"{name}.*"):
            path.unlink()
    shutil.rmtree(cache / "results" / stage, ignore_errors=True)
    if stage == "download":
        shutil.rmtree(cache / "download", ignore_errors=True)


def kill(project: Project, stage: str, target: str, after_s: float, rng: random.Random) -> bool:
    """Start a stage and kill a part of it after some time; returns whether anything was there to kill."""
    process = project.start(stage)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    workers = workers_of(process.pid)
    if process.poll() is not None or (target == "worker" and not workers):
        kill_group(process)
        return False
    if target == "group":
        kill_group(process)
    else:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(workers) if target == "worker" else process.pid, signal.SIGKILL)
        process.wait()
    return True


def again(project: Project, stage: str, wanted: dict[str, str]) -> int:
    """Run a stage until it publishes what it must; returns how many runs that took."""
    for run in range(1, MAX_RUNS + 1):
        code = project.start(stage).wait()
        if code == 0 and project.artifacts(*outputs(stage)) == wanted:
            return run
        if code not in (0, 2):
            raise RuntimeError(f"{stage} ended with {code}:\n{project.said(stage)}")
    raise AssertionError(f"{stage} differs from the undisturbed run after {MAX_RUNS} runs:\n{project.said(stage)}")


def trial(
    project: Project, stage: str, target: str, after_s: float, wanted: dict[str, str], rng: random.Random
) -> Trial:
    """One kill and what comes after."""
    empty(project, stage)
    hit = kill(project, stage, target, after_s, rng)
    kept = {path: path.stat().st_ino for path in project.entries(stage)}
    runs = again(project, stage, wanted)
    left = [path for path in project.leftovers() if f"/{stage}" in path or "raw" in path]
    if left:
        raise AssertionError(f"{stage}: left behind: {left}")
    lost = sum(not path.exists() or path.stat().st_ino != inode for path, inode in kept.items())
    if lost:
        raise AssertionError(f"{stage}: {lost} finished videos were computed again")
    return Trial(stage, target, hit, runs, lost)


def main() -> None:
    """Run undisturbed, then trial after trial; print a Markdown table."""
    arguments = parser("benchmarks.interruptions", __doc__)
    arguments.add_argument("--kills", type=int, default=54, help="that must hit a running stage, in all")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--find", action="store_true", help="find faces with PyTorch, which takes longer to start")
    asked = arguments.parse_args()
    rng = random.Random(asked.seed)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="interruptions-") as place:
        project = Project(Path(place), {**CLIPS, "identities": 2}, layout="fakeavceleb", cropped=not asked.find)
        spent, wanted = {}, {}
        for stage in STAGES:
            start = time.monotonic()
            project.run(stage)
            spent[stage], wanted[stage] = time.monotonic() - start, project.artifacts(*outputs(stage))
        alone = [(stage, "worker") for stage in ("splits", "audit")]  # these two have no workers
        pairs = [pair for pair in product(STAGES, TARGETS) if pair not in alone]
        while sum(each.hit for each in trials) < asked.kills:
            stage, target = pairs[len(trials) % len(pairs)]
            moment = rng.uniform(*MOMENTS) * spent[stage]
            trials.append(trial(project, stage, target, moment, wanted[stage], rng))
            print(f"  {trials[-1]} at {moment:.1f} of {spent[stage]:.1f} s", flush=True)
    print("\n| stage | kills of the group | of a worker | of the command alone | most runs | videos computed twice |")
    print("|---|---|---|---|---|---|")
    for stage in STAGES:
        mine = [each for each in trials if each.stage == stage]
        hits = Counter(each.target for each in mine if each.hit)
        counted = " | ".join(str(hits[target]) for target in TARGETS)
        runs, twice = max((each.runs for each in mine), default=0), sum(each.lost for each in mine)
        print(f"| {stage} | {counted} | {runs} | {twice} |")
    print(f"\n{sum(each.hit for each in trials)} kills of running stages; every artifact has the undisturbed bytes.")


if __name__ == "__main__":
    main()
