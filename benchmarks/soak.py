"""Thousands of short clips, some of them no clips at all, through every data stage while workers are killed.

`make soak`. Every video must be accounted for, every good one be `ok`, and memory stay flat.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.trials import DATASET, STAGES, Project, workers_of
from dfdetect.arguments import parser
from dfdetect.io.schemas import COVERAGE, FACES, MASKS, MELS, MOUTHS, SPLITS, VIDEOS
from dfdetect.io.tables import Shards, read_json, read_table
from synthetic.generate import generate
from synthetic.settings import GenerateSource

BASES = GenerateSource(
    seed=9, identities=12, clips_per_category=1, clip_s=0.4, fps=20, size=160, style="studio", crf=23
)
HOSTILE_SHARE = 0.01
KILL_EVERY_S = (20.0, 60.0)  # a worker takes up to 10 s to begin
SAMPLE_S = 0.5
# Peaks of the last third of a stage against those of its middle third: what may differ without being a leak.
GROWTH, GROWTH_MB = 1.15, 40


def draw(root: Path, videos: int, rng: random.Random) -> set[str]:
    """Fill root with real/ and fake/; returns the paths of the hostile files."""
    bases = root.parent / "bases"
    generate(bases, layout="folder", source=BASES, workers=2)
    clips = [(path, _decoded(path)) for path in sorted(bases.rglob("*.mp4"))]
    bad = set(rng.sample(range(videos), round(videos * HOSTILE_SHARE)))
    hostile = set()
    for number in range(videos):
        base, frames = clips[number % len(clips)]
        label = next(part for part in base.relative_to(bases).parts if part in ("real", "fake"))
        path = root / label / f"{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        _vary(path, frames, base, np.random.default_rng(number))
        if number in bad:
            path.write_bytes(_spoil(path.read_bytes(), len(hostile), rng))
            hostile.add(path.relative_to(root).as_posix())
    return hostile


def _decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as box:
        return [frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)]


def _vary(path: Path, frames: list[np.ndarray], sound: Path, rng: np.random.Generator) -> None:
    """The clip in other colours, mirrored or not, a little off its place, with noise, and its sound as it is."""
    gain, shift, mirrored = rng.uniform(0.85, 1.1, 3), rng.uniform(-6, 6, 2), rng.random() < 0.5
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    with av.open(str(path), "w") as box, av.open(str(sound)) as source:
        video = box.add_stream("libx264", rate=20, options={"preset": "ultrafast", "crf": "20"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        voice = box.add_stream_from_template(source.streams.audio[0]) if source.streams.audio else None
        for index, picture in enumerate(frames):
            picture = picture[:, ::-1] if mirrored else picture
            moved = cv2.warpAffine(np.ascontiguousarray(picture), move, frames[0].shape[1::-1], borderMode=1)
            noisy = np.clip(moved * gain + rng.normal(0, 1.5, moved.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts = index
            box.mux(video.encode(frame))
        box.mux(video.encode(None))
        if voice is not None:
            for packet in source.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = voice
                    box.mux(packet)


def _spoil(data: bytes, number: int, rng: random.Random) -> bytes:
    """A file that no decoder gets anything from; the number keeps equal ones apart."""
    mark = number.to_bytes(4, "big")
    kinds = (b"", mark + b"no video " * 40, data[: len(data) // 2], data[:80] + mark, mark + bytes(50_000))
    return (*kinds, rng.randbytes(20_000))[number % 6]


@dataclass
class Watch:
    """Watches one command: its memory over time, and now and then the end of one of its workers.

    main, workers: (s since its start, MB) of the command, and of its largest worker.
    """

    pid: int
    rng: random.Random
    main: list[tuple[float, float]] = field(default_factory=list)
    workers: list[tuple[float, float]] = field(default_factory=list)
    kills: int = 0

    def until(self, ended: threading.Event) -> None:
        """Look every half second until the command has ended."""
        start = time.monotonic()
        next_kill = start + self.rng.uniform(*KILL_EVERY_S)
        while not ended.wait(SAMPLE_S):
            now, alive = time.monotonic(), workers_of(self.pid)
            self.main.append((now - start, _resident_mb(self.pid)))
            self.workers.append((now - start, max(map(_resident_mb, alive), default=0.0)))
            if now > next_kill and alive:
                next_kill = now + self.rng.uniform(*KILL_EVERY_S)
                try:
                    os.kill(self.rng.choice(alive), signal.SIGKILL)
                    self.kills += 1
                except ProcessLookupError:
                    pass


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def thirds(samples: list[tuple[float, float]]) -> list[float]:
    """The peak of each third of the time (MB)."""
    if not samples:
        return [0.0] * 3
    end = samples[-1][0]
    return [
        max((mb for at, mb in samples if end * third / 3 <= at <= end * (third + 1) / 3), default=0.0)
        for third in range(3)
    ]


def run_stage(project: Project, stage: str, rng: random.Random) -> Iterator[Watch]:
    """Run a stage again and again until it ends well and no video of it is lost to a killed worker."""
    for _ in range(20):
        process = project.start(stage)
        watch, ended = Watch(process.pid, rng), threading.Event()
        thread = threading.Thread(target=watch.until, args=(ended,))
        thread.start()
        code = process.wait()
        ended.set()
        thread.join()
        yield watch
        if code == 0 and not lost(project, stage):
            return
        if code not in (0, 2):
            raise RuntimeError(f"{stage} ended with {code}:\n{project.said(stage)}")
    raise RuntimeError(f"{stage} did not end well in 20 runs:\n{project.said(stage)}")


def lost(project: Project, stage: str) -> int:
    """Videos whose last state is that of a killed worker."""
    return int(read_json(project.root / "metrics" / DATASET / f"{stage}.json").get("status", {}).get("crashed", 0))


def check(project: Project, videos: int, hostile: set[str]) -> None:
    """Every video is in every table that must have it, and has the state that it must have."""
    folder = project.root / "data" / DATASET
    rows = read_table(folder / "videos.parquet", VIDEOS).to_pylist()
    paths = {row["video_id"]: row["path"] for row in rows}
    assert len(paths) == videos, len(paths)
    wrong = {row["path"] for row in rows if row["status"] != "ok"}
    assert wrong == hostile, sorted(wrong ^ hostile)[:5]
    coverage = {row["video_id"]: row for row in read_table(folder / "faces/coverage.parquet", COVERAGE).to_pylist()}
    assert coverage.keys() == paths.keys()
    for video_id, row in coverage.items():
        bad = paths[video_id] in hostile
        assert row["status"] == ("unreadable" if bad else "ok"), row
        assert not bad or row["reason"], row
    good = {video_id for video_id, path in paths.items() if path not in hostile}
    assert set(Shards(folder / "faces", FACES).video_ids) == good
    assert set(Shards(folder / "masks", MASKS).video_ids) == good
    assert set(Shards(folder / "mouths", MOUTHS).video_ids) <= good
    assert set(Shards(folder / "mels", MELS).video_ids) <= set(paths)
    for stage in ("faces", "masks", "mouths", "mels"):
        metrics = read_json(project.root / "metrics" / DATASET / f"{stage}.json")
        assert sum(metrics["status"].values()) == videos, (stage, metrics["status"])
    assert {row["video_id"] for row in read_table(folder / "splits.parquet", SPLITS).to_pylist()} == paths.keys()
    assert project.leftovers() == [], project.leftovers()[:5]


def main() -> None:
    """Draw, run, check, and print a line a stage as a Markdown table."""
    arguments = parser("benchmarks.soak", __doc__)
    arguments.add_argument("--videos", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        root = Path(place) / "clips"
        hostile = draw(root, asked.videos, rng)
        print(f"{asked.videos} clips, {len(hostile)} of them hostile\n", flush=True)
        project = Project(Path(place) / "project", {"kind": "directory", "path": str(root)})
        print("| stage | runs | workers killed | s | main process, MB by thirds | largest worker, MB by thirds |")
        print("|---|---|---|---|---|---|")
        grown = []
        for stage in STAGES:
            start = time.monotonic()
            watches = list(run_stage(project, stage, rng))
            longest = max(watches, key=lambda watch: len(watch.main))
            peaks = [thirds(longest.main), thirds(longest.workers)]
            shown = [" / ".join(f"{mb:.0f}" for mb in peak) for peak in peaks]
            kills, spent = sum(watch.kills for watch in watches), time.monotonic() - start
            print(f"| {stage} | {len(watches)} | {kills} | {spent:.0f} | {shown[0]} | {shown[1]} |", flush=True)
            grown += [
                f"{stage}: {peak}"
                for peak in peaks
                if len(longest.main) > 60 and peak[2] > peak[1] * GROWTH + GROWTH_MB
            ]
        check(project, asked.videos, hostile)
        states = Counter(read_json(project.root / "metrics" / DATASET / "faces.json")["status"])
        print(f"\nevery video accounted for: {dict(states)}; leftovers: none; memory {'grew' if grown else 'flat'}")
        if grown:
            raise SystemExit(f"memory grew within a stage: {grown}")


if __name__ == "__main__":
    main()
