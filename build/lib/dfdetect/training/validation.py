"""Figures on the validation split: what chooses the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_accuracy

# A classifier's probability of fake from which an epoch's accuracy counts a crop or a video as fake. The detector's own
# threshold is chosen once, after training.
ACCURACY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Scored:
    """Scores of an index's rows.

    Args:
        rows: positions in the index, each at most once [shape=(N,)].
        scores: higher = more likely fake [shape=(N,)].
    """

    rows: np.ndarray
    scores: np.ndarray

    @classmethod
    def gather(cls, parts: list[tuple[np.ndarray, np.ndarray]]) -> Scored:
        """Put together what several batches or processes scored, sorted by row.

        Raises:
            RuntimeError: a row was scored twice.
        """
        rows = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.int64)
        scores = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0)
        order = np.argsort(rows, kind="stable")
        if len(np.unique(rows)) != len(rows):
            raise RuntimeError("a validation sample was scored twice")
        return cls(rows[order], scores[order].astype(np.float64))


def by_video(scored: Scored, video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of each video that has one.

    Args:
        scored: scores of rows.
        video: the video of each row of the index [shape=(all rows,)].
    Returns:
        Videos [shape=(V,)], ascending, and their scores [shape=(V,)].
    """
    videos, where = np.unique(video[scored.rows], return_inverse=True)
    sums = np.bincount(where, weights=scored.scores, minlength=len(videos))
    return videos, sums / np.bincount(where, minlength=len(videos))


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC; None where one class is missing.

    By scikit-learn: torchmetrics puts scores outside [0, 1], as anomaly detectors have, through a sigmoid, which makes
    large ones equal: 0.5 instead of 0.75 for the scores 300, 310, 320, 330 of real, fake, real, fake.
    """
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return float(roc_auc_score(labels[known], scores[known]))


def accuracy(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Fraction of probabilities on the right side of ACCURACY_THRESHOLD; None where no label is known (-1)."""
    known = labels >= 0
    if not known.any():
        return None
    predicted = torch.from_numpy((scores[known] >= ACCURACY_THRESHOLD).astype(np.int64))
    return float(binary_accuracy(predicted, torch.from_numpy(labels[known].astype(np.int64))))


def weighted_means(parts: list[Mapping[str, Any]]) -> dict[str, float]:
    """Mean validation losses over the samples of all processes.

    Args:
        parts: of each process, the sum of each loss and `n`, the samples; empty where it had none.
    Returns:
        val_<name> of each loss.
    """
    totals: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    count = totals.pop("n")
    return {f"val_{name}": value / count for name, value in totals.items()}


def figures(scored: Scored, video: np.ndarray, labels: np.ndarray, *, anomaly: bool) -> dict[str, float]:
    """What an epoch of validation gave.

    Args:
        scored: scores of the index's rows.
        video: the video of each row [shape=(all rows,)].
        labels: of each video, -1 unknown [shape=(videos,)].
        anomaly: the scores are minus log-probabilities.
    Returns:
        val_auc (of videos) and val_frame_auc where both classes are there; of classifiers val_acc (of videos) and
        val_frame_acc, of anomaly detectors val_log_prob, the mean over real videos.
    """
    videos, scores = by_video(scored, video)
    of_videos, of_frames = labels[videos], labels[video[scored.rows]]
    found = {"val_auc": auc(of_videos, scores), "val_frame_auc": auc(of_frames, scored.scores)}
    if anomaly:
        found["val_log_prob"] = float(-scores[of_videos == 0].mean())
    else:
        found["val_acc"] = accuracy(of_videos, scores)
        found["val_frame_acc"] = accuracy(of_frames, scored.scores)
    return {name: value for name, value in found.items() if value is not None}


def selection(found: Mapping[str, float], *, by_loss: bool) -> float:
    """What chooses the checkpoint, higher = better.

    Args:
        found: an epoch's figures, with val_loss.
        by_loss: an anomaly detector's checkpoint has the lowest loss instead of the highest log-probability. Densities
            of features that are still being learned do not compare: dull features are the likeliest.
    Returns:
        val_auc; of equal ones, which a small split often has, the better val_frame_auc, and of equal ones of that the
        lower val_loss. Of anomaly detectors val_log_prob or -val_loss.
    """
    if "val_log_prob" in found:
        return -found["val_loss"] if by_loss else found["val_log_prob"]
    tie = 1e-4 * found.get("val_frame_auc", 0.0) - 1e-7 * min(found["val_loss"], 100.0)
    return found.get("val_auc", 0.0) + tie
