"""Training on forgeries that are made on the fly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from dfdetect.config.params import load
from dfdetect.data.crops import CropDataset
from dfdetect.data.forged import add_forgeries, load_landmarks
from dfdetect.data.index import CropIndex, load_crops, load_videos
from dfdetect.data.sampler import BatchPlan, SamplerSettings, TrainSampler
from dfdetect.errors import UserError
from dfdetect.training.run import train
from tests.tables import CATEGORIES, Clip, clips, write_faces, write_masks, write_sequences, write_splits
from tests.training import tiny  # noqa: F401  # registers the detector

Write = Callable[..., Path]
WEIGHTS = Path("models/detector/model.safetensors")


def run(write: Write, fakes: str, **changes: Any) -> dict[str, Any]:
    """Train with some forgeries."""
    path = write(**changes)
    raw = yaml.safe_load(path.read_text())
    raw["train"]["fakes"] = fakes
    path.write_text(yaml.safe_dump(raw))
    metrics = train(load(path))
    assert metrics is not None
    return metrics


def only_reals(project: Path, splits: tuple[str, ...], bare: frozenset[str] = frozenset()) -> None:
    """A dataset without fakes in some splits; some crops have no landmarks."""
    made = [Clip(c.video_id, c.split, CATEGORIES[0] if c.split in splits else c.category) for c in clips()]
    write_splits(project / "data/made", made)
    write_faces(project / "data/made", made)
    write_masks(project / "data/made", made, bare=bare)


def forged_index(project: Path) -> CropIndex:
    """The training crops with their forgeries."""
    folder = project / "data/made"
    index = load_crops(folder, load_videos(folder, "visual_label", {"train"}), masks=False)
    return add_forgeries(index, load_landmarks(folder, index))


def test_forgeries_stand_beside_the_crops_they_are_made_of(project: Path) -> None:
    index = forged_index(project)
    assert len(index) == 8 * 6 + 4 * 6
    assert index.points_row is not None
    assert ((index.points_row >= 0) == (np.arange(len(index)) >= 48)).all()
    assert (index.labels[48:] == 1).all()
    dataset = CropDataset(index, 40)
    sample = dataset.describe(dataset[48]["rows"])[0]
    assert sample == {"video_id": f"{index.videos.ids[index.video[0]]}#self_blended", "frame_index": 0}
    real, forged = dataset[0]["image"].numpy().astype(int), dataset[48]["image"].numpy().astype(int)
    changed = (real != forged).any(axis=(0, 1))
    assert 0.02 < changed.mean() < 0.9
    assert not changed[[0, 0, -1, -1], [0, -1, 0, -1]].any()  # the corners lie outside the face


def test_a_forgery_depends_on_seed_and_row_alone(project: Path) -> None:
    dataset = CropDataset(forged_index(project), 40)
    one = dataset.__getitems__(BatchPlan((50, 3, 60), 7))["image"]
    assert (dataset.__getitems__(BatchPlan((60, 50), 7))["image"] == one[[2, 0]]).all()
    assert (dataset.__getitems__(BatchPlan((50,), 8))["image"] != one[[0]]).any()


def test_a_forgery_that_changes_nothing_is_skipped(project: Path) -> None:
    index = forged_index(project)
    assert index.points is not None
    assert index.points_row is not None
    points = index.points.copy()
    points[index.points_row[50]] += 1000  # outside the crop
    batch = CropDataset(replace(index, points=points), 40).__getitems__(BatchPlan((50, 3, 60), 7))
    assert batch["skipped"].tolist() == [50]
    assert batch["rows"].tolist() == [3, 60]


def test_a_dataset_without_fakes_trains(project: Path, write_params: Write) -> None:
    only_reals(project, ("train", "val", "test"), bare=frozenset({"train/clip003.mp4", "val/clip001.mp4"}))
    metrics = run(write_params, "self_blended", epochs=2)
    assert metrics["data"]["train"]["samples"] == {"real": 48, "fake": 0}
    assert metrics["data"]["train"]["self_blended"] == {"samples": 47, "crops_without_landmarks": 1}
    assert metrics["data"]["val"]["self_blended"] == {"samples": 47, "crops_without_landmarks": 1}
    assert 0 <= metrics["best"]["val_auc"] <= 1
    rows = pq.read_table("models/detector/validation.parquet").to_pylist()
    assert len({row["video_id"] for row in rows}) == 16
    assert sum(row["label"] for row in rows) == 8
    assert "each of 47 real training crops" in Path("models/detector/README.md").read_text()
    weights = WEIGHTS.read_bytes()
    assert run(write_params, "self_blended", epochs=2, num_workers=2) == metrics
    assert WEIGHTS.read_bytes() == weights


def test_given_fakes_are_left_out_of_training_and_judged_in_validation(project: Path, write_params: Write) -> None:
    metrics = run(write_params, "self_blended", epochs=1)
    assert metrics["data"]["train"]["videos"] == {"real": 4, "fake": 0}
    assert metrics["data"]["val"]["videos"] == {"real": 4, "fake": 4}
    assert "self_blended" not in metrics["data"]["val"]
    blended = load_file(project / WEIGHTS)
    mixed = run(write_params, "both", epochs=1)
    assert mixed["data"]["train"]["videos"] == {"real": 4, "fake": 4}
    assert mixed["data"]["train"]["self_blended"]["samples"] == 24
    assert any((value != load_file(project / WEIGHTS)[name]).any() for name, value in blended.items())


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("class_balance", ["undersample", "none"])
def test_half_of_every_batch_is_forged(project: Path, world: int, class_balance: Any) -> None:
    index = forged_index(project)
    rows = np.flatnonzero((index.labels == 0) | (index.points_row >= 0))[1:]  # one forgery more than reals
    settings = SamplerSettings(batch_size=4, halves=True, class_balance=class_balance, seed=3)
    seen: list[int] = []
    for rank in range(world):
        args = (index.video[rows], index.labels[rows], index.phash[rows], settings)
        sampler = TrainSampler(*args, rank=rank, world=world)
        for plan in sampler.plans(0):
            chosen = rows[list(plan.rows)]
            assert (index.labels[chosen] == 1).sum() == 2
            seen += chosen.tolist()
        assert len(sampler.plans(0)) == len(sampler)
    assert len(seen) == len(set(seen)) >= 36


@pytest.mark.usefixtures("project")
def test_what_cannot_be_forged_is_said(project: Path, write_params: Write) -> None:
    with pytest.raises(UserError, match=r"av_transformer is trained on no fakes of pictures: set it to dataset"):
        write_sequences(project / "data/made", clips())
        run(write_params, "self_blended", detector="av_transformer")
    only_reals(project, ("train",))
    with pytest.raises(UserError, match=r"no usable fake video.*train\.fakes: self_blended"):
        run(write_params, "both")
    with pytest.raises(UserError, match=r"no usable fake video.*train\.fakes: self_blended"):
        run(write_params, "dataset")
    made = clips()
    write_masks(project / "data/made", made, frames=1, bare=frozenset(clip.video_id for clip in made))
    with pytest.raises(UserError, match=r"none of the 48 real `train` crops .* has landmarks"):
        run(write_params, "self_blended")
