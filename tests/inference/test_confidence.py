"""A prediction is called confident only where validation covered it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dfdetect.inference.confidence import assess_confidence
from dfdetect.inference.prediction import Prediction
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import from_rows
from tests.inference.infos import RECORDED, RENDERED, info


def predict(score: float, **changes: object) -> Prediction:
    return Prediction("a.mp4", info(**changes), 0.5, score)


def validation(reals: list[float], fakes: list[float]) -> pa.Table:
    """Scores of validation videos, and one that could not be scored."""
    rows = [
        {
            "video_id": f"v{number}",
            "label": label,
            "score": score,
            "status": "ok",
            "detector": "xception",
            "threshold": 0.5,
        }
        for number, (label, score) in enumerate(
            [(0, score) for score in reals] + [(1, score) for score in fakes] + [(1, None)]
        )
    ]
    return from_rows(rows, PREDICTIONS)


# 30 reals and 30 fakes far from the threshold, and near to it, on the side of fake, 10 of each.
SCORES = validation([0.1] * 30 + [0.6] * 10, [0.9] * 30 + [0.6] * 10)


@pytest.mark.parametrize(
    ("score", "level", "reason"),
    [
        (0.9, "high", "of the 30 validation videos of celebdf that scored as far to this side, 30 were fake"),
        (0.99, "high", "of the 30 validation videos"),  # farther than any: the farthest tell
        (0.6, "moderate", "of the 50 validation videos of celebdf that scored as far to this side, 40 were fake"),
        (0.05, "high", "of the 30 validation videos of celebdf that scored as far to this side, 30 were real"),
    ],
)
def test_the_level_is_how_often_validation_was_right_so_far_from_the_threshold(
    score: float, level: str, reason: str
) -> None:
    confidence = assess_confidence(predict(score), SCORES)
    assert confidence.level == level
    assert reason in confidence.reason


def test_a_score_is_no_confidence_where_validation_was_often_wrong() -> None:
    confused = validation([0.97] * 20 + [0.1] * 20, [0.97] * 30)
    assert assess_confidence(predict(0.97), confused).level == "low"


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (None, "not known"),
        (validation([0.1] * 19, [0.9] * 30), "19 real and 30 fake videos, fewer than 20 of each"),
        (validation([0.1] * 30, []), "30 real and 0 fake"),
        (validation([0.1] * 30, [0.9] * 15 + [0.1] * 15), "only 15 validation videos were called fake"),
    ],
)
def test_too_little_validation_gives_no_level(scores: pa.Table | None, reason: str) -> None:
    confidence = assess_confidence(predict(0.99), scores)
    assert confidence.level is None
    assert reason in confidence.reason


def test_rendered_heads_say_nothing_of_a_file_from_elsewhere() -> None:
    rendered = {"trained_on": [RECORDED, RENDERED]}
    for dataset in (None, "celebdf"):
        confidence = assess_confidence(predict(0.01, **rendered), SCORES, dataset)
        assert confidence.level is None
        assert "rendered heads only" in confidence.reason
    assert assess_confidence(predict(0.01, **rendered), SCORES, "sample").level == "high"


def test_another_dataset_is_not_covered() -> None:
    confidence = assess_confidence(predict(0.01), SCORES, "dfdc")
    assert confidence.level is None
    assert "validated on celebdf, and this file is of dfdc" in confidence.reason
    assert assess_confidence(predict(0.01), SCORES, "celebdf").level == "high"
