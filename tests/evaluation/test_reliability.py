"""Reliability curve and temperature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.evaluation.metrics import Sample, calibration, losses
from dfdetect.evaluation.reliability import expected_ece, fit_temperature, logit, reliability_curve, with_temperature


def test_reliability_curve_by_hand() -> None:
    sample = Sample.of(np.array([0, 1, 1, 1]), np.array([0.1, 0.15, 0.9, 1.0]))
    low, high = reliability_curve(sample, 5)
    assert low == {"low": 0.0, "high": 0.2, "items": 2, "mean_score": 0.125, "fake_fraction": 0.5}
    assert high == {"low": 0.8, "high": 1.0, "items": 2, "mean_score": 0.95, "fake_fraction": 1.0}


def test_calibrated_scores_of_few_videos_have_a_calibration_error() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(20)
    mean, most = expected_ece(scores, 15, seed=0)
    assert 0.15 < mean < most < 0.45
    own = [calibration(losses(Sample.of(rng.random(20) < scores, scores), 15).sum(0)[None])["ece"] for _ in range(400)]
    assert np.mean(own) == pytest.approx(mean, abs=0.02)
    assert np.mean(np.array(own) > most) == pytest.approx(0.05, abs=0.035)
    assert expected_ece(np.tile(scores, 500), 15, seed=0)[1] < 0.02
    assert expected_ece(scores, 15, seed=0) == (mean, most)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(true: float) -> None:
    """Labels drawn from calibrated probabilities whose logits were then multiplied by `true`."""
    rng = np.random.default_rng(1)
    calibrated = 1 / (1 + np.exp(-rng.normal(0, 2, 20_000)))
    labels = (rng.random(calibrated.size) < calibrated).astype(int)
    temperature, reason = fit_temperature(labels, with_temperature(calibrated, 1 / true))
    assert reason is None
    assert temperature == pytest.approx(true, rel=0.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20), st.floats(0.3, 20))
def test_a_temperature_keeps_the_order_and_can_be_undone(scores: list[float], temperature: float) -> None:
    values = np.array(scores)
    warmed = with_temperature(values, temperature)
    assert (np.diff(warmed[np.argsort(values)]) >= 0).all()
    np.testing.assert_allclose(logit(warmed) * temperature, logit(values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([1, 1], [0.2, 0.9], "one class"),
        ([0, 1], [0.2, 0.9], "no error at 0.5"),
        ([0, 1], [0.9, 0.2], "do not follow"),
        ([0, 1], [0.5, 0.5], "do not follow"),
    ],
)
def test_no_temperature_for_a_reason(labels: list[int], scores: list[float], words: str) -> None:
    temperature, reason = fit_temperature(np.array(labels), np.array(scores))
    assert temperature is None
    assert words in (reason or "")
