"""From a dataset's predictions.parquet to its figures. Runs no network and imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from dfdetect.config.params import EvaluateParams, PredictParams
from dfdetect.evaluation.curves import write_plots
from dfdetect.evaluation.evaluate import evaluate_predictions
from dfdetect.evaluation.predictions import read_predictions, select
from dfdetect.inference.saved_model import SavedModelInfo, read_info
from dfdetect.inference.threshold import decide, read_validation
from dfdetect.io.tables import write_bytes, write_json
from dfdetect.reporting.charts import overview_png

DETAILS = Path("details/evaluate.json")


def evaluate_dataset(
    dataset: str, params: EvaluateParams, predict: PredictParams, root: Path = Path()
) -> dict[str, Any]:
    """Compute the figures of one dataset's predictions.

    Writes, under metrics/<dataset>, evaluate.json (few, flat), details/evaluate.json (all of them), plots/ and roc.png.

    Args:
        dataset: its name; data/<dataset>/predictions.parquet was written by the predict stage.
        params: of the evaluate stage.
        predict: of the predict stage: which saved model scored, and how a video's score was made.
        root: where data/, models/ and metrics/ are.
    Returns:
        What went to details/evaluate.json.
    Raises:
        UserError: an artifact is missing or damaged.
    """
    model = root / predict.model
    info = read_info(model)
    aggregation, threshold, validation = decide(info, read_validation(model), predict.aggregation, predict.top_k)
    table = read_predictions(root / "data" / dataset / "predictions.parquet")
    return write_figures(
        table,
        info,
        params,
        root / "metrics" / dataset,
        aggregation=aggregation,
        threshold=threshold,
        validation=validation,
    )


def write_figures(
    table: pa.Table,
    info: SavedModelInfo,
    params: EvaluateParams,
    metrics: Path,
    *,
    aggregation: str,
    threshold: float,
    validation: pa.Table | None,
) -> dict[str, Any]:
    """Write the figures, plots/*.csv and roc.png of a predictions table.

    Args:
        table: of schemas.PREDICTIONS.
        info: of the saved model.
        params: of the evaluate stage.
        metrics: metrics/<dataset>.
        aggregation, threshold: as inference.aggregation.decide settled them.
        validation: the validation videos' predictions, or None.
    """
    evaluated = select(table, params)
    figures = {
        "detector": info.detector,
        "target": info.target,
        **evaluate_predictions(
            table,
            threshold=threshold,
            aggregation=aggregation,
            params=params,
            validation=None
            if validation is None
            else select(validation, params.model_copy(update={"on_missing": "exclude"})),
        ),
    }
    write_json(metrics / DETAILS, figures)
    write_json(metrics / "evaluate.json", headline(figures))
    write_plots(metrics / "plots", evaluated.videos, threshold)
    title = f"{info.detector} on {metrics.name}, test split"
    write_bytes(metrics / "roc.png", overview_png(evaluated, figures, title=title, threshold=threshold))
    return figures


def headline(figures: dict[str, Any]) -> dict[str, float | int | None]:
    """The few figures that `dvc metrics` compares; None where a figure or its interval is undefined."""
    video, interval = figures["video"], figures["ci"]["video"]["auc"] or (None, None)
    return {
        "auc": video["auc"],
        "auc_low": interval[0],
        "auc_high": interval[1],
        **{name: video[name] for name in ("acc", "balanced_acc", "ap", "eer")},
        "frame_auc": figures["frame"]["auc"],
        "scored": figures["coverage"]["scored"],
        "videos": figures["coverage"]["videos"],
    }
