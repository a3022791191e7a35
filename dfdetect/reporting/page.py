"""metrics/report.html: the headline figures first, then the training, the datasets' sections, and the origin of all."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from dfdetect.evaluation.caveats import reasons, too_few, with_interval
from dfdetect.inference.saved_model import BundleInfo
from dfdetect.reporting.gather import Section
from dfdetect.reporting.parts import between, details, figure, grid, number, stats, table
from dfdetect.reporting.style import STYLE
from dfdetect.reporting.svg import Line, count_axis, interval_chart, line_chart, number_axis, unit_axis

COLOURS = ("ink", "fake", "real", "good", "violet", "soft")
# Of the AUC, from the training's dataset to another: a caveat.
LARGE_DROP = 0.05
Curves = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Run:
    """What the page is made of: the detector, the sections, training curves, metrics/cross_dataset.json."""

    info: BundleInfo
    trained_on: str
    sections: list[Section]
    curves: Curves
    cross_dataset: dict[str, Any]


def render(run: Run) -> str:
    """The whole page. The same run gives the same text; it loads nothing and runs no script."""
    title = f"{run.info.detector}, trained on {run.trained_on}"
    training = _training(run.curves)
    chapters = [("overview", "Overview", _overview(run)), ("cross-dataset", "Cross-dataset", _cross_dataset(run))]
    chapters += [("training", "Training", training)] if training else []
    chapters += [(f"dataset-{n}", each.name, each.html) for n, each in enumerate(run.sections)]
    chapters.append(("provenance", "Provenance", _provenance(run)))
    links = "".join(f'<li><a href="#{place}">{escape(name)}</a></li>' for place, name, _ in chapters)
    body = "".join(
        f'<section id="{place}" aria-labelledby="{place}-title">'
        f'<h2 id="{place}-title">{escape(name)}</h2>{inner}</section>'
        for place, name, inner in chapters
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><a class="skip" href="#overview">To the results</a>'
        f'<header class="wide"><h1>{escape(run.info.detector)}</h1>{_lead(run)}</header>'
        f'<nav aria-label="Sections"><ul class="wide">{links}</ul></nav><main class="wide">{body}</main>'
        f'<footer><div class="wide">{_footer(run)}</div></footer></body></html>\n'
    )


def _lead(run: Run) -> str:
    whole = run.info.target != "visual_label"
    against = "whether any part of the video is fake" if whole else "whether the picture is manipulated"
    recipe = run.info.train["params"].get("recipe")
    way = f" with the recipe <b>{escape(str(recipe))}</b>" if recipe else ""
    return f'<p class="lead">Trained on <b>{escape(run.trained_on)}</b>{way}; evaluated against {against}.</p>'


def _footer(run: Run) -> str:
    percent = f"{100 * run.sections[0].figures['ci']['level']:g}"
    return (
        f"<p>Brackets are {percent} % intervals from resampled videos (bootstrap; BCa for an AUC); of an AUC of 0 or "
        "1, about which resamples say nothing, one-sided from pairs of videos. A figure without an interval is not "
        "certain: the reason stands beside it.</p>"
    )


def _overview(run: Run) -> str:
    cards = grid((_card(each, in_domain=each.name == run.trained_on) for each in run.sections), "cards")
    notes = [note for each in run.sections for note in _caveats(each, run)]
    listed = "".join(f"<li>{note}</li>" for note in notes)
    return cards + (f'<h3>Caveats</h3><ul class="caveats">{listed}</ul>' if notes else "")


def _card(each: Section, *, in_domain: bool) -> str:
    video, covered, interval = each.figures["video"], each.figures["coverage"], each.figures["ci"]["video"]
    why, few = reasons(each.figures), too_few(covered["real"], covered["fake"])
    cells = video["confusion"]
    tag = "in-domain" if in_domain else "cross-dataset"
    head = f'<h3>{escape(each.name)} <span class="tag">{tag}</span></h3>'
    beside = with_interval(video["auc"], interval["auc"], why.get("video.auc") or why.get("ci.video.auc"))
    if video["auc"] is None:
        value = f'<p class="big">–<small> video AUC {escape(beside)}</small></p>'
    else:
        first, rest = beside.split(" ", 1)
        big, small = (few, f"video AUC {beside}") if few else (first, f"video AUC {rest}")
        value = f'<p class="big{" few" if few else ""}">{big}<small> {escape(small)}</small></p>'
        value += interval_chart(video["auc"], interval["auc"], label=f"video AUC {beside}")
    pairs = [
        ("TPR", f"{cells['tp']} of {cells['tp'] + cells['fn']}"),
        ("FPR", f"{cells['fp']} of {cells['fp'] + cells['tn']}"),
        *(
            (label, between(video[key], interval[key], why.get(f"ci.video.{key}")))
            for key, label in (("acc", "accuracy"), ("eer", "EER"))
        ),
    ]
    pairs += [("mean AUC drop", number(each.mean_auc_drop))] if each.mean_auc_drop is not None else []
    threshold = f"{each.figures['threshold']:.2f}"
    note = f"{covered['scored']} of {covered['videos']} test videos scored, at the threshold {threshold}"
    return f'<article class="card">{head}{value}{stats(pairs)}<p class="note">{note}</p></article>'


def _caveats(each: Section, run: Run) -> list[str]:
    """What weakens a dataset's figures: its own caveats, the drop from the training's dataset, the splits' warnings."""
    name = f"<b>{escape(each.name)}</b>"
    notes = [f"{name}: {escape(caveat['text'])}." for caveat in each.figures["caveats"]]
    drop = run.cross_dataset["tested_on"][each.name]["auc_drop"]
    if drop is not None and drop > LARGE_DROP:
        notes.append(
            f"On {name} the AUC is {drop:.3f} lower than on {escape(run.trained_on)}, which it was trained on."
        )
    return notes + [f"Splits of {name}: {escape(warning)}" for warning in each.warnings]


