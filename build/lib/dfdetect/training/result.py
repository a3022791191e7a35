"""The trained detector, evaluated on validation, as models/detector/ and metrics/train.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dfdetect.config.params import Params
from dfdetect.data.batches import make_loader, to_inputs
from dfdetect.detectors.calibration import fit_anomaly
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.inference.scoring import Scorer, prediction_rows
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import from_rows, write_json
from dfdetect.reporting.model_card import model_card
from dfdetect.training.module import Training
from dfdetect.training.resume import Workspace, read_checkpoint
from dfdetect.training.setup import device_of, packages, start_weights

METRICS = Path("metrics/train.json")
DETAILS = Path("metrics/details/train.json")
# Of the best epoch, in metrics/train.json, where the detector has them.
FLAT = ("val_auc", "val_frame_auc", "val_log_prob", "val_acc", "train_acc", "val_loss")
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
def raw_scores(module: Training, device: str) -> tuple[np.ndarray, np.ndarray]:
    """An anomaly detector's uncalibrated scores of the validation videos, and their labels [shape=(N,) each]."""
    detector, data = module.detector.to(device).eval(), module.data
    scored, labels = [], []
    for raw in make_loader(data.val, data.val_sampler(module.recipe.eval_batch_size), module.loader_settings):
        if len(raw["rows"]):
            inputs = to_inputs(raw, device, mean=detector.mean, std=detector.std)
            inputs.pop("label")
            scored.append(detector.score(detector(inputs)).float().cpu().numpy())
            labels.append(data.val.index.labels[raw["rows"].numpy()])
    return np.concatenate(scored), np.concatenate(labels)


def find_threshold(labels: np.ndarray, scores: np.ndarray) -> saved_model.Threshold:
    """The threshold on video scores: of the best balanced accuracy; without fakes, where 95 % of the reals pass.

    Args:
        labels: 0 or 1 [shape=(V,)].
        scores: in [0, 1] [shape=(V,)].
    """
    if {0, 1} <= set(labels.tolist()):
        value, achieved = saved_model.best_threshold(labels, scores)
        return saved_model.Threshold(value=value, achieved=round(achieved, 6))
    value = float(np.quantile(scores, 0.95))
    return saved_model.Threshold(
        value=value, criterion="real_quantile", achieved=round(float((scores < value).mean()), 6)
    )


def score_validation(
    module: Training, info: saved_model.SavedModelInfo, device: str
) -> tuple[saved_model.SavedModelInfo, pa.Table]:
    """Score the validation videos as evaluate scores others, and choose the threshold on them.

    An anomaly detector is calibrated on real videos, and its threshold lets 95 % of them pass: it sees no fake, unless
    its settings say `calibrate_on_fakes`.

    Args:
        module: with the best weights.
        info: complete but for the calibration and the threshold.
        device: cpu or cuda.
    Returns:
        The completed info, and the predictions of the validation videos (schema.PREDICTIONS).
    """
    use_fakes = not module.anomaly or module.detector.calibrates_on_fakes
    if module.anomaly:
        raw, known_labels = raw_scores(module, device)
        fakes = raw[known_labels == 1] if use_fakes else None
        info = info.model_copy(update={"calibration": fit_anomaly(raw[known_labels == 0], fakes)})
    index = module.data.val.index
    found = Scorer(module.detector, info, device=device).score(index)
    labels = index.videos.labels
    seen = {0, 1} if use_fakes else {0}
    known = [n for n, video in enumerate(found) if video.score is not None and labels[n] in seen]
    scores = np.array([found[n].score for n in known], dtype=np.float64)
    info = info.model_copy(update={"threshold": find_threshold(labels[known], scores)})
    rows = prediction_rows(index.videos, found, info, threshold=info.threshold.value)
    return info, from_rows(rows, PREDICTIONS)


