"""Plots as data: what `dvc plots` draws and compares, and what the report draws."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfdetect.evaluation.metrics import Ranking, Sample
from dfdetect.evaluation.metrics import confusion as cells_of
from dfdetect.io.tables import write_bytes

# Points of a curve that are kept; more cannot be told apart on a screen.
MOST_POINTS = 1000
HISTOGRAM_BINS = 25
CLASSES = ("real", "fake")
DIGITS = 6


def roc(sample: Sample) -> list[dict[str, float]]:
    """Operating points from "nothing is fake" to "all is fake": fpr, tpr, threshold; empty if a class is missing."""
    tp, fp, thresholds = _counts(sample)
    if tp[-1] == 0 or fp[-1] == 0:
        return []
    keep = _corners(fp, tp)
    return [_rounded(fpr=fp[i] / fp[-1], tpr=tp[i] / tp[-1], threshold=thresholds[i]) for i in keep]


def precision_recall(sample: Sample) -> list[dict[str, float]]:
    """The steps of the precision-recall curve from the highest score down; empty if a class is missing.

    Between two recalls the precision is that of the threshold which reaches the higher one. A slope between them would
    promise operating points that do not exist, and the area under the steps is the average precision.

    Returns:
        Two rows per step, its left and its right end: recall, precision, threshold.
    """
    tp, fp, thresholds = _counts(sample)
    if tp[-1] == 0 or fp[-1] == 0:
        return []
    found, rows = 0.0, []
    for i in _thinned(np.flatnonzero(np.diff(tp)) + 1, MOST_POINTS // 2):
        precision = tp[i] / (tp[i] + fp[i])
        rows += [
            _rounded(recall=recall, precision=precision, threshold=thresholds[i]) for recall in (found, tp[i] / tp[-1])
        ]
        found = tp[i] / tp[-1]
    return rows


def histogram(sample: Sample, bins: int = HISTOGRAM_BINS) -> list[dict[str, Any]]:
    """Fraction of each class's items by score: score (middle of the bin), fraction, class."""
    rows: list[dict[str, Any]] = []
    for label, name in enumerate(CLASSES):
        own = sample.scores[sample.labels == label]
        counts, edges = np.histogram(own, bins=bins, range=(0.0, 1.0))
        rows += [
            {
                "score": round(float(low + high) / 2, DIGITS),
                "fraction": round(float(count / own.size), DIGITS),
                "class": name,
            }
            for count, low, high in zip(counts, edges, edges[1:], strict=False)
            if own.size
        ]
    return rows


def confusion(sample: Sample, threshold: float) -> list[dict[str, Any]]:
    """Four cells: actual, predicted, videos, fraction (of the actual class; None where that has no video)."""
    cells = cells_of(sample, threshold).sum(axis=0).reshape(2, 2)
    return [
        {
            "actual": CLASSES[actual],
            "predicted": CLASSES[predicted],
            "videos": int(count),
            "fraction": round(float(count / cells[actual].sum()), DIGITS) if cells[actual].any() else None,
        }
        for (actual, predicted), count in np.ndenumerate(cells)
    ]


def write_plots(folder: Path, videos: Sample, threshold: float) -> None:
    """Write roc.csv, pr.csv, histogram.csv and confusion.csv of the videos' scores, as dvc.yaml has them drawn.

    A curve that is undefined is a file of its header alone.
    """
    _write(folder / "roc.csv", ("fpr", "tpr", "threshold"), roc(videos))
    _write(folder / "pr.csv", ("recall", "precision", "threshold"), precision_recall(videos))
    _write(folder / "histogram.csv", ("score", "fraction", "class"), histogram(videos))
    _write(folder / "confusion.csv", ("actual", "predicted", "videos", "fraction"), confusion(videos, threshold))


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


def _thinned(places: np.ndarray, most: int = MOST_POINTS) -> list[int]:
    """No more than `most` of them, evenly spaced, the ends among them."""
    if places.size > most:
        places = places[np.unique(np.linspace(0, places.size - 1, most).round().astype(int))]
    return [int(i) for i in places]


def _rounded(**values: float) -> dict[str, float]:
    return {name: round(float(value), DIGITS) for name, value in values.items()}
