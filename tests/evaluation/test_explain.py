"""Grad-CAM finds the place that the score hangs on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dfdetect.data.index import load_videos
from dfdetect.detectors import registry
from dfdetect.detectors.base import Batch, Detector
from dfdetect.detectors.settings import DetectorSettings
from dfdetect.inference.heatmap import explain, grad_cam, last_map
from dfdetect.inference.scoring import Scorer, load_index
from tests.evaluation.saved_models import make_detector, make_info
from tests.tables import clips, write_dataset, write_faces


class Bright(Detector):
    """Calls fake what has a bright spot, and nothing else."""

    inputs = frozenset({"image"})

    def __init__(self) -> None:
        super().__init__(DetectorSettings(), image_size=32)
        self.conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight.fill_(0.1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        spots = self.conv(batch["image"]).relu().mean(dim=(2, 3))
        return {"logits": torch.stack([torch.zeros_like(spots[:, 0]), spots.sum(dim=1)], dim=1)}

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:
        raise NotImplementedError


def test_heat_lies_where_the_evidence_is() -> None:
    image = torch.zeros(2, 3, 32, 32)
    image[0, :, 4:9, 20:25] = 1.0
    detector = Bright().eval()
    heat = grad_cam(detector, {"image": image})
    assert heat.shape == (2, 32, 32)
    assert heat[0, 6, 22] == 1.0
    assert heat[0, 20:, :15].max() == 0
    assert heat[1].max() == 0  # no evidence, no heat
    assert detector.conv.weight.grad is None


def test_crops_are_explained_and_the_detector_left_as_it_was(tmp_path: Path) -> None:
    made = clips(0, 0, 2)
    write_dataset(tmp_path, made, frames=2)
    write_faces(tmp_path, made, frames=2, spoiled=frozenset({"test/clip001.mp4"}))
    detector = make_detector("xception").requires_grad_(False)
    info = make_info(detector)
    scorer = Scorer(detector, info, device="cpu")
    index = load_index(tmp_path, load_videos(tmp_path, info.target, {"test"}), info)
    before = scorer.score(index)
    shown, spoiled = explain(scorer, index, [0, 2])
    assert spoiled == {}
    assert shown["picture"].shape == (64, 64, 3)
    assert shown["heat"].shape == (64, 64)
    assert 0 <= shown["heat"].min() <= shown["heat"].max() <= 1
    assert np.isfinite(shown["heat"]).all()
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    assert scorer.score(index) == before


def test_detectors_that_reconstruct_show_where_they_fail_to(tmp_path: Path) -> None:
    made = clips(0, 0, 1)
    write_dataset(tmp_path, made, frames=1)
    write_faces(tmp_path, made, frames=1)
    detector = make_detector("attention_network")
    scorer = Scorer(detector, make_info(detector), device="cpu")
    index = load_index(tmp_path, load_videos(tmp_path, scorer.info.target, {"test"}), scorer.info)
    (shown,) = explain(scorer, index, [0])
    assert shown["residual"].shape == shown["heat"].shape == (64, 64)
    assert shown["residual"].min() >= 0
    assert shown["residual"].max() == 1.0
    assert shown["residual"].std() > 0


@pytest.mark.parametrize("name", registry.names())
def test_the_map_is_the_backbones(name: str) -> None:
    torch.manual_seed(0)
    detector = registry.build(name, registry.settings_class(name).small).eval()
    if "image" not in detector.inputs or detector.trains_on == "real":
        pytest.skip("no classifier of pictures")
    batch = {key: value for key, value in detector.example_batch(2).items() if key != "label"}
    layer, maps, slope = last_map(detector, batch)
    backbone = {each for each, _ in detector.named_modules() if each.startswith(detector.backbone_prefixes)}
    assert backbone
    assert layer in backbone
    assert maps.shape == slope.shape
    assert slope.abs().max() > 0
