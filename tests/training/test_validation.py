"""Figures on validation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.training.validation import Scored, auc, by_video, figures, selection, weighted_means

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=40).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


@given(PAIRS)
def test_auc_is_the_chance_that_a_fake_scores_higher(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], float)
    fakes, reals = scores[labels == 1], scores[labels == 0]
    wins = (fakes[:, None] > reals).mean() + 0.5 * (fakes[:, None] == reals).mean()
    assert auc(labels, scores) == pytest.approx(wins)


def test_undefined_is_none_and_unknown_labels_are_left_out() -> None:
    assert auc(np.array([1, 1]), np.array([0.1, 0.9])) is None
    assert auc(np.array([0, 1, -1]), np.array([0.1, 0.9, 0.5])) == 1.0


def test_scores_of_several_processes() -> None:
    parts = [(np.array([4, 0]), np.array([0.4, 0.0])), (np.array([2]), np.array([0.2]))]
    scored = Scored.gather(parts)
    assert scored.rows.tolist() == [0, 2, 4]
    assert scored.scores.tolist() == [0.0, 0.2, 0.4]
    with pytest.raises(RuntimeError, match="twice"):
        Scored.gather([*parts, parts[1]])


def test_losses_are_weighted_by_samples_and_a_process_may_have_none() -> None:
    parts = [{"loss": np.float64(3.0), "n": np.float64(1.0)}, {}, {"loss": np.float64(1.0), "n": np.float64(3.0)}]
    assert weighted_means(parts) == {"val_loss": 1.0}


def test_videos_average_their_frames() -> None:
    video = np.array([0, 0, 2, 2, 2])
    scored = Scored(np.array([0, 1, 2, 4]), np.array([0.2, 0.4, 1.0, 0.5]))
    videos, scores = by_video(scored, video)
    assert videos.tolist() == [0, 2]
    assert scores.tolist() == pytest.approx([0.3, 0.75])
    found = figures(scored, video, np.array([0, -1, 1]), anomaly=True)
    assert found["val_auc"] == found["val_frame_auc"] == 1.0
    assert found["val_log_prob"] == pytest.approx(-0.3)
    assert "val_acc" not in found  # scores of anomaly detectors are no probabilities


def test_auc_of_log_probabilities() -> None:
    assert auc(np.array([0, 1, 0, 1]), np.array([300.0, 310.0, 320.0, 330.0])) == 0.75


def test_accuracy_of_videos_and_of_frames() -> None:
    video = np.array([0, 0, 1, 1, 2])
    scored = Scored(np.arange(5), np.array([0.9, 0.0, 0.9, 0.3, 0.7]))
    found = figures(scored, video, np.array([0, 1, -1]), anomaly=False)
    assert found["val_acc"] == 1.0  # 0.45 and 0.6
    assert found["val_frame_acc"] == 0.5
    assert "val_acc" not in figures(scored, video, np.array([-1, -1, -1]), anomaly=False)


def test_what_chooses_the_checkpoint() -> None:
    anomaly = {"val_loss": 2.0, "val_log_prob": -5.0, "val_auc": 0.9}
    assert selection(anomaly, by_loss=False) == -5.0
    assert selection(anomaly, by_loss=True) == -2.0
    one, two = {"val_loss": 9.0, "val_auc": 0.5, "val_frame_auc": 0.6}, {"val_loss": 1.0, "val_auc": 0.51}
    assert selection(two, by_loss=True) > selection(one, by_loss=True)
    assert selection({**one, "val_frame_auc": 0.7}, by_loss=False) > selection({**one, "val_loss": 0.1}, by_loss=False)
    assert selection({**one, "val_loss": 0.1}, by_loss=False) > selection(one, by_loss=False)
