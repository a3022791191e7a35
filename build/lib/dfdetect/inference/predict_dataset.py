"""Score a dataset's test split with a saved model: predictions, examples with heatmaps, and robustness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from dfdetect.config.params import PredictParams, RobustnessParams
from dfdetect.data.index import Videos, load_videos
from dfdetect.evaluation.predictions import check_scores
from dfdetect.inference import saved_model
from dfdetect.inference.examples import make_examples
from dfdetect.inference.robustness import Robustness, robustness, write_robustness
from dfdetect.inference.saved_model import Aggregation, SavedModelInfo
from dfdetect.inference.scoring import Index, Scored, Scorer, load_index, prediction_rows, reads_sequences
from dfdetect.inference.threshold import decide, read_validation
from dfdetect.io.schemas import COVERAGE, EXAMPLES, PREDICTIONS
from dfdetect.io.tables import from_rows, read_table, write_table

SPLIT = "test"


@dataclass(frozen=True)
class OpenSplit:
    """A dataset's test split, and the detector that scores it."""

    folder: Path
    info: SavedModelInfo
    scorer: Scorer
    videos: Videos
    index: Index
    aggregation: Aggregation
    threshold: float


def open_split(dataset: str, params: PredictParams, root: Path) -> OpenSplit:
    """Load the saved model and index the test split.

    Raises:
        UserError: an artifact is missing or damaged.
    """
    info, detector = saved_model.load(root / params.model)
    aggregation, threshold, _ = decide(info, read_validation(root / params.model), params.aggregation, params.top_k)
    folder = root / "data" / dataset
    videos = load_videos(folder, info.target, {SPLIT})
    scorer = Scorer(detector, info, device=params.device, batch_size=params.batch_size)
    return OpenSplit(folder, info, scorer, videos, load_index(folder, videos, info), aggregation, threshold)


def predict_dataset(dataset: str, params: PredictParams, root: Path = Path()) -> pa.Table:
    """Score the test split; writes data/<dataset>/predictions.parquet and examples.parquet.

    Args:
        dataset: its name; data/<dataset> holds what the stages made of it.
        params: of the predict stage.
        root: where data/ and models/ are.
    Returns:
        The predictions, of schemas.PREDICTIONS.
    Raises:
        UserError: an artifact is missing or damaged, or a score is not finite.
    """
    split = open_split(dataset, params, root)
    label = f"predict {dataset}"
    scored = split.scorer.score(split.index, aggregation=split.aggregation, top_k=params.top_k, label=label)
    variants = _variants(split, scored, label) if reads_sequences(split.info) else None
    rows = prediction_rows(
        split.videos, _with_reasons(scored, split.folder), split.info, threshold=split.threshold, variants=variants
    )
    table = from_rows(rows, PREDICTIONS)
    check_scores(table, f"{split.info.detector} on {dataset}")
    examples = make_examples(split.folder, table, split.scorer, split.index, params.n_examples)
    write_table(split.folder / "examples.parquet", examples, EXAMPLES)
    write_table(split.folder / "predictions.parquet", table, PREDICTIONS)
    return table


def measure_robustness(
    dataset: str, params: PredictParams, corruptions: RobustnessParams, root: Path = Path()
) -> Robustness:
    """Score corrupted crops of the test split; writes metrics/<dataset>/robustness.json, its details and its plot.

    Args:
        dataset: its name.
        params: of the predict stage.
        corruptions: which, and how strongly.
        root: where data/, models/ and metrics/ are.
    Raises:
        UserError: an artifact is missing or damaged, or a score is not finite.
    """
    split = open_split(dataset, params, root)
    measured = robustness(
        split.scorer,
        split.index,
        corruptions,
        aggregation=split.aggregation,
        top_k=params.top_k,
        label=f"robustness {dataset}",
    )
    write_robustness(root / "metrics" / dataset, measured)
    return measured


def _variants(split: OpenSplit, scored: list[Scored], label: str) -> dict[str, list[Scored]]:
    """Scores with the audio's leading silence cut and kept; the detector's own way is not computed twice."""
    trims = bool((split.info.evaluation.sequence or {}).get("trim_leading_silence"))
    other = split.scorer.score(
        split.index, trim=not trims, label=f"{label}: leading silence {'kept' if trims else 'cut'}"
    )
    return {"trimmed": scored, "untrimmed": other} if trims else {"trimmed": other, "untrimmed": scored}


def _with_reasons(scored: list[Scored], folder: Path) -> list[Scored]:
    """The faces stage's own words for what it could not use."""
    path = folder / "faces" / "coverage.parquet"
    table = read_table(path, COVERAGE, columns=["video_id", "status", "reason"])
    known = {(row["video_id"], row["status"]): row["reason"] for row in table.to_pylist()}
    return [
        video
        if video.score is not None
        else replace(video, reason=known.get((video.video_id, video.status)) or video.reason)
        for video in scored
    ]
