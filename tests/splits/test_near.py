from __future__ import annotations

import tracemalloc
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.errors import UserError
from dfdetect.io.schemas import FACES
from dfdetect.io.tables import ShardWriter, from_rows
from dfdetect.splits import near
from dfdetect.splits.near import nearest, read_frames

HASHES = st.lists(
    st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 255), st.integers(0, 63).map(lambda bit: 1 << bit)), max_size=30
)


@settings(deadline=None)
@given(HASHES, HASHES, st.integers(0, 16), st.sampled_from([1, 5, 2_000_000]))
def test_the_search_finds_what_comparing_all_finds(left: list[int], right: list[int], bits: int, block: int) -> None:
    a, b = np.array(left, np.uint64), np.array(right, np.uint64)
    with patch.object(near, "_PAIRS_PER_BLOCK", block):
        place, distance, hit = nearest(a, b, bits)
    table = np.array([[(x ^ y).bit_count() for y in right] for x in left], np.int64).reshape(len(a), len(b))
    lowest = table.min(axis=1, initial=255)
    assert distance.tolist() == np.where(lowest <= bits, lowest, 255).tolist()
    assert hit.tolist() == (table <= bits).any(axis=0).tolist()
    assert all(table[row, at] == lowest[row] if lowest[row] <= bits else at == -1 for row, at in enumerate(place))


@pytest.mark.parametrize("bits", [2, 8])
def test_planted_neighbours_are_found_among_many(bits: int) -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    right = rng.integers(0, 2**64, 5_000, dtype=np.uint64)
    planted = rng.choice(20_000, 50, replace=False)
    for number, at in enumerate(planted):
        flips = rng.choice(64, bits, replace=False)
        right[number * 7] = left[at] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
    place, distance, hit = nearest(left, right, bits)
    assert place[planted].tolist() == list(range(0, 50 * 7, 7))
    assert (distance[planted] == bits).all()
    assert hit.sum() == (place >= 0).sum() == 50  # chance brings none so near


def test_memory_stays_bounded_when_everything_is_near() -> None:
    rng = np.random.default_rng(1)
    left = rng.integers(0, 2**12, 4000, dtype=np.uint64)
    right = rng.integers(0, 2**12, 4000, dtype=np.uint64)
    tracemalloc.start()
    nearest(left, right, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def write(folder: Path, hashes: dict[str, list[int]]) -> None:
    with ShardWriter(folder, FACES, shard_bytes=400) as writer:
        for video_id, values in hashes.items():
            rows = [
                {"video_id": video_id, "frame_index": n, "image": b"x" * 100, "phash": v} for n, v in enumerate(values)
            ]
            writer.write(from_rows(rows, FACES))


def test_hashes_are_read_from_all_shards(tmp_path: Path) -> None:
    hashes = {"b": [2**64 - 1, 5], "a": [7], "c": [1, 2, 3]}
    write(tmp_path / "faces", hashes)
    assert len(list((tmp_path / "faces").iterdir())) > 1
    frames = read_frames(tmp_path / "faces", ["a", "b", "c", "d"])
    found = sorted(zip(frames.video.tolist(), frames.frame_index.tolist(), frames.phash.tolist(), strict=True))
    assert found == [(0, 0, 7), (1, 0, 2**64 - 1), (1, 1, 5), (2, 0, 1), (2, 1, 2), (2, 2, 3)]


def test_no_faces_yet_and_faces_of_another_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="faces is missing"):
        read_frames(tmp_path / "faces", ["a"])
    write(tmp_path / "faces", {"stranger": [1]})
    with pytest.raises(UserError, match="frames of stranger"):
        read_frames(tmp_path / "faces", ["a"])
