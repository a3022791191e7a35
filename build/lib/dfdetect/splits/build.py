"""The splits stage: videos.parquet -> splits.parquet, splits.csv and metrics/<dataset>/splits.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfdetect.config.params import DatasetParams, SplitsParams, dataset_folder
from dfdetect.datasets import registry
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_table, write_bytes, write_json, write_table
from dfdetect.runtime.locks import exclusive
from dfdetect.splits.assign import assign
from dfdetect.splits.counts import counts, official_counts
from dfdetect.splits.leaks import Row, table_overlaps

COLUMNS = [*(name for name in SPLITS.names if name != "split"), "path", "sha256", "status"]
COLUMNS += ["source_identity", "original_id", "official_split"]


def build(dataset: str, entry: DatasetParams, params: SplitsParams) -> dict[str, Any]:
    """Split one dataset. Reads videos.parquet and nothing else, so that it runs before any face is found.

    Returns:
        What went to metrics/<dataset>/splits.json, and under `notes` what the user should read beside its warnings.
    Raises:
        UserError: videos.parquet is missing, a complete official part has other counts, or another process runs this
            stage on the dataset.
    """
    folder, metrics_folder = dataset_folder(dataset), Path("metrics") / dataset
    metrics_path, details_path = metrics_folder / "splits.json", metrics_folder / "details" / "splits.json"
    with exclusive("splits", dataset, folder / "splits.parquet", folder / "splits.csv", metrics_path, details_path):
        rows = read_table(folder / "videos.parquet", VIDEOS, columns=COLUMNS).to_pylist()
        official = official_counts(rows, registry.official(entry.layout), dataset)
        assignment = assign(rows, params)
        from_names = registry.names_tell(entry.layout)
        overlaps = table_overlaps(rows, assignment.split)
        parts = counts(rows, assignment.split)
        metrics = {
            "videos": len(rows),
            **{name: parts[name]["videos"] if name in parts else 0 for name in ("train", "val", "test")},
            "warnings": assignment.warnings + [overlap.warning(from_names=from_names) for overlap in overlaps],
        }
        notes = _name_notes(rows) if from_names else []
        details = {"policy": assignment.policy, "notes": notes, "splits": parts, "official": official}
        write_json(details_path, details)
        write_json(metrics_path, metrics)
        _write_split(folder, rows, assignment.split)
    return {**metrics, "notes": notes}


def _name_notes(rows: Sequence[Row]) -> list[str]:
    """What was read from the file names of someone's own folder, which nobody has confirmed."""
    told = [row for row in rows if row["identity"] is not None or row["original_id"] is not None]
    if not told:
        return []
    ids = {row["video_id"] for row in rows}
    example = next((row for row in told if row["original_id"] in ids), told[0])
    origin = example["original_id"] or example["identity"]
    what = "stay together when a split is made; in a split that folders give, what crosses it is told as a leak"
    return [
        f"the names of {len(told)} of {len(rows)} videos look as if they told the person, original or clip that they "
        f"come from ({example['video_id']}: {origin}): such videos {what}. Rename the files if this is wrong."
    ]


def _write_split(folder: Path, rows: Sequence[Row], split: Mapping[str, str]) -> None:
    """splits.parquet for the pipeline, splits.csv for other people's programs."""
    names = [name for name in SPLITS.names if name != "split"]
    table = [{**{name: row[name] for name in names}, "split": split[row["video_id"]]} for row in rows]
    write_table(folder / "splits.parquet", from_rows(table, SPLITS), SPLITS)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["path", *SPLITS.names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "path": source["path"]} for row, source in zip(table, rows, strict=True))
    write_bytes(folder / "splits.csv", text.getvalue().encode())
