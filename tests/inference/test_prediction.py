"""A prediction's label, confidence, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from dfdetect.inference.prediction import FrameScore, Prediction, as_csv


def made(score: float | None, threshold: float = 0.5) -> Prediction:
    frames = [FrameScore(3, 0.12, 0.7, (1.0, 2.0, 3.0, 4.5)), FrameScore(9, None, 0.5, None)]
    if score is None:
        return Prediction("a.mp4", threshold, "xception", status="no_face", reason="no face, anywhere")
    return Prediction("a.mp4", threshold, "xception", score, frames)


@pytest.mark.parametrize(
    ("score", "threshold", "label", "confidence"),
    [(0.8, 0.5, "fake", 0.8), (0.2, 0.5, "real", 0.8), (0.5, 0.5, "fake", 0.5), (0.4, 0.3, "fake", 0.4)],
)
def test_label_and_confidence(score: float, threshold: float, label: str, confidence: float) -> None:
    found = made(score, threshold)
    assert found.label == label
    assert found.confidence == pytest.approx(confidence)
    assert found.probabilities == {"real": 1 - score, "fake": score}


def test_without_a_score_there_is_no_verdict() -> None:
    found = made(None)
    assert (found.label, found.confidence, found.probabilities) == (None, None, None)
    assert json.loads(found.as_json())["reason"] == "no face, anywhere"


def test_json_has_the_contract_keys_and_the_exact_score() -> None:
    score = 0.1 + 0.2
    line = made(score).as_json()
    assert "\n" not in line
    value = json.loads(line)
    assert list(value) == ["path", "score", "label", "threshold", "detector", "frames", "status", "reason"]
    assert value["score"] == score
    assert value["frames"][0] == {"frame_index": 3, "time_s": 0.12, "score": 0.7, "box": [1.0, 2.0, 3.0, 4.5]}
    assert value["frames"][1]["box"] is None


def test_csv_has_a_row_a_file() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([made(0.7), made(None)]))))
    assert [row["label"] for row in rows] == ["fake", ""]
    assert [row["frames"] for row in rows] == ["2", "0"]
    assert rows[1]["reason"] == "no face, anywhere"
