"""The cross-dataset table."""

from __future__ import annotations

import json

import pytest

from dfdetect.evaluation.cross_dataset import cross_dataset
from dfdetect.evaluation.evaluate import evaluate_predictions
from tests.evaluation.tables import QUICK, random_table, row, table


def figures_of(made):  # type: ignore[no-untyped-def]
    return evaluate_predictions(made, threshold=0.5, aggregation="mean", params=QUICK, validation=None)


def test_drop_is_against_the_own_dataset() -> None:
    evaluated = {"home": figures_of(random_table(1, shift=4.0)), "away": figures_of(random_table(2, shift=1.0))}
    found = cross_dataset("xception", "home", evaluated)
    home, away = found["tested_on"]["home"], found["tested_on"]["away"]
    assert (home["in_domain"], away["in_domain"]) == (True, False)
    assert home["auc_drop"] == 0.0
    assert away["auc_drop"] == pytest.approx(home["auc"] - away["auc"])
    assert away["ci"]["auc"][0] <= away["auc"] <= away["ci"]["auc"][1]
    assert set(found["by_method"]["home"]) == {"swap", "wave"}
    assert away["too_few"] is None
    assert found["by_method"]["home"]["swap"]["too_few"] == "too few test videos (20 real, 15 fake)"
    assert found["undefined"] == []
    json.dumps(found, allow_nan=False)


def test_unlabelled_datasets_have_a_reason() -> None:
    evaluated = {"home": figures_of(random_table()), "bare": figures_of(table(row("a", None, 0.3)))}
    found = cross_dataset("xception", "home", evaluated)
    assert found["tested_on"]["bare"]["videos"] == 1
    assert found["tested_on"]["bare"]["auc_drop"] is None
    assert {"figure": "tested_on.bare.auc_drop", "reason": "no labelled video was scored"} in found["undefined"]


def test_few_videos_are_told_with_why_there_is_no_interval() -> None:
    made = [row(f"v{i}", int(i > 2), 0.1 * i, method=("real", "swap", "wave")[max(0, i - 1) // 2]) for i in range(7)]
    found = cross_dataset("xception", "home", {"home": figures_of(table(*made))})
    assert found["tested_on"]["home"]["too_few"] == "too few test videos (3 real, 4 fake)"
    told = {item["figure"]: item["reason"] for item in found["undefined"]}
    for path in ("tested_on.home.ci.auc", "by_method.home.swap.ci.auc", "by_method.home.wave.ci.auc"):
        assert told[path] == "3 real videos; 5 are needed"


def test_without_the_own_dataset_there_is_no_drop() -> None:
    found = cross_dataset("xception", "home", {"away": figures_of(random_table())})
    assert found["tested_on"]["away"]["auc_drop"] is None
    assert "not among run.datasets" in found["undefined"][0]["reason"]
