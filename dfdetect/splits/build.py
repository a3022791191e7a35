"""The splits stage: assign, audit, write splits.parquet, splits.csv, and metrics/<dataset>/splits.json and audit.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfdetect.config.params import DatasetParams, SplitsParams, dataset_folder
from dfdetect.datasets import registry
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_json, read_table, write_bytes, write_json, write_table
from dfdetect.runtime.locks import exclusive
from dfdetect.splits import audit
from dfdetect.splits.leaks import act, find_leaks
from dfdetect.splits.near import read_frames
from dfdetect.splits.report import report
from dfdetect.splits.table import assign

_COLUMNS = [*(n for n in SPLITS.names if n != "split"), "path", "sha256", "status"]
_COLUMNS += ["source_identity", "original_id", "official_split"]


def build(dataset: str, entry: DatasetParams, params: SplitsParams) -> dict[str, Any]:
    """Split one dataset and audit the split.

    Returns:
        The metrics.
    Raises:
        UserError: videos.parquet is missing, a whole official part has other counts, or something leaks and
            splits.on_leak is fail (the metrics are written all the same); or another process runs this stage on it.
    """
    folder, place = dataset_folder(dataset), Path("metrics") / dataset
    outs = (folder / "splits.parquet", folder / "splits.csv", place / "splits.json", place / "audit.md")
    with exclusive("splits", dataset, *outs):
        return _build(dataset, entry, params, folder, place)


def _build(dataset: str, entry: DatasetParams, params: SplitsParams, folder: Path, place: Path) -> dict[str, Any]:
    rows = read_table(folder / "videos.parquet", VIDEOS, columns=_COLUMNS).to_pylist()
    official = audit.official_counts(rows, registry.official(entry.layout), dataset)
    assignment = assign(rows, params)
    frames = read_frames(folder / "faces", [row["video_id"] for row in rows])
    leaks = find_leaks(rows, assignment.split, frames, params.near_duplicate_bits)
    metrics: dict[str, Any] = {
        "policy": assignment.policy,
        "warnings": assignment.warnings,
        "splits": audit.counts(rows, assignment.split),
        "official": official,
        "lists": _list_notes(place / "download.json"),
        "people": audit.shared_people(rows, assignment.split),
        "duplicate_files": leaks.files,
        "near_duplicates": leaks.frames,
        "leaks": {"on_leak": params.on_leak, "videos": len(leaks.leaking), "excluded": {}},
    }
    _write_metrics(place, dataset, metrics)
    excluded = act(leaks, assignment.split, params, dataset)
    if excluded:
        metrics["leaks"]["excluded"] = excluded
        metrics["splits"] = audit.counts(rows, assignment.split)
        _write_metrics(place, dataset, metrics)
    _write_split(folder, rows, assignment.split)
    return metrics


def _list_notes(path: Path) -> dict[str, Any] | None:
    """What the layout found against the official lists; None where videos.parquet came without the metrics."""
    return dict(read_json(path)["layout"]) if path.exists() else None


def _write_metrics(place: Path, dataset: str, metrics: Mapping[str, Any]) -> None:
    write_json(place / "splits.json", metrics)
    write_bytes(place / "audit.md", report(dataset, metrics).encode())


def _write_split(folder: Path, rows: Sequence[Mapping[str, Any]], split: Mapping[str, str]) -> None:
    """splits.parquet for the pipeline, splits.csv for other people's programs."""
    names = [name for name in SPLITS.names if name != "split"]
    table = [{**{name: row[name] for name in names}, "split": split[row["video_id"]]} for row in rows]
    write_table(folder / "splits.parquet", from_rows(table, SPLITS), SPLITS)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["path", *SPLITS.names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "path": source["path"]} for row, source in zip(table, rows, strict=True))
    write_bytes(folder / "splits.csv", text.getvalue().encode())
