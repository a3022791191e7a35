"""From a predictions table to what metrics/<dataset>/evaluate.json says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.config.params import EvaluateParams
from dfdetect.evaluation.bootstrap import (
    MAX_CORRECTED,
    MIN_VIDEOS,
    accelerated,
    distribution,
    interval,
    jackknife,
    separated,
)
from dfdetect.evaluation.caveats import caveats, too_few
from dfdetect.evaluation.metrics import Figures, Sample, calibration, losses, undefined
from dfdetect.evaluation.predictions import EvaluatedVideos, coverage, select
from dfdetect.evaluation.reliability import expected_ece, fit_temperature, with_temperature

DIGITS = 6
# Reported of a group of videos, such as one forgery method.
GROUP_FIGURES = ("auc", "ap", "eer")
GROUPS = ("category", "method", "compression")
# Of a dataset that has more than one compression: each method under each, against the reals under the same.
CROSSED = "by_method_and_compression"
# Identities listed by name, the lowest accuracy first.
WORST = 5


@dataclass
class Reasons:
    """Why figures are undefined, as evaluate.json lists them."""

    found: list[dict[str, str]] = field(default_factory=list)

    def number(self, value: float | None, figure: str, reason: str) -> float | None:
        """The value rounded for JSON; None, with the reason noted, where it is undefined."""
        if value is not None and math.isfinite(value):
            return round(value, DIGITS)
        self.found.append({"figure": figure, "reason": reason})
        return None


def evaluate_predictions(
    table: pa.Table, *, threshold: float, aggregation: str, params: EvaluateParams, validation: EvaluatedVideos | None
) -> dict[str, Any]:
    """All figures of one detector on one dataset.

    Args:
        table: of schema.PREDICTIONS, one dataset's test split.
        threshold: a video or frame counts as fake from this score on.
        aggregation: how a video's score comes from its frames', for the record.
        params: of the evaluate stage.
        validation: scores of the validation videos; None: the saved model holds none.
    Returns:
        Plain JSON values, the same for the same table. Undefined figures are None and listed with the reason under
        `undefined`. Intervals and lists are no numbers to `dvc metrics`, which so shows the figures alone.
    Raises:
        UserError: as predictions.select.
    """
    reasons = Reasons()
    evaluated = select(table, params)
    figures = {
        name: Figures(sample, threshold, params.n_bins)
        for name, sample in (("video", evaluated.videos), ("frame", evaluated.frames))
    }
    values = {name: level(found, name, reasons) for name, found in figures.items()}
    bounds = {name: intervals(found, values[name], params, f"ci.{name}", reasons) for name, found in figures.items()}
    values["video"] |= expected_calibration(evaluated, params, reasons)
    methods = {name: auc_method(found, bounds[name]["auc"]) for name, found in figures.items()}
    shown = {"threshold": round(threshold, DIGITS), "coverage": coverage(table, params), **values}
    return {
        "detector": table.column("detector")[0].as_py() if table.num_rows else None,
        "aggregation": aggregation,
        **shown,
        "caveats": caveats(shown, evaluated.scores),
        "calibrated": calibrated(evaluated, validation, params, reasons),
        **{f"by_{name}": by_group(evaluated, name, threshold, params, reasons) for name in GROUPS},
        **by_method_and_compression(evaluated, threshold, params, reasons),
        "identities": identities(evaluated, threshold),
        **against_any_fake(table, threshold, params, reasons),
        **leading_silence(table, params, reasons),
        "ci": {"level": params.confidence, **bounds, "auc_method": methods},
        "undefined": reasons.found,
    }


def level(figures: Figures, name: str, reasons: Reasons) -> dict[str, Any]:
    """The figures of videos or of frames, and their confusion matrix.

    Args:
        figures: of the sample.
        name: under which undefined figures are noted; `video` or `frame` is its first word.
        reasons: where they are noted.
    """
    cells = figures.cells()
    items = name.split("_")[0]
    values = {
        key: reasons.number(value, f"{name}.{key}", undefined(key, cells, items))
        for key, value in figures.values().items()
    }
    return {**values, "confusion": cells}


def intervals(
    figures: Figures, values: Mapping[str, Any], params: EvaluateParams, where: str, reasons: Reasons
) -> dict[str, list[float] | None]:
    """The interval of each value: bootstrap over videos; of the AUC see auc_interval.

    Args:
        figures: of the sample.
        values: by name; an undefined one has no interval.
        params: n_bootstrap, seed, confidence.
        where: path under which it is noted why a defined figure has no interval.
        reasons: where that is noted.
    """
    sample = figures.sample
    found: dict[str, list[float] | None] = {name: None for name in values if name != "confusion"}
    names = [name for name in found if values[name] is not None]
    if not names:
        return found
    counts = [sample.videos_of(label) for label in (0, 1)]
    for count, word in zip(counts, ("real", "fake"), strict=True):
        if 0 < count < MIN_VIDEOS:
            why = f"{count} {word} video{'s' * (count > 1)}; {MIN_VIDEOS} are needed"
            reasons.found += [{"figure": f"{where}.{name}", "reason": why} for name in names]
            return found
    drawn = distribution(figures, sample.n_videos, sample.scores.size, resamples=params.n_bootstrap, seed=params.seed)
    for name in names:
        bounds = interval(drawn[name], params.confidence)
        if name == "auc":
            bounds = auc_interval(figures, drawn["auc"], min(counts), params.confidence)
        if bounds is not None and bounds[0] < bounds[1]:
            found[name] = [round(bound, DIGITS) for bound in bounds]
        else:
            why = "the resamples hardly vary" if bounds else "most resamples leave it undefined"
            reasons.found.append({"figure": f"{where}.{name}", "reason": why})
    return found


def auc_interval(figures: Figures, drawn: np.ndarray, pairs: int, confidence: float) -> tuple[float, float] | None:
    """The interval of an AUC: exact of wholly parted classes, else from resamples, corrected in a small sample.

    Args:
        figures: of the sample.
        drawn: the AUC over the resamples [shape=(R,)].
        pairs: videos of the rarer class.
        confidence: of the interval.
    """
    auc, sample = figures.values()["auc"], figures.sample
    if parted := separated(auc, pairs, confidence):
        return parted
    if sample.n_videos > MAX_CORRECTED:
        return interval(drawn, confidence)
    without = jackknife(figures, sample.n_videos, sample.scores.size)["auc"]
    return accelerated(drawn, auc, without, confidence)


def auc_method(figures: Figures, bounds: list[float] | None) -> str | None:
    """How the AUC's interval was made: `exact` of wholly parted classes, else `bootstrap`; None without an interval."""
    if bounds is None:
        return None
    return "exact" if figures.values()["auc"] in (0.0, 1.0) else "bootstrap"