def write_result(
    module: Training,
    workspace: Workspace,
    params: Params,
    data_hashes: dict[str, str],
    folder: Path = saved_model.FOLDER,
) -> dict[str, Any]:
    """Score the best epoch on validation, choose the threshold, write the saved model and the metrics.

    Args:
        module: trained.
        workspace: where its best checkpoint is.
        params: what it was trained with.
        data_hashes: of the artifacts it read.
        folder: where the saved model goes.
    Returns:
        What went to metrics/details/train.json; metrics/train.json has the few figures that detectors are compared by.
    """
    best = load_best(module, workspace)
    metrics: dict[str, Any] = {
        "detector": module.detector.name,
        "dataset": params.train.dataset,
        "recipe": params.train.recipe,
        "seed": params.train.seed,
        "epochs": len(module.history),
        "batch_size": module.batch_size,
        "best": {"epoch": best + 1, **_rounded(module.history[best])},  # counted from 1, as in the log
    }
    info, predictions = score_validation(
        module, describe(module, params, metrics, data_hashes), device_of(module.recipe)
    )
    metrics["threshold"] = info.threshold.model_dump(mode="json")
    metrics["data"] = module.data.counts
    metrics["unreadable"] = _unreadable(module)
    parameters = sum(p.numel() for p in module.detector.parameters())
    card = model_card(info, metrics, parameters=parameters, warnings=module.data.warnings)
    saved_model.save(folder, module.detector.state_dict(), info, card, validation=predictions)
    write_json(DETAILS, metrics)
    write_json(METRICS, flat_metrics(metrics))
    return metrics


def flat_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """Of metrics/details/train.json, at most eight figures on one level."""
    best = metrics["best"]
    epochs = {"epochs": metrics["epochs"], "best_epoch": best["epoch"]}
    return {**epochs, **{name: best[name] for name in FLAT if name in best}}


def _rounded(row: dict[str, float]) -> dict[str, float | None]:
    """For JSON, which knows no NaN and no infinity: they become null."""
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in row.items()}


def _unreadable(module: Training) -> dict[str, Any]:
    halves = {"train": module.data.train, "val": module.data.val}
    listed = [
        sample
        for split, dataset in halves.items()
        for sample in dataset.describe(torch.tensor(sorted(module.skipped[split])[:LISTED], dtype=torch.int64))
    ]
    return {**{split: len(rows) for split, rows in sorted(module.skipped.items())}, "listed": listed[:LISTED]}


def describe(
    module: Training, params: Params, metrics: dict[str, Any], data_hashes: dict[str, str]
) -> saved_model.SavedModelInfo:
    """detector.json's content; calibration and threshold are still to be found."""
    detector, sequence = module.detector, module.data.sequence
    example = detector.example_batch(1)
    del example["label"]
    with torch.inference_mode():
        output = detector.eval()(example)
    sections = {
        "faces": params.faces_of(params.train.dataset),
        "masks": params.masks,
        "mouths": params.mouths,
        "mels": params.mels,
    }
    return saved_model.SavedModelInfo(
        detector=detector.name,
        settings=detector.settings.model_dump(mode="json"),
        image_size=detector.image_size,
        inputs=sorted(detector.inputs),
        parameters=sum(p.numel() for p in detector.parameters()),
        input_shapes={key: list(value.shape[1:]) for key, value in example.items()},
        output_shapes={key: list(value.shape[1:]) for key, value in output.items()},
        target=detector.target,
        mean=detector.mean,
        std=detector.std,
        threshold=saved_model.Threshold(value=0.5, criterion="none", achieved=0.0),
        evaluation=saved_model.Evaluation(sequence=None if sequence is None else vars(sequence)),
        preprocess={name: section.model_dump(mode="json") for name, section in sections.items()},
        trained_on=[*earlier_training(params.train.init_checkpoint), training_data(params, module.data.counts)],
        packages=packages(),
        data=data_hashes,
        train={
            "params": params.train.model_dump(mode="json"),
            "recipe": module.recipe.fingerprint(),
            "epochs": metrics["epochs"],
            "best": metrics["best"],
        },
    )


def training_data(params: Params, counts: dict[str, Any]) -> saved_model.TrainingData:
    """What detector.json says of the dataset that was trained on.

    Args:
        params: which name the dataset.
        counts: TrainData.counts.
    """
    name = params.train.dataset
    entry = params.dataset(name)
    used = {split: saved_model.VideoCounts(**counts[split]["videos"]) for split in ("train", "val")}
    synthetic = entry.source.kind == "generate"
    return saved_model.TrainingData(
        dataset=name, synthetic=synthetic, layout=entry.layout, source=entry.source.kind, **used
    )


def earlier_training(start: Path | None) -> list[saved_model.TrainingData]:
    """The datasets behind train.init_checkpoint's weights; those of weights without a detector.json are unknown."""
    if start is None:
        return []
    try:
        return saved_model.read_info(start_weights(start).parent).trained_on
    except UserError:
        return [saved_model.TrainingData(dataset=f"unknown data of {start}", synthetic=False)]
