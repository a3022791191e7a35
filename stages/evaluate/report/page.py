"""metrics/report.html from what was gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from scipy.stats import norm

from stages.evaluate.curves import histogram, precision_recall, roc
from stages.evaluate.metrics import Sample
from stages.evaluate.reliability import reliability_curve
from stages.evaluate.report.crops import Example
from stages.evaluate.report.gather import DatasetFacts, RunFacts
from stages.evaluate.report.parts import bounds, card, example, figure, number, table
from stages.evaluate.report.style import STYLE
from stages.evaluate.report.svg import Axis, Line, histogram_chart, line_chart, number_axis, unit_axis

DET_RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
DET_ENDS = (0.002, 0.9)
COLOURS = ("ink", "fake", "real", "good", "soft")
FIGURES = (
    ("auc", "AUC"),
    ("ap", "average precision"),
    ("eer", "EER"),
    ("tpr_at_1pct_fpr", "fakes found at 1 % false alarms"),
    ("tpr_at_0p1pct_fpr", "fakes found at 0.1 % false alarms"),
    ("acc", "accuracy"),
    ("balanced_acc", "balanced accuracy"),
    ("sensitivity", "sensitivity (recall of fakes)"),
    ("specificity", "specificity (recall of reals)"),
    ("fake_precision", "precision of fakes"),
    ("fake_f1", "F1 of fakes"),
    ("real_precision", "precision of reals"),
    ("real_f1", "F1 of reals"),
    ("log_loss", "log loss"),
    ("brier", "Brier score"),
    ("ece", "expected calibration error"),
)


@dataclass(frozen=True)
class Pictures:
    """Of one dataset: crops with masks, mistakes, successes."""

    samples: list[Example] = field(default_factory=list)
    mistakes: list[Example] = field(default_factory=list)
    successes: list[Example] = field(default_factory=list)


def render(facts: RunFacts, table_of_datasets: dict[str, Any], pictures: dict[str, Pictures]) -> str:
    """The whole page. The same facts give the same text.

    Args:
        facts: what the stages wrote.
        table_of_datasets: metrics/generalisation.json.
        pictures: by dataset.
    """
    detector = escape(facts.info.detector)
    title = f"{detector}: trained on {escape(facts.trained_on)}"
    body = [
        f"<h1>{title}</h1>",
        _lead(facts),
        _cards(facts),
        _generalisation(table_of_datasets),
        _training(facts),
        *(_dataset(each, pictures.get(each.name, Pictures()), facts) for each in facts.datasets),
        _provenance(facts),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    head += '<meta name="color-scheme" content="light dark">'
    return (
        f'<!DOCTYPE html><html lang="en"><head>{head}<title>{title}</title><style>{STYLE}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _lead(facts: RunFacts) -> str:
    against = (
        "whether the picture is manipulated" if facts.info.target == "visual_label" else "whether any part is fake"
    )
    return (
        f'<p class="muted">Judged by {against}, on test videos that neither training nor the choice of the threshold '
        "saw. Brackets are bootstrap intervals over videos; an interval of no width means that no resample held an "
        "error, not that there is none to come.</p>"
    )


def _interval(found: dict[str, Any]) -> dict[str, Any]:
    return next(value for key, value in found.items() if key.startswith("interval_"))


def _cards(facts: RunFacts) -> str:
    parts = []
    for each in facts.datasets:
        video, covered = each.figures["video"], each.figures["coverage"]
        interval = bounds(_interval(each.figures)["video"]["auc"])
        note = f"{interval} video AUC, {covered['scored']} of {covered['videos']} test videos scored"
        parts.append(card(each.name, number(video["auc"]), note.strip()))
    return f'<div class="cards">{"".join(parts)}</div>'


def _generalisation(found: dict[str, Any]) -> str:
    rows = [
        [
            escape(name) + (" (trained on)" if row["seen"] else ""),
            number(row["judged"]),
            f"{number(row['auc'])} {bounds(row['auc_interval'])}",
            *(number(row[key]) for key in ("ap", "eer", "acc", "balanced_acc", "auc_drop")),
        ]
        for name, row in found["tested_on"].items()
    ]
    head = ("tested on", "videos", "AUC", "AP", "EER", "ACC", "balanced", "AUC drop")
    return "<h2>From one dataset to another</h2>" + table(head, rows)


def _training(facts: RunFacts) -> str:
    groups = (
        ("Loss", [name for name in facts.curves if name.endswith("loss")], None),
        ("Validation AUC", [name for name in facts.curves if name.endswith("auc")], unit_axis("AUC")),
    )
    charts = []
    for caption, names, y in groups:
        lines = [Line(facts.curves[name], COLOURS[n % 5], name) for n, name in enumerate(names) if facts.curves[name]]
        if lines:
            epochs = [x for line in lines for x, _ in line.points]
            values = [v for line in lines for _, v in line.points]
            chart = line_chart(
                lines, number_axis(epochs, "epoch"), y or number_axis(values, "loss"), label=caption, dots=True
            )
            charts.append(figure(caption, chart))
    return f'<h2>Training</h2><div class="charts">{"".join(charts)}</div>' if charts else ""


def _dataset(each: DatasetFacts, pictures: Pictures, facts: RunFacts) -> str:
    threshold = each.figures["threshold"]
    parts = [f"<h2>{escape(each.name)}</h2>", _coverage(each)]
    if pictures.samples:
        shown = "".join(example(found, threshold) for found in pictures.samples)
        parts.append(f'<h3>What the detector is given</h3><div class="gallery">{shown}</div>')
    parts += [f'<h3>Figures</h3><div class="charts">{"".join(_charts(each))}</div>', _numbers(each), _groups(each)]
    parts += [_silence(each), _robustness(each)]
    for caption, found in (("Most confident mistakes", pictures.mistakes), ("Most confident hits", pictures.successes)):
        if found:
            shown = "".join(example(item, threshold) for item in found)
            parts.append(f'<h3>{caption}</h3><div class="gallery">{shown}</div>')
    if facts.info.calibration is not None:
        parts.append(_anomaly(each))
    return "".join(parts)


def _coverage(each: DatasetFacts) -> str:
    rows = []
    for stage, found in each.stages.items():
        status = ", ".join(f"{escape(name)} {count}" for name, count in found.get("status", {}).items())
        rows.append([stage, number(found.get("videos")), number(found.get("failed")), status])
    parts = ["<h3>Data</h3>", table(("stage", "videos", "failed", "status"), rows, wrap=3)]
    if each.splits:
        splits = each.splits["splits"]
        parts.append(
            table(
                ("split", "videos", "identities", "share of fakes"),
                [
                    [name, number(s["videos"]), number(s["identities"]), number(s["fake_share"])]
                    for name, s in splits.items()
                ],
            )
        )
        warnings = "".join(f"<li>{escape(warning)}</li>" for warning in each.splits.get("warnings", []))
        parts.append(
            f"<ul>{warnings}</ul>" if warnings else '<p class="muted">The audit of the splits warns of nothing.</p>'
        )
    lost = each.figures["coverage"]["not_scored"]
    if lost:
        listed = [
            [f"<code>{escape(v['video_id'])}</code>", escape(v["status"]), escape(v["reason"] or "")] for v in lost
        ]
        inner = table(("video", "status", "reason"), listed, wrap=2)
        parts.append(f"<details><summary>{len(lost)} videos without a score</summary>{inner}</details>")
    return "".join(parts)


def _charts(each: DatasetFacts) -> list[str]:
    videos, frames, threshold = each.judged.videos, each.judged.frames, each.figures["threshold"]
    charts = []
    curves = [(roc(frames), "soft", "frames"), (roc(videos), "ink", "videos")]
    if curves[1][0]:
        lines = [Line([(p["fpr"], p["tpr"]) for p in points], css, name) for points, css, name in curves if points]
        x, y = unit_axis("false alarms"), unit_axis("fakes found")
        charts.append(figure("ROC", line_chart(lines, x, y, label="ROC", diagonal=True)))
        points = [(p["recall"], p["precision"]) for p in precision_recall(videos)]
        x, y = unit_axis("fakes found (recall)"), unit_axis("precision")
        charts.append(
            figure("Precision and recall", line_chart([Line(points, "ink")], x, y, label="precision and recall"))
        )
        charts.append(figure("DET", _det(curves[1][0])))
    if videos.scores.size:
        charts.append(figure("Scores of the videos", histogram_chart(histogram(videos), threshold, label="scores")))
        charts.append(figure("Calibration", _calibration(videos)))
        charts.append(figure("Confusion of the videos", _confusion(each.figures["video"]["confusion"])))
    return charts


def _det(points: Sequence[dict[str, float]]) -> str:
    """Misses against false alarms on normal-deviate axes, where normally distributed scores give straight lines."""
    low, high = DET_ENDS

    def axis(title: str) -> Axis:
        marks = [(rate, f"{rate:.1%}".replace(".0%", "%")) for rate in DET_RATES]
        return Axis(low, high, marks, title, place=lambda v: float(norm.ppf(min(max(v, low), high))))

    line = Line([(p["fpr"], 1 - p["tpr"]) for p in points], "ink")
    return line_chart([line], axis("false alarms"), axis("fakes missed"), label="detection error trade-off")


def _calibration(videos: Sample) -> str:
    points = [(row["mean_score"], row["fake_share"]) for row in reliability_curve(videos, 10)]
    x, y = unit_axis("mean score"), unit_axis("share of fakes")
    return line_chart([Line(points, "ink")], x, y, label="reliability", diagonal=True, dots=True)


def _confusion(cells: dict[str, int]) -> str:
    rows = [
        ['<b class="real">real</b>', number(cells["tn"]), number(cells["fp"])],
        ['<b class="fake">fake</b>', number(cells["fn"]), number(cells["tp"])],
    ]
    return table(("is", "called real", "called fake"), rows)


def _numbers(each: DatasetFacts) -> str:
    interval = _interval(each.figures)
    rows = [
        [name] + [f"{number(each.figures[level][key])} {bounds(interval[level][key])}" for level in ("video", "frame")]
        for key, name in FIGURES
    ]
    reasons = "".join(
        f"<li><code>{escape(item['figure'])}</code>: {escape(item['reason'])}</li>"
        for item in each.figures["undefined"]
    )
    why = f"<details><summary>Why figures are undefined</summary><ul>{reasons}</ul></details>" if reasons else ""
    calibrated = each.figures["calibrated"]
    warm = ""
    if calibrated["temperature"] is not None:
        warm = (
            f'<p class="muted">With the temperature {calibrated["temperature"]:.2f} fitted on validation: '
            f"log loss {number(calibrated['log_loss'])}, Brier {number(calibrated['brier'])}, "
            f"ECE {number(calibrated['ece'])}.</p>"
        )
    return table(("figure", "videos", "frames"), rows) + warm + why


def _groups(each: DatasetFacts) -> str:
    parts = []
    for key, name in (("by_category", "category"), ("by_method", "method"), ("by_compression", "compression")):
        found = each.figures[key]
        if len(found) > 1:
            rows = [
                [
                    escape(group),
                    *(number(row[key]) for key in ("videos", "acc", "auc")),
                    bounds(row["auc_interval"]),
                    number(row["eer"]),
                ]
                for group, row in found.items()
            ]
            parts.append(
                f"<h3>By {name}</h3>" + table((name, "videos", "ACC", "AUC against reals", "interval", "EER"), rows)
            )
    return "".join(parts)


def _silence(each: DatasetFacts) -> str:
    found = each.figures.get("leading_silence")
    if not found:
        return ""
    values = f"kept {number(found['auc_untrimmed'])}, cut {number(found['auc_trimmed'])}"
    return (
        f"<p>AUC with the leading silence {values}: a gain from silence is the dataset's making, not the forgery's.</p>"
    )


def _robustness(each: DatasetFacts) -> str:
    found = each.robustness
    if not found.get("auc"):
        return ""
    lines = [
        Line([(n / max(1, len(curve) - 1), value) for n, value in enumerate(curve.values())], COLOURS[k % 5], kind)
        for k, (kind, curve) in enumerate(found["auc"].items())
    ]
    x = Axis(0.0, 1.0, [(0.0, "first"), (1.0, "last")], "strength, as listed in params.yaml")
    chart = figure(
        "AUC under harm", line_chart(lines, x, unit_axis("video AUC"), label="AUC against strength", dots=True)
    )
    note = f"<p>Unharmed {number(found['clean'])}; mean drop {number(found['mean_drop'])}.</p>"
    rows = [
        [kind, strength, number(value)] for kind, curve in found["auc"].items() for strength, value in curve.items()
    ]
    listed = f"<details><summary>All strengths</summary>{table(('kind', 'strength', 'AUC'), rows)}</details>"
    return f'<h3>Robustness</h3>{note}<div class="charts">{chart}</div>{listed}'


def _anomaly(each: DatasetFacts) -> str:
    """Of an anomaly detector: accuracy against threshold, and scores by category."""
    videos = each.judged.videos
    if not videos.scores.size:
        return ""
    cuts = np.linspace(0, 1, 51)
    accuracy = [(float(c), float(((videos.scores >= c) == (videos.labels == 1)).mean())) for c in cuts]
    chart = line_chart(
        [Line(accuracy, "ink")], unit_axis("threshold"), unit_axis("accuracy"), label="accuracy by threshold"
    )
    rows = []
    for name in each.figures["by_category"]:
        scores = [row["score"] for row in each.judged.rows if row["category"] == name]
        rows.append(
            [
                escape(name),
                number(len(scores)),
                *(number(float(q)) for q in np.quantile(scores, [0, 0.25, 0.5, 0.75, 1])),
            ]
        )
    listed = table(("category", "videos", "least", "25 %", "median", "75 %", "most"), rows)
    return f'<h3>Anomaly scores</h3><div class="charts">{figure("Accuracy by threshold", chart)}</div>{listed}'


def _provenance(facts: RunFacts) -> str:
    rows = [["code of the stages", f"<code>{facts.code}</code>"]]
    rows += [[escape(name), f"<code>{escape(digest)}</code>"] for name, digest in facts.info.data.items()]
    rows += [[escape(name), escape(version)] for name, version in facts.info.packages.items()]
    train = facts.info.train["params"]
    rows += [[f"train.{escape(key)}", escape(str(value))] for key, value in train.items()]
    return "<h2>Made from</h2>" + table(("what", "hash, version or value"), rows, wrap=1)
