from __future__ import annotations

import random
from collections import Counter

import pytest

from dfdetect.config.params import SplitsParams
from dfdetect.splits.table import assign
from tests.splits.tables import Rows, people, row

PARAMS = SplitsParams()


def by_split(rows: Rows, split: dict[str, str], column: str = "label") -> Counter[tuple[str, object]]:
    return Counter((split[item["video_id"]], item[column]) for item in rows)


def official(counts: dict[tuple[str | None, int | None], int], **columns: object) -> Rows:
    return [
        row(f"{split}-{label}-{number}", label, official_split=split, category=str(label), **columns)
        for (split, label), count in counts.items()
        for number in range(count)
    ]


def test_identities_do_not_cross_and_every_category_is_everywhere() -> None:
    rows = people(16)
    done = assign(rows, PARAMS)
    assert by_split(rows, done.split, "category") == {
        (split, category): count for split, count in (("train", 10), ("val", 2), ("test", 4)) for category in "ABCD"
    }
    of: dict[str, set[str]] = {}
    for item in rows:
        of.setdefault(item["identity"], set()).add(done.split[item["video_id"]])
    assert all(len(splits) == 1 for splits in of.values())
    assert done.warnings == []
    assert done.policy == {"test": "by unit", "val": "by unit"}


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = people(30, clips=2)
    done = assign(rows, PARAMS)
    random.Random(3).shuffle(rows)
    assert assign(rows, PARAMS).split == done.split


def test_the_official_test_split_stands_and_validation_comes_from_train() -> None:
    rows = official({("train", 0): 40, ("train", 1): 60, ("test", 0): 7, ("test", 1): 9})
    done = assign(rows, PARAMS)
    assert by_split(rows, done.split) == {
        ("train", 0): 36, ("train", 1): 54, ("val", 0): 4, ("val", 1): 6, ("test", 0): 7, ("test", 1): 9,
    }  # fmt: skip
    assert all(done.split[item["video_id"]] == "test" for item in rows if item["official_split"] == "test")
    assert done.policy == {"test": "official", "val": "by unit"}


def test_official_validation_is_left_as_it_is() -> None:
    rows = official({("train", 0): 10, ("train", 1): 10, ("val", 0): 3, ("val", 1): 3, ("test", 0): 2, ("test", 1): 2})
    done = assign(rows, PARAMS)
    assert all(done.split[item["video_id"]] == item["official_split"] for item in rows)


def test_videos_without_a_label_are_tested_without_figures_and_test_is_carved_all_the_same() -> None:
    rows = [row(f"t{n}", None, official_split="test") for n in range(5)]
    for original in range(20):
        rows += [
            row(f"o{original}", 0, official_split="train"),
            row(f"f{original}", 1, official_split="train", original_id=f"o{original}"),
        ]
    done = assign(rows, PARAMS)
    assert by_split(rows, done.split) == {
        **{("test", None): 5, ("test", 0): 4, ("test", 1): 4},
        **{("val", 0): 2, ("val", 1): 2, ("train", 0): 14, ("train", 1): 14},
    }
    assert all(done.split[f"o{n}"] == done.split[f"f{n}"] for n in range(20))


def test_what_the_official_lists_leave_out_is_parted_by_itself() -> None:
    listed = official(
        {("train", 0): 20, ("train", 1): 20, ("val", 0): 5, ("val", 1): 5, ("test", 0): 5, ("test", 1): 5}
    )
    actors = [
        row(f"actors/{n}-{label}", label, identity=f"actor_{n}", category=f"actors{label}")
        for n in range(10)
        for label in (0, 1)
    ]
    done = assign([*listed, *actors], PARAMS)
    assert all(done.split[item["video_id"]] == item["official_split"] for item in listed)
    assert by_split(actors, done.split) == {("test", 0): 2, ("test", 1): 2, ("train", 0): 8, ("train", 1): 8}
    assert done.policy["test"].startswith("official, and by unit")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_to_part_are_all_tested(count: int) -> None:
    rows = people(count, ("A", "B"))
    done = assign(rows, PARAMS)
    assert set(done.split.values()) == {"test"}
    assert any("too few to part" in warning for warning in done.warnings)


@pytest.mark.parametrize("each", [3, 4, 10])
def test_a_small_folder_has_both_classes_in_every_split(each: int) -> None:
    rows = [
        row(f"{name}/{n}", label, category=name) for label, name in enumerate(("real", "fake")) for n in range(each)
    ]
    done = assign(rows, PARAMS)
    assert {key for key, count in by_split(rows, done.split).items() if count} == {
        (split, label) for split in ("train", "val", "test") for label in (0, 1)
    }
    assert done.warnings == []


def test_a_split_without_a_class_is_told() -> None:
    rows = [row(f"real/{n}", 0, category="real") for n in range(10)]
    assert assign(rows, PARAMS).warnings == [f"{split} has no fake videos" for split in ("train", "val", "test")]


def test_unreadable_videos_are_split_too() -> None:
    rows = people(16)
    rows[3] |= {"status": "unreadable", "sha256": None}
    assert len(assign(rows, PARAMS).split) == len(rows)
