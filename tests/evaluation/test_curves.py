"""Plots as data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import auc, roc_auc_score

from dfdetect.evaluation import curves
from dfdetect.evaluation.metrics import Sample


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


def test_det_has_the_deviates_of_its_rates_and_no_infinity() -> None:
    rows = curves.det(sample(400))
    assert len(rows) > 20
    for point in rows:
        assert 0 < point["fpr"] < 1
        assert point["false_alarms"] == pytest.approx(norm.ppf(point["fpr"]), abs=1e-3)
        assert point["misses"] == pytest.approx(norm.ppf(point["fnr"]), abs=1e-3)
    assert curves.det(Sample.of(np.array([0, 1]), np.array([0.1, 0.9]))) == []  # without an error there is no point


def test_precision_and_recall_keep_the_points_of_a_straight_roc() -> None:
    """Fakes alone at the top: the ROC goes straight up, and recall rises step by step at precision 1."""
    made = Sample.of(np.array([1, 1, 1, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    points = [(p["recall"], p["precision"]) for p in curves.precision_recall(made)]
    assert points == [(0.25, 1.0), (0.5, 1.0), (0.75, 1.0), (0.75, 0.75), (0.75, 0.6), (1.0, 0.666667)]


def test_files_are_whole_and_stable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        curves.write_plots(tmp_path / name, sample(100), 0.5, 10)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["confusion.csv", "det.csv", "histogram.csv", "pr.csv", "reliability.csv", "roc.csv"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with (tmp_path / "a" / "confusion.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 100
    with (tmp_path / "a" / "histogram.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("real", "fake"):
        assert sum(float(row["share"]) for row in rows if row["class"] == name) == pytest.approx(1, abs=1e-4)


def test_an_undefined_curve_is_a_header(tmp_path: Path) -> None:
    curves.write_plots(tmp_path, Sample.of(np.ones(3, int), np.array([0.1, 0.5, 0.9])), 0.5, 10)
    assert (tmp_path / "roc.csv").read_text() == "fpr,tpr,threshold\n"
    assert "fake" in (tmp_path / "histogram.csv").read_text()
