"""A rendered miniature of every layout through the data stages.

One goes through all of them by `dvc repro` of the repository's own dvc.yaml, the others in this process: a process per
stage and dataset is what costs most. Masks, mouths and mels only know of a layout whether it holds videos or folders of
crops, so that of the others those of crops go there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.trials import CLIPS
from dfdetect.config import params as params_file
from dfdetect.datasets.sources.index import download
from dfdetect.io.schemas import COVERAGE, FACES, MASKS, MELS, MOUTHS, SPLITS, VIDEOS
from dfdetect.io.tables import Shards, read_json, read_table
from dfdetect.runtime.video_stage import run_stage
from dfdetect.splits.assign import BY_GROUP
from dfdetect.splits.audit import audit
from dfdetect.splits.build import build
from dfdetect.splits.leaks import KINDS
from stages.faces import STAGE as FACES_STAGE
from stages.masks import STAGE as MASKS_STAGE
from stages.mels import STAGE as MELS_STAGE
from stages.mouths import STAGE as MOUTHS_STAGE

ROOT = Path(__file__).parents[2]
BY_DVC = "fakeavceleb"
STAGES = ("download", "faces", "masks", "mouths", "mels", "splits", "audit")
FRAMES, MOUTHS_A_CLIP = 2, 4


@dataclass(frozen=True)
class Miniature:
    """What to draw, and what must come out.

    people: drawn. categories: category -> videos. splits: split -> (real, fake) videos.
    """

    people: int
    categories: dict[str, int]
    splits: dict[str, tuple[int, int]]
    sound: bool = True
    cropped: bool = False
    leaks: frozenset[str] = frozenset()  # kinds; of face swaps, few people lend many others a face
    official: tuple[str, str] = (BY_GROUP, BY_GROUP)  # how test and validation came about


MINIATURES = {
    # one person a split: a real clip with its own voice, one with another's, and two fakes of the face
    "fakeavceleb": Miniature(
        3,
        dict.fromkeys(("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"), 3),
        {"train": (1, 3), "val": (1, 3), "test": (1, 3)},
        leaks=frozenset({"source_identity"}),
    ),
    # a person's two fakes stay with their original; two people in the training parts, two in the labelled test set
    "dfdc": Miniature(
        4,
        {"real": 4, "fake": 8},
        {"train": (1, 2), "val": (1, 2), "test": (2, 4)},
        official=("official", BY_GROUP),
    ),
    # three celebrities and one person of YouTube-real
    "celebdf": Miniature(
        4,
        {"Celeb-real": 3, "Celeb-synthesis": 3, "YouTube-real": 1},
        {"train": (1, 1), "val": (1, 1), "test": (2, 1)},
        official=("official", BY_GROUP),
        leaks=frozenset({"source_identity"}),
    ),
    # one pair of people a split, each forged by four methods; no sound
    "faceforensics": Miniature(
        6,
        dict.fromkeys(("youtube", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"), 6),
        {"train": (2, 8), "val": (2, 8), "test": (2, 8)},
        sound=False,
        official=("official", "official"),
    ),
    "folder": Miniature(
        3,
        {"real": 3, "fake": 6},
        {"train": (1, 2), "val": (1, 2), "test": (1, 2)},
        official=("official", "official"),
    ),
    # Celeb-DF's as folders of crops; its list names the test videos in every split, and test keeps them
    "deepfakebench": Miniature(
        4,
        {"CelebDFv2_real": 4, "CelebDFv2_fake": 3},
        {"train": (1, 1), "val": (1, 1), "test": (2, 1)},
        sound=False,
        cropped=True,
        official=("official", BY_GROUP),
        leaks=frozenset({"source_identity"}),
    ),
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's dvc.yaml and stages, with the six miniatures as its datasets."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["run"]["datasets"] = [f"mini_{layout}" for layout in MINIATURES]
    params["train"]["dataset"] = params["run"]["datasets"][0]
    params["runtime"].update(num_workers=1)
    params["datasets"] = {
        f"mini_{layout}": {
            "layout": layout,
            "face_detector": "mtcnn",
            "cropped": mini.cropped,
            "source": {**CLIPS, "identities": mini.people},
        }
        for layout, mini in MINIATURES.items()
    }
    params["faces"].update(frames_per_video=FRAMES, image_size=128, device="cpu")
    params["masks"].update(max_iterations=1)
    params["mouths"].update(parts=MOUTHS_A_CLIP, frames_per_part=1, image_size=32)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for package in ("stages", "dfdetect", "synthetic"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_dvc_brings_a_dataset_through_the_data_stages(repository: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    targets = [f"{stage}@mini_{BY_DVC}" for stage in STAGES if stage not in ("download", "faces")]  # these come along
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    ran = yaml.safe_load((repository / "dvc.lock").read_text())["stages"]
    assert set(ran) == {"check", *(f"{stage}@mini_{BY_DVC}" for stage in STAGES)}
    _check_all(f"mini_{BY_DVC}", MINIATURES[BY_DVC])


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("layout", [layout for layout in MINIATURES if layout != BY_DVC])
def test_every_layout_goes_through_the_data_stages(layout: str) -> None:
    params, dataset = params_file.load(), f"mini_{layout}"
    download(dataset, params.dataset(dataset), params.runtime)
    run_stage(FACES_STAGE, dataset, params.faces_of(dataset), params.runtime)
    build(dataset, params.dataset(dataset), params.splits)
    audit(dataset, params.dataset(dataset), params.splits)
    if not MINIATURES[layout].cropped:
        _check_videos(dataset, MINIATURES[layout])
        _check_faces(dataset, MINIATURES[layout])
        _check_splits(dataset, MINIATURES[layout])
        return
    for stage, settings in ((MASKS_STAGE, params.masks), (MOUTHS_STAGE, params.mouths), (MELS_STAGE, params.mels)):
        run_stage(stage, dataset, settings, params.runtime)
    _check_all(dataset, MINIATURES[layout])


def _check_all(dataset: str, mini: Miniature) -> None:
    _check_videos(dataset, mini)
    _check_faces(dataset, mini)
    _check_masks_and_mouths(dataset, mini)
    _check_sound(dataset, mini)
    _check_splits(dataset, mini)


def _table(dataset: str, name: str, schema: Any) -> list[dict[str, Any]]:
    return list(read_table(Path("data", dataset, name), schema).to_pylist())


def _metrics(dataset: str, stage: str) -> dict[str, Any]:
    return dict(read_json(Path("metrics", dataset, f"{stage}.json")))


def _check_videos(dataset: str, mini: Miniature) -> None:
    rows = _table(dataset, "videos.parquet", VIDEOS)
    metrics = _metrics(dataset, "download")
    assert Counter(row["category"] for row in rows) == mini.categories == metrics["category"], dataset
    assert (metrics["status"], metrics["failed"]) == ({"ok": len(rows)}, 0), dataset
    assert metrics["layout"].get("missing", {"count": 0})["count"] == 0, dataset
    assert metrics["with_audio"] == (len(rows) if mini.sound else 0), dataset
    for row in rows:
        assert row["sha256"], dataset
        assert (row["width"], row["height"]) == ((256, 256) if mini.cropped else (160, 160)), dataset
        assert row["declared_frames"] >= 6, dataset
        assert (row["duration_s"] is None) == (row["fps"] is None) == mini.cropped, dataset


def _rows(dataset: str, name: str, schema: Any) -> list[dict[str, Any]]:
    shards = Shards(Path("data", dataset, name), schema)
    return [row for video_id in shards.video_ids for row in shards.read(video_id).to_pylist()]


def _check_faces(dataset: str, mini: Miniature) -> None:
    """Every video has a face in both frames."""
    videos = sum(mini.categories.values())
    for row in _table(dataset, "faces/coverage.parquet", COVERAGE):
        asked = (row["status"], row["frames_asked"], row["frames_with_face"])
        assert asked == ("ok", FRAMES, FRAMES), (dataset, row["video_id"])
    faces = _rows(dataset, "faces", FACES)
    assert len(faces) == FRAMES * videos, dataset
    assert {row["box"] is None for row in faces} == {row["time_s"] is None for row in faces} == {mini.cropped}, dataset
    assert _metrics(dataset, "faces")["status"] == {"ok": videos}, dataset


def _check_masks_and_mouths(dataset: str, mini: Miniature) -> None:
    """Every crop has a mask, and every video its mouths."""
    videos = sum(mini.categories.values())
    faces, masks, mouths = (
        _rows(dataset, name, schema) for name, schema in (("faces", FACES), ("masks", MASKS), ("mouths", MOUTHS))
    )
    assert [(row["video_id"], row["frame_index"]) for row in masks] == [
        (row["video_id"], row["frame_index"]) for row in faces
    ], dataset
    statuses = Counter(row["status"] for row in masks)
    assert statuses["ok"] >= 0.9 * len(masks), (dataset, statuses)
    assert _metrics(dataset, "masks")["crops"] == dict(statuses), dataset
    assert _metrics(dataset, "mouths")["crops"] == len(mouths) >= 0.8 * MOUTHS_A_CLIP * videos, dataset
    for stage in ("masks", "mouths"):
        assert _metrics(dataset, stage)["status"] == {"ok": videos}, (dataset, stage)


def _check_sound(dataset: str, mini: Miniature) -> None:
    videos = sum(mini.categories.values())
    rows = _rows(dataset, "mels", MELS)
    assert Counter(row["status"] for row in rows) == {"ok" if mini.sound else "no_audio": videos}, dataset
    assert all((row["n_frames"] or 0) >= 30 for row in rows) == mini.sound, dataset


def _check_splits(dataset: str, mini: Miniature) -> None:
    rows = _table(dataset, "splits.parquet", SPLITS)
    metrics = _metrics(dataset, "splits")
    counted = Counter((row["split"], row["label"]) for row in rows)
    assert counted == {(split, label): n for split, both in mini.splits.items() for label, n in enumerate(both)}, (
        dataset
    )
    assert {split: metrics[split] for split in mini.splits} == {split: sum(both) for split, both in mini.splits.items()}
    policy = read_json(Path("metrics", dataset, "details", "splits.json"))["policy"]
    assert (policy["test"], policy["val"]) == mini.official, dataset
    found = _metrics(dataset, "audit")
    assert {kind for kind in KINDS if found[kind]} == mini.leaks, (dataset, found["warnings"])
    assert found["warnings"] == metrics["warnings"], dataset
    assert bool(found["warnings"]) == bool(mini.leaks), dataset
    page = Path("metrics", dataset, "audit.md").read_text()
    assert f"| videos | {' | '.join(str(sum(mini.splits[name])) for name in ('train', 'val', 'test'))} |" in page
