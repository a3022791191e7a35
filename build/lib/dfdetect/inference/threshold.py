"""How a video's score is made of its frames' scores, and from which score on it counts as fake. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from dfdetect.errors import UserError
from dfdetect.evaluation.predictions import read_predictions
from dfdetect.inference.aggregation import aggregate
from dfdetect.inference.saved_model import VALIDATION, Aggregation, best_threshold

if TYPE_CHECKING:
    from dfdetect.inference.aggregation import aggregate
from dfdetect.inference.saved_model import SavedModelInfo


def read_validation(model: Path) -> pa.Table | None:
    """The validation videos' predictions that lie beside a detector's weights; None if there are none."""
    path = model / VALIDATION
    return read_predictions(path) if path.exists() else None


def decide(
    info: SavedModelInfo, validation: pa.Table | None, wanted: str, top_k: int
) -> tuple[Aggregation, float, pa.Table | None]:
    """Settle how frames are combined and what threshold goes with it.

    Args:
        info: the detector's.
        validation: predictions on its validation videos, as it combined them.
        wanted: mean, median, max, top_k, or auto: as the detector was trained.
        top_k: of top_k.
    Returns:
        The combination; the threshold: the saved model's own, or chosen anew on validation where another combination is
        wanted; the validation predictions under that combination.
    Raises:
        UserError: another combination is wanted of a detector that scores a sequence as one, or there are no
            validation scores of both classes to choose on.
    """
    own = info.evaluation.aggregation
    if wanted != "auto" and "mouths" in info.inputs:
        raise UserError(
            f"the aggregation {wanted} is asked for, but {info.detector} gives a video's sequence one "
            "score and combines no frames: set it to auto."
        )
    if wanted in ("auto", own):
        return own, info.threshold.value, validation
    how = cast("Aggregation", wanted)
    if validation is None:
        raise UserError(
            f"predict.aggregation is {wanted}, but the detector's threshold was chosen for {own}, and its folder "
            f"holds no {VALIDATION} to choose another on: set it to auto, or train again."
        )
    again = recombined(validation, how, top_k)
    rows = [row for row in again.to_pylist() if row["score"] is not None and row["label"] is not None]
    labels, scores = np.array([row["label"] for row in rows]), np.array([row["score"] for row in rows])
    if len(set(labels.tolist())) < 2:
        raise UserError(f"predict.aggregation is {wanted}: validation lacks one class, so no threshold can be chosen.")
    return how, best_threshold(labels, scores)[0], again


def recombined(table: pa.Table, how: Aggregation, top_k: int) -> pa.Table:
    """The predictions with each video's score made anew from its frames'."""
    scores = [
        score if score is None or not frames else aggregate(np.array(frames), how, top_k)
        for score, frames in zip(
            table.column("score").to_pylist(), table.column("frame_score").to_pylist(), strict=True
        )
    ]
    place = table.column_names.index("score")
    return table.set_column(place, table.schema.field("score"), pa.array(scores, pa.float64()))
