"""Near-equal frames across splits: search among 64-bit perceptual hashes by bands, memory bounded by blocks.

Two hashes that differ in at most t bits agree in at least one of t + 1 bands of bits. So each band is joined on its
value and only those candidates are compared; where the bands are too short to tell much apart, all pairs are compared.
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

# Pairs compared at a time: 32 bytes each.
_PAIRS_A_BLOCK = 2_000_000
# Rows and columns of a tile when all pairs are compared: it stays in the processor's cache.
_TILE = (64, 8192)
# A candidate from a band costs this many times a comparison in a tile.
_GATHER_COST = 12


@dataclass(frozen=True)
class Frames:
    """The frames of some videos: one entry a face crop.

    Args:
        video: index of its video [shape=(N,)].
        frame_index: in its video [shape=(N,)].
        phash: its hash [shape=(N,)].
    """

    video: Index
    frame_index: Index
    phash: Hashes

    def of(self, videos: Index) -> Frames:
        """The frames of those videos alone."""
        keep = np.isin(self.video, videos)
        return Frames(self.video[keep], self.frame_index[keep], self.phash[keep])


def read_frames(folder: Path, video_ids: list[str]) -> Frames | None:
    """Hashes of all face crops of a dataset; None where the faces stage has not run.

    Args:
        folder: data/<dataset>/faces.
        video_ids: of videos.parquet; a video's index is its place in it.
    Raises:
        UserError: a shard is damaged, or names a video that is not in videos.parquet.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        return None
    place = {video_id: number for number, video_id in enumerate(video_ids)}
    video, frame, phash = [], [], []
    for part in parts:
        table = read_table(part, FACES, columns=["video_id", "frame_index", "phash"])
        names = table.column("video_id").combine_chunks().dictionary_encode()
        known = [place.get(name.as_py(), -1) for name in names.dictionary]
        if -1 in known:
            raise UserError(f"{part} has frames of {names.dictionary[known.index(-1)]}, unknown here: run `dvc repro`.")
        video.append(np.array(known, np.int64)[names.indices.to_numpy()])
        frame.append(table.column("frame_index").to_numpy().astype(np.int64))
        phash.append(table.column("phash").fill_null(0).to_numpy().astype(np.uint64))
    return Frames(np.concatenate(video), np.concatenate(frame), np.concatenate(phash))


def matches(left: Hashes, right: Hashes, bits: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """Which hashes of each side are within `bits` of one of the other, and how many such pairs there are.

    Args:
        left: [shape=(N,)].
        right: [shape=(M,)].
        bits: largest Hamming distance, 0 to 63.
    Returns:
        Flags of left [shape=(N,)], flags of right [shape=(M,)], the number of pairs.
    """
    left_unique, left_at, left_times = np.unique(left, return_inverse=True, return_counts=True)
    right_unique, right_at, right_times = np.unique(right, return_inverse=True, return_counts=True)
    left_hit = np.zeros(len(left_unique), np.bool_)
    right_hit = np.zeros(len(right_unique), np.bool_)
    pairs = 0
    for rows, columns in _near_pairs(left_unique, right_unique, bits):
        left_hit[rows] = True
        right_hit[columns] = True
        pairs += int(np.dot(left_times[rows], right_times[columns]))
    return left_hit[left_at], right_hit[right_at], pairs


def _near_pairs(left: Hashes, right: Hashes, bits: int) -> Iterator[tuple[Index, Index]]:
    """Each near pair once, in blocks; the hashes of a side differ from each other."""
    if len(left) == 0 or len(right) == 0:
        return
    masks = _bands(bits + 1)
    joins = [_Join(left, right, mask) for mask in masks]
    if sum(join.candidates for join in joins) * _GATHER_COST > len(left) * len(right):
        yield from _all_pairs(left, right, bits)
        return
    for number, join in enumerate(joins):
        for rows, columns in join.blocks():
            differ = left[rows] ^ right[columns]
            near = np.bitwise_count(differ) <= bits
            for mask in masks[:number]:  # found through an earlier band already
                near &= (differ & mask) != 0
            yield rows[near], columns[near]


def _bands(count: int) -> list[np.uint64]:
    """Masks that part 64 bits into `count` runs of nearly equal length."""
    edges = [64 * number // count for number in range(count + 1)]
    return [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]


class _Join:
    """All pairs of two sides that agree in one band."""

    def __init__(self, left: Hashes, right: Hashes, mask: np.uint64) -> None:
        keys = right & mask
        self._order = np.argsort(keys, kind="stable")
        keys = keys[self._order]
        wanted = left & mask
        self._low = np.searchsorted(keys, wanted, side="left")
        self._counts = np.searchsorted(keys, wanted, side="right") - self._low
        self.candidates = int(self._counts.sum())

    def blocks(self) -> Iterator[tuple[Index, Index]]:
        """Rows and columns of the pairs, a bounded number at a time."""
        ends = np.cumsum(self._counts)
        start = 0
        while start < len(ends):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_A_BLOCK, side="right")))
            counts = self._counts[start:stop]
            rows = np.repeat(np.arange(start, stop), counts)
            inner = np.arange(len(rows)) - np.repeat(ends[start:stop] - counts - before, counts)
            yield rows, self._order[self._low[rows] + inner]
            start = stop


def _all_pairs(left: Hashes, right: Hashes, bits: int) -> Iterator[tuple[Index, Index]]:
    height, width = _TILE
    for top in range(0, len(left), height):
        column_of_hashes = left[top : top + height, None]
        for first in range(0, len(right), width):
            near = np.bitwise_count(column_of_hashes ^ right[None, first : first + width]) <= bits
            if near.any():
                rows, columns = np.nonzero(near)
                yield rows + top, columns + first


def nearest(frames: Frames, others: Frames, row: int) -> tuple[int, int]:
    """The frame of `others` nearest to one of `frames`: its row (the first of equals) and the distance in bits."""
    distance = np.bitwise_count(others.phash ^ frames.phash[row])
    best = int(np.argmin(distance))
    return best, int(distance[best])
