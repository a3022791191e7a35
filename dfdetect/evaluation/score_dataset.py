"""Score a dataset's test split with the trained detector and write what is known of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dfdetect.config.params import EvaluateParams
from dfdetect.data.index import load_videos
from dfdetect.evaluation.curves import write_plots
from dfdetect.evaluation.decision import decide, read_validation
from dfdetect.evaluation.evaluate import judge
from dfdetect.evaluation.predictions import check_scores, select
from dfdetect.evaluation.robustness import robustness, write_robustness
from dfdetect.evaluation.roc_picture import draw
from dfdetect.inference import saved_model as bundle
from dfdetect.inference.saved_model import BundleInfo
from dfdetect.inference.scoring import Index, Scored, Scorer, load_index, prediction_rows, reads_sequences
from dfdetect.io.schemas import COVERAGE, PREDICTIONS
from dfdetect.io.tables import from_rows, read_table, write_json, write_table

SPLIT = "test"


def evaluate(
    dataset: str, params: EvaluateParams, *, model: Path = bundle.FOLDER, root: Path = Path()
) -> dict[str, Any]:
    """Evaluate the detector on one dataset's test split.

    Writes data/<dataset>/predictions.parquet; metrics/<dataset>/evaluate.json, robustness.json, plots/, roc.png.

    Args:
        dataset: its name; data/<dataset> holds what the stages made of it.
        params: of this stage.
        model: the detector's folder.
        root: where data/ and metrics/ are.
    Returns:
        What went to evaluate.json.
    Raises:
        UserError: an artifact is missing or damaged, or a score is not finite.
    """
    info, detector = bundle.load(model)
    how, threshold, validation = decide(info, read_validation(model), params.video_score, params.top_k)
    folder = root / "data" / dataset
    videos = load_videos(folder, info.target, {SPLIT})
    index = load_index(folder, videos, info)
    scorer = Scorer(detector, info, device=params.device, batch_size=params.batch_size)
    scored = scorer.score(index, aggregation=how, top_k=params.top_k, label=f"evaluate {dataset}")
    variants = _variants(scorer, index, scored, dataset) if reads_sequences(info) else None
    rows = prediction_rows(videos, _with_reasons(scored, folder), info, threshold=threshold, variants=variants)
    table = from_rows(rows, PREDICTIONS)
    check_scores(table, f"{info.detector} on {dataset}")
    write_table(folder / "predictions.parquet", table, PREDICTIONS)
    robust = robustness(scorer, index, params, how=how, label=f"evaluate {dataset}")
    write_robustness(root / "metrics" / dataset, robust)
    return write_figures(
        table, info, params, root / "metrics" / dataset, how=how, threshold=threshold, validation=validation
    )


def write_figures(
    table: pa.Table,
    info: BundleInfo,
    params: EvaluateParams,
    metrics: Path,
    *,
    how: str,
    threshold: float,
    validation: pa.Table | None,
) -> dict[str, Any]:
    """Write evaluate.json, plots/*.csv and roc.png from a predictions table.

    Args:
        table: of schema.PREDICTIONS.
        info: the detector's.
        params: of this stage.
        metrics: metrics/<dataset>.
        how, threshold: as evaluate.decision.decide settled them.
        validation: the validation videos' predictions, or None.
    """
    judged = select(table, params)
    figures = {
        "detector": info.detector,
        "target": info.target,
        **judge(
            table,
            threshold=threshold,
            aggregation=how,
            params=params,
            validation=None
            if validation is None
            else select(validation, params.model_copy(update={"missing": "exclude"})),
        ),
    }
    write_json(metrics / "evaluate.json", figures)
    write_plots(metrics / "plots", judged.videos, threshold)
    title = f"{info.detector} on {metrics.name}, test split"
    draw(metrics / "roc.png", judged, figures, title=title, threshold=threshold)
    return figures


def _variants(scorer: Scorer, index: Index, scored: list[Scored], dataset: str) -> dict[str, list[Scored]]:
    """Scores with the sound's leading silence cut and kept; the detector's own way is not computed twice."""
    trims = bool((scorer.info.evaluation.sequence or {}).get("trim_leading_silence"))
    other = scorer.score(
        index, trim=not trims, label=f"evaluate {dataset}: leading silence {'kept' if trims else 'cut'}"
    )
    return {"trimmed": scored, "untrimmed": other} if trims else {"trimmed": other, "untrimmed": scored}


def _with_reasons(scored: list[Scored], folder: Path) -> list[Scored]:
    """The faces stage's own words for what it could not use."""
    path = folder / "faces" / "coverage.parquet"
    table = read_table(path, COVERAGE, columns=["video_id", "status", "reason"])
    known = {(row["video_id"], row["status"]): row["reason"] for row in table.to_pylist()}
    return [
        found
        if found.score is not None
        else replace(found, reason=known.get((found.video_id, found.status)) or found.reason)
        for found in scored
    ]
