"""Predictions tables made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.config.params import EvaluateParams, PredictParams
from dfdetect.evaluation.evaluate_dataset import evaluate_dataset
from dfdetect.inference.predict_dataset import predict_dataset
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import from_rows

QUICK = EvaluateParams(n_bootstrap=200)


def row(name: str, label: int | None, score: float | None, **changes: Any) -> dict[str, Any]:
    """A video of two frames around its score."""
    frames = [] if score is None else [max(0.0, score - 0.05), min(1.0, score + 0.05)]
    return {
        "video_id": name,
        "label": label,
        "any_fake": label,
        "category": None if label is None else ("fake" if label else "real"),
        "method": None if label is None else ("swap" if label else "real"),
        "identity": f"id{hash_of(name) % 3}",
        "score": score,
        "frame_index": list(range(len(frames))),
        "frame_time_s": [float(i) for i in range(len(frames))],
        "frame_score": frames,
        "status": "ok" if score is not None else "no_face",
        "reason": None if score is not None else "no face in 22 frames",
        "detector": "xception",
        "threshold": 0.5,
        **changes,
    }


def hash_of(name: str) -> int:
    """A small number that is the same in every process."""
    return sum(name.encode())


def table(*rows: dict[str, Any]) -> pa.Table:
    """Of schema.PREDICTIONS."""
    return from_rows(list(rows), PREDICTIONS)


def random_table(seed: int = 0, reals: int = 20, fakes: int = 30, shift: float = 1.5) -> pa.Table:
    """Reals and two kinds of fakes, of which the second is harder."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(reals + fakes):
        fake = i >= reals
        method = ("swap", "wave")[i % 2] if fake else "real"
        latent = rng.normal(shift * fake / (2 if method == "wave" else 1)) - shift / 2
        score = float(1 / (1 + np.exp(-2 * latent)))
        rows.append(row(f"v{i:03d}", int(fake), score, method=method, compression="c23"))
    return table(*rows)


def score_and_evaluate(
    dataset: str, params: EvaluateParams = QUICK, *, model: Path, root: Path, **predict: Any
) -> dict[str, Any]:
    """What the predict and the evaluate stage do, one after the other."""
    settings = PredictParams(model=model, **predict)
    predict_dataset(dataset, settings, root)
    return evaluate_dataset(dataset, params, settings, root)
