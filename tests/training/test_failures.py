"""What goes wrong is said in words, before training where possible."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dfdetect.config.params import load
from dfdetect.config.recipe import Recipe
from dfdetect.errors import UserError
from dfdetect.io.schemas import LEAKS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.training.failures import LossWatch, explained
from dfdetect.training.fit import _PRECISION
from dfdetect.training.module import Training
from dfdetect.training.result import _rounded
from dfdetect.training.run import train
from tests.tables import CATEGORIES, Clip, clips, write_faces, write_masks, write_sequences, write_splits
from tests.training import tiny  # noqa: F401  # registers the detector

Write = Callable[..., Path]


def stops(write: Write, match: str, **changes: Any) -> None:
    """The training stops with a message before it has written anything."""
    with pytest.raises(UserError, match=match):
        train(load(write(**changes)))
    assert not Path("models/detector").exists()


def rewrite(project: Path, made: list[Clip]) -> None:
    """Another dataset in place of the fixture's."""
    write_splits(project / "data/made", made)
    write_faces(project / "data/made", made)


@pytest.mark.usefixtures("project")
def test_loss_that_is_not_finite(write_params: Write) -> None:
    stops(
        write_params,
        r"not finite in epoch 2, batch 3: loss nan, classification nan\. Its videos: train/clip\d{3}.mp4, .*lr",
        settings={"explode_at": 9},
    )
    # nothing broken is left to resume from: the first epoch is
    state = torch.load(next(Path(".cache/train").glob("*/last.ckpt")), weights_only=True)
    assert len(state["figures"]["history"]) == 1
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("lacking", ["real", "fake"])
def test_one_class_only(project: Path, write_params: Write, split: str, lacking: str) -> None:
    made = [clip for clip in clips() if clip.split != split or (lacking == "real") == bool(clip.visual_label)]
    rewrite(project, made)
    stops(write_params, rf"`{split}` of data/made has no usable {lacking} video \(visual_label\)")


def test_empty_split(project: Path, write_params: Write) -> None:
    rewrite(project, clips(val=0))
    stops(write_params, r"splits\.parquet has no video in `val`")


def test_a_split_of_leaks_only(project: Path, write_params: Write) -> None:
    kept = {"kind": "file", "shared": "x", "other_id": "t", "other_split": "test", "official": False, "dropped": True}
    for gone, said in (
        (clips(train=0, test=0), "has no video in `val`.* 8 videos are dropped as leaks"),
        (
            [clip for clip in clips() if clip.split == "val" and clip.visual_label],
            "no usable fake.* 4 videos are dropped",
        ),
    ):
        rows = [{"video_id": clip.video_id, "split": "val", **kept} for clip in gone]
        write_table(project / "data/made/leaks.parquet", from_rows(rows, LEAKS), LEAKS)
        stops(write_params, said)


def test_no_audit(project: Path, write_params: Write) -> None:
    (project / "metrics/made/audit.json").unlink()
    stops(write_params, r"metrics/made/audit\.json is missing: run the stage that writes it")
    (project / "data/made/leaks.parquet").unlink()
    stops(write_params, r"data/made/leaks\.parquet is missing")


def test_no_masks(project: Path, write_params: Write) -> None:
    shutil.rmtree(project / "data/made/masks")
    stops(
        write_params,
        r"tiny reads faces and masks, and data/made/masks is not there.*stages\.masks",
        settings={"masked": True},
    )
    write_masks(project / "data/made", [])
    stops(write_params, r"none of the 8 `train` videos.*8 no_mask", settings={"masked": True})


def test_no_sound(project: Path, write_params: Write) -> None:
    stops(
        write_params,
        r"av_transformer reads mouths and mels, and data/made/mouths is not there",
        detector="av_transformer",
    )
    made = clips()
    write_sequences(project / "data/made", made, silent=frozenset(clip.video_id for clip in made))
    stops(write_params, r"none of the 8 `train` videos of data/made has \(8 silent\)", detector="av_transformer")


def test_anomaly_detectors_need_reals(project: Path, write_params: Write) -> None:
    made = [Clip(clip.video_id, clip.split, CATEGORIES[3]) for clip in clips()]
    rewrite(project, made)
    write_sequences(project / "data/made", made)
    stops(write_params, r"`train` of data/made has no usable real video \(label\)", detector="av_transformer")


