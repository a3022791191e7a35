"""One dataset's section of the page."""

from __future__ import annotations

from html import escape

from dfdetect.evaluation.caveats import reasons
from dfdetect.evaluation.evaluate import CROSSED
from dfdetect.reporting.charts import accuracy_by_threshold, charts, robustness_charts, score_strips
from dfdetect.reporting.crops import Examples
from dfdetect.reporting.gather import DatasetFacts
from dfdetect.reporting.parts import between, details, example, figure, grid, number, table

FIGURES = (
    ("auc", "AUC"),
    ("ap", "average precision"),
    ("eer", "EER"),
    ("tpr_at_1pct_fpr", "TPR at 1 % FPR"),
    ("tpr_at_0p1pct_fpr", "TPR at 0.1 % FPR"),
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
GROUPS = ("category", "method", "compression")


def render_section(each: DatasetFacts, pictures: Examples, *, anomaly: bool) -> str:
    """All that is known of the detector on one dataset.

    Args:
        each: what the stages wrote.
        pictures: of it.
        anomaly: whether the detector is an anomaly detector, trained on reals alone.
    """
    threshold = each.figures["threshold"]
    parts = [_data(each)]
    if pictures.samples:
        parts.append("<h3>What the detector is given</h3>")
        parts.append(grid((example(found, threshold, over_time=False) for found in pictures.samples), "four"))
    drawn = charts(each.judged, threshold, each.figures["video"]["confusion"])
    parts += [f"<h3>Performance</h3>{grid(drawn)}" if drawn else "", _numbers(each), _groups(each, anomaly=anomaly)]
    parts += [_silence(each), _robustness(each)]
    for caption, note, found in (
        ("Most confident mistakes", "The wrong predictions furthest from the threshold.", pictures.mistakes),
        ("Most confident successes", "The right predictions furthest from the threshold.", pictures.successes),
    ):
        shown = grid((example(item, threshold) for item in found), "cards")
        maps = _MAPS if any("heat" in item.pictures for item in found) else ""
        parts.append(f'<h3>{caption}</h3><p class="note">{note} {_LINES} {maps}</p>{shown}' if found else "")
    return "".join(parts)


_LINES = "The line is the score over the video, the dashes are the threshold."
_MAPS = "The colours of the heat map (Grad-CAM) show the evidence for fake in the most confident frame."


def _data(each: DatasetFacts) -> str:
    rows = []
    for stage, found in each.stages.items():
        status = ", ".join(f"{escape(name)} {count}" for name, count in found.get("status", {}).items())
        rows.append([stage, number(found.get("videos")), number(found.get("failed")), status])
    parts = ["<h3>Data and audit</h3>"]
    tables = [table(("stage", "videos", "failed", "status"), rows, name="coverage by stage", wrap=3)]
    if each.splits:
        listed = [
            [name, number(s["videos"]), number(s["identities"]), number(s["fake_share"])]
            for name, s in sorted(each.splits["splits"].items())
        ]
        tables.append(table(("split", "videos", "identities", "fraction of fakes"), listed, name="splits"))
    parts.append(grid((f"<div>{found}</div>" for found in tables), "two"))
    if each.splits:
        warnings = "".join(f"<li>{escape(warning)}</li>" for warning in each.splits.get("warnings", []))
        fine = '<p class="note">The audit of the splits found nothing to warn of.</p>'
        parts.append(f"<p>The audit of the splits warns:</p><ul>{warnings}</ul>" if warnings else fine)
    lost = each.figures["coverage"]["not_scored"]
    if lost:
        listed = [
            [f"<code>{escape(v['video_id'])}</code>", escape(v["status"]), escape(v["reason"] or "")] for v in lost
        ]
        inner = table(("video", "status", "reason"), listed, name="videos without a score", wrap=2)
        missing = each.figures["coverage"]["videos"] - each.figures["coverage"]["scored"]
        parts.append(details(f"{missing} videos without a score", inner))
    return "".join(parts)


def _numbers(each: DatasetFacts) -> str:
    interval, why = each.figures["ci"], reasons(each.figures)
    rows = [
        [name]
        + [
            between(each.figures[level][key], interval[level][key], why.get(f"ci.{level}.{key}"))
            for level in ("video", "frame")
        ]
        for key, name in FIGURES
    ]
    parts = ["<h3>Figures</h3>", table(("figure", "videos", "frames"), rows, name="figures with intervals")]
    calibrated, video = each.figures["calibrated"], each.figures["video"]
    if video["ece"] is not None:
        parts.append(
            f'<p class="note">Calibrated scores of as many videos have an expected calibration error of '
            f"{number(video['ece_expected'])} on average, 95 % below {number(video['ece_expected_p95'])}.</p>"
        )
    if calibrated["temperature"] is not None:
        parts.append(
            f'<p class="note">With the temperature {calibrated["temperature"]:.2f} fitted on validation: '
            f"log loss {number(calibrated['log_loss'])}, Brier {number(calibrated['brier'])}, "
            f"ECE {number(calibrated['ece'])}.</p>"
        )
    undefined: dict[str, list[str]] = {}
    for path, reason in why.items():
        undefined.setdefault(reason, []).append(f"<code>{escape(path)}</code>")
    listed = "".join(f"<li>{escape(reason)}: {', '.join(paths)}</li>" for reason, paths in undefined.items())
    return "".join(parts) + (details("Why some figures are undefined", f"<ul>{listed}</ul>") if listed else "")


def _groups(each: DatasetFacts, *, anomaly: bool) -> str:
    threshold, why, shown = each.figures["threshold"], reasons(each.figures), []
    title = "calibrated anomaly score" if anomaly else "probability of fake"
    for name in GROUPS:
        found = each.figures[f"by_{name}"]
        if len(found) < 2:
            continue
        head = (name, "videos", "accuracy", "AUC against reals", "EER")
        rows = [
            [
                escape(group),
                number(row["videos"]),
                f"{row['acc']:.0%}",
                between(row["auc"], row["ci"]["auc"], why.get(f"by_{name}.{group}.ci.auc"), row["too_few"]),
                number(row["eer"]),
            ]
            for group, row in found.items()
        ]
        strips = figure("Every video's score", score_strips(each.judged, name, threshold, title=title))
        inner = f"<div>{table(head, rows, name=f'figures by {name}')}</div>{strips}"
        what = "Anomaly scores by category" if anomaly and name == "category" else f"By {name}"
        shown.append(f'<h3>{what}</h3><div class="grid two">{inner}</div>')
    crossed = each.figures.get(CROSSED, {})
    if crossed:
        rows = [
            [
                escape(name),
                number(row["videos"]),
                f"{row['acc']:.0%}",
                between(row["auc"], row["ci"]["auc"], why.get(f"{CROSSED}.{name}.ci.auc"), row["too_few"]),
            ]
            for name, row in crossed.items()
        ]
        columns = ("method and compression", "videos", "accuracy", "AUC against reals of that compression")
        shown.append("<h3>By method and compression</h3>" + table(columns, rows, name="figures by both"))
    if each.judged.labels.size:
        chart = figure("Accuracy by threshold", accuracy_by_threshold(each.judged.videos, threshold))
        shown.append(f'<h3>Threshold and identities</h3><div class="grid">{chart}{_identities(each)}</div>')
    return "".join(shown)


def _identities(each: DatasetFacts) -> str:
    found = each.figures["identities"]
    if not found["count"]:
        return ""
    rows = [[escape(i["identity"]), number(i["videos"]), f"{i['acc']:.0%}"] for i in found["worst"]]
    listed = table(("identity", "videos", "accuracy"), rows, name="identities of the lowest accuracy")
    mean = f"{found['acc_mean']:.0%} on average over {found['count']} identities; the lowest:"
    return f'<div><p class="note">Accuracy: {mean}</p>{listed}</div>'


def _silence(each: DatasetFacts) -> str:
    found = each.figures.get("leading_silence")
    if not found:
        return ""
    values = f"{number(found['auc_untrimmed'])} with it, {number(found['auc_trimmed'])} without"
    return (
        f"<h3>Leading silence of the sound</h3><p>AUC {values}. A gain from silence comes from how the "
        "dataset was made, not from the forgery.</p>"
    )


def _robustness(each: DatasetFacts) -> str:
    found = each.robustness
    if not found.get("auc"):
        return ""
    rows = [
        [kind, strength, number(value)] for kind, curve in found["auc"].items() for strength, value in curve.items()
    ]
    listed = details("All strengths as a table", table(("corruption", "strength", "AUC"), rows, name="robustness"))
    note = (
        f"<p>Video AUC of the same crops, corrupted: <b>{number(found['clean'])}</b> clean, mean AUC drop "
        f"<b>{number(found['mean_auc_drop'])}</b> over all corruptions below.</p>"
    )
    return f"<h3>Robustness</h3>{note}{grid(robustness_charts(found), 'small')}{listed}"
