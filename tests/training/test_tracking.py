"""Curves, pictures and Comet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch

from dfdetect.config.params import load
from dfdetect.errors import UserError
from dfdetect.training.run import train
from tests.training import tiny

Write = Callable[..., Path]
CURVES = Path("metrics/plots/train")


def drawn(project: Path) -> dict[str, bytes]:
    """What the training left under metrics/plots/train."""
    return {str(p.relative_to(project / CURVES)): p.read_bytes() for p in (project / CURVES).rglob("*") if p.is_file()}


@pytest.fixture
def showing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector shows its input and a grey picture."""

    def pictures(self: tiny.Tiny, batch: Any, output: Any) -> dict[str, torch.Tensor]:
        assert not self.training
        image = self.unnormalise(batch["image"])
        return {"input": image, "grey": output["logits"][:, :1, None, None].sigmoid().expand(-1, 1, 32, 32)}

    monkeypatch.setattr(tiny.Tiny, "pictures", pictures)


@pytest.mark.usefixtures("showing")
def test_curves_and_pictures_are_kept_and_repeat(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_params(epochs=2, tracker="dvclive")
    train(load(path))
    once = drawn(project)
    assert {"curves.png", "pictures/epoch001.jpg", "pictures/epoch002.jpg"} <= set(once)
    names = ("train_classification", "train_acc", "val_acc", "val_frame_acc", "lr_head", "grad_norm", "bias")
    assert {f"plots/metrics/{name}.tsv" for name in names} <= set(once)
    picture = cv2.imdecode(np.frombuffer(once["pictures/epoch002.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (4 * 128, 2 * 128, 3)  # two faces of each class
    assert not {"images_per_s", "gpu_memory_mb"} & set(json.loads(once["metrics.json"]))
    assert not any("images_per_s" in name for name in once)
    speeds = (project / ".cache/train_costs/plots/metrics/images_per_s.tsv").read_text().split()[3::2]
    assert len(speeds) == 2
    assert all(float(speed) > 0 for speed in speeds)
    with monkeypatch.context() as patched:  # interrupted between the last epoch and the result
        patched.setattr("dfdetect.training.run.write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(load(path))
    train(load(path))
    assert drawn(project) == once


def test_epochs_are_counted_from_1_wherever_one_is_told(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dfdetect.training.progress.EVERY_S", 0.0)  # a line after every batch
    metrics = train(load(write_params(epochs=3, tracker="dvclive")))
    assert metrics is not None
    told = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert len(told) > 6
    assert sorted(set(told)) == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    rows = [line.split("\t") for line in (project / CURVES / "plots/metrics/val_loss.tsv").read_text().splitlines()]
    assert [step for step, _ in rows] == ["step", "1", "2", "3"]
    best = metrics["best"]
    assert float(rows[best["epoch"]][1]) == pytest.approx(best["val_loss"], abs=1e-6)
    assert f"which epoch {best['epoch']} was the best" in (project / "models/detector/README.md").read_text()


def test_averaged_weights_beside_an_open_tracker(project: Path, write_params: Write) -> None:
    for words in (
        ["init", "-q"],
        ["add", "data"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "data"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True)
    metrics = train(load(write_params(epochs=2, tracker="dvclive", ema_decay=0.9)))
    assert metrics is not None
    assert metrics["epochs"] == 2
    assert "plots/metrics/val_auc.tsv" in drawn(project)


class Experiment:
    """Stands in for Comet's."""

    made: ClassVar[list[Experiment]] = []

    def __init__(self, **options: Any) -> None:
        self.options, self.params, self.ended = options, {}, False
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.images: list[str] = []
        Experiment.made.append(self)

    def log_parameters(self, params: dict[str, Any]) -> None:
        self.params = params

    def log_metrics(self, row: dict[str, float], step: int, epoch: int) -> None:
        assert step == epoch
        self.rows.append((step, row))

    def log_image(self, path: str, name: str) -> None:
        assert Path(path).read_bytes()[:2] == b"\xff\xd8"
        self.images.append(name)

    def end(self) -> None:
        self.ended = True


class OfflineExperiment(Experiment):
    """Another kind."""


@pytest.mark.usefixtures("project", "showing")
@pytest.mark.parametrize("key", [None, "secret"])
def test_comet_is_told_everything(write_params: Write, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    module = ModuleType("comet_ml")
    vars(module).update(Experiment=Experiment, OfflineExperiment=OfflineExperiment)
    monkeypatch.setitem(sys.modules, "comet_ml", module)
    monkeypatch.setattr(Experiment, "made", [])
    if key is None:
        monkeypatch.delenv("COMET_API_KEY", raising=False)
    else:
        monkeypatch.setenv("COMET_API_KEY", key)
    train(load(write_params(epochs=2, comet_project="faces")))
    (made,) = Experiment.made
    assert isinstance(made, OfflineExperiment) == (key is None)
    assert made.options["project_name"] == "faces"
    assert made.options.get("api_key") == key
    assert (made.options.get("offline_directory") == ".cache/comet") == (key is None)
    assert made.params["recipe.lr"] == 0.01
    assert [epoch for epoch, _ in made.rows] == [1, 2]
    assert {"train_classification", "val_auc", "lr_head", "grad_norm", "bias", "images_per_s"} <= set(made.rows[1][1])
    assert made.images == ["epoch001", "epoch002"]
    assert made.ended


@pytest.mark.usefixtures("project")
def test_comet_that_is_not_installed(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    with pytest.raises(UserError, match=r"comet_project needs the package comet_ml"):
        train(load(write_params(comet_project="faces")))
