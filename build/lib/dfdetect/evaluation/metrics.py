"""Figures of merit of a binary detector, for one set of weights or for thousands of resamples at once.

A figure takes integer weights, one row a resample, so the reported value (all weights one) and its bootstrap interval
come from the same lines. An undefined figure is NaN here; `undefined` puts the reason into words, and the JSON that is
written holds null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray
FPR_LIMITS = {"tpr_at_1pct_fpr": 0.01, "tpr_at_0p1pct_fpr": 0.001}
# Probabilities are kept this far from 0 and 1 in the log loss, as scikit-learn does for float64.
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Sample:
    """Scored items, each of which belongs to one video.

    Args:
        labels: 0 real, 1 fake [shape=(N,)].
        scores: probability of fake, in [0, 1] [shape=(N,)].
        videos: number of the item's video, in [0, V) [shape=(N,)].
        n_videos: V; a video may have no item.
    """

    labels: np.ndarray
    scores: np.ndarray
    videos: np.ndarray
    n_videos: int

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray, videos: np.ndarray | None = None) -> Sample:
        """Check and build; without `videos` each item is its own video.

        Raises:
            ValueError: shapes differ, a label is not 0 or 1, or a score is not a probability.
        """
        labels, scores = np.asarray(labels, np.int8), np.asarray(scores, np.float64)
        videos = np.arange(labels.size) if videos is None else np.asarray(videos, np.int64)
        if not labels.shape == scores.shape == videos.shape or labels.ndim != 1:
            raise ValueError(
                f"labels, scores and videos differ in shape: {labels.shape}, {scores.shape}, {videos.shape}"
            )
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("a label is neither 0 nor 1")
        if not ((scores >= 0) & (scores <= 1)).all():  # NaN fails this too
            raise ValueError("a score is no probability in [0, 1]")
        return cls(labels, scores, videos, int(videos.max(initial=-1)) + 1)

    def videos_of(self, label: int) -> int:
        """How many videos have an item of this label."""
        return int(np.unique(self.videos[self.labels == label]).size)

    def where(self, keep: np.ndarray) -> Sample:
        """The items at which `keep` [shape=(N,)] holds, under the same video numbers."""
        return Sample(self.labels[keep], self.scores[keep], self.videos[keep], self.n_videos)


@dataclass(frozen=True)
class Ranking:
    """A sample sorted by falling score, once; every resample reuses the order.

    `ends` are the last positions of runs of equal scores: between two of them no threshold can part the items, so
    ties count half in the AUC, as they should.
    """

    videos: np.ndarray
    fake: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, sample: Sample) -> Ranking:
        """Sort a sample."""
        order = np.argsort(-sample.scores, kind="stable")
        scores = sample.scores[order]
        last = np.append(scores[1:] != scores[:-1], True) if scores.size else np.zeros(0, bool)
        ends = np.flatnonzero(last)
        return cls(sample.videos[order], sample.labels[order].astype(np.int32), ends, scores[ends])

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fakes and reals at or above each threshold, after a leading 0.

        Args:
            weights: how often each video is drawn [shape=(R, V)].
        Returns:
            tp, fp [shape=(R, K + 1)], K thresholds.
        """
        drawn = np.take(weights.astype(np.int32, copy=False), self.videos, axis=1)  # (R, N)
        every = np.cumsum(drawn, axis=1, dtype=np.int32)
        drawn *= self.fake
        fakes = np.cumsum(drawn, axis=1, dtype=np.int32)
        if self.ends.size != self.fake.size:
            every, fakes = np.take(every, self.ends, axis=1), np.take(fakes, self.ends, axis=1)
        tp = np.zeros((len(weights), self.ends.size + 1), np.int32)
        fp = np.zeros_like(tp)
        tp[:, 1:] = fakes
        np.subtract(every, fakes, out=fp[:, 1:])
        return tp, fp


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator / denominator, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _first(holds: Callable[[np.ndarray], np.ndarray], like: np.ndarray) -> np.ndarray:
    """The first column at which a condition that stays true holds, by bisection; the column count if it never does.

    Args:
        holds: columns [shape=(R, 1)] -> truth [shape=(R, 1)].
        like: an array of that many rows and columns [shape=(R, K)].
    """
    low = np.zeros((like.shape[0], 1), np.int64)
    high = np.full_like(low, like.shape[1])
    while (low < high).any():
        middle = (low + high) // 2
        true = holds(np.minimum(middle, like.shape[1] - 1)) | (middle >= like.shape[1])
        high = np.where(true, middle, high)
        low = np.where(true, low, middle + 1)
    return low


