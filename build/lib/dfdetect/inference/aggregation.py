"""How a video's score is made of its frames' scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dfdetect.inference.saved_model import Aggregation


def aggregate(scores: np.ndarray, aggregation: Aggregation, top_k: int) -> float:
    """A video's score from its frames' scores.

    Args:
        scores: [shape=(T,)], T >= 1.
        aggregation: mean, median, max, or top_k: the mean of the `top_k` highest (of all, where there are fewer).
        top_k: >= 1.
    """
    if aggregation == "mean":
        return float(np.mean(scores))
    if aggregation == "median":
        return float(np.median(scores))
    if aggregation == "max":
        return float(np.max(scores))
    return float(np.mean(np.sort(scores)[-top_k:]))
