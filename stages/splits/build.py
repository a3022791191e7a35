"""The splits stage: read videos.parquet, assign, audit, write splits.parquet and metrics/<dataset>/splits.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.params import SplitsParams
from stages.per_video import dataset_folder
from stages.schema import SPLITS, VIDEOS
from stages.splits.audit import counts
from stages.splits.table import assign
from stages.store import from_rows, read_table, write_json, write_table


def build(dataset: str, params: SplitsParams) -> dict[str, Any]:
    """Split one dataset.

    Returns:
        The metrics.
    Raises:
        UserError: videos.parquet is missing.
    """
    folder = dataset_folder(dataset)
    rows = read_table(folder / "videos.parquet", VIDEOS).to_pylist()
    assignment = assign(rows, params)
    names = [name for name in SPLITS.names if name != "split"]
    table = [{**{name: row[name] for name in names}, "split": assignment.split[row["video_id"]]} for row in rows]
    write_table(folder / "splits.parquet", from_rows(table, SPLITS), SPLITS)
    metrics = {
        "policy": assignment.policy,
        "warnings": assignment.warnings,
        "splits": counts(rows, assignment.split),
    }
    write_json(Path("metrics") / dataset / "splits.json", metrics)
    return metrics