def _cross_dataset(run: Run) -> str:
    found, why = run.cross_dataset, reasons(run.cross_dataset)
    head = ("tested on", "videos", "AUC", "AUC drop", "AP", "EER", "accuracy", "balanced accuracy")
    rows = [
        [
            escape(name) + (' <span class="tag">in-domain</span>' if row["in_domain"] else ""),
            number(row["evaluated"]),
            between(row["auc"], row["ci"]["auc"], why.get(f"tested_on.{name}.ci.auc"), row["too_few"]),
            "" if row["in_domain"] else number(row["auc_drop"]),
            *(number(row[key]) for key in ("ap", "eer", "acc", "balanced_acc")),
        ]
        for name, row in found["tested_on"].items()
    ]
    parts = ["<p>Performance on datasets that the detector was not trained on.</p>", table(head, rows, name="datasets")]
    methods = [
        [
            escape(name),
            escape(method),
            number(row["videos"]),
            between(row["auc"], row["ci"]["auc"], why.get(f"by_method.{name}.{method}.ci.auc"), row["too_few"]),
            number(row["acc"]),
        ]
        for name, each in found["by_method"].items()
        for method, row in each.items()
    ]
    if methods:
        columns = ("tested on", "forgery method", "videos", "AUC against reals", "accuracy")
        parts.append(details("By forgery method", table(columns, methods, name="datasets by forgery method", wrap=1)))
    return "".join(parts)


def _training(curves: Curves) -> str:
    groups = (
        ("Loss", [name for name in curves if name.endswith("loss")]),
        ("Validation AUC", [name for name in curves if name.endswith("auc")]),
        ("Parts of the training loss", [n for n in curves if n.startswith("train_") and n != "train_loss"]),
    )
    charts = []
    for caption, names in groups:
        lines = [
            Line(curves[name], COLOURS[n % len(COLOURS)], name.replace("_", " "))
            for n, name in enumerate(name for name in names if curves[name])
        ]
        if not lines:
            continue
        x = count_axis([place for line in lines for place, _ in line.points], "epoch")
        unit = unit_axis() if caption.endswith("AUC") else None
        y = unit or number_axis([value for line in lines for _, value in line.points], "")
        charts.append(figure(caption, line_chart(lines, x, y, label=f"{caption} by epoch", dots=True)))
    return grid(charts)


def _provenance(run: Run) -> str:
    train = run.info.train
    data = [[escape(name), f"<code>{escape(digest)}</code>"] for name, digest in run.info.data.items()]
    data += [
        [f"code that evaluated {escape(', '.join(names))}", f"<code>{escape(code)}</code>"]
        for code, names in _by_code(run.sections).items()
    ]
    settings = [[f"train.{escape(key)}", escape(_plain(value))] for key, value in train["params"].items()]
    settings += [[f"recipe.{escape(key)}", escape(_plain(value))] for key, value in train.get("recipe", {}).items()]
    settings += [[f"detector.{escape(key)}", escape(_plain(value))] for key, value in run.info.settings.items()]
    versions = [
        [
            escape(name),
            *(escape(each.get(name, "–")) for each in (run.info.packages, *(s.packages for s in run.sections))),
        ]
        for name in dict.fromkeys([*run.info.packages, *(name for each in run.sections for name in each.packages)])
    ]
    columns = ("package", "trained", *(f"evaluated {each.name}" for each in run.sections))
    found = run.info.threshold
    chosen = f"Threshold {found.value:.4f}, chosen on validation videos by {escape(found.criterion.replace('_', ' '))}."
    return (
        f"<p>{chosen} With the same data, settings, code and versions the same page comes out. "
        "The code is named by its hash; its revision is the last that <code>git log dvc.lock</code> shows.</p>"
        + table(("what", "sha256"), data, name="hashes of data and code", wrap=1)
        + details("Settings of the training", table(("setting", "value"), settings, name="settings", wrap=1))
        + details("Versions of the packages", table(columns, versions, name="versions"))
    )


def _by_code(sections: list[Section]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in sections:
        found.setdefault(each.code, []).append(each.name)
    return found


def _plain(value: Any) -> str:
    return "–" if value is None else str(value)
