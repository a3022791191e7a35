"""What evaluate.json says in words: figures with their intervals, or with why they have none, and what weakens them.

The terminal, the report, roc.png and the comparison all take their words from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Of fewer videos of a class, one video moves that class's TPR or TNR by more than 5 percentage points.
MIN_CLASS_VIDEOS = 20
# Scores closer than this are the same percentage to a reader, and another machine's rounding may swap them.
NEARLY_EQUAL = 0.01
# The AUC so much above the balanced accuracy says that the threshold was chosen for other scores.
LARGE_GAP = 0.15
HEADLINES = {"auc": "AUC", "acc": "ACC", "eer": "EER"}


def too_few(real: int, fake: int) -> str | None:
    """What stands beside a figure of fewer than MIN_CLASS_VIDEOS videos of a class; None of enough.

    A class without any video leaves its figures undefined, and does not make the other class's uncertain.
    """
    few = any(0 < count < MIN_CLASS_VIDEOS for count in (real, fake))
    return f"too few test videos ({real} real, {fake} fake)" if few else None


def caveats(figures: Mapping[str, Any], scores: np.ndarray) -> list[dict[str, str]]:
    """What weakens the figures of one dataset, for evaluate.json: `kind` for programs, `text` for people.

    Args:
        figures: coverage, threshold and video figures as in evaluate.json.
        scores: of the evaluated videos [shape=(V,)].
    """
    video, covered, threshold = figures["video"], figures["coverage"], figures["threshold"]
    found: dict[str, str] = {}
    if few := too_few(covered["real"], covered["fake"]):
        found["too_few_videos"] = (
            f"{few}; with under {MIN_CLASS_VIDEOS} of a class, one video moves its rates by over "
            f"{100 // MIN_CLASS_VIDEOS} points"
        )
    if lost := covered["videos"] - covered["scored"]:
        found["not_scored"] = (
            f"{lost} of {covered['videos']} test videos have no score (policy: {covered['on_missing']})"
        )
    if scores.size > 1 and np.ptp(scores) < NEARLY_EQUAL:
        found["equal_scores"] = (
            f"all {scores.size} scores are nearly equal ({scores.min():.4f} to {scores.max():.4f}): the detector "
            "hardly tells these videos apart"
        )
    if scores.size and np.abs(scores - threshold).max() < NEARLY_EQUAL:
        found["scores_at_threshold"] = (
            f"all {scores.size} scores lie within {NEARLY_EQUAL} of the threshold {threshold:.4f}: differences that "
            "mean nothing decide between real and fake"
        )
    if video["auc"] is not None and video["auc"] - video["balanced_acc"] > LARGE_GAP:
        found["threshold_mismatch"] = (
            f"the ranking (AUC {video['auc']:.3f}) is better than the predictions (balanced accuracy "
            f"{video['balanced_acc']:.3f}): the threshold {threshold:.2f} does not fit this dataset"
        )
    if video["ece"] is not None and video["ece"] > video["ece_expected_p95"]:
        found["uncalibrated"] = (
            f"the scores are not calibrated probabilities (calibration error {video['ece']:.2f}; of calibrated scores "
            f"of as many videos {video['ece_expected']:.2f} on average, 95 % below {video['ece_expected_p95']:.2f})"
        )
    return [{"kind": kind, "text": text} for kind, text in found.items()]


def reasons(figures: Mapping[str, Any]) -> dict[str, str]:
    """Why figures and intervals are undefined, by their path, such as `video.auc` or `ci.video.acc`."""
    return {item["figure"]: item["reason"] for item in figures["undefined"]}


def in_brackets(bounds: list[float] | None) -> str:
    """An interval in three digits; nothing without one."""
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""


def with_interval(value: float | None, bounds: list[float] | None, why: str | None) -> str:
    """A figure in three digits and its interval, or why there is none of either."""
    if value is None:
        return f"undefined ({why})"
    return f"{value:.3f} {in_brackets(bounds) or (f'(no interval: {why})' if why else '')}".rstrip()


def lines(dataset: str, figures: Mapping[str, Any]) -> list[str]:
    """One dataset's results for a terminal: how many videos, the headline figures, and what weakens them."""
    real, fake = figures["coverage"]["real"], figures["coverage"]["fake"]
    notes = {caveat["kind"]: caveat["text"] for caveat in figures["caveats"]}
    counts = notes.pop("too_few_videos", f"{real + fake} test videos ({real} real, {fake} fake)")
    video, bounds, why = figures["video"], figures["ci"]["video"], reasons(figures)
    shown = [
        f"{label} {with_interval(video[key], bounds[key], why.get(f'video.{key}'))}" for key, label in HEADLINES.items()
    ]
    alike: dict[str, list[str]] = {}
    for key, label in HEADLINES.items():
        if reason := why.get(f"ci.video.{key}"):
            alike.setdefault(reason, []).append(label)
    return [
        f"{dataset}: {counts}",
        f"  {'   '.join(shown)}",
        *(f"  no interval of {', '.join(labels)}: {reason}" for reason, labels in alike.items()),
        *(f"  caveat: {text}" for text in notes.values()),
    ]
