"""A small project in a folder of its own, for the reliability runs: its stages as real commands, and what they left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
STAGES = ("download", "faces", "masks", "mouths", "mels", "splits", "audit")
DATASET = "trial"
# Of the drawn clips: as short and small as the stages take them.
CLIPS = {
    "kind": "generate", "seed": 5, "clips_per_category": 1,
    "clip_s": 0.4, "fps": 20, "size": 160, "style": "studio", "crf": 23,
}  # fmt: skip
# Names that writers use before a file or folder is whole.
_UNFINISHED = (".tmp", ".old", ".partial")


@dataclass
class Project:
    """A copy of the code with one dataset, in `root`.

    Args:
        root: made if absent.
        source: of the dataset, as in params.yaml.
        layout: of the dataset.
        workers: processes of a stage.
        cropped: take whole frames for face crops: no face name, and so no PyTorch, is loaded.
        env: environment of its commands, beside this process's own.
    """

    root: Path
    source: dict[str, Any]
    layout: str = "folder"
    workers: int = 2
    cropped: bool = False
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for package in ("stages", "dfdetect", "synthetic"):
            shutil.copytree(ROOT / package, self.root / package, ignore=shutil.ignore_patterns("__pycache__"))
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["run"]["datasets"] = [DATASET]
        params["runtime"].update(num_workers=self.workers)
        entry = {"layout": self.layout, "face_detector": "mtcnn", "source": self.source, "cropped": self.cropped}
        params["datasets"] = {DATASET: entry}
        params["faces"].update(frames_per_video=2, image_size=128, device="cpu")
        params["masks"].update(max_iterations=1)
        params["mouths"].update(parts=2, frames_per_part=1, image_size=32)
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    def start(self, stage: str) -> subprocess.Popen[str]:
        """Start a stage as its own command and process group; what it says goes to a file."""
        with (self.root / f"{stage}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"stages.{stage}", "--dataset", DATASET],
                cwd=self.root,
                env={**os.environ, **self.env},
                stdout=log,
                stderr=log,
                start_new_session=True,
                text=True,
            )

    def said(self, stage: str) -> str:
        """What the last command of a stage wrote."""
        return (self.root / f"{stage}.log").read_text(encoding="utf-8", errors="replace")

    def run(self, stage: str) -> None:
        """Run a stage to its end; anything but success is an error that holds what it said."""
        code = self.start(stage).wait()
        if code:
            raise RuntimeError(f"{stage} ended with {code}:\n{self.said(stage)}")

    def artifacts(self, *names: str) -> dict[str, str]:
        """sha256 of every published file under data/ and metrics/, or of those whose path has one of `names` in it."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for top in ("data", "metrics")
            for path in sorted((self.root / top).rglob("*"))
            if path.is_file() and (not names or any(name in path.parts or name == path.stem for name in names))
        }

    def leftovers(self) -> list[str]:
        """What looks unfinished, anywhere."""
        return sorted(
            path.relative_to(self.root).as_posix()
            for top in ("data", "metrics", ".cache")
            for path in (self.root / top).rglob("*")
            if path.suffix in _UNFINISHED or path.name in ("raw.partial", "raw.names")
        )

    def entries(self, stage: str) -> set[Path]:
        """The finished videos of a stage: its entries in the results."""
        return set((self.root / ".cache/results" / stage).rglob("*.parquet"))


def workers_of(pid: int) -> list[int]:
    """The worker processes of a command: its children that run multiprocessing's spawned main."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            spawned = parent == pid and b"spawn_main" in (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):  # it has ended meanwhile
            continue
        if spawned:
            found.append(int(entry.name))
    return found


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a command and all its workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
