"""All charts, drawn with matplotlib: as SVG inside a page that is light or dark, and as the PNG of a dataset.

The colours drawn are those of COLOURS. In a page each becomes the CSS variable of that name, so that the page decides.
matplotlib is imported when something is drawn, and no pyplot state is used.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from scipy.stats import norm

from dfdetect.evaluation.caveats import reasons, too_few, with_interval
from dfdetect.evaluation.curves import histogram, precision_recall, roc
from dfdetect.evaluation.metrics import Sample
from dfdetect.evaluation.predictions import EvaluatedVideos
from dfdetect.evaluation.reliability import reliability_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The light colours; dark ones are in templates/style.css. Real and fake differ for every colour vision, and in grey.
COLOURS = {
    "ink": "#1a1e23",
    "muted": "#5a626b",
    "rule": "#dfe3e8",
    "panel": "#f5f6f8",
    "band": "#b9c4d0",
    "real": "#245f9f",
    "fake": "#b8450c",
    "good": "#1f6b41",
    "violet": "#6b4fa0",
}
INK, MUTED, RULE, PANEL, BAND, REAL, FAKE, GOOD, VIOLET = COLOURS.values()
LINES = (INK, FAKE, REAL, GOOD, VIOLET, MUTED)
CLASSES = {"real": REAL, "fake": FAKE}
DASHED, DOTTED = (0, (5, 3)), (0, (3, 4))
# Everything that a reader's own matplotlibrc could change starts from matplotlib's defaults and these.
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dfdetect",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.bottom": False,
    "ytick.left": False,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "legend.frameon": False,
}
# Points of 1/72 inch; the page scales them.
LARGE, SMALL = (360, 300), (200, 150)
PNG_DPI = 120
DET_RATES = (0.01, 0.05, 0.2, 0.5, 0.8)
DET_ENDS = (0.002, 0.9)
RELIABILITY_BINS = 10
# More dots cannot be told apart; a larger group is thinned evenly over its sorted scores.
MOST_DOTS = 150
# A box over the middle half of fewer videos would say nothing.
FEWEST_IN_BOX = 4
CORRUPTIONS = {
    "jpeg": "JPEG (quality)",
    "h264": "H.264 (crf)",
    "blur": "Blur (sigma, px)",
    "noise": "Noise (sigma, of 255)",
    "downscale": "Shrunk and enlarged (times)",
    "brightness": "Brightness (factor)",
    "contrast": "Contrast (factor)",
    "shift": "Face off the centre (fraction of the side)",
}
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart for a page.

    Fields:
        caption: its title.
        svg: the drawing, with its description as aria-label.
        legend: (name in COLOURS, text) of each curve, for the page to write as text that wraps.
    """

    caption: str
    svg: Markup
    legend: list[tuple[str, str]]


def performance_charts(evaluated: EvaluatedVideos, threshold: float, cells: Mapping[str, int]) -> list[Chart]:
    """What can be drawn of the scores: curves need both classes, the others at least one video.

    Args:
        evaluated: videos and frames.
        threshold: a score of at least this is predicted fake.
        cells: the confusion matrix of the videos: tn, fp, fn, tp.
    """
    videos, found = evaluated.videos, []
    if roc(videos):
        found += [
            _chart("ROC", "ROC curve: TPR against FPR", lambda axes: _roc(axes, evaluated)),
            _chart("Precision and recall", "precision-recall curve", lambda axes: _precision_recall(axes, evaluated)),
            _chart(
                "DET", "detection error trade-off: FNR against FPR on probit axes", lambda axes: _det(axes, evaluated)
            ),
        ]
    if videos.scores.size:
        reals, fakes = cells["tn"] + cells["fp"], cells["fn"] + cells["tp"]
        words = f"of {reals} reals {cells['fp']} were predicted fake; of {fakes} fakes {cells['fn']} predicted real"
        found += [
            _chart("Scores", "histogram of the scores", lambda axes: _histogram(axes, evaluated, threshold)),
            _chart("Calibration", "reliability curve with the diagonal", lambda axes: _calibration(axes, videos)),
            _chart("Confusion", f"confusion matrix: {words}", lambda axes: _confusion(axes, cells)),
        ]
    return found


