from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfdetect.config.params import SplitsParams
from dfdetect.datasets.layout import OfficialPart
from dfdetect.errors import UserError
from dfdetect.splits.audit import counts, official_counts, shared_people
from dfdetect.splits.leaks import EXCLUDED, act, find_leaks
from dfdetect.splits.near import Frames
from tests.splits.tables import row

PARTS = (OfficialPart({"category": "Celeb-real"}, 4, {"train": 3, "test": 1}),)


def celeb(splits: str) -> list[dict[str, object]]:
    names = {"r": "train", "t": "test"}
    return [row(f"v{n}", 0, category="Celeb-real", official_split=names[s]) for n, s in enumerate(splits)]


def test_a_whole_part_with_its_official_split_passes() -> None:
    (found,) = official_counts(celeb("rrrt"), PARTS, "x")
    assert (found["expected"], found["found"], found["whole"]) == (4, 4, True)


def test_a_whole_part_with_another_split_stops() -> None:
    with pytest.raises(UserError, match=r"datasets\.x: all 4 videos with category Celeb-real .*'test': 2"):
        official_counts(celeb("rrtt"), PARTS, "x")


def test_a_part_that_is_not_whole_is_reported() -> None:
    (found,) = official_counts(celeb("rrt"), PARTS, "x")
    assert (found["found"], found["whole"]) == (3, False)
    assert official_counts([row("a", 0, category="other")], PARTS, "x") == []


def test_counts_by_column() -> None:
    rows = [
        row("a", 0, category="A", identity="x"),
        row("b", 1, category="B"),
        row("c", None),
        row("d", 1, category="B"),
    ]
    found = counts(rows, {"a": "train", "b": "train", "c": "test", "d": "train"})
    assert found["train"]["videos"] == 3
    assert found["train"]["label"] == {"0": 1, "1": 2}
    assert found["train"]["category"] == {"A": 1, "B": 2}
    assert found["train"]["fake_share"] == 0.6667
    assert found["train"]["identities"] == 1
    assert (found["test"]["fake_share"], found["test"]["label"]) == (None, {"null": 1})


def test_people_in_two_splits_are_counted_by_what_they_do() -> None:
    rows = [
        row("a", identity="x"),
        row("b", 1, identity="y", source_identity="z"),
        row("c", identity="x"),
        row("d", 1, identity="w", source_identity="y", original_id="o"),
        row("e", identity="v"),
        row("f", 1, original_id="o"),
    ]
    split = {"a": "train", "b": "train", "c": "test", "d": "test", "e": "test", "f": "train"}
    shared = shared_people(rows, split)
    assert shared["unknown"] == 1
    both = shared["train-test"]
    assert (both["identities"], both["share"], both["examples"], both["videos"]) == (1, 0.3333, ["x"], 1)
    assert both["videos_by_any_role"] == 2  # c shows x; d carries y's face
    assert both["originals"] == 1


ROWS = [row(name, int(name[-1]) % 2) for name in ("r0", "r1", "r2", "v3", "t4", "t5")]
SPLIT = {"r0": "train", "r1": "train", "r2": "train", "v3": "val", "t4": "test", "t5": "test"}


def frames(hashes: dict[int, list[int]]) -> Frames:
    items = [(video, frame, value) for video, values in hashes.items() for frame, value in enumerate(values)]
    video, frame, phash = zip(*items, strict=True)
    return Frames(np.array(video), np.array(frame), np.array(phash, np.uint64))


def test_equal_files_in_two_splits() -> None:
    rows = [dict(item) for item in ROWS]
    rows[1]["sha256"] = rows[4]["sha256"] = "same"
    rows[2]["sha256"] = rows[3]["sha256"] = "other"
    leaks = find_leaks(rows, SPLIT, None, 2)
    assert leaks.leaking == {"r1": "the same file as t4 (test)", "r2": "the same file as v3 (val)"}
    assert (leaks.files["groups"], leaks.files["groups_across_splits"], leaks.files["groups_with_both_labels"]) == (
        2,
        2,
        2,
    )
    assert leaks.files["examples"] == [["r1", "t4"], ["r2", "v3"]]
    assert leaks.frames is None


def test_files_that_cannot_be_probed_are_no_duplicates() -> None:
    rows = [{**item, "sha256": "empty", "status": "unreadable"} for item in ROWS]
    assert find_leaks(rows, SPLIT, None, 2).leaking == {}


def test_near_frames_in_two_splits() -> None:
    hashes = {
        0: [0xFFFF0000FFFF0000, 1],
        1: [0xAAAA],
        3: [1 << 40],
        4: [3, 0x5555 << 20],
        5: [0xFFFF0000FFFF0000 ^ 0b11],
    }
    leaks = find_leaks(ROWS, SPLIT, frames(hashes), 2)
    assert leaks.frames is not None
    both = leaks.frames["train-test"]
    assert (both["pairs"], both["frames_in_train"], both["frames_in_test"]) == (2, 2, 2)
    assert (both["videos_in_train"], both["videos_in_test"]) == (1, 2)
    assert both["examples"] == [
        {"video_id": "r0", "frame_index": 0, "near_video_id": "t5", "near_frame_index": 0, "bits": 2}
    ]
    assert leaks.frames["train-val"]["pairs"] == 1  # 1 and 1 << 40 differ in two bits
    assert leaks.leaking == {"r0": "frames near-equal to some in test"}


@pytest.mark.parametrize(("policy", "left"), [("report", "train"), ("drop", EXCLUDED)])
def test_what_on_leak_does(policy: str, left: str) -> None:
    rows = [dict(item) for item in ROWS]
    rows[1]["sha256"] = rows[4]["sha256"] = "same"
    rows[3]["sha256"] = rows[5]["sha256"] = "other"
    split = dict(SPLIT)
    taken = act(find_leaks(rows, split, None, 2), split, SplitsParams(on_leak=policy), "x")  # type: ignore[arg-type]
    assert taken == ({"train": 1, "val": 1} if policy == "drop" else {})
    assert split["r1"] == left
    assert (split["t4"], split["t5"]) == ("test", "test")


def test_fail_names_the_first_leaks() -> None:
    rows = [dict(item) for item in ROWS]
    rows[1]["sha256"] = rows[4]["sha256"] = "same"
    with pytest.raises(UserError, match=r"datasets\.x: 1 videos leak.*\n  r1: the same file as t4 \(test\)"):
        act(find_leaks(rows, SPLIT, None, 2), dict(SPLIT), SplitsParams(on_leak="fail"), "x")


def test_without_leaks_fail_passes(tmp_path: Path) -> None:
    assert act(find_leaks(ROWS, SPLIT, None, 2), dict(SPLIT), SplitsParams(on_leak="fail"), str(tmp_path)) == {}
