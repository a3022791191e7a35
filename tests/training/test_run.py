"""The train stage end to end, on a small dataset and a small detector."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from dfdetect.config.params import load
from dfdetect.data import encoded
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.io.schemas import LEAKS, PREDICTIONS, SPLITS
from dfdetect.io.tables import from_rows, read_table, write_json, write_table
from dfdetect.training.run import train
from tests.training import tiny  # noqa: F401  # registers the detector

Write = Callable[..., Path]


def run(write: Write, **changes: Any) -> dict[str, Any]:
    """Train with some params."""
    metrics = train(load(write(**changes)))
    assert metrics is not None
    return metrics


def test_learns_and_writes_a_bundle(project: Path, write_params: Write) -> None:
    metrics = run(write_params, epochs=6)
    assert metrics["best"]["val_auc"] > 0.9
    assert 0.5 < metrics["best"]["train_acc"] <= 1.0
    assert 0.7 < metrics["best"]["val_frame_acc"] <= 1.0
    table = read_table(project / "models/detector/validation.parquet", PREDICTIONS)
    scores, labels = np.array(table.column("score")), np.array(table.column("label"))
    assert metrics["best"]["val_acc"] == pytest.approx(((scores >= 0.5) == labels).mean())
    assert metrics["epochs"] == 6
    assert metrics["data"]["train"]["videos"] == {"real": 4, "fake": 4}
    assert json.loads((project / "metrics/details/train.json").read_text()) == metrics
    flat = json.loads((project / "metrics/train.json").read_text())
    assert len(flat) <= 8
    assert flat["best_epoch"] == metrics["best"]["epoch"]
    assert flat["val_acc"] == metrics["best"]["val_acc"]
    assert all(isinstance(value, int | float) for value in flat.values())
    info, detector = saved_model.load(project / "models/detector")
    assert info.detector == "tiny"
    assert info.image_size == 32
    assert info.parameters == sum(parameter.numel() for parameter in detector.parameters())
    assert info.input_shapes["image"] == [3, 32, 32]
    assert info.output_shapes["logits"] == [2]
    assert info.preprocess["faces"]["frames_per_video"] == 22
    assert set(info.data) == {"data/made/splits.parquet", "data/made/leaks.parquet", "data/made/faces"}
    videos = saved_model.VideoCounts(real=4, fake=4)
    assert info.trained_on == [
        saved_model.TrainingData(
            dataset="made", synthetic=False, layout="folder", source="directory", train=videos, val=videos
        )
    ]
    assert not detector.training
    assert "The test split was not read" in (project / "models/detector/README.md").read_text()
    files = {path.name for path in (project / "models/detector").iterdir()}
    assert files == {"model.safetensors", "detector.json", "README.md", "validation.parquet"}
    assert not (project / "lightning_logs").exists()
    assert not list((project / ".cache/train").glob("*/last.ckpt"))


def test_threshold_is_what_it_says(project: Path, write_params: Write) -> None:
    run(write_params)
    info = saved_model.read_info(project / "models/detector")
    table = read_table(project / "models/detector/validation.parquet", PREDICTIONS)
    assert table.num_rows == 8
    called = [score >= info.threshold.value for score in table.column("score").to_pylist()]
    hits = [c == bool(label) for c, label in zip(called, table.column("label").to_pylist(), strict=True)]
    assert sum(hits) / len(hits) == pytest.approx(info.threshold.achieved)  # as many reals as fakes


def test_two_runs_give_the_same_bytes(project: Path, write_params: Write) -> None:
    one = run(write_params)
    weights = (project / "models/detector/model.safetensors").read_bytes()
    info = (project / "models/detector/detector.json").read_bytes()
    assert run(write_params) == one
    assert (project / "models/detector/model.safetensors").read_bytes() == weights
    assert (project / "models/detector/detector.json").read_bytes() == info


def test_the_rates_are_those_of_the_last_step(write_params: Write) -> None:
    best = run(write_params, epochs=1, lr_scheduler="cosine")["best"]  # 6 steps
    assert best["lr_head"] == pytest.approx(0.01 * 0.5 * (1 + math.cos(math.pi * 5 / 6)), abs=1e-6)


def test_workers_change_nothing(project: Path, write_params: Write) -> None:
    steps = [{"name": "HorizontalFlip"}, {"name": "ColorJitter"}]
    run(write_params, transforms=steps, num_workers=0, epochs=2)
    weights = load_file(project / "models/detector/model.safetensors")
    run(write_params, transforms=steps, num_workers=2, epochs=2)
    again = load_file(project / "models/detector/model.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_seed_matters(project: Path, write_params: Write) -> None:
    run(write_params, epochs=1)
    weights = load_file(project / "models/detector/model.safetensors")
    path = write_params(epochs=1)
    path.write_text(path.read_text().replace("seed: 1", "seed: 2"))
    train(load(path))
    assert not torch.equal(weights["fc.weight"], load_file(project / "models/detector/model.safetensors")["fc.weight"])


def test_the_test_split_is_never_read(project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[tuple[int, int]] = set()
    original = encoded.BinaryColumn.get

    def watched(self: Any, part: int, group: int, row: int) -> Any:
        read.add((part, group))
        return original(self, part, group, row)

    monkeypatch.setattr(encoded.BinaryColumn, "get", watched)
    run(write_params)
    parts = sorted((project / "data/made/faces").glob("part-*.parquet"))
    seen = {pq.ParquetFile(parts[part]).read_row_group(group, ["video_id"])[0][0].as_py() for part, group in read}
    splits = read_table(project / "data/made/splits.parquet", SPLITS)
    assert seen == set(splits.filter(pc.field("split") != "test").column("video_id").to_pylist())


def test_dropped_leaks_are_left_out_and_the_model_card_has_every_warning(project: Path, write_params: Write) -> None:
    listed = [
        leak("train/clip000.mp4", dropped=True),
        leak("train/clip001.mp4", dropped=False),
        leak("val/clip002.mp4"),
    ]
    write_table(project / "data/made/leaks.parquet", from_rows(listed, LEAKS), LEAKS)
    write_json(project / "metrics/made/audit.json", {"warnings": ["one leak", "another leak"]})
    metrics = run(write_params, epochs=1)
    assert metrics["data"]["train"]["videos"] == {"real": 3, "fake": 4}
    assert metrics["data"]["val"]["videos"] == {"real": 4, "fake": 3}
    validation = read_table(project / "models/detector/validation.parquet", PREDICTIONS)
    assert "val/clip002.mp4" not in validation.column("video_id").to_pylist()
    assert "## Audit of the splits\n- one leak\n- another leak\n" in (project / "models/detector/README.md").read_text()


def leak(video_id: str, *, dropped: bool = True) -> dict[str, Any]:
    ids = {"video_id": video_id, "split": video_id.split("/")[0], "other_id": "test/clip000.mp4", "other_split": "test"}
    return {**ids, "kind": "file", "shared": "hash", "official": False, "dropped": dropped}


@pytest.mark.usefixtures("project")
def test_unknown_recipe_and_detector(write_params: Write) -> None:
    path = write_params()
    path.write_text(path.read_text().replace("recipe: smoke", "recipe: smok"))
    with pytest.raises(UserError, match=r"there is no recipe `smok`. Did you mean `smoke`"):
        train(load(path))
    with pytest.raises(UserError, match=r"no detector `xceptoin`.*xception"):
        run(write_params, detector="xceptoin")