def score_strips(evaluated: EvaluatedVideos, column: str, threshold: float, *, title: str) -> Chart:
    """Every video's score by category, method or compression: reals first, then fakes by falling median.

    Args:
        evaluated: the videos; those without the column are left out.
        column: of their rows.
        threshold: a score of at least this is predicted fake.
        title: what a score is.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in evaluated.rows:
        if row[column] is not None:
            groups.setdefault(row[column], []).append(row)
    strips = []
    for name, rows in groups.items():
        kind = "fake" if np.mean([row["label"] for row in rows]) > 0.5 else "real"
        scores = np.sort([row["score"] for row in rows])
        strips.append((kind == "fake", -float(np.median(scores)), name, CLASSES[kind], scores))

    def draw(axes: Axes) -> None:
        for level, (_, _, name, colour, scores) in enumerate(sorted(strips, key=lambda strip: strip[:3])):
            # XML has no control characters
            text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
            label = axes.text(0, level + 0.2, f"{text} ({scores.size})", color=colour, weight="bold", va="center")
            label.set_bbox({"facecolor": PANEL, "edgecolor": "none", "pad": 1})
            label.set_in_layout(False)  # a long name would squeeze the axes to nothing
            if scores.size >= FEWEST_IN_BOX:
                low, median, high = np.quantile(scores, [0.25, 0.5, 0.75])
                axes.barh(level + 0.65, max(high - low, 0.002), 0.5, left=low, color=colour, alpha=0.16)
                axes.plot([median, median], [level + 0.4, level + 0.9], color=colour)
            kept = np.unique(np.linspace(0, scores.size - 1, min(scores.size, MOST_DOTS)).round().astype(int))
            heights = level + 0.51 + 0.14 * (np.arange(kept.size) % 3)
            axes.plot(scores[kept], heights, "o", color=colour, alpha=0.75, mew=0)
        axes.axvline(threshold, color=INK, lw=1.2, ls=DASHED, zorder=0)
        axes.set(xlim=(0, 1), ylim=(len(strips), 0), yticks=[], xlabel=title)
        axes.spines.left.set_visible(False)

    return _chart("Every video's score", f"scores by {column}", draw, (360, 50 + 44 * len(strips)))


def accuracy_by_threshold(videos: Sample, threshold: float) -> Chart:
    """Accuracy, TPR and TNR at every threshold."""
    cuts = np.linspace(0, 1, 51)
    right = (videos.scores[None, :] >= cuts[:, None]) == (videos.labels == 1)  # (51, V)

    def draw(axes: Axes) -> None:
        axes.plot(cuts, right.mean(axis=1), color=INK, label="accuracy")
        for name, colour, label in (("TPR", FAKE, 1), ("TNR", REAL, 0)):
            own = videos.labels == label
            if own.any():
                axes.plot(cuts, right[:, own].mean(axis=1), color=colour, label=name)
        axes.axvline(threshold, color=INK, lw=1.2, ls=DASHED)
        _unit(axes, f"threshold (chosen on validation: {threshold:.2f})", "")

    return _chart("Accuracy by threshold", "accuracy, TPR and TNR by threshold", draw)


def robustness_charts(found: Mapping[str, Any]) -> list[Chart]:
    """Video AUC under each kind of corruption, from clean to the strongest.

    Args:
        found: robustness.json: `clean`, and `auc` by kind and strength.
    """

    def chart(kind: str, curve: Mapping[str, float | None]) -> Chart:
        values = [found["clean"], *curve.values()]
        names = ["clean", *curve]
        caption = CORRUPTIONS.get(kind, f"{kind} (strength)")
        said = ", ".join(f"{n}: {'undefined' if v is None else f'{v:.3f}'}" for n, v in zip(names, values, strict=True))

        def draw(axes: Axes) -> None:
            axes.plot([np.nan if value is None else value for value in values], "o-", color=INK)
            axes.axhline(0.5, color=MUTED, lw=1, ls=DOTTED)
            axes.set_xticks(range(len(names)), names)
            axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
            axes.grid(axis="y")

        return _chart(caption, f"video AUC under {caption}: {said}", draw, SMALL)

    return [chart(kind, curve) for kind, curve in found["auc"].items()]


def training_chart(caption: str, curves: Mapping[str, Points], *, unit: bool) -> Chart:
    """Curves by epoch.

    Args:
        caption: what they show.
        curves: name -> (epoch, value).
        unit: whether the values lie in [0, 1] and the axis shows all of it.
    """

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for n, (name, points) in enumerate(curves.items()):
            axes.plot(*zip(*points, strict=True), "o-", color=LINES[n % len(LINES)], label=name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        if unit:
            axes.set_ylim(0, 1)

    return _chart(caption, f"{caption} by epoch", draw)


def score_over_time(points: Points, threshold: float) -> Chart | None:
    """Scores of a video's frames over its time, with the threshold; None of fewer than two moments.

    Args:
        points: (seconds, score).
        threshold: a score of at least this is predicted fake.
    """
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    highest = max(score for _, score in points)

    def draw(axes: Axes) -> None:
        axes.plot(*zip(*points, strict=True), color=INK)
        axes.axhline(threshold, color=INK, lw=1.2, ls=DASHED)
        axes.set(ylim=(0, 1), yticks=[0, 1], xlim=(first, last if last > first else first + 1))
        axes.set_xticks([first, last], [f"{first:.1f} s", f"{last:.1f} s"])
        start, end = axes.get_xticklabels()
        start.set_horizontalalignment("left")
        end.set_horizontalalignment("right")

    words = f"scores over time, {first:.1f} to {last:.1f} s: highest {highest:.2f}, threshold {threshold:.2f}"
    return _chart("Score over time", words, draw, (400, 90))


def interval_chart(value: float, bounds: Sequence[float] | None, *, label: str) -> Chart:
    """A figure in [0, 1] on a line, with its interval as a band."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 0], color=RULE, lw=4, solid_capstyle="round")
        axes.plot([0.5, 0.5], [-1, 1], color=MUTED, lw=1, ls=DOTTED)
        if bounds is not None:
            axes.plot(bounds, [0, 0], color=BAND, lw=9, solid_capstyle="round")
        axes.plot([value], [0], "o", color=INK, ms=10)
        axes.set(xlim=(0, 1), ylim=(-1, 1), yticks=[])
        axes.set_xticks([0, 0.5, 1], ["0", "chance 0.5", "1"])
        axes.spines[:].set_visible(False)

    return _chart("", label, draw, (380, 40))


