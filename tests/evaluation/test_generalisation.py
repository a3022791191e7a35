"""The generalisation table."""

from __future__ import annotations

import json

import pytest

from dfdetect.evaluation.cross_dataset import generalisation
from dfdetect.evaluation.evaluate import judge
from tests.evaluation.tables import QUICK, random_table, row, table


def judged(made):  # type: ignore[no-untyped-def]
    return judge(made, threshold=0.5, video_score="mean", params=QUICK, validation=None)


def test_drop_is_against_the_own_dataset() -> None:
    evaluated = {"home": judged(random_table(1, shift=4.0)), "away": judged(random_table(2, shift=1.0))}
    found = generalisation("xception", "home", evaluated)
    home, away = found["tested_on"]["home"], found["tested_on"]["away"]
    assert (home["seen"], away["seen"]) == (True, False)
    assert home["auc_drop"] == 0.0
    assert away["auc_drop"] == pytest.approx(home["auc"] - away["auc"])
    assert away["auc_interval"][0] <= away["auc"] <= away["auc_interval"][1]
    assert set(found["by_method"]["home"]) == {"swap", "wave"}
    assert found["undefined"] == []
    json.dumps(found, allow_nan=False)


def test_unlabelled_datasets_have_a_reason() -> None:
    evaluated = {"home": judged(random_table()), "bare": judged(table(row("a", None, 0.3)))}
    found = generalisation("xception", "home", evaluated)
    assert found["tested_on"]["bare"]["videos"] == 1
    assert found["tested_on"]["bare"]["auc_drop"] is None
    assert {"figure": "tested_on.bare.auc_drop", "reason": "no labelled video was scored"} in found["undefined"]


def test_without_the_own_dataset_there_is_no_drop() -> None:
    found = generalisation("xception", "home", {"away": judged(random_table())})
    assert found["tested_on"]["away"]["auc_drop"] is None
    assert "not among run.datasets" in found["undefined"][0]["reason"]
