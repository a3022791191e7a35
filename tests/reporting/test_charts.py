"""Charts: the right values in the right places, the page's colours, and the same bytes each time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from scipy.stats import norm

from dfdetect.evaluation.evaluate import evaluate_predictions
from dfdetect.evaluation.metrics import Sample
from dfdetect.evaluation.predictions import select
from dfdetect.reporting.charts import (
    COLOURS,
    Chart,
    accuracy_by_threshold,
    interval_chart,
    overview_png,
    performance_charts,
    robustness_charts,
    score_over_time,
    score_strips,
    training_chart,
)
from tests.evaluation.tables import QUICK, random_table, row, table

ROOT = Path(__file__).parents[2]
CELLS = {"tn": 17, "fp": 3, "fn": 6, "tp": 24}


def performance() -> dict[str, Chart]:
    return {chart.caption: chart for chart in performance_charts(select(random_table(), QUICK), 0.5, CELLS)}


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart.svg).iter("text")]


def positions(chart: Chart, wanted: str) -> list[float]:
    """Where a text stands: x and y, in the chart's units."""
    found = next(e for e in ElementTree.fromstring(chart.svg).iter("text") if e.text == wanted)
    return [float(found.attrib["x"]), float(found.attrib["y"])]


def lines(chart: Chart, colour: str) -> list[np.ndarray]:
    """The curves of one colour: x and y in the chart's units [shape=(N, 2)]."""
    paths = [
        e for e in ElementTree.fromstring(chart.svg).iter("path") if f"stroke: var(--{colour})" in e.get("style", "")
    ]
    return [np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"]), float) for path in paths]


def test_importing_the_report_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, dfdetect.reporting.page, dfdetect.reporting.section;"
        "print(*({'torch', 'matplotlib', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_chart_is_an_element_of_a_page_in_the_pages_colours() -> None:
    for chart in performance().values():
        root = ElementTree.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert not re.findall(
            "#[0-9a-f]{6}", chart.svg
        )  # of a colour that is no variable, dark pages would know nothing
        assert not re.findall(r" id=|url\(|xmlns|<style|<use", chart.svg)
        assert all(colour in COLOURS for colour, _ in chart.legend)
    assert performance() == performance()


def test_the_roc_goes_from_corner_to_corner_and_names_its_curves() -> None:
    chart = performance()["ROC"]
    assert chart.legend == [("violet", "frames"), ("ink", "videos")]
    (curve,) = lines(chart, "ink")
    (x0, _), (x1, _) = positions(chart, "0"), positions(chart, "1")
    assert curve[0, 0] == pytest.approx(x0, abs=0.1)
    assert curve[:, 0].min() == curve[0, 0]
    assert curve[:, 0].max() == curve[-1, 0]
    assert curve[:, 1].argmin() in np.flatnonzero(curve[:, 1] == curve[-1, 1])  # up is less in SVG
    assert x1 != x0


def test_det_axes_are_probit() -> None:
    chart = performance()["DET"]
    one, twenty, half = (positions(chart, text)[0] for text in ("1%", "20%", "50%"))
    expected = (norm.ppf(0.2) - norm.ppf(0.01)) / (norm.ppf(0.5) - norm.ppf(0.01))
    assert (twenty - one) / (half - one) == pytest.approx(expected, abs=1e-3)


def test_the_confusion_matrix_has_its_counts_where_they_belong() -> None:
    chart = performance()["Confusion"]
    places = {text: positions(chart, text) for text in ("17", "3", "6", "24")}
    assert places["17"][0] == places["6"][0] < places["3"][0] == places["24"][0]
    assert places["17"][1] == places["3"][1] < places["6"][1] == places["24"][1]
    assert {"85% of 20", "15% of 20", "20% of 30", "80% of 30"} <= set(texts(chart))
    assert "of 20 reals 3 were predicted fake; of 30 fakes 6 predicted real" in chart.svg


def test_strips_show_reals_first_then_fakes_by_falling_median_and_every_video() -> None:
    rows = [row("r", 0, 0.9, category="real"), row("a", 1, 0.3, category="weak"), row("b", 1, 0.8, category="strong")]
    odd = "<b>\x00 $x$"
    chart = score_strips(select(table(*rows, row("c", 1, 0.1, category=odd)), QUICK), "category", 0.5, title="score")
    names = [text for text in texts(chart) if text.endswith("(1)")]
    assert names == ["real (1)", "strong (1)", "weak (1)", "<b>\N{REPLACEMENT CHARACTER} $x$ (1)"]
    discs = [float(e.attrib["cx"]) for e in ElementTree.fromstring(chart.svg).iter("circle")]
    low, high = (positions(chart, text)[0] for text in ("0.0", "1.0"))
    assert [(x - low) / (high - low) for x in discs] == pytest.approx([0.9, 0.8, 0.3, 0.1], abs=2e-3)


@pytest.mark.filterwarnings("error:constrained_layout")
def test_a_long_name_does_not_squeeze_the_axes() -> None:
    made = table(row("r", 0, 0.2, category="real"), row("a", 1, 0.9, category="x" * 300))
    chart = score_strips(select(made, QUICK), "category", 0.5, title="score")
    assert positions(chart, "1.0")[0] - positions(chart, "0.0")[0] > 300


def test_accuracy_by_threshold_draws_the_classes_that_there_are() -> None:
    both = Sample.of(np.array([0, 1]), np.array([0.2, 0.7]))
    assert [name for _, name in accuracy_by_threshold(both, 0.5).legend] == ["accuracy", "TPR", "TNR"]
    fakes = Sample.of(np.array([1, 1]), np.array([0.2, 0.7]))
    assert [name for _, name in accuracy_by_threshold(fakes, 0.5).legend] == ["accuracy", "TPR"]


def test_robustness_says_each_figure_and_survives_one_that_is_undefined() -> None:
    (chart,) = robustness_charts({"clean": 0.9, "auc": {"jpeg": {"90": 0.8, "30": None}}})
    assert chart.caption == "JPEG (quality)"
    assert "clean: 0.900, 90: 0.800, 30: undefined" in chart.svg
    assert {"clean", "90", "30"} <= set(texts(chart))


def test_training_and_time_and_interval() -> None:
    chart = training_chart("Loss", {"train_loss": [(0.0, 0.7), (1.0, 0.5)], "val_loss": [(1.0, 0.6)]}, unit=False)
    assert chart.legend == [("ink", "train loss"), ("fake", "val loss")]
    assert chart.svg.count("<circle") == 3
    assert score_over_time([(0.0, 0.5)], 0.5) is None
    over_time = score_over_time([(1.0, 0.2), (3.0, 0.9)], 0.4)
    assert over_time is not None
    assert {"1.0 s", "3.0 s"} <= set(texts(over_time))
    assert "highest 0.90, threshold 0.40" in over_time.svg
    with_band, without = (interval_chart(0.9, bounds, label="AUC") for bounds in ([0.8, 1.0], None))
    assert len(lines(with_band, "band")) == 1
    assert lines(without, "band") == []


@pytest.mark.parametrize("made", [random_table(), table(row("a", 1, 0.9)), table()], ids=["both", "one class", "none"])
def test_the_png_is_a_picture_and_the_same_each_time(made: object) -> None:
    figures = evaluate_predictions(made, threshold=0.5, aggregation="mean", params=QUICK, validation=None)
    first, second = (overview_png(select(made, QUICK), figures, title="a <b> $x$", threshold=0.5) for _ in range(2))
    assert first == second
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape == (433, 1260, 3)
