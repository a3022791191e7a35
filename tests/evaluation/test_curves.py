"""Plots as data, and what DVC draws of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc_render.vega import VegaRenderer
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from dfdetect.evaluation import curves
from dfdetect.evaluation.metrics import Sample
from dfdetect.inference.robustness import Robustness, write_robustness

ROOT = Path(__file__).parents[2]
ROBUSTNESS = Robustness(0.9, 0.15, {"jpeg": {"90": 0.8, "30": 0.7}})


def sample(count: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return Sample.of(labels, 1 / (1 + np.exp(-rng.normal(labels))))


@pytest.mark.parametrize("count", [10, 5000])
def test_roc_keeps_its_area_when_thinned(count: int) -> None:
    made = sample(count)
    points = curves.roc(made)
    assert points[0]["fpr"] == points[0]["tpr"] == 0.0
    assert points[-1]["fpr"] == points[-1]["tpr"] == 1.0
    assert len(points) <= curves.MOST_POINTS
    area = auc([p["fpr"] for p in points], [p["tpr"] for p in points])
    assert area == pytest.approx(roc_auc_score(made.labels, made.scores), abs=2e-4)


def test_operating_points_are_what_their_thresholds_give() -> None:
    made = sample(40)
    for point in curves.roc(made)[1:-1]:
        said = made.scores >= point["threshold"] - 1e-6
        assert said[made.labels == 1].mean() == pytest.approx(point["tpr"], abs=1e-6)
        assert said[made.labels == 0].mean() == pytest.approx(point["fpr"], abs=1e-6)
    for point in curves.precision_recall(made):
        said = made.scores >= point["threshold"] - 1e-6
        assert made.labels[said].mean() == pytest.approx(point["precision"], abs=1e-6)


def test_precision_and_recall_are_steps() -> None:
    made = Sample.of(np.array([1, 1, 1, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    points = [(p["recall"], p["precision"]) for p in curves.precision_recall(made)]
    level = [(0.0, 1.0), (0.25, 1.0), (0.25, 1.0), (0.5, 1.0), (0.5, 1.0), (0.75, 1.0)]
    assert points == [*level, (0.75, 0.666667), (1.0, 0.666667)]


def specification(name: str, folder: Path) -> dict[str, Any]:
    """What `dvc plots show` gives to Vega-Lite of a file of the evaluate stage, made by DVC's own renderer."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    plots = stages["evaluate"]["do"]["plots"] + stages["robustness"]["do"]["plots"]
    settings = {Path(path).name: entry for plot in plots if isinstance(plot, dict) for path, entry in plot.items()}
    with (folder / name).open(encoding="utf-8", newline="") as file:
        rows = [{**row, "rev": "workspace"} for row in csv.DictReader(file)]
    renderer = VegaRenderer(rows, name, **settings[name], template_dir=str(ROOT / ".dvc/plots"))
    spec = renderer.get_filled_template()
    assert "<DVC_METRIC" not in str(spec)
    return spec


def area_drawn(spec: dict[str, Any]) -> float:
    """The area under the one line of a specification: Vega-Lite joins points by x, equal ones in the file's order."""
    assert spec["mark"]["type"] == "line"
    assert "transform" not in spec
    assert "interpolate" not in spec["mark"]
    x, y = (spec["encoding"][axis]["field"] for axis in "xy")
    points = np.array([(float(row[x]), float(row[y])) for row in spec["data"]["values"]])
    across, up = points[np.argsort(points[:, 0], kind="stable")].T
    return float(np.trapezoid(up, across))


LABELS = np.arange(60) % 2
SCORES = {
    "perfect": 0.2 + 0.6 * LABELS,
    "mediocre": sample(60).scores,
    "tied": (np.arange(60) * 7 % 3 + LABELS) / 4,
    "equal": np.full(60, 0.5),
    "reversed": 0.8 - 0.6 * LABELS,
}


@pytest.mark.parametrize("kind", SCORES)
def test_the_area_that_dvc_draws_is_the_figure(kind: str, tmp_path: Path) -> None:
    curves.write_plots(tmp_path, Sample.of(LABELS, SCORES[kind]), 0.5)
    roc = specification("roc.csv", tmp_path)
    assert area_drawn(roc) == pytest.approx(roc_auc_score(LABELS, SCORES[kind]), abs=1e-5)
    average_precision = average_precision_score(LABELS, SCORES[kind])
    assert area_drawn(specification("pr.csv", tmp_path)) == pytest.approx(average_precision, abs=1e-5)
    if kind == "perfect":
        assert ("0.0", "1.0") in [(row["fpr"], row["tpr"]) for row in roc["data"]["values"]]


def test_dvc_shows_the_confusion_matrix_in_numbers_and_the_scores_by_class(tmp_path: Path) -> None:
    curves.write_plots(tmp_path, Sample.of(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9, 0.3])), 0.5)
    confusion = specification("confusion.csv", tmp_path)
    assert [list(row.values())[:4] for row in confusion["data"]["values"]] == [
        ["real", "real", "2", "0.666667"],
        ["real", "fake", "1", "0.333333"],
        ["fake", "real", "1", "0.5"],
        ["fake", "fake", "1", "0.5"],
    ]
    (text,) = [layer for layer in confusion["spec"]["layer"] if layer["mark"] != "rect"]
    assert text["encoding"]["text"] == {"field": "videos"}  # always, not only once a box is ticked
    scores = specification("histogram.csv", tmp_path)
    assert scores["encoding"]["color"]["field"] == scores["encoding"]["row"]["field"] == "class"
    write_robustness(tmp_path, ROBUSTNESS)
    (tmp_path / "robustness.csv").write_bytes((tmp_path / "plots/robustness.csv").read_bytes())
    assert specification("robustness.csv", tmp_path)["encoding"]["y"]["field"] == "corruption"


def test_files_are_whole_and_stable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        curves.write_plots(tmp_path / name, sample(100), 0.5)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["confusion.csv", "histogram.csv", "pr.csv", "roc.csv"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with (tmp_path / "a" / "confusion.csv").open() as file:
        assert sum(int(row["videos"]) for row in csv.DictReader(file)) == 100
    with (tmp_path / "a" / "histogram.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("real", "fake"):
        assert sum(float(row["fraction"]) for row in rows if row["class"] == name) == pytest.approx(1, abs=1e-4)


def test_an_undefined_curve_is_a_header(tmp_path: Path) -> None:
    curves.write_plots(tmp_path, Sample.of(np.ones(3, int), np.array([0.1, 0.5, 0.9])), 0.5)
    assert (tmp_path / "roc.csv").read_text() == "fpr,tpr,threshold\n"
    assert "fake" in (tmp_path / "histogram.csv").read_text()
    assert (tmp_path / "confusion.csv").read_text().splitlines()[1:3] == ["real,real,0,", "real,fake,0,"]
