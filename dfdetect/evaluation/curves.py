"""Plots as data: what `dvc plots` draws and compares, and what the report draws."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from dfdetect.evaluation.metrics import Ranking, Sample
from dfdetect.evaluation.reliability import reliability_curve
from dfdetect.io.tables import write_bytes

# Points of a curve that are kept; more cannot be told apart on a screen.
MOST_POINTS = 1000
HISTOGRAM_BINS = 25
DIGITS = 6


def roc(sample: Sample) -> list[dict[str, float]]:
    """Operating points from "nothing is fake" to "all is fake": fpr, tpr, threshold; empty if a class is missing."""
    tp, fp, thresholds = _counts(sample)
    if tp[-1] == 0 or fp[-1] == 0:
        return []
    keep = _corners(fp, tp)
    return [_rounded(fpr=fp[i] / fp[-1], tpr=tp[i] / tp[-1], threshold=thresholds[i]) for i in keep]


def det(sample: Sample) -> list[dict[str, float]]:
    """Normal deviates of false alarms and misses, in which normally distributed scores give a straight line.

    Rates of 0 and 1 have no finite deviate and are left out; so is a curve without both classes.
    """
    rows = [(row["fpr"], 1 - row["tpr"], row["threshold"]) for row in roc(sample)]
    return [
        _rounded(false_alarms=float(norm.ppf(fpr)), misses=float(norm.ppf(fnr)), fpr=fpr, fnr=fnr, threshold=threshold)
        for fpr, fnr, threshold in rows
        if 0 < fpr < 1 and 0 < fnr < 1
    ]


def precision_recall(sample: Sample) -> list[dict[str, float]]:
    """recall, precision, threshold from the highest score down; empty if a class is missing."""
    tp, fp, thresholds = _counts(sample)
    if tp[-1] == 0 or fp[-1] == 0:
        return []
    # A straight stretch of the ROC is curved here, so no point on it may be left out for being straight.
    keep = _thinned(np.flatnonzero(tp + fp))
    return [_rounded(recall=tp[i] / tp[-1], precision=tp[i] / (tp[i] + fp[i]), threshold=thresholds[i]) for i in keep]


def histogram(sample: Sample, bins: int = HISTOGRAM_BINS) -> list[dict[str, Any]]:
    """Share of each class's items by score: score (middle of the bin), share, class."""
    rows: list[dict[str, Any]] = []
    for label, name in ((0, "real"), (1, "fake")):
        own = sample.scores[sample.labels == label]
        counts, edges = np.histogram(own, bins=bins, range=(0.0, 1.0))
        rows += [
            {
                "score": round(float(low + high) / 2, DIGITS),
                "share": round(float(count / own.size), DIGITS),
                "class": name,
            }
            for count, low, high in zip(counts, edges, edges[1:], strict=False)
            if own.size
        ]
    return rows


def confusion(sample: Sample, threshold: float) -> list[dict[str, str]]:
    """One row an item: actual, predicted."""
    names = ("real", "fake")
    said = (sample.scores >= threshold).astype(int)
    return [{"actual": names[a], "predicted": names[p]} for a, p in zip(sample.labels, said, strict=True)]


def write_plots(folder: Path, videos: Sample, threshold: float, bins: int) -> None:
    """Write roc.csv, pr.csv, det.csv, histogram.csv, reliability.csv and confusion.csv of the videos' scores.

    A curve that is undefined is a file of its header alone.
    """
    reliability = [
        {name: round(row[name], DIGITS) for name in ("mean_score", "fake_share", "items")}
        for row in reliability_curve(videos, bins)
    ]
    _write(folder / "roc.csv", ("fpr", "tpr", "threshold"), roc(videos))
    _write(folder / "pr.csv", ("recall", "precision", "threshold"), precision_recall(videos))
    _write(folder / "det.csv", ("false_alarms", "misses", "fpr", "fnr", "threshold"), det(videos))
    _write(folder / "histogram.csv", ("score", "share", "class"), histogram(videos))
    _write(folder / "reliability.csv", ("mean_score", "fake_share", "items"), reliability)
    _write(folder / "confusion.csv", ("actual", "predicted"), confusion(videos, threshold))


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _counts(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ranking = Ranking.of(sample)
    tp, fp = ranking.counts(np.ones((1, sample.n_videos), np.int32))
    return tp[0].astype(np.int64), fp[0].astype(np.int64), np.concatenate([[1.0], ranking.thresholds])


def _corners(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Where the curve turns, its ends, and no more than MOST_POINTS, evenly spaced among them."""
    dx, dy = np.diff(x), np.diff(y)
    turns = np.flatnonzero(dx[1:] * dy[:-1] != dx[:-1] * dy[1:]) + 1
    keep = np.unique(np.concatenate([[0], turns, [x.size - 1]]))
    return _thinned(keep)


def _thinned(places: np.ndarray) -> list[int]:
    """No more than MOST_POINTS of them, evenly spaced, the ends among them."""
    if places.size > MOST_POINTS:
        places = places[np.unique(np.linspace(0, places.size - 1, MOST_POINTS).round().astype(int))]
    return [int(i) for i in places]


def _rounded(**values: float) -> dict[str, float]:
    return {name: round(float(value), DIGITS) for name, value in values.items()}