def overview_png(evaluated: EvaluatedVideos, figures: Mapping[str, Any], *, title: str, threshold: float) -> bytes:
    """metrics/<dataset>/roc.png: ROC, scores and confusion at a glance; the same figures give the same bytes.

    Args:
        evaluated: videos and frames.
        figures: what evaluate.json says.
        title: detector and dataset.
        threshold: a score of at least this is predicted fake.
    """
    bounds, why = figures["ci"], reasons(figures)
    labels = {
        f"{name}s": f"{name}s: AUC "
        + with_interval(figures[name]["auc"], bounds[name]["auc"], why.get(f"ci.{name}.auc"))
        for name in ("frame", "video")
    }
    few = too_few(figures["coverage"]["real"], figures["coverage"]["fake"])
    with _style({"font.size": 9}):
        figure = _figure((756, 260))
        figure.suptitle(f"{title}: {few}" if few else title, x=0.008, ha="left", fontsize=11)
        curve, scores, confusion = figure.subplots(1, 3, width_ratios=[1, 1.25, 0.85])
        curve.set_title("ROC")
        _roc(curve, evaluated)
        curve.set_box_aspect(1)
        handles, names = curve.get_legend_handles_labels()
        if names:
            curve.legend(handles[::-1], [labels[name] for name in names[::-1]], loc="lower right", fontsize=7.5)
        if figures["video"]["auc"] is None:
            curve.text(0.5, 0.5, "undefined: one class is missing", ha="center", color=MUTED)
        scores.set_title("Scores of the videos")
        _histogram(scores, evaluated, threshold)
        confusion.set_title("Confusion (videos)")
        _confusion(confusion, figures["video"]["confusion"])
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return data.getvalue()


