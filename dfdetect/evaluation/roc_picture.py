"""metrics/<dataset>/roc.png: ROC, scores and confusion matrix at a glance, for people."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfdetect.evaluation.caveats import reasons, too_few, with_interval
from dfdetect.evaluation.curves import histogram, roc
from dfdetect.evaluation.predictions import Judged
from dfdetect.io.tables import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by people of every colour vision, and in grey.
REAL, FAKE, INK, MUTED, RULE = "#2f6fb3", "#d9652b", "#1f2328", "#6b7280", "#e2e5e9"
DPI = 120
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": RULE,
    "legend.frameon": False,
}


def draw(path: Path, judged: Judged, figures: dict[str, Any], *, title: str, threshold: float) -> None:
    """Draw the picture; the same figures give the same bytes.

    Args:
        path: where the PNG goes.
        judged: videos and frames.
        figures: what evaluate.json says.
        title: detector and dataset.
        threshold: fake from this score on.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        few = too_few(figures["coverage"]["real"], figures["coverage"]["fake"])
        figure.suptitle(f"{title}: {few}" if few else title, x=0.008, ha="left", fontsize=11)
        curve, scores, cells = figure.subplots(1, 3, width_ratios=[1, 1.25, 0.85])
        _draw_roc(curve, judged, figures)
        _draw_scores(scores, judged, threshold)
        _draw_confusion(cells, figures["video"]["confusion"])
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(path, data.getvalue())


def _draw_roc(axes: Axes, judged: Judged, figures: dict[str, Any]) -> None:
    axes.set_title("ROC")
    axes.plot([0, 1], [0, 1], color=RULE, lw=1)
    bounds, why = figures["ci"], reasons(figures)
    for name, sample, style in (("frame", judged.frames, (0, (4, 2))), ("video", judged.videos, "solid")):
        points = roc(sample)
        value, interval = figures[name]["auc"], bounds[name]["auc"]
        if not points or value is None:
            continue
        label = f"{name}s: AUC {with_interval(value, interval, why.get(f'ci.{name}.auc'))}"
        colour = INK if name == "video" else MUTED
        axes.plot([p["fpr"] for p in points], [p["tpr"] for p in points], color=colour, lw=1.8, ls=style, label=label)
    if figures["video"]["auc"] is None:
        axes.text(0.5, 0.5, "undefined: one class is missing", ha="center", color=MUTED)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="FPR", ylabel="TPR")
    axes.set_box_aspect(1)
    axes.grid(True)
    if axes.get_legend_handles_labels()[0]:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="lower right", fontsize=7.5)


def _draw_scores(axes: Axes, judged: Judged, threshold: float) -> None:
    """Reals upwards, fakes downwards, so that neither hides the other."""
    axes.set_title("Scores of the videos")
    rows = histogram(judged.videos)
    top = max((row["fraction"] for row in rows), default=1.0) * 1.15
    for name, colour, sign in (("real", REAL, 1), ("fake", FAKE, -1)):
        own = [row for row in rows if row["class"] == name]
        count = int((judged.labels == (name == "fake")).sum())
        if own:
            heights = [sign * row["fraction"] for row in own]
            axes.bar([row["score"] for row in own], heights, width=1 / len(own), color=colour)
        # reals crowd at the left and fakes at the right, so each name stands at the other side
        x, y = (0.98, 0.97) if sign > 0 else (0.02, 0.03)
        side, upright = ("right", "top") if sign > 0 else ("left", "bottom")
        text = f"{count} {name}"
        axes.text(x, y, text, transform=axes.transAxes, ha=side, va=upright, color=colour, weight="bold")
    axes.axhline(0, color=RULE, lw=1)
    axes.axvline(threshold, color=INK, lw=1, ls=(0, (4, 2)))
    left = threshold < 0.75
    label = f" threshold {threshold:.2f} "
    axes.text(threshold, -0.8 * top, label, ha="left" if left else "right", va="center", fontsize=7.5, color=INK)
    axes.set(xlim=(0, 1), ylim=(-top, top), xlabel="probability of fake", ylabel="fraction of the class")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0%}")


def _draw_confusion(axes: Axes, cells: dict[str, int]) -> None:
    axes.set_title("Confusion (videos)")
    table = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.6)
    for (row, column), count in np.ndenumerate(table):
        dark = shares[row, column] > 0.8
        axes.text(
            column,
            row,
            f"{count}\n{shares[row, column]:.0%}",
            ha="center",
            va="center",
            color="white" if dark else INK,
            fontsize=11,
        )
    axes.set_xticks([0, 1], ["real", "fake"])
    axes.set_yticks([0, 1], ["real", "fake"], rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="actual")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
