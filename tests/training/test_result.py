"""What detector.json says of the data that a detector was trained on."""

from __future__ import annotations

from pathlib import Path

from dfdetect.config.params import load
from dfdetect.inference.saved_model import TrainingData, VideoCounts
from dfdetect.training.result import earlier_training, training_data

PARAMS = load(Path(__file__).parents[2] / "params.yaml")
COUNTS = {split: {"videos": {"real": 3, "fake": 9}} for split in ("train", "val")}


def test_the_sample_is_synthetic_and_a_users_folder_is_not() -> None:
    videos = VideoCounts(real=3, fake=9)
    sample = TrainingData(
        dataset="sample", synthetic=True, layout="fakeavceleb", source="generate", train=videos, val=videos
    )
    assert training_data(PARAMS, COUNTS) == sample
    own = PARAMS.model_copy(update={"train": PARAMS.train.model_copy(update={"dataset": "mine"})})
    assert not training_data(own, COUNTS).synthetic


def test_first_weights_without_a_detector_json_have_unknown_data(tmp_path: Path) -> None:
    assert earlier_training(None) == []
    path = tmp_path / "weights.safetensors"
    assert earlier_training(path) == [TrainingData(dataset=f"unknown data of {path}", synthetic=False)]
