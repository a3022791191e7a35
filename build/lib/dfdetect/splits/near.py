"""Nearly equal face crops: search among 64-bit perceptual hashes by bands, in blocks of bounded memory.

Two hashes that differ in at most t bits agree in at least one of t + 1 bands of bits, so only pairs that agree in one
are compared. scikit-learn's BallTree has the metric, but holds each bit as a float.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfdetect.errors import UserError
from dfdetect.io.schemas import FACES
from dfdetect.io.tables import read_table

Hashes = NDArray[np.uint64]
Index = NDArray[np.int64]

# Pairs compared at a time: about 40 bytes each.
_PAIRS_PER_BLOCK = 2_000_000


@dataclass(frozen=True)
class Frames:
    """The frames of some videos: one entry per face crop.

    Args:
        video: index of its video [shape=(N,)].
        frame_index: in its video [shape=(N,)].
        phash: its hash [shape=(N,)].
    """

    video: Index
    frame_index: Index
    phash: Hashes

    def of(self, videos: Index) -> Frames:
        """Only the frames of those videos."""
        keep = np.isin(self.video, videos)
        return Frames(self.video[keep], self.frame_index[keep], self.phash[keep])


def read_frames(folder: Path, video_ids: list[str]) -> Frames:
    """Hashes of all face crops of a dataset.

    Args:
        folder: data/<dataset>/faces.
        video_ids: of videos.parquet; a video's index is its place in it.
    Raises:
        UserError: the faces stage has not run, a shard is damaged, or names a video that is not in videos.parquet.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: `dvc repro` makes it, or `python -m stages.faces` by hand.")
    place = {video_id: number for number, video_id in enumerate(video_ids)}
    video, frame, phash = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for part in sorted(folder.glob("part-*.parquet")):
        table = read_table(part, FACES, columns=["video_id", "frame_index", "phash"])
        names = table.column("video_id").combine_chunks().dictionary_encode()
        known = [place.get(name.as_py(), -1) for name in names.dictionary]
        if -1 in known:
            raise UserError(f"{part} has frames of {names.dictionary[known.index(-1)]}, unknown here: run `dvc repro`.")
        video.append(np.array(known, np.int64)[names.indices.to_numpy()])
        frame.append(table.column("frame_index").to_numpy().astype(np.int64))
        phash.append(table.column("phash").fill_null(0).to_numpy().astype(np.uint64))
    return Frames(np.concatenate(video), np.concatenate(frame), np.concatenate(phash))


def nearest(left: Hashes, right: Hashes, bits: int) -> tuple[Index, NDArray[np.uint8], NDArray[np.bool_]]:
    """For each hash of one side the nearest of the other that is within `bits`.

    Args:
        left: [shape=(N,)].
        right: [shape=(M,)].
        bits: largest Hamming distance, 0 to 63.
    Returns:
        Its place in `right`, -1 where there is none [shape=(N,)]; the distance, 255 where there is none [shape=(N,)];
        which of `right` are within `bits` of any of `left` [shape=(M,)].
    """
    left_unique, left_of = np.unique(left, return_inverse=True)
    right_unique, right_first, right_of = np.unique(right, return_index=True, return_inverse=True)
    place = np.full(len(left_unique), -1, np.int64)
    distance = np.full(len(left_unique), 255, np.uint8)
    hit = np.zeros(len(right_unique), np.bool_)
    for mask in _bands(bits + 1):
        for rows, columns in _agreeing(left_unique, right_unique, mask):
            differ = np.bitwise_count(left_unique[rows] ^ right_unique[columns])
            hit[columns[differ <= bits]] = True
            closer = np.flatnonzero((differ <= bits) & (differ < distance[rows]))
            closer = closer[
                np.argsort(differ[closer], kind="stable")[::-1]
            ]  # of equal rows the last, nearest one stays
            place[rows[closer]] = right_first[columns[closer]]
            distance[rows[closer]] = differ[closer]
    return place[left_of], distance[left_of], hit[right_of]


def _bands(count: int) -> list[np.uint64]:
    """Masks that divide 64 bits into `count` runs of nearly equal length."""
    edges = [64 * number // count for number in range(count + 1)]
    return [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]


def _agreeing(left: Hashes, right: Hashes, mask: np.uint64) -> Iterator[tuple[Index, Index]]:
    """Rows and columns of all pairs that agree in one band, a bounded number at a time."""
    order = np.argsort(right & mask, kind="stable")
    keys = (right & mask)[order]
    low = np.searchsorted(keys, left & mask, side="left")
    counts = np.searchsorted(keys, left & mask, side="right") - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_PER_BLOCK, side="right")))
        rows = np.repeat(np.arange(start, stop), counts[start:stop])
        inner = np.arange(len(rows)) - np.repeat(ends[start:stop] - counts[start:stop] - before, counts[start:stop])
        yield rows, order[low[rows] + inner]
        start = stop
