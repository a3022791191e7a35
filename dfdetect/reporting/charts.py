"""The charts of one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from dfdetect.evaluation.curves import histogram, precision_recall, roc
from dfdetect.evaluation.metrics import Sample
from dfdetect.evaluation.predictions import Judged
from dfdetect.evaluation.reliability import reliability_curve
from dfdetect.reporting.parts import figure
from dfdetect.reporting.svg import (
    SMALL,
    Axis,
    Line,
    Strip,
    confusion_chart,
    histogram_chart,
    line_chart,
    strip_chart,
    unit_axis,
)

DET_MARKS = (0.01, 0.05, 0.2, 0.5, 0.8)
DET_ENDS = (0.002, 0.9)
RELIABILITY_BINS = 10
# More dots cannot be told apart; a larger group is thinned evenly over its sorted scores.
MOST_DOTS = 150
UNITS = {
    "jpeg": ("JPEG", "quality"),
    "h264": ("H.264", "crf"),
    "blur": ("Blur", "sigma, px"),
    "noise": ("Noise", "sigma, of 255"),
    "downscale": ("Shrunk and enlarged", "times"),
    "brightness": ("Brightness", "factor"),
    "contrast": ("Contrast", "factor"),
    "shift": ("Face off the centre", "fraction of the side"),
}


def charts(judged: Judged, threshold: float, cells: dict[str, int]) -> list[str]:
    """What can be drawn of the scores: curves need both classes, the others at least one video.

    Args:
        judged: videos and frames.
        threshold: fake from this score on.
        cells: the confusion matrix of the videos.
    """
    videos, found = judged.videos, []
    curves = {"frames": roc(judged.frames), "videos": roc(videos)}
    if curves["videos"]:
        found.append(figure("ROC", _roc(curves)))
        found.append(figure("Precision and recall", _precision_recall(videos, judged.frames)))
        found.append(figure("DET", _det(curves)))
    if videos.scores.size:
        found.append(figure("Scores", histogram_chart(histogram(videos), threshold, label="histogram of the scores")))
        found.append(figure("Calibration", _calibration(videos)))
        found.append(figure("Confusion", confusion_chart(cells, label=_in_words(cells))))
    return found


def _in_words(cells: dict[str, int]) -> str:
    return (
        f"of {cells['tn'] + cells['fp']} reals {cells['fp']} were predicted fake; "
        f"of {cells['fn'] + cells['tp']} fakes {cells['fn']} were predicted real"
    )


def _roc(curves: dict[str, list[dict[str, float]]]) -> str:
    lines = [
        Line([(p["fpr"], p["tpr"]) for p in curves[name]], css, name)
        for name, css in (("frames", "violet"), ("videos", "ink"))
        if curves[name]
    ]
    return line_chart(lines, unit_axis("FPR"), unit_axis("TPR"), label="ROC curve", diagonal=True)


def _precision_recall(videos: Sample, frames: Sample) -> str:
    lines = [
        Line([(p["recall"], p["precision"]) for p in precision_recall(sample)], css, name)
        for name, css, sample in (("frames", "violet", frames), ("videos", "ink", videos))
    ]
    chance = float(videos.labels.mean())
    x, y = unit_axis("recall"), unit_axis("precision")
    return line_chart([line for line in lines if line.points], x, y, label="precision-recall curve", level=chance)


def _det(curves: dict[str, list[dict[str, float]]]) -> str:
    """FNR against FPR on probit axes, where normally distributed scores give straight lines."""
    low, high = DET_ENDS

    def axis(title: str) -> Axis:
        marks = [(rate, f"{rate:.0%}") for rate in DET_MARKS]
        return Axis(low, high, marks, title, place=lambda v: float(norm.ppf(min(max(v, low), high))))

    lines = [
        Line([(p["fpr"], 1 - p["tpr"]) for p in curves[name]], css, name)
        for name, css in (("frames", "violet"), ("videos", "ink"))
        if curves[name]
    ]
    return line_chart(lines, axis("FPR"), axis("FNR"), label="detection error trade-off curve")


def _calibration(videos: Sample) -> str:
    points = [(row["mean_score"], row["fake_fraction"]) for row in reliability_curve(videos, RELIABILITY_BINS)]
    x, y = unit_axis("mean score"), unit_axis("fraction of fakes")
    return line_chart([Line(points, "ink")], x, y, label="reliability curve", diagonal=True, dots=True)


def score_strips(judged: Judged, column: str, threshold: float, *, title: str) -> str:
    """Every video's score by category or method: reals first, then fakes by falling median."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in judged.rows:
        if row[column] is not None:
            groups.setdefault(row[column], []).append(row)
    strips = []
    for name, rows in groups.items():
        scores = np.sort([row["score"] for row in rows])
        low, median, high = (float(q) for q in np.quantile(scores, [0.25, 0.5, 0.75]))
        fake = np.mean([row["label"] for row in rows]) > 0.5
        strips.append(Strip(name, "fake" if fake else "real", _thinned(scores), (low, median, high)))
    strips.sort(key=lambda strip: (strip.css == "fake", -strip.middle[1], strip.name))
    return strip_chart(strips, threshold, label=f"scores by {column}", title=title) if strips else ""


def _thinned(scores: np.ndarray) -> list[float]:
    places = np.unique(np.linspace(0, scores.size - 1, min(scores.size, MOST_DOTS)).round().astype(int))
    return [round(float(score), 4) for score in scores[places]]


def accuracy_by_threshold(videos: Sample, threshold: float) -> str:
    """Accuracy, TPR and TNR at every threshold."""
    cuts = np.linspace(0, 1, 51)
    said = videos.scores[None, :] >= cuts[:, None]  # (51, V)
    right = said == (videos.labels == 1)
    lines = [Line(_points(cuts, right.mean(axis=1)), "ink", "accuracy")]
    for name, css, label in (("TPR", "fake", 1), ("TNR", "real", 0)):
        own = videos.labels == label
        if own.any():
            lines.append(Line(_points(cuts, right[:, own].mean(axis=1)), css, name))
    title = f"threshold (chosen on validation: {threshold:.2f})"
    return line_chart(lines, unit_axis(title), unit_axis(), label="accuracy by threshold")


def _points(x: np.ndarray, y: np.ndarray) -> Sequence[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def robustness_charts(found: dict[str, Any]) -> list[str]:
    """Video AUC under each kind of corruption, from clean to the strongest asked for."""
    drawn = []
    clean = float(found["clean"])
    for kind, curve in found["auc"].items():
        name, unit = UNITS.get(kind, (kind, "strength"))
        points = [(0.0, clean), *((float(n), float(value)) for n, value in enumerate(curve.values(), 1))]
        marks = [(0.0, "clean"), *((float(n), text) for n, text in enumerate(curve, 1))]
        x, y = Axis(0.0, float(len(curve)), marks), unit_axis(parts=2)
        label = f"video AUC under {name} ({unit}): clean {clean:.3f}, " + ", ".join(
            f"{text}: {value:.3f}" for text, value in curve.items()
        )
        chart = line_chart([Line(points, "ink")], x, y, label=label, dots=True, level=0.5, canvas=SMALL)
        drawn.append(figure(f"{name} ({unit})", chart))
    return drawn
