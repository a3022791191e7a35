"""Results in words: no figure of few videos stands without its counts, and none without its interval or the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dfdetect.evaluation.caveats import MIN_CLASS_VIDEOS, lines, too_few
from dfdetect.evaluation.evaluate import evaluate_predictions
from tests.evaluation.tables import QUICK, random_table, row, table


def figures_of(made: pa.Table) -> dict[str, Any]:
    return evaluate_predictions(made, threshold=0.5, aggregation="mean", params=QUICK, validation=None)


def kinds(made: pa.Table) -> list[str]:
    return [caveat["kind"] for caveat in figures_of(made)["caveats"]]


def scored(scores: np.ndarray) -> pa.Table:
    """Reals and fakes in turn."""
    return table(*(row(f"v{i}", i % 2, float(score)) for i, score in enumerate(scores)))


@pytest.mark.parametrize(
    ("real", "fake", "few"),
    [
        (MIN_CLASS_VIDEOS, MIN_CLASS_VIDEOS, False),
        (MIN_CLASS_VIDEOS - 1, 5000, True),
        (5000, MIN_CLASS_VIDEOS - 1, True),
        (0, MIN_CLASS_VIDEOS - 1, True),
        (0, 5000, False),  # without reals the figures that need them are undefined, and the others are of 5,000 videos
        (0, 0, False),
    ],
)
def test_too_few_is_a_matter_of_the_rarer_class(real: int, fake: int, few: bool) -> None:
    assert too_few(real, fake) == (f"too few test videos ({real} real, {fake} fake)" if few else None)


def test_five_videos_are_told_as_too_few_with_why_there_is_no_interval() -> None:
    five = table(*(row(f"v{i}", int(i > 1), score) for i, score in enumerate((0.2, 0.6, 0.7, 0.9, 0.4))))
    assert kinds(five)[0] == "too_few_videos"
    head, figures, why, *_ = lines("mine", figures_of(five))
    assert head.startswith("mine: too few test videos (2 real, 3 fake)")
    assert figures == "  AUC 0.833   ACC 0.600   EER 0.333"
    assert why == "  no interval of AUC, ACC, EER: 2 real videos; 5 are needed"


def test_separated_classes_say_why_two_figures_have_no_interval() -> None:
    shown = lines("mine", figures_of(scored(0.2 + 0.6 * (np.arange(20) % 2))))
    assert shown[0].startswith("mine: too few test videos (10 real, 10 fake)")
    assert shown[1:3] == [
        "  AUC 1.000 [0.741, 1.000]   ACC 1.000   EER 0.000",
        "  no interval of ACC, EER: the resamples hardly vary",
    ]


def test_enough_videos_are_counted_and_nothing_is_said_against_them() -> None:
    made = random_table(reals=150, fakes=150, shift=2.0)
    shown = lines("mine", figures_of(made))
    assert shown[0] == "mine: 300 test videos (150 real, 150 fake)"
    assert shown[1].count("[") == 3
    assert not {"too_few_videos", "equal_scores", "scores_at_threshold"} & set(kinds(made))


def test_an_undefined_figure_has_its_reason_beside_it() -> None:
    shown = lines("mine", figures_of(table(*(row(f"v{i}", 1, 0.3 + i / 100) for i in range(30)))))
    assert "AUC undefined (there is no real video)" in shown[1]


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (np.full(50, 0.5), {"equal_scores", "scores_at_threshold"}),
        (0.5 + 0.0001 * np.cos(np.arange(50)), {"equal_scores", "scores_at_threshold"}),
        (0.97 + 0.0001 * np.cos(np.arange(50)), {"equal_scores"}),
        (0.5 + 0.0099 * np.cos(np.arange(50)), {"scores_at_threshold"}),
        (0.5 + 0.02 * np.cos(np.arange(50)), set()),
    ],
    ids=["equal", "a hair from the threshold", "nearly equal elsewhere", "within a hundredth", "apart"],
)
def test_equal_scores_and_scores_at_the_threshold_are_told(scores: np.ndarray, told: set[str]) -> None:
    assert {"equal_scores", "scores_at_threshold"} & set(kinds(scored(scores))) == told


def test_every_null_interval_of_a_defined_figure_has_a_reason() -> None:
    for made in (random_table(), scored(np.full(40, 0.5)), scored(np.linspace(0.1, 0.9, 6))):
        figures = figures_of(made)
        told = {item["figure"] for item in figures["undefined"]}
        for level in ("video", "frame"):
            for name, bounds in figures["ci"][level].items():
                assert bounds or {f"ci.{level}.{name}", f"{level}.{name}"} & told, (level, name)
        for method, found in figures["by_method"].items():
            assert found["ci"]["auc"] or {f"by_method.{method}.ci.auc", f"by_method.{method}.auc"} & told


def test_a_group_of_few_videos_is_told_too() -> None:
    found = figures_of(random_table(reals=60, fakes=30))["by_method"]["swap"]
    assert found["too_few"] == "too few test videos (60 real, 15 fake)"