def auc(tp: np.ndarray, fp: np.ndarray) -> Floats:
    """Area under the ROC: the chance that a random fake scores above a random real, ties half [shape=(R,)]."""
    # 2 x area = sum over steps of (fp_k - fp_k-1) (tp_k + tp_k-1), in exact integers as float64
    area = np.einsum("rk,rk->r", np.diff(fp, axis=1), tp[:, 1:] + tp[:, :-1], dtype=np.float64)
    return divide(area, 2.0 * tp[:, -1] * fp[:, -1].astype(float))


def average_precision(tp: np.ndarray, fp: np.ndarray) -> Floats:
    """Precision summed over steps of recall, not interpolated, as scikit-learn's [shape=(R,)]."""
    called = np.maximum(tp[:, 1:] + fp[:, 1:], 1)
    area = np.einsum("rk,rk->r", np.diff(tp, axis=1), tp[:, 1:] / called)
    return np.where(fp[:, -1] > 0, divide(area, tp[:, -1]), np.nan)


def equal_error_rate(tp: np.ndarray, fp: np.ndarray) -> Floats:
    """Error rate where the false positive and the false negative rate are equal [shape=(R,)].

    Between the two operating points around the crossing the ROC is taken as straight.
    """
    fakes, reals = tp[:, -1:].astype(float), fp[:, -1:].astype(float)

    # fpr - fnr = fp/N - 1 + tp/P rises along the curve; scaled by P N it stays an exact integer
    def gap(at: np.ndarray) -> Floats:
        return np.take_along_axis(fp, at, 1) * fakes + np.take_along_axis(tp, at, 1) * reals - fakes * reals

    at = np.clip(_first(lambda at: gap(at) >= 0, tp), 1, tp.shape[1] - 1)  # only a sample of one class reaches the ends
    before, after = gap(at - 1), gap(at)
    share = np.where(after > before, -before / np.where(after > before, after - before, 1.0), 0.0)
    low, high = np.take_along_axis(fp, at - 1, 1), np.take_along_axis(fp, at, 1)
    defined = (fakes > 0) & (reals > 0)
    return np.where(defined, divide(low + share * (high - low), reals), np.nan)[:, 0]


def tpr_at_fpr(tp: np.ndarray, fp: np.ndarray, limit: float) -> Floats:
    """The highest TPR at any threshold whose FPR is at most `limit` [shape=(R,)].

    No interpolation: with fewer than 1/limit reals this is the TPR without any false positive.
    """
    allowed = np.floor(limit * fp[:, -1:] + 1e-9)
    last = _first(lambda at: np.take_along_axis(fp, at, 1) > allowed, fp) - 1
    rate = divide(np.take_along_axis(tp, last, 1)[:, 0], tp[:, -1])
    return np.where(fp[:, -1] > 0, rate, np.nan)


def confusion(sample: Sample, threshold: float) -> np.ndarray:
    """tn, fp, fn, tp of each video's items [shape=(V, 4)]; a score of at least the threshold is predicted fake."""
    cell = 2 * sample.labels.astype(np.int64) + (sample.scores >= threshold)
    flat = np.bincount(sample.videos * 4 + cell, minlength=sample.n_videos * 4)
    return flat.reshape(sample.n_videos, 4)


def decisions(cells: np.ndarray) -> dict[str, Floats]:
    """What follows from tn, fp, fn, tp [shape=(R, 4)]: each figure [shape=(R,)]."""
    tn, fp, fn, tp = cells.astype(float).T
    sensitivity, specificity = divide(tp, tp + fn), divide(tn, tn + fp)
    return {
        "acc": divide(tn + tp, cells.sum(axis=1)),
        "balanced_acc": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "fake_precision": divide(tp, tp + fp),
        "fake_recall": sensitivity,
        "fake_f1": divide(2 * tp, 2 * tp + fp + fn),
        "real_precision": divide(tn, tn + fn),
        "real_recall": specificity,
        "real_f1": divide(2 * tn, 2 * tn + fp + fn),
    }


