"""metrics/report.html: what is to be known first, then the training, the datasets' sections, and the origin of all."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from dfdetect.inference.saved_model import BundleInfo
from dfdetect.reporting.gather import Section
from dfdetect.reporting.parts import between, bounds, details, figure, grid, number, stats, table
from dfdetect.reporting.style import STYLE
from dfdetect.reporting.svg import Line, count_axis, interval_chart, line_chart, number_axis, unit_axis

COLOURS = ("ink", "fake", "real", "good", "violet", "soft")
# When something is said under "To keep in mind".
FEW_VIDEOS, LARGE_DROP, LARGE_GAP = 100, 0.05, 0.15
Curves = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Run:
    """What the page is made of: the detector, the sections, training curves, metrics/generalisation.json."""

    info: BundleInfo
    trained_on: str
    sections: list[Section]
    curves: Curves
    generalisation: dict[str, Any]


def render(run: Run) -> str:
    """The whole page. The same run gives the same text; it loads nothing and runs no script."""
    title = f"{run.info.detector}, trained on {run.trained_on}"
    training = _training(run.curves)
    chapters = [("overview", "Overview", _overview(run)), ("generalisation", "Generalisation", _generalisation(run))]
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
    return f'<p class="lead">Trained on <b>{escape(run.trained_on)}</b>{way}; judged by {against}.</p>'


def _footer(run: Run) -> str:
    confidence = next(key for each in run.sections for key in each.figures if key.startswith("interval_"))
    percent = confidence.removeprefix("interval_")
    return (
        f"<p>Brackets are {percent} % intervals from resampled videos (bootstrap; BCa for an AUC); of an AUC of 0 or "
        "1, about which resamples say nothing, one-sided from pairs of videos. No brackets: too few videos for an "
        "interval, or all resamples come to the same; not that the figure is certain.</p>"
    )


def _interval(section: Section) -> dict[str, Any]:
    found = next(value for key, value in section.figures.items() if key.startswith("interval_"))
    return found["video"]


def _overview(run: Run) -> str:
    cards = grid((_card(each, seen=each.name == run.trained_on) for each in run.sections), "cards")
    notes = [note for each in run.sections for note in _to_mind(each, run)]
    listed = "".join(f"<li>{note}</li>" for note in notes)
    mind = f'<h3>To keep in mind</h3><ul class="mind">{listed}</ul>' if notes else ""
    return cards + mind


def _card(each: Section, *, seen: bool) -> str:
    video, covered, interval = each.figures["video"], each.figures["coverage"], _interval(each)
    cells = video["confusion"]
    tag = "trained on its train split" if seen else "never seen in training"
    head = f'<h3>{escape(each.name)} <span class="tag">{tag}</span></h3>'
    if video["auc"] is None:
        value = '<p class="big">–<small> video AUC undefined</small></p>'
    else:
        label = f"video AUC {video['auc']:.3f} {bounds(interval['auc'])}"
        value = f'<p class="big">{video["auc"]:.3f}<small> video AUC {bounds(interval["auc"])}</small></p>'
        value += interval_chart(video["auc"], interval["auc"], label=label)
    pairs = [
        ("fakes found", f"{cells['tp']} of {cells['tp'] + cells['fn']}"),
        ("false alarms", f"{cells['fp']} of {cells['fp'] + cells['tn']}"),
        ("accuracy", number(video["acc"])),
        ("EER", number(video["eer"])),
    ]
    pairs += [("lost under harm", number(each.mean_drop))] if each.mean_drop is not None else []
    threshold = f"{each.figures['threshold']:.2f}"
    note = f"{covered['scored']} of {covered['videos']} test videos scored, at the threshold {threshold}"
    return f'<article class="card">{head}{value}{stats(pairs)}<p class="note">{note}</p></article>'


def _to_mind(each: Section, run: Run) -> list[str]:
    """What a reader of the figures should not overlook, by fixed rules."""
    video, covered, name = each.figures["video"], each.figures["coverage"], f"<b>{escape(each.name)}</b>"
    notes = []
    if covered["judged"] < FEW_VIDEOS:
        interval = _interval(each)["auc"]
        wide = f"the interval of its AUC is {interval[1] - interval[0]:.2f} wide, and " if interval else ""
        notes.append(f"{name} has {covered['judged']} judged test videos: {wide}single videos weigh much.")
    if covered["scored"] < covered["videos"]:
        lost = covered["videos"] - covered["scored"]
        notes.append(
            f"{lost} videos of {name} have no score (policy: {escape(covered['missing'])}); its section says why."
        )
    drop = run.generalisation["tested_on"][each.name]["auc_drop"]
    if drop is not None and drop > LARGE_DROP:
        notes.append(
            f"On {name} the AUC is {drop:.3f} lower than on {escape(run.trained_on)}, which it was trained on."
        )
    if video["auc"] is not None and video["auc"] - video["balanced_acc"] > LARGE_GAP:
        notes.append(
            f"On {name} the ranking (AUC {video['auc']:.3f}) is better than the verdicts (balanced accuracy "
            f"{video['balanced_acc']:.3f}): the threshold {each.figures['threshold']:.2f} does not fit this dataset."
        )
    if video["ece"] is not None and video["ece"] > video["ece_if_calibrated_p95"]:
        notes.append(
            f"On {name} the scores are no honest probabilities (calibration error {video['ece']:.2f}; honest ones on "
            f"as many videos have {video['ece_if_calibrated']:.2f} on average, 95 % below "
            f"{video['ece_if_calibrated_p95']:.2f})."
        )
    return notes + [f"Splits of {name}: {escape(warning)}" for warning in each.warnings]


def _generalisation(run: Run) -> str:
    found = run.generalisation
    head = ("tested on", "videos", "AUC", "AUC drop", "AP", "EER", "accuracy", "balanced accuracy")
    rows = [
        [
            escape(name) + (' <span class="tag">trained on</span>' if row["seen"] else ""),
            number(row["judged"]),
            between(row["auc"], row["auc_interval"]),
            "" if row["seen"] else number(row["auc_drop"]),
            *(number(row[key]) for key in ("ap", "eer", "acc", "balanced_acc")),
        ]
        for name, row in found["tested_on"].items()
    ]
    parts = ["<p>What the detector is worth on data it was not trained on.</p>", table(head, rows, name="datasets")]
    methods = [
        [escape(name), escape(method), number(row["videos"]), number(row["auc"]), number(row["acc"])]
        for name, each in found["by_method"].items()
        for method, row in each.items()
    ]
    if methods:
        columns = ("tested on", "forgery method", "videos", "AUC against reals", "found")
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
        [f"code that judged {escape(', '.join(names))}", f"<code>{escape(code)}</code>"]
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
    columns = ("package", "trained", *(f"judged {each.name}" for each in run.sections))
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
