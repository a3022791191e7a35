"""How sure a prediction may be called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from dfdetect.inference.prediction import Prediction

MIN_VIDEOS = 20  # below, one video moves a share by more than 5 %
# From which share of right validation videos on.
LEVELS: tuple[tuple[float, Literal["high", "moderate", "low"]], ...] = ((0.95, "high"), (0.8, "moderate"), (0.0, "low"))


@dataclass(frozen=True)
class Confidence:
    """A level, or None where validation gives no ground for one; and why, in a sentence."""

    level: Literal["high", "moderate", "low"] | None
    reason: str


def assess_confidence(prediction: Prediction, validation: pa.Table | None, dataset: str | None = None) -> Confidence:
    """How sure a prediction may be called, by what validation showed and by nothing else.

    A score alone does not tell: networks also give 0.01 and 0.99 to videos unlike any that they have seen. So the level
    is the share of right ones among the validation videos that got the same label and scored at least as far from the
    threshold, and at least the 20 farthest: `high` from 95 % on, `moderate` from 80 %, `low` below.

    There is no level where validation does not cover the file:
    - the detector was trained and validated on synthetic videos, and the file is not known to be one of these;
    - the file is known to be of another dataset than the one validated on;
    - the validation scores are not known, or those of fewer than 20 real or 20 fake videos, or fewer than 20 videos got
      the same label.

    Args:
        prediction: with a score.
        validation: predictions of the validation videos (schema.PREDICTIONS); None: not known.
        dataset: which one the file is of; None: not known, as of an upload.
    """
    data = prediction.info.trained_on[-1]
    if data.synthetic and dataset != data.dataset:
        return Confidence(None, "the detector was validated on rendered heads only, not on real videos")
    if dataset not in (None, data.dataset):
        return Confidence(None, f"the detector was validated on {data.dataset}, and this file is of {dataset}")
    if validation is None:
        return Confidence(None, "the scores of its validation videos are not known")
    rows = validation.select(["label", "score"]).drop_null()
    labels, scores = rows.column("label").to_numpy(), rows.column("score").to_numpy()
    counts = int((labels == 0).sum()), int((labels == 1).sum())
    if min(counts) < MIN_VIDEOS:
        return Confidence(
            None, f"validation had {counts[0]} real and {counts[1]} fake videos, fewer than {MIN_VIDEOS} of each"
        )
    sign, truth = (1, 1) if prediction.label == "fake" else (-1, 0)
    same = (scores >= prediction.threshold) == (prediction.label == "fake")
    distances, right = sign * (scores[same] - prediction.threshold), labels[same] == truth
    if len(distances) < MIN_VIDEOS:
        return Confidence(None, f"only {len(distances)} validation videos were called {prediction.label}")
    own = sign * ((prediction.score or 0.0) - prediction.threshold)
    compared = right[distances >= min(own, np.sort(distances)[-MIN_VIDEOS])]
    level = next(level for least, level in LEVELS if compared.mean() >= least)
    return Confidence(
        level,
        f"of the {len(compared)} validation videos of {data.dataset} that scored as far to this side, "
        f"{compared.sum()} were {prediction.label}",
    )