def ranks(tp: np.ndarray, fp: np.ndarray) -> dict[str, Floats]:
    """The figures that need no threshold: AUC, AP, EER, TPR at fixed FPR; each [shape=(R,)]."""
    return {
        "auc": auc(tp, fp),
        "ap": average_precision(tp, fp),
        "eer": equal_error_rate(tp, fp),
        **{name: tpr_at_fpr(tp, fp, limit) for name, limit in FPR_LIMITS.items()},
    }


def losses(sample: Sample, bins: int) -> np.ndarray:
    """Sums by video for the calibration figures: items, log loss, Brier, then a bin's excess of fakes over score.

    Returns:
        [shape=(V, 3 + bins)]; bin b holds scores in [b / bins, (b + 1) / bins).
    """
    label, score = sample.labels.astype(float), np.clip(sample.scores, EPSILON, 1 - EPSILON)
    log_loss = -np.where(label == 1, np.log(score), np.log1p(-score))
    sums = [np.ones_like(score), log_loss, (sample.scores - label) ** 2]
    columns = [np.bincount(sample.videos, values, sample.n_videos) for values in sums]
    which = sample.videos * bins + bin_of(sample.scores, bins)
    gaps = np.bincount(which, label - sample.scores, sample.n_videos * bins).reshape(sample.n_videos, bins)
    return np.column_stack([*columns, gaps])


def bin_of(scores: np.ndarray, bins: int) -> np.ndarray:
    """The bin of equal width that each score in [0, 1] falls into; 1.0 belongs to the last."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def calibration(sums: np.ndarray) -> dict[str, Floats]:
    """Log loss, Brier score and expected calibration error from summed `losses` [shape=(R, 3 + bins)].

    ECE: |fraction of fakes - mean score| over bins of equal width, weighted by the items in each.
    """
    items = sums[:, 0]
    return {
        "log_loss": divide(sums[:, 1], items),
        "brier": divide(sums[:, 2], items),
        "ece": divide(np.abs(sums[:, 3:]).sum(axis=1), items),
    }


class Figures:
    """All figures of one sample, prepared once for any number of resamples."""

    def __init__(self, sample: Sample, threshold: float, bins: int) -> None:
        self.sample = sample
        self._ranking = Ranking.of(sample)
        self._cells = confusion(sample, threshold)
        self._sums = losses(sample, bins)

    def __call__(self, weights: np.ndarray) -> dict[str, Floats]:
        """Each figure by name [shape=(R,)] under the weights of the videos [shape=(R, V)]."""
        as_float = weights.astype(float)
        return {
            **ranks(*self._ranking.counts(weights)),
            **decisions((as_float @ self._cells).round()),
            **calibration(as_float @ self._sums),
        }

    def values(self) -> dict[str, float]:
        """Each figure of the sample itself; NaN where undefined."""
        ones = np.ones((1, self.sample.n_videos), np.int32)
        return {name: float(value[0]) for name, value in self(ones).items()}

    def cells(self) -> dict[str, int]:
        """The confusion matrix: true negatives, false positives, false negatives, true positives; fake is positive."""
        return dict(zip(("tn", "fp", "fn", "tp"), self._cells.sum(axis=0).tolist(), strict=True))


def undefined(name: str, cells: dict[str, int], items: str) -> str:
    """Why a figure is undefined, in words.

    Args:
        name: of the figure.
        cells: the confusion matrix.
        items: what is counted: `video` or `frame`.
    """
    real, fake = cells["tn"] + cells["fp"], cells["fn"] + cells["tp"]
    if real + fake == 0:
        return f"no labelled {items} was scored"
    if real == 0:
        return f"there is no real {items}"
    if fake == 0:
        return f"there is no fake {items}"
    said = "fake" if name.startswith("fake") else "real"
    return f"no {items} was predicted {said}"
