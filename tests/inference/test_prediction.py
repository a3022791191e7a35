"""A prediction's label, JSON, CSV row and line of text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.inference.prediction import CSV_COLUMNS, FrameScore, Prediction, format_scores, to_json_line
from tests.inference.infos import RECORDED, RENDERED, info

INFO = info(trained_on=[RENDERED])
KEYS = ["path", "score", "label", "threshold", "detector", "model_sha256", "trained_on"]
KEYS += ["frames", "faces_seen", "status", "reason"]


def predict(score: float | None, threshold: float = 0.5) -> Prediction:
    frames = [FrameScore(3, 0.12, 0.7, (1.0, 2.0, 3.0, 4.5)), FrameScore(9, None, 0.5, None)]
    if score is None:
        return Prediction("a.mp4", INFO, threshold, status="no_face", reason="no face, anywhere")
    return Prediction("a.mp4", INFO, threshold, score, frames, faces_seen=5)


@pytest.mark.parametrize(
    ("score", "threshold", "label"),
    [(0.8, 0.5, "fake"), (0.2, 0.5, "real"), (0.5, 0.5, "fake"), (0.4, 0.3, "fake"), (None, 0.3, None)],
)
def test_label(score: float | None, threshold: float, label: str | None) -> None:
    assert predict(score, threshold).label == label


def test_json_has_the_contract_keys_and_the_exact_score() -> None:
    score = 0.1 + 0.2
    line = to_json_line(predict(score).to_dict())
    assert line.index("\n") == len(line) - 1
    record = json.loads(line)
    assert list(record) == KEYS
    assert record["score"] == score
    assert record["model_sha256"] == "0" * 64
    assert record["faces_seen"] == 5
    assert record["frames"][0] == {"frame_index": 3, "time_s": 0.12, "score": 0.7, "box": [1.0, 2.0, 3.0, 4.5]}
    assert record["frames"][1]["box"] is None
    (data,) = record["trained_on"]
    assert (data["dataset"], data["synthetic"]) == ("sample", True)


def test_a_csv_row_counts_frames_and_names_the_training_data() -> None:
    row = predict(0.7).to_csv_row()
    assert tuple(row) == CSV_COLUMNS
    assert (row["frames"], row["trained_on"]) == (2, "sample (synthetic)")
    assert predict(None).to_csv_row()["reason"] == "no face, anywhere"


def test_a_line_says_what_the_detector_was_trained_on() -> None:
    assert predict(0.934, 0.44).to_text() == (
        "a.mp4  fake  0.93  2 frames  threshold 0.44, trained on sample (synthetic)"
    )
    assert predict(None).to_text() == "a.mp4  not scored  no face, anywhere"
    part = Prediction("b.mp4", info(trained_on=[RENDERED, RECORDED]), 0.5, 0.1, [FrameScore(0, 0.0, 0.1, None)], 1)
    assert part.to_text() == "b.mp4  real  0.10  1 frame  threshold 0.50, trained on sample (synthetic), then celebdf"


def test_score_and_threshold_never_look_equal_unless_they_are() -> None:
    assert format_scores(0.4991, 0.4992) == ("0.4991", "0.4992")
    assert format_scores(0.93, 0.44) == ("0.93", "0.44")
    assert format_scores(0.5, 0.5) == ("0.50", "0.50")
    assert "real  0.4991" in predict(0.4991, 0.4992).to_text()
    assert "threshold 0.4992" in predict(0.4991, 0.4992).to_text()


@given(st.floats(0, 1).map(lambda value: round(value, 12)), st.floats(0, 1).map(lambda value: round(value, 12)))
def test_formatted_scores_are_in_the_order_of_the_scores(score: float, threshold: float) -> None:
    texts = format_scores(score, threshold)
    assert (float(texts[0]) >= float(texts[1])) == (score >= threshold)
