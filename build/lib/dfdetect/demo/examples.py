"""Clips to pick on the page: test videos of the datasets that are here, which training has never read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfdetect.datasets.tree import below
from dfdetect.errors import UserError
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import read_table

PER_CATEGORY = 2


@dataclass(frozen=True)
class Clip:
    """A clip of a dataset's test split."""

    path: Path
    dataset: str


def test_clips(data: Path) -> dict[str, Clip]:
    """A few clips of each dataset's test split and category.

    Args:
        data: the folder of datasets.
    Returns:
        What the page calls them -> clip; empty where no dataset is built, or its files are elsewhere.
    """
    clips: dict[str, Clip] = {}
    for folder in sorted(path for path in data.glob("*") if (path / "splits.parquet").exists()):
        try:
            splits = read_table(folder / "splits.parquet", SPLITS).to_pylist()
            paths = read_table(folder / "videos.parquet", VIDEOS, columns=["video_id", "path"]).to_pylist()
        except UserError:
            continue  # a dataset that is being built offers no clip
        path_of = {row["video_id"]: row["path"] for row in paths}
        taken: dict[str, int] = {}
        for row in splits:
            category = row["category"] or ("fake" if row["label"] else "real")
            path = below(folder / "raw", path_of.get(row["video_id"], ""))
            if row["split"] == "test" and taken.get(category, 0) < PER_CATEGORY and path.is_file():
                taken[category] = taken.get(category, 0) + 1
                clips[f"{folder.name}: {category} {taken[category]}"] = Clip(path, folder.name)
    return clips
