"""predictions.parquet as arrays: which videos are evaluated, by which label, and why the others are not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from dfdetect.config.params import EvaluateParams
from dfdetect.errors import UserError
from dfdetect.evaluation.metrics import Sample
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import read_table

# Videos without a score that are listed by name in the metrics; all are in predictions.parquet.
LISTED = 50
Target = Literal["label", "any_fake"]


@dataclass(frozen=True)
class EvaluatedVideos:
    """The videos that figures are computed from.

    Args:
        rows: of the predictions table, one a video, without the frames.
        labels: 0 or 1 of each [shape=(V,)].
        scores: of each [shape=(V,)].
        frames: the labelled frames; `videos` are positions in rows.
    """

    rows: list[dict[str, Any]]
    labels: np.ndarray
    scores: np.ndarray
    frames: Sample

    @property
    def videos(self) -> Sample:
        """One item a video."""
        return Sample.of(self.labels, self.scores)


def read_predictions(path: Path) -> pa.Table:
    """A predictions table, checked.

    Raises:
        UserError: the file is missing, damaged, of another kind, or holds a score that is no probability.
    """
    table = read_table(path, PREDICTIONS)
    check_scores(table, str(path))
    return table


def check_scores(table: pa.Table, where: str) -> None:
    """Refuse a score that is NaN or outside [0, 1], naming the video."""
    for row in table.select(["video_id", "score", "frame_score"]).to_pylist():
        for score in [row["score"], *(row["frame_score"] or [])]:
            if score is not None and not 0.0 <= score <= 1.0:
                raise UserError(
                    f"{where}: video {row['video_id']} has the score {score}, which is no probability: the detector's "
                    "weights are damaged or its training diverged. Train it again (`dvc repro -f train`)."
                )


def select(table: pa.Table, params: EvaluateParams, target: Target = "label") -> EvaluatedVideos:
    """The labelled videos that have a score, or are given one by `evaluate.on_missing: score`.

    Args:
        table: of schema.PREDICTIONS.
        params: what becomes of videos without a score.
        target: `label`, what the detector is evaluated against, or `any_fake`.
    Raises:
        UserError: a labelled video has no score and `evaluate.on_missing` is `error`.
    """
    rows = [row for row in table.to_pylist() if row[target] is not None]
    lost = [row for row in rows if row["score"] is None]
    if lost and params.on_missing == "error":
        raise UserError(_missing(lost, len(rows)))
    if params.on_missing == "score":
        rows = [{**row, "score": params.missing_fill} if row["score"] is None else row for row in rows]
    else:
        rows = [row for row in rows if row["score"] is not None]
    labels = np.array([row[target] for row in rows], np.int8)
    counts = [len(row["frame_score"] or []) for row in rows]
    of_frame = np.repeat(np.arange(len(rows)), counts)
    frame_scores = np.array([score for row in rows for score in row["frame_score"] or []], np.float64)
    frames = Sample(labels[of_frame] if len(rows) else labels, frame_scores, of_frame, len(rows))
    return EvaluatedVideos(rows, labels, np.array([row["score"] for row in rows], np.float64), frames)


def _missing(lost: list[dict[str, Any]], total: int) -> str:
    first = "\n".join(f"  {row['video_id']}: {row['status']}: {row['reason']}" for row in lost[:5])
    return (
        f"{len(lost)} of {total} labelled test videos have no score, and evaluate.on_missing is `error`. The first:\n"
        f"{first}\nMend them, or set evaluate.on_missing to `exclude` or `score` in params.yaml."
    )


def coverage(table: pa.Table, params: EvaluateParams) -> dict[str, Any]:
    """How many videos there are, are scored and are evaluated, and why the others are not."""
    rows = table.select(["video_id", "label", "score", "frame_score", "status", "reason"]).to_pylist()
    scored = [row for row in rows if row["score"] is not None]
    labelled = [row for row in rows if row["label"] is not None]
    evaluated = labelled if params.on_missing == "score" else [row for row in labelled if row["score"] is not None]
    lost = [row for row in rows if row["score"] is None]
    return {
        "videos": len(rows),
        "scored": len(scored),
        "scored_fraction": round(len(scored) / len(rows), 6) if rows else None,
        "labelled": len(labelled),
        "evaluated": len(evaluated),
        "real": sum(row["label"] == 0 for row in evaluated),
        "fake": sum(row["label"] == 1 for row in evaluated),
        "frames": sum(len(row["frame_score"] or []) for row in scored),
        "on_missing": params.on_missing,
        "status": dict(sorted(Counter(row["status"] for row in rows).items())),
        "not_scored": [{name: row[name] for name in ("video_id", "status", "reason")} for row in lost[:LISTED]],
    }
