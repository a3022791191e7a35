"""Figures on the validation split: what chooses the checkpoint, and the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from stages.errors import UserError


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
    """Area under the ROC; None where one class is missing."""
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return float(roc_auc_score(labels[known], scores[known]))


def figures(scored: Scored, video: np.ndarray, labels: np.ndarray, *, anomaly: bool) -> dict[str, float]:
    """What an epoch of validation gave.

    Args:
        scored: scores of the index's rows.
        video: the video of each row [shape=(all rows,)].
        labels: of each video, -1 unknown [shape=(videos,)].
        anomaly: the scores are minus log-probabilities.
    Returns:
        val_auc (of videos) and val_frame_auc where both classes are there; for anomaly detectors val_log_prob, the mean
        over real videos.
    """
    videos, scores = by_video(scored, video)
    of_videos = labels[videos]
    found = {"val_auc": auc(of_videos, scores), "val_frame_auc": auc(labels[video[scored.rows]], scored.scores)}
    if anomaly:
        found["val_log_prob"] = float(-scores[of_videos == 0].mean())
    return {name: value for name, value in found.items() if value is not None}


def choose_threshold(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The score from which on a video counts as fake: the one of the best balanced accuracy.

    Between the two neighbouring scores that give the best one, the middle is taken; of several equally good gaps the
    widest, as the furthest from any video seen.

    Args:
        labels: 0 or 1 [shape=(V,)], both present.
        scores: higher = more likely fake [shape=(V,)].
    Returns:
        The threshold, and the balanced accuracy it gives on these videos.
    """
    values = np.unique(scores)
    edges = np.concatenate([[values[0]], (values[:-1] + values[1:]) / 2, [np.nextafter(values[-1], np.inf)]])
    widths = np.concatenate([[0.0], np.diff(values), [0.0]])
    fakes, reals = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    hit = 1.0 - np.searchsorted(fakes, edges) / len(fakes)
    passed = np.searchsorted(reals, edges) / len(reals)
    balanced = (hit + passed) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    chosen = best[np.argmax(widths[best])]
    return float(edges[chosen]), float(balanced[chosen])


def require_both(labels: np.ndarray, what: str) -> None:
    """Raises UserError unless both classes are among the labels."""
    if not {0, 1} <= set(labels.tolist()):
        raise UserError(f"{what} needs real and fake videos that could be scored; one class is missing.")
