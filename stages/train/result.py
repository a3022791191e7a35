"""The trained detector, judged on validation, as models/detector/ and metrics/train.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages import bundle
from stages.detectors.base import Detector
from stages.detectors.calibration import apply_anomaly, fit_anomaly
from stages.loading.batches import make_loader, to_inputs
from stages.params import Params
from stages.store import write_json
from stages.train.card import model_card
from stages.train.data import TrainData
from stages.train.module import Training
from stages.train.resume import Workspace, read_checkpoint
from stages.train.setup import packages
from stages.train.validation import Scored, by_video, choose_threshold, figures

METRICS = Path("metrics/train.json")
# Unreadable crops that are listed by name; the rest are counted.
LISTED = 20


def load_best(module: Training, workspace: Workspace) -> int:
    """Put the best epoch's weights into the module's detector. Returns that epoch, counted from 0."""
    checkpoint = read_checkpoint(workspace.best)
    prefix = "detector."
    state = {
        name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)
    }
    module.detector.to("cpu").load_state_dict(state)
    return int(checkpoint["epoch"])


@torch.inference_mode()
def score_validation(module: Training, device: torch.device | str) -> Scored:
    """Scores of all validation samples, in float32."""
    detector, data = module.detector.to(device).eval(), module.data
    parts = []
    for raw in make_loader(data.val, data.val_sampler(module.recipe.eval_batch_size), module.loader_settings):
        if len(raw["rows"]):
            inputs = to_inputs(raw, device, mean=detector.mean, std=detector.std)
            inputs.pop("label")
            parts.append((raw["rows"].numpy(), detector.score(detector(inputs)).float().cpu().numpy()))
    return Scored.gather(parts)


def calibrate(scored: Scored, data: TrainData, *, anomaly: bool) -> tuple[Scored, dict[str, Any] | None]:
    """Scores in [0, 1]: an anomaly detector's are calibrated on the real videos; a classifier's are so already."""
    if not anomaly:
        return scored, None
    real = data.val.index.labels[scored.rows] == 0
    calibration = fit_anomaly(scored.scores[real])
    return Scored(scored.rows, apply_anomaly(scored.scores, calibration)), calibration


def find_threshold(scored: Scored, data: TrainData) -> bundle.Threshold:
    """The threshold on video scores: of the best balanced accuracy; without fakes, where 95 % of the reals pass."""
    index = data.val.index
    videos, scores = by_video(scored, index.video)
    labels = index.videos.labels[videos]
    if {0, 1} <= set(labels.tolist()):
        value, achieved = choose_threshold(labels, scores)
        return bundle.Threshold(value=value, achieved=round(achieved, 6))
    value = float(np.quantile(scores[labels == 0], 0.95))
    return bundle.Threshold(value=value, criterion="real_quantile", achieved=round(float((scores < value).mean()), 6))


def write_result(
    module: Training, workspace: Workspace, params: Params, data_hashes: dict[str, str], folder: Path = bundle.FOLDER
) -> dict[str, Any]:
    """Judge the best epoch on validation, choose the threshold, write the bundle and the metrics.

    Args:
        module: trained.
        workspace: where its best checkpoint is.
        params: what it was trained with.
        data_hashes: of the artifacts it read.
        folder: where the bundle goes.
    Returns:
        What went to metrics/train.json.
    """
    best = load_best(module, workspace)
    detector, data = module.detector, module.data
    device = "cuda" if torch.cuda.is_available() and module.recipe.accelerator != "cpu" else "cpu"
    raw = score_validation(module, device)
    scored, calibration = calibrate(raw, data, anomaly=module.anomaly)
    index = data.val.index
    found = figures(raw, index.video, index.videos.labels, anomaly=module.anomaly)
    row = {**module.history[best], **found}
    metrics = {
        "detector": detector.name,
        "dataset": params.train.dataset,
        "recipe": params.train.recipe,
        "seed": params.train.seed,
        "epochs": len(module.history),
        "best": {"epoch": best, **{name: round(value, 6) for name, value in row.items()}},
        "threshold": find_threshold(scored, data).model_dump(mode="json"),
        "data": data.counts,
        "unreadable": _unreadable(module),
    }
    info = describe(detector, module, params, metrics, calibration, data_hashes)
    parameters = sum(parameter.numel() for parameter in detector.parameters())
    bundle.save(folder, detector.state_dict(), info, model_card(info, metrics, parameters=parameters))
    write_json(METRICS, metrics)
    return metrics


def _unreadable(module: Training) -> dict[str, Any]:
    halves = {"train": module.data.train, "val": module.data.val}
    listed = [
        sample
        for split, dataset in halves.items()
        for sample in dataset.describe(torch.tensor(sorted(module.skipped[split])[:LISTED], dtype=torch.int64))
    ]
    return {**{split: len(rows) for split, rows in sorted(module.skipped.items())}, "listed": listed[:LISTED]}


def describe(
    detector: Detector,
    module: Training,
    params: Params,
    metrics: dict[str, Any],
    calibration: dict[str, Any] | None,
    data_hashes: dict[str, str],
) -> bundle.BundleInfo:
    """detector.json's content."""
    sequence = module.data.sequence
    rooms = {
        "faces": params.faces_of(params.train.dataset),
        "masks": params.masks,
        "mouths": params.mouths,
        "mels": params.mels,
    }
    return bundle.BundleInfo(
        detector=detector.name,
        settings=detector.settings.model_dump(mode="json"),
        image_size=detector.image_size,
        inputs=sorted(detector.inputs),
        target=detector.target,
        mean=detector.mean,
        std=detector.std,
        threshold=bundle.Threshold.model_validate(metrics["threshold"]),
        calibration=calibration,
        evaluation=bundle.Evaluation(sequence=None if sequence is None else vars(sequence)),
        preprocess={name: room.model_dump(mode="json") for name, room in rooms.items()},
        packages=packages(),
        data=data_hashes,
        train={
            "params": params.train.model_dump(mode="json"),
            "recipe": module.recipe.fingerprint(),
            "epochs": metrics["epochs"],
            "best": metrics["best"],
        },
    )
