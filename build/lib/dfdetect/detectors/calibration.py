"""Anomaly scores as numbers in [0, 1], so that they can be read and compared like a classifier's. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def fit_anomaly(
    real_scores: ArrayLike, fake_scores: ArrayLike | None = None, *, real_quantile: float = 0.95
) -> dict[str, Any]:
    """Find where and how steeply the calibrated score crosses 0.5.

    Args:
        real_scores: anomaly scores of validation reals, higher = more anomalous [shape=(n,)], n >= 1, finite.
        fake_scores: of validation fakes, if they may be used: the crossing is then where balanced accuracy is best
            (the middle of the widest such gap) instead of a quantile of the reals.
        real_quantile: share of the reals that shall score below 0.5, in (0, 1); used without fakes.
    Returns:
        location and scale for apply_anomaly, and how they were found; plain JSON values.
    Raises:
        ValueError: no reals, or a score that is not finite.
    """
    reals = _finite(real_scores, "real")
    if len(reals) == 0:
        raise ValueError("No scores of reals to calibrate on.")
    fakes = _finite(fake_scores, "fake") if fake_scores is not None else np.empty(0)
    middle = float(np.median(reals))
    location = _best_split(reals, fakes) if len(fakes) else float(np.quantile(reals, real_quantile))
    # Half the spread that 90 % of the reals have; a floor where they all score the same.
    spread = float(np.subtract(*np.quantile(reals, [0.95, 0.05]))) / 2.0
    scale = max(spread, 1e-6 * max(1.0, abs(middle)))
    return {
        "method": "balanced_accuracy" if len(fakes) else "real_quantile",
        "location": location,
        "scale": scale,
        "real_quantile": None if len(fakes) else real_quantile,
        "n_real": len(reals),
        "n_fake": len(fakes),
    }


def apply_anomaly(scores: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """Map anomaly scores to [0, 1]: strictly increasing, so ranks and AUC stay.

        z = (score - location) / scale;  p = 1 - 1 / (2 + z) for z >= 0, 1 / (2 - z) for z < 0

    This is a logistic curve of sign(z) log(1 + |z|): its tails fall off slowly, where a plain logistic would map every
    far-off forgery to exactly 1 and lose their order.

    Args:
        scores: any shape; NaN stays NaN.
        params: what fit_anomaly returned.
    """
    z = (np.asarray(scores, dtype=np.float64) - params["location"]) / params["scale"]
    tail = 1.0 / (2.0 + np.abs(z))
    return np.where(z >= 0.0, 1.0 - tail, tail)


def _finite(scores: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} {name} scores are not finite.")
    return values


def _best_split(reals: np.ndarray, fakes: np.ndarray) -> float:
    values = np.unique(np.concatenate([reals, fakes]))
    if len(values) == 1:
        return float(values[0])
    cuts = (values[:-1] + values[1:]) / 2.0
    below = np.searchsorted(np.sort(reals), cuts) / len(reals)  # reals under the cut: rightly real
    above = 1.0 - np.searchsorted(np.sort(fakes), cuts) / len(fakes)
    accuracy = below + above
    best = np.flatnonzero(accuracy >= accuracy.max() - 1e-12)
    return float(cuts[best[np.argmax(np.diff(values)[best])]])
