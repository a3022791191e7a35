"""Face crops from Parquet to tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfdetect.data.batches import LoaderSettings, make_loader, to_inputs
from dfdetect.data.crops import CropDataset
from dfdetect.data.images import decode, resize
from dfdetect.data.index import hold_crops, load_crops, load_videos
from dfdetect.data.sampler import BatchPlan, EvalSampler
from dfdetect.errors import UserError
from dfdetect.io.schemas import FACES, MASKS
from dfdetect.io.tables import Shards
from tests.tables import clips, write_dataset, write_faces, write_masks, write_splits

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def test_index_has_the_split_asked_for_and_nothing_else(tmp_path: Path) -> None:
    made = clips(train=6, val=4, test=3)
    write_dataset(tmp_path, made)
    videos = load_videos(tmp_path, "visual_label", {"train"})
    index = load_crops(tmp_path, videos, masks=False)
    assert videos.ids == [clip.video_id for clip in made if clip.split == "train"]
    assert len(index) == 6 * 6
    assert index.labels.tolist() == [clip.visual_label for clip in made[:6] for _ in range(6)]
    assert index.frame_index.tolist() == [0, 5, 10, 15, 20, 25] * 6
    assert load_videos(tmp_path, "label", {"train"}).labels.tolist() == [clip.label for clip in made[:6]]


def test_batch_equals_the_stored_picture(tmp_path: Path) -> None:
    made = clips(train=3, val=0, test=0)
    write_dataset(tmp_path, made, size=48)
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=True)
    batch = CropDataset(index, 32).__getitems__(BatchPlan((7, 16), 0))
    stored = Shards(tmp_path / "faces", FACES).read("train/clip001.mp4").column("image")[1].as_py()
    picture = decode(stored)
    assert picture is not None
    np.testing.assert_array_equal(batch["image"][0].permute(1, 2, 0).numpy(), resize(picture, 32))
    assert batch["image"].shape == (2, 3, 32, 32)
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["mask"].shape == (2, 1, 32, 32)
    assert batch["mask"][0, 0, 16, 16] == 255
    assert batch["mask"][0, 0, 0, 0] == 0
    assert batch["rows"].tolist() == [7, 16]
    assert batch["label"].tolist() == [made[1].visual_label, made[2].visual_label]


def test_unreadable_crop_is_skipped_and_named(tmp_path: Path) -> None:
    made = clips(train=2, val=0, test=0)
    write_splits(tmp_path, made)
    write_faces(tmp_path, made, spoiled=frozenset({"train/clip001.mp4"}))
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=False)
    dataset = CropDataset(index, 32)
    batch = dataset.__getitems__(BatchPlan((5, 6, 7), 0))
    assert batch["rows"].tolist() == [5, 7]
    assert batch["image"].shape[0] == 2
    assert dataset.describe(batch["skipped"]) == [{"video_id": "train/clip001.mp4", "frame_index": 0}]


def test_crops_without_a_mask_are_left_out(tmp_path: Path) -> None:
    made = clips(train=3, val=0, test=0)
    write_splits(tmp_path, made)
    write_faces(tmp_path, made)
    write_masks(tmp_path, made[:2], frames=4)
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=True)
    assert len(index) == 8
    assert index.dropped == 10
    assert index.missing == {"train/clip002.mp4": "no_mask"}


def test_video_without_faces_has_the_ledgers_reason(tmp_path: Path) -> None:
    made = clips(train=3, val=0, test=0)
    write_splits(tmp_path, made)
    write_faces(tmp_path, made[:2])
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=False)
    assert index.missing == {"train/clip002.mp4": "not_in_coverage"}


def test_tables_in_memory_give_the_same_batches(tmp_path: Path) -> None:
    made = clips(train=3, val=0, test=0)
    write_dataset(tmp_path, made)
    stored = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=True)
    faces = Shards(tmp_path / "faces", FACES).read("train/clip001.mp4")
    masks = Shards(tmp_path / "masks", MASKS).read("train/clip001.mp4")
    held = CropDataset(hold_crops(faces, masks), 40).__getitems__(BatchPlan((0, 1), 0))
    ours = CropDataset(stored, 40).__getitems__(BatchPlan((6, 7), 0))
    assert torch.equal(held["image"], ours["image"])
    assert torch.equal(held["mask"], ours["mask"])
    assert held["label"].tolist() == [-1, -1]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_every_row_once(tmp_path: Path, workers: int) -> None:
    made = clips(train=0, val=5, test=0)
    write_dataset(tmp_path, made)
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"val"}), masks=False)
    plans = EvalSampler(index.video, frames_per_video=4, batch_size=6)
    batches = list(make_loader(CropDataset(index, 32), plans, LoaderSettings(workers=workers)))
    rows = torch.cat([batch["rows"] for batch in batches])
    assert rows.tolist() == plans.rows.tolist()
    assert len(set(rows.tolist())) == 20


def test_normalisation(tmp_path: Path) -> None:
    made = clips(train=2, val=0, test=0)
    write_dataset(tmp_path, made)
    index = load_crops(tmp_path, load_videos(tmp_path, "visual_label", {"train"}), masks=True)
    raw = CropDataset(index, 32).__getitems__(BatchPlan((0, 9), 0))
    inputs = to_inputs(raw, "cpu", mean=MEAN, std=STD)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(inputs["image"], (raw["image"].float() / 255 - mean) / std)
    assert set(inputs) == {"image", "mask", "label"}
    assert inputs["mask"].max() == 1.0
    assert inputs["image"].is_contiguous(memory_format=torch.channels_last)


def test_missing_artifact_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"splits.parquet is missing"):
        load_videos(tmp_path, "label", {"train"})
    write_splits(tmp_path, clips(train=2))
    with pytest.raises(UserError, match=r"faces"):
        load_crops(tmp_path, load_videos(tmp_path, "label", {"train"}), masks=False)
