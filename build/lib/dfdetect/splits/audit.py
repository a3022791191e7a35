"""The audit of one dataset's splits: what leaks between them, and what is done about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dfdetect.config.params import DatasetParams, SplitsParams, dataset_folder
from dfdetect.datasets import registry
from dfdetect.errors import UserError
from dfdetect.io.schemas import LEAKS, SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_json, read_table, write_bytes, write_json, write_table
from dfdetect.runtime.locks import exclusive
from dfdetect.splits.build import COLUMNS
from dfdetect.splits.leaks import KINDS, Leak, frame_overlaps, table_overlaps
from dfdetect.splits.near import read_frames
from dfdetect.splits.report import report


def audit(dataset: str, entry: DatasetParams, params: SplitsParams) -> dict[str, Any]:
    """Audit the splits of one dataset.

    Returns:
        What went to metrics/<dataset>/audit.json: how many videos leak, in all and by kind, how many are dropped, and
        every warning about the splits.
    Raises:
        UserError: an artifact is missing or older than videos.parquet; something leaks and splits.on_leak is fail (the
            outputs are written all the same); or another process runs this stage on the dataset.
    """
    folder, metrics_folder = dataset_folder(dataset), Path("metrics") / dataset
    outs = folder / "leaks.parquet", metrics_folder / "audit.json", metrics_folder / "audit.md"
    with exclusive("audit", dataset, *outs):
        rows = read_table(folder / "videos.parquet", VIDEOS, columns=COLUMNS).to_pylist()
        table = read_table(folder / "splits.parquet", SPLITS, columns=["video_id", "split"]).to_pylist()
        split = {row["video_id"]: row["split"] for row in table}
        if split.keys() != {row["video_id"] for row in rows}:
            raise UserError(f"{folder / 'splits.parquet'} does not name the videos of videos.parquet: run `dvc repro`.")
        frames = read_frames(folder / "faces", [row["video_id"] for row in rows])
        of_frames = frame_overlaps(rows, split, frames, params.near_duplicate_bits)
        overlaps = table_overlaps(rows, split) + of_frames
        leaks = [leak for overlap in overlaps for leak in overlap.leaks]
        acted_on = [leak for leak in leaks if leak.kind in params.leak_kinds and params.on_leak != "report"]
        dropped = {leak.video_id for leak in acted_on} if params.on_leak == "drop" else set()
        warnings = list(read_json(metrics_folder / "splits.json")["warnings"])
        warnings += [each.warning(from_names=registry.names_tell(entry.layout)) for each in of_frames]
        if dropped:
            warnings.append(f"{_by_split(acted_on)} are left out as leaks (splits.on_leak: drop)")
        metrics: dict[str, Any] = {
            "leaking_videos": len({leak.video_id for leak in leaks}),
            "dropped_videos": len(dropped),
            **{kind: len({leak.video_id for leak in leaks if leak.kind == kind}) for kind in KINDS},
            "warnings": warnings,
        }
        listed = [{**asdict(leak), "dropped": leak.video_id in dropped} for leak in leaks]
        write_table(outs[0], from_rows(listed, LEAKS), LEAKS)
        write_json(outs[1], metrics)
        details = read_json(metrics_folder / "details" / "splits.json")
        layout_notes = read_json(metrics_folder / "download.json")["layout"]
        write_bytes(outs[2], report(dataset, warnings, details, layout_notes, overlaps).encode())
    if acted_on and params.on_leak == "fail":
        shown = "".join(f"\n  {leak.video_id}: {leak.kind} {leak.shared}, as {leak.other_id}" for leak in acted_on[:5])
        raise UserError(
            f"datasets.{dataset}: {_by_split(acted_on)} leak into another split (splits.on_leak is fail; {outs[2]} has "
            f"the figures, {outs[0]} every video). The first:{shown}"
        )
    return metrics


def _by_split(leaks: list[Leak]) -> str:
    """How many videos of each split leak: `3 train videos and 1 val videos`."""
    by_split = {name: {leak.video_id for leak in leaks if leak.split == name} for name in ("train", "val")}
    return " and ".join(f"{len(videos)} {name} videos" for name, videos in by_split.items() if videos)
