"""Stages as whole processes and in workers: start-up, pace, few videos against many, one video more, memory.

A part of `make bench`.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.measure import ROUNDS, Row, peak_mb, ratio, spread
from dfdetect.arguments import parser
from dfdetect.config.params import RuntimeParams, load
from dfdetect.io.schemas import VIDEOS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.runtime.executor import run
from dfdetect.runtime.video_stage import run_stage

# Stage -> whether it imports PyTorch.
STAGES = {"faces": True, "masks": False, "mouths": False, "mels": False}
MEMORY_AIM = "flat; 600 MB and 1,500 MB"


@dataclass(frozen=True)
class Timed:
    """A stage's run: seconds, and the peak memory of its process and of its largest worker (MB)."""

    seconds: float
    main_mb: float
    worker_mb: float

    def memory(self) -> str:
        """In words."""
        return f"main {self.main_mb:.0f} MB, worker {self.worker_mb:.0f} MB"


def link_dataset(folder: Path, heads: list[Path], count: int) -> None:
    """A dataset of so many videos in `folder`: links to a few files, each with a content of its own by its hash."""
    raw = folder / "data" / "set" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        name = f"clip{number:05d}.mp4"
        if not (raw / name).exists():
            (raw / name).symlink_to(heads[number % len(heads)])
        digest = hashlib.sha256(name.encode()).hexdigest()
        rows.append({"video_id": name, "path": name, "sha256": digest, "status": "ok"})
    write_table(folder / "data" / "set" / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)


@dataclass(frozen=True)
class Noted:
    """Work for the runtime that writes down who did it and when it was begun and done (s since the epoch)."""

    work: Callable[..., Any]
    notes: Path

    def __call__(self, *args: Any) -> Any:
        """As the work itself."""
        begun = time.time()
        result = self.work(*args)
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()} {begun} {time.time()}\n")
        return result


def read_notes(path: Path) -> list[tuple[int, float, float]]:
    """Process, beginning and end of each call of a Noted work, in the order of their ends."""
    lines = (line.split() for line in path.read_text().splitlines())
    return sorted(((int(pid), float(begun), float(done)) for pid, begun, done in lines), key=lambda note: note[2])


def pace(work: Callable[[Any], object], tasks: Sequence[Any], workers: int) -> float:
    """Tasks a second through the runtime: each worker's own pace from its first result to its last, summed."""
    with tempfile.TemporaryDirectory() as name:
        notes = Path(name) / "notes"
        for outcome in run(Noted(work, notes), tasks, RuntimeParams(num_workers=workers), label=f"{workers} workers"):
            if outcome.status != "ok":
                raise RuntimeError(f"{outcome.task}: {outcome.status}: {outcome.reason}")
        ends: dict[int, list[float]] = {}
        for pid, _, done in read_notes(notes):
            ends.setdefault(pid, []).append(done)
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in ends.values() if len(times) > 1)


def print_stage(stage: str, folder: Path, workers: int) -> None:
    """Run a stage; print this process's and its largest worker's peak memory (MB)."""
    definition = importlib.import_module(f"stages.{stage}.__main__").STAGE
    params = load()
    settings = getattr(params, stage)
    if stage == "faces":
        settings = settings.model_copy(update={"face_detector": "mtcnn"})
    os.chdir(folder)
    definition = replace(definition, work=Noted(definition.work, folder.resolve() / f"{stage}.notes"))
    run_stage(definition, "set", settings, RuntimeParams(num_workers=workers))
    print(peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def timed_stage(stage: str, folder: Path, workers: int = 2) -> Timed:
    """Run a stage over folder/data/set as a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.bench_scale", stage, str(folder), str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    main, worker = map(float, done.stdout.split())
    return Timed(time.perf_counter() - start, main, worker)


def start_up(stage: str, folder: Path) -> tuple[float, Timed]:
    """Seconds from the start of a stage's process to the first of two equal videos, in one worker; and the whole run.

    What a worker loads for its first video belongs to its start: of the first video's time, as much as the second takes
    is its own.
    """
    start = time.time()
    whole = timed_stage(stage, folder, workers=1)
    (_, _, first_done), (_, second_begun, second_done) = read_notes(folder / f"{stage}.notes")
    return first_done - (second_done - second_begun) - start, whole


def bench_start_up(folder: Path, heads: list[Path], rounds: int = ROUNDS) -> list[Row]:
    """Each stage from the start of its process to its first video, all imports and models included; its memory."""
    runs: dict[str, list[tuple[float, Timed]]] = {stage: [] for stage in STAGES}
    for number in range(rounds):
        place = folder / f"pair{number}"
        link_dataset(place, heads[:1], 2)
        for stage in STAGES:
            runs[stage].append(start_up(stage, place))
    rows = []
    for stage, torch in STAGES.items():
        seconds, memory = [each for each, _ in runs[stage]], runs[stage][-1][1].memory()
        rows.append(Row(f"{stage}, start-up to the first video", spread(seconds), memory, "8 s" if torch else "3 s"))
    return rows


def bench_scaling(folder: Path, heads: list[Path], counts: tuple[int, int] = (50, 500)) -> list[Row]:
    """The faces stage over few and many videos of 3 s with two workers, and over one more than it knows already."""
    rows: list[Row] = []
    each: list[list[float]] = []
    for count in counts:
        place = folder / f"set{count}"
        link_dataset(place, heads, count)
        run = timed_stage("faces", place)
        each.append([run.seconds / count])
        slower = ratio(each[-1], each[0]).split(" (")[0] + f" that of {counts[0]}" if len(each) > 1 else ""
        what = f"faces, {count} videos of 3 s, two workers"
        rows.append(Row(what, f"{run.seconds / count:.3g} s a video", slower, ""))
        rows.append(Row(f"memory of faces, {count} videos", run.memory(), "", MEMORY_AIM))
    added, alone = [], []
    for number in range(1, ROUNDS + 1):
        link_dataset(place, heads, count + number)
        added.append(timed_stage("faces", place).seconds)
        link_dataset(folder / f"alone{number}", heads, 1)
        alone.append(timed_stage("faces", folder / f"alone{number}").seconds)
    what = f"faces, one video added to {count}, start-up included"
    return [*rows, Row(what, spread(added), ratio(added, alone) + " one alone", "3 x")]


def bench_memory(folder: Path, heads: list[Path], counts: tuple[int, int] = (500, 5000)) -> list[Row]:
    """The mels stage, whose videos are quick, over hundreds and thousands of them."""
    rows = []
    for count in counts:
        place = folder / f"sound{count}"
        link_dataset(place, heads, count)
        run = timed_stage("mels", place)
        rows.append(Row(f"memory of mels, {count:,} videos", run.memory(), "", MEMORY_AIM))
    return rows


if __name__ == "__main__":
    arguments = parser("benchmarks.bench_scale", __doc__)
    arguments.add_argument("stage", choices=STAGES)
    arguments.add_argument("folder", type=Path, help="holds data/set")
    arguments.add_argument("workers", type=int)
    print_stage(**vars(arguments.parse_args()))