def expected_calibration(
    evaluated: EvaluatedVideos, params: EvaluateParams, reasons: Reasons
) -> dict[str, float | None]:
    """The calibration error to expect of as many calibrated scores: its mean, and its 95th percentile."""
    found = (math.nan, math.nan)
    if evaluated.scores.size:
        found = expected_ece(evaluated.scores, params.n_bins, params.seed)
    names = ("ece_expected", "ece_expected_p95")
    why = "no labelled video was scored"
    return {name: reasons.number(value, f"video.{name}", why) for name, value in zip(names, found, strict=True)}


def calibrated(
    evaluated: EvaluatedVideos, validation: EvaluatedVideos | None, params: EvaluateParams, reasons: Reasons
) -> dict[str, float | None]:
    """Temperature fitted on the validation videos, and the test videos' calibration with it."""
    temperature: float | None = None
    reason: str | None = "the detector's folder holds no scores of its validation videos"
    if validation is not None:
        temperature, reason = fit_temperature(validation.labels, validation.scores)
    names = ("log_loss", "brier", "ece")
    why = reason or "no labelled video was scored"
    found = dict.fromkeys(names, math.nan)
    if temperature is not None and evaluated.labels.size:
        warmed = Sample.of(evaluated.labels, with_temperature(evaluated.scores, temperature))
        sums = losses(warmed, params.n_bins).sum(axis=0, keepdims=True)
        found = {name: float(value[0]) for name, value in calibration(sums).items()}
    values = {"temperature": reasons.number(temperature, "calibrated.temperature", why)}
    return values | {name: reasons.number(found[name], f"calibrated.{name}", why) for name in names}


def by_group(
    evaluated: EvaluatedVideos, column: str, threshold: float, params: EvaluateParams, reasons: Reasons
) -> dict[str, dict[str, Any]]:
    """Figures of each category, method or compression.

    A group of fakes alone is set against all reals; a group of both classes stands for itself; of a group of reals
    alone only the accuracy is defined. `acc` is the accuracy on the group's own videos.
    """
    values = [row[column] for row in evaluated.rows]
    everyone = np.ones(len(values), bool)
    return {
        group: _group(evaluated, _equal(values, group), everyone, f"by_{column}.{group}", threshold, params, reasons)
        for group in sorted({value for value in values if value is not None})
    }