def test_unreadable_crops_are_skipped_counted_and_listed(project: Path, write_params: Write) -> None:
    spoiled = frozenset({"train/clip001.mp4", "train/clip002.mp4", "val/clip000.mp4"})
    write_faces(project / "data/made", clips(), spoiled=spoiled)
    metrics = train(load(write_params()))
    assert metrics is not None
    assert (metrics["unreadable"]["train"], metrics["unreadable"]["val"]) == (2, 1)
    assert {"video_id": "val/clip000.mp4", "frame_index": 0} in metrics["unreadable"]["listed"]


def test_a_batch_of_which_nothing_can_be_read(project: Path, write_params: Write) -> None:
    made = clips(train=2)
    spoiled = frozenset(clip.video_id for clip in made if clip.split == "train")
    made = [Clip(clip.video_id, clip.split, CATEGORIES[i % 2 * 3]) for i, clip in enumerate(made)]
    write_splits(project / "data/made", made)
    write_faces(project / "data/made", made, frames=1, spoiled=spoiled)
    stops(write_params, r"none of the 2 samples of a batch can be read.*dvc repro -f")


def test_damaged_shard(project: Path, write_params: Write) -> None:
    part = project / "data/made/faces/part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    stops(write_params, r"part-00000\.parquet is damaged.*dvc checkout")


@pytest.mark.usefixtures("project")
def test_transforms_are_checked_before_training(write_params: Write) -> None:
    stops(write_params, r"recipes\.smoke\.transforms: there is no transform 'Blurr'", transforms=[{"name": "Blurr"}])


@pytest.mark.usefixtures("project")
def test_gpu_asked_for_and_absent(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stops(write_params, r"accelerator is gpu, and PyTorch finds no usable GPU", accelerator="gpu")


@pytest.mark.usefixtures("project")
def test_early_stop_on_a_figure_that_will_not_be_there(write_params: Write) -> None:
    stops(
        write_params, r"early_stop\.metric: val_log_prob does not exist for tiny", early_stop={"metric": "val_log_prob"}
    )


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("section", ["overrides", "detector_overrides"])
def test_overrides_of_a_detector_that_does_not_exist(write_params: Write, section: str) -> None:
    path = write_params()
    raw = yaml.safe_load(path.read_text())
    raw["recipes"]["smoke"][section] = {"xceptoin": {}}
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=rf"recipes\.smoke\.{section}\.xceptoin: there is no .* you mean `xception`"):
        train(load(path))


def test_steps_that_16_bits_skip_are_counted(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def norm(*_: Any) -> torch.Tensor:
        calls.append(1)
        return torch.tensor(torch.inf if len(calls) == 1 or len(calls) > 6 else 2.0)

    monkeypatch.setattr("dfdetect.training.module.gradient_norm", norm)
    monkeypatch.setitem(_PRECISION, "16-mixed", "32-true")  # a CPU has no such precision
    seen: list[dict[str, float]] = []
    original = Training._track
    monkeypatch.setattr(Training, "_track", lambda self, n: (seen.append(self.history[n]), original(self, n)))
    metrics = train(load(write_params(epochs=2, precision="16-mixed", lr_scheduler="constant")))
    assert metrics is not None
    assert (seen[0]["grad_norm"], seen[0]["skipped_steps"]) == (2.0, 1.0)
    assert "grad_norm" not in seen[1]
    assert seen[1]["skipped_steps"] == 6.0


def test_json_has_null_for_what_is_not_finite() -> None:
    assert _rounded({"a": math.inf, "b": math.nan, "c": 0.12345678}) == {"a": None, "b": None, "c": 0.123457}


def test_out_of_memory_says_what_to_lower() -> None:
    message = r"batch_size 64.*recipes\.large_gpu: lower batch_size.*gradient_checkpointing"
    with pytest.raises(UserError, match=message), explained(Recipe(batch_size=64), "large_gpu"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with pytest.raises(RuntimeError, match="other"), explained(Recipe(), "large_gpu"):
        raise RuntimeError("other trouble")


def test_finite_losses_pass() -> None:
    watch = LossWatch()
    watch.add({"loss": torch.tensor(1.0)}, 0, 0, ["a"])
    watch.flush()
    with pytest.raises(UserError, match=r"metric inf.*videos: a, b\."):
        watch.add({"loss": torch.tensor(1.0), "metric": torch.tensor(torch.inf)}, 0, 1, ["a", "b", "a"])
