"""Forgeries made on the fly from real crops: rows of an index that become fakes when they are read (blend.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dfdetect.data.index import UNKNOWN, CropIndex, Videos, pick
from dfdetect.io.schemas import MASKS
from dfdetect.io.tables import Shards, read_table

METHOD = "self_blended"


@dataclass(frozen=True)
class Landmarks:
    """68 points each of some crops.

    Args:
        points: x, y in px of the stored crop, float16 (to 1/4 px, in half the memory) [shape=(K, 68, 2)].
        row: position in `points` of each row of an index; -1: it has none [shape=(N,)].
    """

    points: np.ndarray
    row: np.ndarray


def load_landmarks(folder: Path, index: CropIndex) -> Landmarks:
    """The landmarks of an index's crops, from the masks table.

    Args:
        folder: data/<dataset>.
        index: whose crops.
    Raises:
        UserError: the table is missing or damaged.
    """
    ids = index.videos.ids
    pairs = zip(index.video.tolist(), index.frame_index.tolist(), strict=True)
    wanted = {(ids[video], frame): row for row, (video, frame) in enumerate(pairs)}
    where = np.full(len(index), UNKNOWN, dtype=np.int64)
    found: list[np.ndarray] = [np.zeros((0, 68, 2), np.float16)]
    count = 0
    for part in Shards(folder / "masks", MASKS).parts:
        table = read_table(part, MASKS, columns=["video_id", "frame_index", "landmarks"])
        table = table.filter(table.column("landmarks").is_valid())
        keys = zip(table.column("video_id").to_pylist(), table.column("frame_index").to_pylist(), strict=True)
        rows = np.array([wanted.get(key, UNKNOWN) for key in keys], dtype=np.int64)
        kept = np.flatnonzero(rows != UNKNOWN)
        flat = table.column("landmarks").combine_chunks().flatten().to_numpy()  # 136 a crop: none is null any more
        found.append(flat.reshape(-1, 68, 2)[kept].astype(np.float16))
        where[rows[kept]] = count + np.arange(len(kept))
        count += len(kept)
    return Landmarks(np.concatenate(found), where)


def add_forgeries(index: CropIndex, landmarks: Landmarks) -> CropIndex:
    """Add to an index one forgery of each real crop whose landmarks are known.

    The forgeries of a video count as a video of their own, `<video_id>#self_blended`, with label 1.

    Args:
        index: crops; those of fakes stay as they are.
        landmarks: of its crops.
    Returns:
        An index with the forgeries last; `points_row` says which rows are forged, and on which points.
    """
    videos = index.videos
    rows = np.flatnonzero((index.labels == 0) & (landmarks.row != UNKNOWN))
    sources, number = np.unique(index.video[rows], return_inverse=True)
    made = Videos(
        ids=[*videos.ids, *(f"{videos.ids[source]}#{METHOD}" for source in sources)],
        splits=[*videos.splits, *(videos.splits[source] for source in sources)],
        labels=np.concatenate([videos.labels, np.ones(len(sources), np.int64)]),
        any_fake=np.concatenate([videos.any_fake, np.ones(len(sources), np.int64)]),
        columns={
            name: [*values, *(METHOD if name == "method" else values[source] for source in sources)]
            for name, values in videos.columns.items()
        },
    )
    everything = pick(index, np.concatenate([np.arange(len(index)), rows]))
    return replace(
        everything,
        videos=made,
        video=np.concatenate([index.video, len(videos) + number]),
        points=landmarks.points,
        points_row=np.concatenate([np.full(len(index), UNKNOWN, np.int64), landmarks.row[rows]]),
    )
