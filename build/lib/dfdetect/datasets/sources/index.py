"""videos.parquet and the metrics of the download stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dfdetect.config.params import DatasetParams, RuntimeParams, dataset_folder
from dfdetect.datasets import registry
from dfdetect.datasets.layout import NOTES
from dfdetect.datasets.sources.cache import ROOT as CACHE_ROOT
from dfdetect.datasets.sources.cache import Cache
from dfdetect.datasets.sources.probe import inspect_files
from dfdetect.datasets.sources.sources import bring
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError
from dfdetect.io.schemas import VIDEOS
from dfdetect.io.tables import from_rows, write_json, write_table
from dfdetect.runtime.locks import exclusive

# Failures listed by name in the metrics; all are in videos.parquet.
LISTED_FAILURES = 50
_COUNTED = ("status", "label", "visual_label", "category", "method", "compression", "official_split")


def download(dataset: str, entry: DatasetParams, runtime: RuntimeParams) -> dict[str, Any]:
    """Bring a dataset here, list it, hash and probe its files; write videos.parquet and the metrics.

    Returns:
        The metrics.
    Raises:
        UserError: the source or layout is not what it should be, or too many files cannot be probed. In the latter
            case the table and the metrics are written all the same, so that the reasons can be looked at. Or another
            process runs this stage on the dataset.
    """
    folder, place = dataset_folder(dataset), Path("metrics") / dataset / "download.json"
    with exclusive("download", dataset, folder / "videos.parquet", place):
        return _download(dataset, entry, runtime, folder, place)


def _download(dataset: str, entry: DatasetParams, runtime: RuntimeParams, folder: Path, place: Path) -> dict[str, Any]:
    registry.check(dataset, entry)  # a wrong layout or setting is told before anything is fetched
    root = bring(dataset, entry, folder / "raw", runtime)
    index = registry.build_index(dataset, entry, root)
    with Cache(CACHE_ROOT / f"{dataset}.jsonl", root) as cache:
        paths = [clip.path for clip in index.clips]
        facts = inspect_files(str(root), paths, cache, runtime, label=f"download {dataset}")
    rows = [{**asdict(clip), "path": stored(clip.path), **facts[clip.path]} for clip in index.clips]
    write_table(folder / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)
    metrics = summarise(rows, index.notes)
    write_json(place, metrics)
    _stop_if_failed(dataset, entry, metrics)
    return metrics


def summarise(rows: list[dict[str, Any]], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Counts over the rows of videos.parquet, the failures by name, and what the layout noted.

    Returns:
        Plain values; nothing in it depends on the machine or the time.
    """
    failures = [row for row in rows if row["status"] != "ok"]
    texts = {name: ["null" if row.get(name) is None else str(row[name]) for row in rows] for name in _COUNTED}
    return {
        "videos": len(rows),
        **{name: dict(sorted(Counter(found).items())) for name, found in texts.items()},
        "identities": len({row["identity"] for row in rows} - {None}),
        "with_audio": sum(row.get("has_audio") is True for row in rows),
        "size_bytes": sum(row["size_bytes"] or 0 for row in rows),
        "duration_s": round(sum(row.get("duration_s") or 0.0 for row in rows), 3),
        "failed": len(failures),
        "failed_fraction": round(len(failures) / len(rows), 6),
        "failures": [
            {name: row[name] for name in ("video_id", "status", "reason")} for row in failures[:LISTED_FAILURES]
        ],
        "layout": dict(notes),
    }


def told(notes: Mapping[str, Any]) -> list[str]:
    """What the layout found odd, left out or did not find, a line each with its count and first names."""
    lines = []
    for key, note in notes.items():
        count, names = note, []
        if isinstance(note, Mapping):
            count, names = note.get("count", sum(n for n in note.values() if isinstance(n, int))), list(note)
            names = note.get("examples", names)
        elif isinstance(note, list):
            count, names = len(note), note
        if key == "lists" and not count:
            lines.append("no list of the set is here: what only it says, such as an official split, is not known")
        elif count and key not in ("lists", "list_lines"):
            shown = ", ".join(names[:3]) + ", ..." * (count > 3)
            lines.append(f"{count} {NOTES.get(key, key)}" + (f": {shown}" if names else ""))
    return lines


def _stop_if_failed(dataset: str, entry: DatasetParams, metrics: Mapping[str, Any]) -> None:
    if metrics["failed_fraction"] > entry.max_failed_fraction:
        first = "\n".join(f"  {row['video_id']}: {row['status']}: {row['reason']}" for row in metrics["failures"][:5])
        raise UserError(
            f"download {dataset}: {metrics['failed']} of {metrics['videos']} files cannot be probed, more than "
            f"datasets.{dataset}.max_failed_fraction ({entry.max_failed_fraction:g}) allows. All are in "
            f"{dataset_folder(dataset) / 'videos.parquet'}; the first:\n{first}"
        )
