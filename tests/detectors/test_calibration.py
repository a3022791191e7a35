"""Anomaly scores mapped to [0, 1]."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.detectors.calibration import apply_anomaly, fit_anomaly

SCORES = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(SCORES, SCORES)
def test_bounded_and_never_out_of_order(reals, scores):
    params = json.loads(json.dumps(fit_anomaly(reals)))  # what a JSON file gives back
    p = apply_anomaly(scores, params)
    assert ((p >= 0) & (p <= 1)).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(p[order]) >= 0).all()


def test_far_off_scores_keep_their_order():
    params = fit_anomaly(np.linspace(-1, 1, 50))
    p = apply_anomaly([1e3, 1e4, 1e5, 1e6], params)
    assert (np.diff(p) > 0).all()
    assert p[-1] < 1.0


def test_the_asked_share_of_reals_lies_below_a_half():
    reals = np.random.default_rng(0).normal(-300, 20, 2000)
    p = apply_anomaly(reals, fit_anomaly(reals, real_quantile=0.9))
    assert (p < 0.5).mean() == pytest.approx(0.9, abs=0.01)
    assert apply_anomaly(-250.0, fit_anomaly(reals)) > 0.6


def test_with_fakes_the_crossing_separates_them():
    params = fit_anomaly([1.0, 2.0, 3.0], [7.0, 8.0, 2.5])
    assert params["method"] == "balanced_accuracy"
    assert params["location"] == pytest.approx(5.0)  # the middle of the widest best gap
    assert (params["n_real"], params["n_fake"]) == (3, 3)
    assert apply_anomaly([5.0], params)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("reals", [[4.0], [4.0, 4.0, 4.0]])
def test_reals_that_all_score_the_same(reals):
    p = apply_anomaly([3.0, 4.0, 5.0], fit_anomaly(reals))
    assert p[0] < p[1] == 0.5 < p[2]


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="No scores"):
        fit_anomaly([])
    with pytest.raises(ValueError, match="1 real scores are not finite"):
        fit_anomaly([0.0, float("nan")])
    assert np.isnan(apply_anomaly([float("nan")], fit_anomaly([0.0, 1.0]))).all()


def test_needs_no_torch():
    code = "import sys, dfdetect.detectors.calibration; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
