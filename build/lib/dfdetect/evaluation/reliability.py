"""Calibration: the reliability curve, the expected error of calibrated scores, and temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from dfdetect.evaluation.metrics import EPSILON, Sample, bin_of

# Beyond these the scores are all but steps, or all but constant: no temperature is reported.
TEMPERATURES = (0.02, 50.0)
# Of labels, to see what calibration error chance alone makes.
DRAWS = 1000
# The optimum is bracketed to this relative width.
_PRECISION = 1e-6


def reliability_curve(sample: Sample, bins: int) -> list[dict[str, Any]]:
    """Mean score and fraction of fakes in bins of equal width; empty bins are left out.

    Returns:
        low, high (the bin's bounds), items, mean_score, fake_fraction.
    """
    which = bin_of(sample.scores, bins)
    items = np.bincount(which, minlength=bins)
    scores = np.bincount(which, sample.scores, bins)
    fakes = np.bincount(which, sample.labels, bins)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "items": int(items[b]),
            "mean_score": float(scores[b] / items[b]),
            "fake_fraction": float(fakes[b] / items[b]),
        }
        for b in np.flatnonzero(items)
    ]


def expected_ece(scores: np.ndarray, bins: int, seed: int) -> tuple[float, float]:
    """The calibration error that these scores would have if they were calibrated: its mean, and its 95th percentile.

    With few videos it is far from 0, because a bin's fraction of fakes differs from its mean score by chance.

    Args:
        scores: probability of fake [shape=(N,)], N >= 1; labels are drawn from them.
        bins: of equal width.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    which = bin_of(scores, bins)
    gaps = [np.bincount(which, (rng.random(scores.size) < scores) - scores, bins) for _ in range(DRAWS)]
    errors = np.abs(gaps).sum(axis=1) / scores.size
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def logit(scores: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), with p kept off 0 and 1."""
    p = np.clip(scores, EPSILON, 1 - EPSILON)
    return np.log(p) - np.log1p(-p)


def with_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The scores with their logits divided by a temperature; above 1 they move towards 0.5, and no order changes."""
    return np.asarray(expit(logit(scores) / temperature))


def fit_temperature(labels: np.ndarray, scores: np.ndarray) -> tuple[float | None, str | None]:
    """The temperature of least log loss on validation data.

    Args:
        labels: 0 real, 1 fake [shape=(N,)].
        scores: probability of fake [shape=(N,)].
    Returns:
        The temperature, or None and the reason why there is none.
    Source: Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 4.2.
    """
    if len(set(labels.tolist())) < 2:
        return None, "validation holds one class alone"
    z = logit(scores)
    signed = np.where(labels == 1, z, -z)  # positive: on the right side of 0.5
    if signed.min() > 0:
        return None, "validation holds no error at 0.5: the colder, the better, without end"
    if signed.mean() <= 0:
        return None, "validation scores do not follow the labels: the warmer, the better, without end"
    found = minimize_scalar(  # the loss is convex in 1 / temperature, so it has one minimum in its logarithm too
        lambda t: float(np.logaddexp(0.0, -signed / np.exp(t)).mean()),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": _PRECISION},
    )
    temperature = float(np.exp(found.x))
    if not TEMPERATURES[0] * 1.01 < temperature < TEMPERATURES[1] * 0.99:
        return None, f"the best temperature lies outside {TEMPERATURES[0]:g} to {TEMPERATURES[1]:g}"
    return temperature, None
