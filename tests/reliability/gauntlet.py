"""Hostile files through the stages, as `dvc repro` and predict run them: which row each file got, and what is wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dfdetect.config.params import DatasetParams, FacesParams, MelsParams, RuntimeParams
from dfdetect.datasets.sources.index import download
from dfdetect.datasets.tree import on_disk
from dfdetect.inference.predictor import Predictor
from dfdetect.io.schemas import COVERAGE, FACES, MELS, VIDEOS
from dfdetect.io.tables import Shards, read_json, read_table
from dfdetect.media.image import decode
from dfdetect.runtime.video_stage import run_stage
from stages.faces import STAGE as FACES_STAGE
from stages.mels import STAGE as MELS_STAGE
from tests.evaluation.saved_models import save_model

STAGES = ("probe", "faces", "mels", "predict")
# What the runtime says of work that ended in no foreseen way; a hostile file must not get so far.
UNFORESEEN = frozenset({"crashed", "failed", "timeout", "out_of_memory"})
CROP = 64
FACES_OF = FacesParams(
    face_detector="mtcnn", frames_per_video=3, image_size=CROP, device="cpu", max_failed_fraction=1.0
)
MELS_OF = MelsParams(max_failed_fraction=1.0)


@dataclass
class Found:
    """What became of the files.

    rows: stage -> file name -> status. violations: in words.
    """

    rows: dict[str, dict[str, str]] = field(default_factory=lambda: {stage: {} for stage in STAGES})
    violations: list[str] = field(default_factory=list)

    def add(self, stage: str, name: str, status: str, reason: str | None, problem: str | None) -> None:
        """Note a file's row, and what is wrong with it: `problem` of a row that is ok."""
        self.rows[stage][name] = status
        if status in UNFORESEEN:
            self.violations.append(f"{stage}: {name}: {status}: {reason}")
        elif status != "ok" and not reason:
            self.violations.append(f"{stage}: {name}: {status} without a reason")
        elif problem:
            self.violations.append(f"{stage}: {name}: {status}, and {problem}")


def run_gauntlet(files: Sequence[Path], place: Path, runtime: RuntimeParams) -> Found:
    """Take files through probe, faces, mels and predict, each in worker processes with the runtime's limits.

    Args:
        files: the hostile files, each name once.
        place: an empty folder to work in.
        runtime: workers, time and memory limits.
    """
    clips = place / "clips" / "real"
    clips.mkdir(parents=True)
    for path in files:
        (clips / path.name).symlink_to(path)
    found = Found()
    with _inside(place):
        _stages(found, place / "clips", runtime)
        _predict(found, place / "clips", place / "detector", runtime)
    expected = {path.name for path in files}
    for stage, rows in found.rows.items():
        if lost := sorted(expected - set(rows)):
            found.violations.append(f"{stage}: {len(lost)} files have no row, the first {lost[0]}")
    return found


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _stages(found: Found, clips: Path, runtime: RuntimeParams) -> None:
    source = {"kind": "directory", "path": str(clips)}
    entry = DatasetParams.model_validate({"layout": "folder", "source": source, "max_failed_fraction": 1.0})
    download("hostile", entry, runtime)
    run_stage(FACES_STAGE, "hostile", FACES_OF, runtime)
    run_stage(MELS_STAGE, "hostile", MELS_OF, runtime)
    data = Path("data/hostile")
    for row in read_table(data / "videos.parquet", VIDEOS).to_pylist():
        found.add("probe", _name(row), row["status"], row["reason"], _odd_probe(row) if row["status"] == "ok" else None)
    faces, mels = Shards(data / "faces", FACES), Shards(data / "mels", MELS)
    for row in read_table(data / "faces/coverage.parquet", COVERAGE).to_pylist():
        crops = faces.read(row["video_id"]).to_pylist()
        problem = "it has no crops" if row["status"] == "ok" and not crops else _odd_crops(crops)
        found.add("faces", _name(row), row["status"], row["reason"], problem)
    for video_id in mels.video_ids:
        (mel,) = mels.read(video_id).to_pylist()
        found.add("mels", _name(mel), mel["status"], mel["reason"], _odd_mel(mel))
    for failure in read_json(Path("metrics/hostile/mels.json"))["failures"]:  # those of the runtime have no row
        if failure["video_id"] not in mels:
            found.add("mels", _name(failure), failure["status"], failure["reason"], None)


def _name(row: dict[str, Any]) -> str:
    return Path(on_disk(row["video_id"])).name


def _odd_probe(row: dict[str, Any]) -> str | None:
    if not (row["width"] > 0 and row["height"] > 0):
        return f"its size is {row['width']}x{row['height']}"
    wrong = [name for name in ("duration_s", "fps") if row[name] is not None and not 0 < row[name] < math.inf]
    return f"{wrong[0]} is {row[wrong[0]]}" if wrong else None


def _odd_crops(crops: list[dict[str, Any]]) -> str | None:
    for crop in crops:
        if decode(crop["image"]).shape != (CROP, CROP, 3):
            return f"the crop of frame {crop['frame_index']} has another size"
        numbers = [*crop["box"], crop["score"], *crop["keypoints"], *crop["crop_box"], crop["time_s"] or 0.0]
        if not np.isfinite(numbers).all():
            return f"frame {crop['frame_index']} has a number that is not finite"
    indices = [crop["frame_index"] for crop in crops]
    return None if indices == sorted(set(indices)) else "its frames are not in order"


def _odd_mel(row: dict[str, Any]) -> str | None:
    if row["mel"] is None:
        return "it has no spectrogram" if row["status"] == "ok" else None
    if len(row["mel"]) != row["n_frames"] * row["n_mels"]:
        return "its spectrogram has another size"
    if not np.isfinite(np.array(row["mel"], np.float32)).all():
        return "its spectrogram is not finite"
    times = [row["start_s"], row["leading_silence_s"], row["hop_s"]]
    return None if np.isfinite(times).all() else f"its times are {times}"


def _predict(found: Found, clips: Path, model: Path, runtime: RuntimeParams) -> None:
    """An untrained detector: what is tried is the way to its score."""
    save_model(model, "xception", preprocess={"faces": FACES_OF.model_dump(mode="json")})
    predictor = Predictor(model, device="cpu", workers=int(runtime.num_workers), runtime=runtime)
    for each in predictor.predict_batch([clips]):
        odd = each.status == "ok" and not (each.score is not None and 0.0 <= each.score <= 1.0)
        found.add(
            "predict", Path(each.path).name, each.status, each.reason, f"it has the score {each.score}" if odd else None
        )
