from __future__ import annotations

import pytest

from dfdetect.datasets.layout import OfficialPart
from dfdetect.errors import UserError
from dfdetect.splits.counts import counts, official_counts
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
    assert found["train"]["fake_fraction"] == 0.6667
    assert found["train"]["identities"] == 1
    assert (found["test"]["fake_fraction"], found["test"]["label"]) == (None, {"null": 1})
