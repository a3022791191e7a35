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
from dfdetect.splits.near import matches, read_frames

HASHES = st.lists(
    st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 255), st.integers(0, 63).map(lambda bit: 1 << bit)), max_size=30
)


def plain(left: np.ndarray, right: np.ndarray, bits: int) -> tuple[list[bool], list[bool], int]:
    table = np.array([[int(a ^ b).bit_count() <= bits for b in right.tolist()] for a in left.tolist()], bool)
    table = table.reshape(len(left), len(right))
    return table.any(1).tolist(), table.any(0).tolist(), int(table.sum())


@settings(deadline=None)
@given(HASHES, HASHES, st.integers(0, 16), st.sampled_from([1, 5, 2_000_000]), st.sampled_from([0, 12]))
def test_the_search_finds_what_comparing_all_finds(
    left: list[int], right: list[int], bits: int, block: int, cost: int
) -> None:
    a, b = np.array(left, np.uint64), np.array(right, np.uint64)
    # cost 0 always takes the bands, however many candidates they give
    with patch.object(near, "_PAIRS_A_BLOCK", block), patch.object(near, "_GATHER_COST", cost):
        left_hit, right_hit, pairs = matches(a, b, bits)
    assert (left_hit.tolist(), right_hit.tolist(), pairs) == plain(a, b, bits)


@pytest.mark.parametrize("bits", [2, 10])
def test_planted_neighbours_are_found_among_many(bits: int) -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    right = rng.integers(0, 2**64, 5_000, dtype=np.uint64)
    planted = rng.choice(20_000, 50, replace=False)
    for number, at in enumerate(planted):
        flips = rng.choice(64, bits, replace=False)
        right[number * 7] = left[at] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
    left_hit, right_hit, _ = matches(left, right, bits)
    assert left_hit[planted].all()
    assert right_hit[: 50 * 7 : 7].all()
    assert left_hit.sum() < 70  # chance hardly brings any


def test_memory_stays_bounded_when_everything_is_near() -> None:
    rng = np.random.default_rng(1)
    left = rng.integers(0, 2**12, 4000, dtype=np.uint64)
    right = rng.integers(0, 2**12, 4000, dtype=np.uint64)
    tracemalloc.start()
    matches(left, right, 12)
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
    assert frames is not None
    found = sorted(zip(frames.video.tolist(), frames.frame_index.tolist(), frames.phash.tolist(), strict=True))
    assert found == [(0, 0, 7), (1, 0, 2**64 - 1), (1, 1, 5), (2, 0, 1), (2, 1, 2), (2, 2, 3)]


def test_no_faces_yet_and_faces_of_another_table(tmp_path: Path) -> None:
    assert read_frames(tmp_path / "faces", ["a"]) is None
    write(tmp_path / "faces", {"stranger": [1]})
    with pytest.raises(UserError, match="frames of stranger"):
        read_frames(tmp_path / "faces", ["a"])