def _unit(axes: Axes, x: str, y: str) -> None:
    """Both axes from 0 to 1."""
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=x, ylabel=y)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(axis="y")


def _levels(evaluated: EvaluatedVideos) -> list[tuple[str, str, Sample]]:
    return [("frames", VIOLET, evaluated.frames), ("videos", INK, evaluated.videos)]


def _roc(axes: Axes, evaluated: EvaluatedVideos) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DOTTED)
    for name, colour, sample in _levels(evaluated):
        if points := roc(sample):
            axes.plot([p["fpr"] for p in points], [p["tpr"] for p in points], color=colour, label=name)
    _unit(axes, "FPR", "TPR")


def _precision_recall(axes: Axes, evaluated: EvaluatedVideos) -> None:
    """With the precision of chance: the fraction of fakes."""
    axes.axhline(float(evaluated.labels.mean()), color=MUTED, lw=1, ls=DOTTED)
    for name, colour, sample in _levels(evaluated):
        if points := precision_recall(sample):
            axes.plot([p["recall"] for p in points], [p["precision"] for p in points], color=colour, label=name)
    _unit(axes, "recall", "precision")


def _det(axes: Axes, evaluated: EvaluatedVideos) -> None:
    """FNR against FPR on probit axes, where normally distributed scores give straight lines."""
    for name, colour, sample in _levels(evaluated):
        if points := roc(sample):
            rates = np.clip([(p["fpr"], 1 - p["tpr"]) for p in points], *DET_ENDS)
            axes.plot(*norm.ppf(rates).T, color=colour, label=name)
    marks, names, ends = norm.ppf(DET_RATES), [f"{rate:.0%}" for rate in DET_RATES], norm.ppf(DET_ENDS)
    axes.set_xticks(marks, names)
    axes.set_yticks(marks, names)
    axes.set(xlim=ends, ylim=ends, xlabel="FPR", ylabel="FNR")
    axes.grid(axis="y")


def _histogram(axes: Axes, evaluated: EvaluatedVideos, threshold: float) -> None:
    """Reals upwards, fakes downwards, so that neither hides the other."""
    rows = histogram(evaluated.videos)
    top = max((row["fraction"] for row in rows), default=1.0) * 1.15
    for name, sign in (("real", 1), ("fake", -1)):
        own = [row for row in rows if row["class"] == name]
        heights = [sign * row["fraction"] for row in own]
        axes.bar([row["score"] for row in own], heights, width=0.92 / max(len(own), 1), color=CLASSES[name])
        # reals crowd at the left and fakes at the right, so each name stands at the other side
        x, side, y, upright = (0.98, "right", 0.97, "top") if sign > 0 else (0.02, "left", 0.03, "bottom")
        text = f"{int((evaluated.labels == (name == 'fake')).sum())} {name}"
        axes.text(x, y, text, transform=axes.transAxes, ha=side, va=upright, color=CLASSES[name], weight="bold")
    axes.axhline(0, color=RULE, lw=1)
    axes.axvline(threshold, color=INK, lw=1.2, ls=DASHED)
    x, side = (threshold + 0.02, "left") if threshold < 0.6 else (threshold - 0.02, "right")
    axes.text(x, -0.8 * top, f"threshold {threshold:.2f}", ha=side, va="center", fontsize="small")
    axes.set(xlim=(0, 1), ylim=(-top, top), xlabel="probability of fake", ylabel="fraction of the class")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0%}")
    axes.grid(axis="y")