def by_method_and_compression(
    evaluated: EvaluatedVideos, threshold: float, params: EvaluateParams, reasons: Reasons
) -> dict[str, dict[str, Any]]:
    """Figures of each method under each compression, as FaceForensics++ is reported; nothing of one compression."""
    methods, compressions = ([row[name] for row in evaluated.rows] for name in ("method", "compression"))
    pairs = sorted({pair for pair in zip(methods, compressions, strict=True) if None not in pair})
    if len({compression for _, compression in pairs}) < 2:
        return {}
    found = {}
    for method, compression in pairs:
        alike, name = _equal(compressions, compression), f"{method} {compression}"
        own = _equal(methods, method) & alike
        found[name] = _group(evaluated, own, alike, f"{CROSSED}.{name}", threshold, params, reasons)
    return {CROSSED: found}


def _equal(values: list[Any], wanted: Any) -> np.ndarray:
    return np.array([value == wanted for value in values])


def _group(
    evaluated: EvaluatedVideos,
    own: np.ndarray,
    alike: np.ndarray,
    where: str,
    threshold: float,
    params: EvaluateParams,
    reasons: Reasons,
) -> dict[str, Any]:
    """Figures of some videos, `own`; fakes alone are set against the reals among those `alike` [both shape=(V,)]."""
    compared = own | (alike & (evaluated.labels == 0)) if evaluated.labels[own].all() else own
    figures = Figures(Sample.of(evaluated.labels[compared], evaluated.scores[compared]), threshold, params.n_bins)
    values, cells = figures.values(), figures.cells()
    right = (evaluated.scores >= threshold) == (evaluated.labels == 1)
    shown = {
        key: reasons.number(values[key], f"{where}.{key}", undefined(key, cells, "video")) for key in GROUP_FIGURES
    }
    bounds = intervals(figures, {"auc": shown["auc"]}, params, f"{where}.ci", reasons)["auc"]
    return {
        "videos": int(own.sum()),
        "fake": int(evaluated.labels[own].sum()),
        "acc": round(float(right[own].mean()), DIGITS),
        **shown,
        "ci": {"auc": bounds, "auc_method": auc_method(figures, bounds)},
        "too_few": too_few(cells["tn"] + cells["fp"], cells["fn"] + cells["tp"]),
    }


def identities(evaluated: EvaluatedVideos, threshold: float) -> dict[str, Any]:
    """Accuracy by identity; the identities of the lowest accuracy are listed."""
    right = (evaluated.scores >= threshold) == (evaluated.labels == 1)
    groups: dict[str, list[bool]] = {}
    for row, good in zip(evaluated.rows, right.tolist(), strict=True):
        if row["identity"] is not None:
            groups.setdefault(row["identity"], []).append(good)
    acc = {name: sum(good) / len(good) for name, good in groups.items()}
    worst = sorted(acc, key=lambda name: (acc[name], name))[:WORST]
    return {
        "count": len(acc),
        "acc_mean": round(float(np.mean(list(acc.values()))), DIGITS) if acc else None,
        "acc_min": round(min(acc.values()), DIGITS) if acc else None,
        "worst": [{"identity": name, "videos": len(groups[name]), "acc": round(acc[name], DIGITS)} for name in worst],
    }


def against_any_fake(
    table: pa.Table, threshold: float, params: EvaluateParams, reasons: Reasons
) -> dict[str, dict[str, Any]]:
    """Video figures by "is any part fake", where that differs from the label of the detector; else nothing.

    A forged voice over a real picture is real to a detector of pictures and fake by this label.
    """
    if table.column("label").to_pylist() == table.column("any_fake").to_pylist():
        return {}
    sample = select(table, params, "any_fake").videos
    return {"video_any_fake": level(Figures(sample, threshold, params.n_bins), "video_any_fake", reasons)}


def leading_silence(table: pa.Table, params: EvaluateParams, reasons: Reasons) -> dict[str, Any]:
    """AUC with the sound's leading silence cut and kept, of audio-visual detectors; else nothing.

    A large gain from the silence says that the detector hears how a dataset was made (arXiv 2412.00175).
    """
    columns = {name: table.column(f"score_{name}") for name in ("trimmed", "untrimmed")}
    if not any(column.null_count < len(column) for column in columns.values()):
        return {}
    result = {}
    for name, column in columns.items():
        rows = select(table.set_column(table.column_names.index("score"), table.schema.field("score"), column), params)
        figures = Figures(rows.videos, 0.5, params.n_bins)
        value = figures.values()["auc"]
        why = undefined("auc", figures.cells(), "video")
        result[f"auc_{name}"] = reasons.number(value, f"leading_silence.auc_{name}", why)
    return {"leading_silence": result}
