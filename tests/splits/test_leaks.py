"""Each kind of leak between two splits is found once, on the side that gives way, and told with its counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dfdetect.splits.leaks import KINDS, Overlap, frame_overlaps, table_overlaps
from dfdetect.splits.near import Frames
from tests.splits.tables import Rows, row

# kind -> a train video and a test video with nothing in common but that kind
PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "identity": ({"identity": "anna"}, {"identity": "anna"}),
    "source_identity": ({"identity": "bob", "source_identity": "anna"}, {"identity": "anna"}),
    "original": ({"original_id": "t"}, {}),
    "video": (
        {"path": "real/c_1.png", "original_id": "real/c", "method": "real"},
        {"path": "real/c_2.png", "original_id": "real/c", "method": "real"},
    ),
    "file": ({"sha256": "same"}, {"sha256": "same"}),
}


def rows_of(kind: str) -> Rows:
    first, second = PLANTED[kind]
    return [row("r", 1, **first), row("r2"), row("v"), row("t", 1, **second), row("t2")]


SPLIT = {"r": "train", "r2": "train", "v": "val", "t": "test", "t2": "test"}


@pytest.mark.parametrize("kind", PLANTED)
def test_each_kind_is_found_on_the_train_side(kind: str) -> None:
    found = {overlap.kind: overlap for overlap in table_overlaps(rows_of(kind), SPLIT)}
    assert set(found) == {kind} | ({"original"} if kind == "video" else set())  # frames of one clip share their origin
    overlap = found[kind]
    assert (overlap.gives, overlap.stays, overlap.shared, overlap.videos) == ({"train": 1}, "test", 1, 1)
    (leak,) = overlap.leaks
    assert (leak.video_id, leak.split, leak.other_id, leak.other_split) == ("r", "train", "t", "test")
    assert not leak.official


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(("gives", "stays"), [("val", "test"), ("train", "val")])
def test_each_pair_of_splits_is_looked_at(kind: str, gives: str, stays: str) -> None:
    split = {**SPLIT, "r": gives, "t": stays, "v": "train"}
    (overlap,) = [each for each in table_overlaps(rows_of(kind), split) if each.kind == kind]
    assert (overlap.gives, overlap.stays, [leak.video_id for leak in overlap.leaks]) == ({gives: 1}, stays, ["r"])


def test_every_kind_but_near_frames_is_planted() -> None:
    assert {*PLANTED, "frame"} == set(KINDS)


@pytest.mark.parametrize("kind", PLANTED)
def test_within_a_split_nothing_leaks(kind: str) -> None:
    assert table_overlaps(rows_of(kind), {**SPLIT, "r": "test"}) == []


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ({"identity": "bob", "source_identity": "anna"}, {"identity": "carl", "source_identity": "anna"}),
        ({"identity": "anna"}, {"identity": "carl", "source_identity": "anna"}),
    ],
)
def test_source_identities_leak_in_any_role(train: dict[str, str], test: dict[str, str]) -> None:
    (overlap,) = table_overlaps([row("r", 1, **train), row("t", 1, **test)], SPLIT)
    assert (overlap.kind, overlap.leaks[0].shared, overlap.shared, overlap.total) == ("source_identity", "anna", 1, 2)


def test_two_forgeries_of_an_absent_original_leak() -> None:
    (overlap,) = table_overlaps([row("r", 1, original_id="gone"), row("t", 1, original_id="gone")], SPLIT)
    assert (overlap.kind, overlap.leaks[0].shared) == ("original", "gone")


def test_forgeries_of_one_clip_by_two_methods_are_not_frames_of_one_video() -> None:
    frames = [
        row(f"{split}.png", 1, path=f"{split}.png", original_id="o", method=method)
        for split, method in (("r", "FaceSwap"), ("t", "Face2Face"))
    ]
    found = table_overlaps(frames, {"r.png": "train", "t.png": "test"})
    assert [overlap.kind for overlap in found] == ["original"]


def test_files_that_cannot_be_opened_are_no_duplicates() -> None:
    rows = [{**item, "status": "unreadable"} for item in rows_of("file")]
    assert table_overlaps(rows, SPLIT) == []


@pytest.mark.parametrize(
    ("given", "names", "said"),
    [
        (
            (None, None),
            False,
            "1 of 2 identities in test are also in train (2 train videos and 1 test videos, such as a and t)",
        ),
        (("train", "test"), False, "; this overlap is the official split's own"),
        (("train", "test"), True, "in train, going by file names (2"),
        (("train", "test"), True, "; this overlap is the folders' own"),
        (("train", "test"), False, "such as a and t)"),
    ],
)
def test_what_a_warning_says(given: tuple[str | None, str | None], names: bool, said: str) -> None:
    train, test = given
    rows = [row(name, identity="x", official_split=train) for name in "ab"]
    rows += [row("t", identity="x", official_split=test), row("u", identity="y", official_split=test)]
    (overlap,) = table_overlaps(rows, {"a": "train", "b": "train", "t": "test", "u": "test"})
    warning = overlap.warning(from_names=names)
    assert said in warning
    assert ("official" in warning) == (train is not None and not names)


def test_a_warning_tells_how_much_of_an_overlap_is_official() -> None:
    rows = [row("a", identity="x", official_split="train"), row("b", identity="x"), row("t", identity="x")]
    rows[2]["official_split"] = "test"
    (overlap,) = table_overlaps(rows, {"a": "train", "b": "train", "t": "test"})
    warning = overlap.warning(from_names=False)
    assert warning.startswith("all 1 identities in test are also in train")
    assert warning.endswith("; this overlap is the official split's own for 1 of the 2 videos")


def test_train_and_validation_are_told_in_one_sentence_about_test() -> None:
    rows = [row("v", identity="x"), row("a", identity="y"), row("b", identity="x")]
    rows += [row("t", identity="x"), row("u", identity="y")]
    split = {"v": "val", "a": "train", "b": "train", "t": "test", "u": "test"}
    first, second = table_overlaps(rows, split)
    assert first.warning(from_names=False) == (
        "all 2 identities in test are also in train or val "
        "(2 train videos, 1 val videos and 2 test videos, such as a and u)"
    )
    assert second.warning(from_names=False).startswith("all 1 identities in val are also in train (1 train videos and ")


def test_validation_from_an_official_train_split_overlaps_officially() -> None:
    rows = [row("v", identity="x", official_split="train"), row("t", identity="x", official_split="test")]
    (overlap,) = table_overlaps(rows, {"v": "val", "t": "test"})
    assert [leak.official for leak in overlap.leaks] == [True]


ROWS = [row(name, int(name[-1]) % 2) for name in ("r0", "r1", "r2", "v3", "t4", "t5")]
BY_ROW = {"r0": "train", "r1": "train", "r2": "train", "v3": "val", "t4": "test", "t5": "test"}


def frames(hashes: dict[int, list[int]]) -> Frames:
    items = [(video, frame, value) for video, values in hashes.items() for frame, value in enumerate(values)]
    video, frame, phash = zip(*items, strict=True)
    return Frames(np.array(video), np.array(frame), np.array(phash, np.uint64))


def near(hashes: dict[int, list[int]]) -> dict[str, Overlap]:
    return {o.stays: o for o in frame_overlaps(ROWS, BY_ROW, frames(hashes), 2)}


def test_near_frames_in_two_splits() -> None:
    hashes = {
        0: [0xFFFF0000FFFF0000, 1],
        1: [0xAAAA],
        3: [1 << 40],
        4: [3, 0x5555 << 20],
        5: [0xFFFF0000FFFF0000 ^ 0b11],
    }
    found = near(hashes)
    both = found["test"]
    assert (both.shared, both.total, both.videos) == (2, 2, 2)
    (leak,) = both.leaks
    assert (leak.video_id, leak.other_id, leak.shared) == ("r0", "t5", "frames 0 and 0 differ in 2 bits")
    assert [leak.video_id for leak in found["val"].leaks] == ["r0"]  # 1 and 1 << 40 differ in two bits
    assert set(found) == {"test", "val"}


def test_without_near_frames_nothing_overlaps() -> None:
    assert near({0: [0xFFFF], 4: [0xFFFF0000]}) == {}