def _calibration(axes: Axes, videos: Sample) -> None:
    rows = reliability_curve(videos, RELIABILITY_BINS)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DOTTED)
    axes.plot([row["mean_score"] for row in rows], [row["fake_fraction"] for row in rows], "o-", color=INK)
    _unit(axes, "mean score", "fraction of fakes")


def _confusion(axes: Axes, cells: Mapping[str, int]) -> None:
    """Rows are actual classes, columns predicted ones; shares are of a row."""
    table = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]])
    for (row, column), count in np.ndenumerate(table):
        total = int(table[row].sum())
        share = count / total if total else 0.0
        colour = GOOD if row == column else FAKE
        axes.barh(row, 0.96, 0.96, left=column - 0.48, color=colour, alpha=0.06 + 0.4 * share)
        axes.text(column, row, str(count), ha="center", va="bottom", fontsize="xx-large", weight="bold")
        axes.text(column, row + 0.06, f"{share:.0%} of {total}", ha="center", va="top", fontsize="small")
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="predicted", ylabel="actual")
    axes.set_xticks([0, 1], ["real", "fake"])
    axes.set_yticks([0, 1], ["real", "fake"], rotation=90, va="center")
    axes.spines[:].set_visible(False)


def _style(more: dict[str, Any]) -> AbstractContextManager[None]:
    from matplotlib import rc_context, rcParamsDefault

    # the backend is left out: naming it would start pyplot
    settings: dict[Any, Any] = {key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")}
    return rc_context(settings | STYLE | more)


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")


def _chart(caption: str, label: str, draw: Callable[[Axes], None], size: tuple[float, float] = LARGE) -> Chart:
    """Draw on axes of that size, in points, and take the SVG and the legend from them."""
    with _style({}), warnings.catch_warnings():
        # text is measured by one font and shown by the reader's, which may have what this one lacks
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = _figure(size)
        axes = figure.subplots()
        draw(axes)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        data = io.BytesIO()
        figure.savefig(data, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    named = {colour: name for name, colour in COLOURS.items()}
    # matplotlib gives curves without a label one that begins with an underscore
    lines = [(line, str(line.get_label())) for line in axes.get_lines()]
    legend = [(named[str(line.get_color())], text) for line, text in lines if not text.startswith("_")]
    return Chart(caption, _for_page(data.getvalue(), label, size), legend)


def _for_page(svg: bytes, label: str, size: tuple[float, float]) -> Markup:
    """matplotlib's SVG as an element of a page that takes the page's colours and needs no id, which may stand twice."""
    root = ElementTree.fromstring(svg)
    shapes = {element.get("id"): element for element in root.iter() if element.tag.endswith("}path")}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}defs", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        if element.tag == "use":  # a marker; all are discs, whose path begins at "M 0 radius"
            shape = shapes[element.attrib.pop("{http://www.w3.org/1999/xlink}href").removeprefix("#")]
            element.tag = "circle"
            element.attrib["r"] = shape.attrib["d"].split()[2]
            element.attrib |= {"cx": element.attrib.pop("x"), "cy": element.attrib.pop("y")}
        for name in ("id", "clip-path"):  # without a clip, markers at the ends of the axes stay whole
            element.attrib.pop(name, None)
        if "d" in element.attrib:
            element.attrib["d"] = " ".join(re.sub(r"\d+\.\d+", _rounded, element.attrib["d"]).split())
        if style := element.get("style"):
            for name, colour in COLOURS.items():
                style = style.replace(colour, f"var(--{name})")
            element.attrib["style"] = style.replace("font-family: 'DejaVu Sans'; ", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": f"0 0 {size[0]:g} {size[1]:g}", "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"
