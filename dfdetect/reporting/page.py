"""metrics/report.html: caveats, headline figures, training, the datasets, and where it all comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dfdetect.evaluation.caveats import reasons, too_few, with_interval
from dfdetect.inference.saved_model import SavedModelInfo
from dfdetect.reporting.charts import COLOURS, Chart, interval_chart, training_chart
from dfdetect.reporting.gather import Section
from dfdetect.reporting.html import fill

# Of the AUC, from the training's dataset to another: a caveat.
LARGE_DROP = 0.05
Curves = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Run:
    """What the page is made of: the detector, the sections, training curves, metrics/cross_dataset.json."""

    info: SavedModelInfo
    trained_on: str
    sections: list[Section]
    curves: Curves
    cross_dataset: dict[str, Any]


@dataclass(frozen=True)
class Card:
    """The headline of one dataset: its video AUC in words and drawn, and whether its videos are too few."""

    section: Section
    why: dict[str, str]
    auc: str
    too_few: str | None
    gauge: Chart | None


def render(run: Run) -> str:
    """The whole page. The same run gives the same text; it loads nothing, and needs no script."""
    packages = [run.info.packages, *(section.packages for section in run.sections)]
    return fill(
        "page.html",
        info=run.info,
        trained_on=run.trained_on,
        sections=run.sections,
        cross=run.cross_dataset,
        cross_why=reasons(run.cross_dataset),
        caveats=_caveats(run),
        warnings=[(section.name, text) for section in run.sections for text in section.warnings],
        cards=[_card(section) for section in run.sections],
        training=_training(run.curves),
        packages=list(dict.fromkeys(name for versions in packages for name in versions)),
        evaluated=[f"evaluated {section.name}" for section in run.sections],
        colours=COLOURS,
    )


def _card(section: Section) -> Card:
    value, bounds = section.figures["video"]["auc"], section.figures["ci"]["video"]["auc"]
    why, covered = reasons(section.figures), section.figures["coverage"]
    auc = with_interval(value, bounds, why.get("video.auc") or why.get("ci.video.auc"))
    gauge = None if value is None else interval_chart(value, bounds, label=f"video AUC {auc}")
    return Card(section, why, auc, too_few(covered["real"], covered["fake"]), gauge)


def _caveats(run: Run) -> list[tuple[str, str]]:
    """(dataset, what weakens its figures): its own caveats, and a large drop from the training's dataset."""
    notes = []
    for section in run.sections:
        notes += [(section.name, f"{caveat['text']}.") for caveat in section.figures["caveats"]]
        drop = run.cross_dataset["tested_on"][section.name]["auc_drop"]
        if drop is not None and drop > LARGE_DROP:
            text = f"the AUC is {drop:.3f} lower than on {run.trained_on}, which the detector was trained on."
            notes.append((section.name, text))
    return notes


def _training(curves: Curves) -> list[Chart]:
    groups = {
        "Loss": [name for name in curves if name.endswith("loss")],
        "Validation AUC": [name for name in curves if name.endswith("auc")],
        "Accuracy": [name for name in curves if name.endswith("acc")],
        "Parts of the training loss": [
            name for name in curves if name.startswith("train_") and name not in ("train_loss", "train_acc")
        ],
    }
    return [
        training_chart(caption, drawn, unit=caption in ("Validation AUC", "Accuracy"))
        for caption, names in groups.items()
        if (drawn := {name: curves[name] for name in names if curves[name]})
    ]
