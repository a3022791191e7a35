"""Untrained detectors in a saved model, small enough to score in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector
from dfdetect.inference import saved_model
from dfdetect.inference.saved_model import Evaluation, SavedModelInfo, Threshold, TrainingData
from dfdetect.inference.scoring import reads_sequences

SETTINGS: dict[str, dict[str, Any]] = {
    "xception": {"image_size": 64},
    "addnet": {"image_size": 64},
    "attention_network": {"image_size": 64, "fusion_width": 16, "graph_width": 16, "fusion_blocks": 1},
    "av_transformer": {"image_size": 64, "visual_layers": 2, "audio_layers": 2, "density_layers": 1, "d_model": 128},
}


def make_detector(name: str, seed: int = 0) -> Detector:
    """A detector with random weights, and random batch-norm statistics so that no map dies out."""
    torch.manual_seed(seed)
    detector = registry.build(name, SETTINGS[name])
    return detector.eval()


def make_info(detector: Detector, **changes: Any) -> SavedModelInfo:
    """detector.json of a made detector."""
    info = SavedModelInfo(
        detector=detector.name,
        settings=detector.settings.model_dump(mode="json"),
        image_size=detector.image_size,
        inputs=sorted(detector.inputs),
        target=detector.target,
        mean=detector.mean,
        std=detector.std,
        threshold=Threshold(value=0.5, achieved=0.5),
        calibration={"location": 300.0, "scale": 50.0} if detector.trains_on == "real" else None,
        preprocess={},
        trained_on=[TrainingData(dataset="made", synthetic=False)],
        packages={},
    )
    if reads_sequences(info):
        info = info.model_copy(update={"evaluation": Evaluation(sequence={"chunk_s": 0.4, "image_size": 64})})
    return info.model_copy(update=changes)


def save_model(folder: Path, name: str, **changes: Any) -> tuple[SavedModelInfo, Detector]:
    """Write a saved model with random weights."""
    detector = make_detector(name)
    info = make_info(detector, **changes)
    saved_model.save(folder, detector.state_dict(), info, "# made\n")
    return info, detector
