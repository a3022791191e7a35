from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.config.params import SplitsParams
from dfdetect.splits.assign import BY_GROUP, assign, hold_out, identity_groups
from tests.splits.tables import Rows, people, row

PARAMS = SplitsParams(val_fraction=0.1)


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
    assert done.policy == {"test": BY_GROUP, "val": BY_GROUP}


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
    assert done.policy == {"test": "official", "val": BY_GROUP}


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


def test_what_the_official_lists_leave_out_is_split_by_itself() -> None:
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
    assert done.policy["test"].startswith(f"official, and {BY_GROUP}")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_to_split_are_all_in_test(count: int) -> None:
    rows = people(count, ("A", "B"))
    done = assign(rows, PARAMS)
    assert set(done.split.values()) == {"test"}
    assert any("too few to split" in warning for warning in done.warnings)


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


def grouped(rows: Rows) -> set[frozenset[str]]:
    """The identity groups as sets of video_ids."""
    found = defaultdict(set)
    for item, group in zip(rows, identity_groups(rows).tolist(), strict=True):
        found[group].add(item["video_id"])
    return {frozenset(group) for group in found.values()}


def groups_of(text: str) -> set[frozenset[str]]:
    return {frozenset(group.split("+")) for group in text.split()}


def test_a_fake_goes_with_its_original() -> None:
    rows = [
        row("o1"),
        row("f1", 1, original_id="o1"),
        row("f2", 1, original_id="o1"),
        row("o2"),
        row("f3", 1, original_id="gone"),
        row("f4", 1, original_id="gone"),
    ]
    assert grouped(rows) == groups_of("o1+f1+f2 o2 f3+f4")


def test_an_identity_is_one_group() -> None:
    rows = [row("a", identity="x"), row("b", identity="x"), row("c", identity="y"), row("d", 1, original_id="c")]
    assert grouped(rows) == groups_of("a+b c+d")


def test_a_person_and_a_video_of_one_name_are_two_groups() -> None:
    assert len(grouped([row("x"), row("y", identity="x")])) == 2


def pairs(count: int) -> Rows:
    """Like FaceForensics++: people in pairs, each with the other's face."""
    rows = []
    for a in range(count):
        rows += [row(f"r{a}", identity=f"{a}"), row(f"f{a}", 1, identity=f"{a}", source_identity=f"{a ^ 1}")]
    return rows


def test_source_identities_link_pairs_but_not_a_whole_dataset() -> None:
    assert grouped(pairs(4)) == groups_of("r0+f0 r1+f1 r2+f2 r3+f3")  # two groups of half the videos are too large
    assert {len(group) for group in grouped(pairs(8))} == {4}
    chain = [row(f"v{n}", 1, identity=f"{n}", source_identity=f"{n + 1}") for n in range(9)]
    assert {len(group) for group in grouped(chain)} == {1}


ROWS = st.lists(
    st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from([None, 0, 1, 2, 3])), min_size=1, max_size=9
)


@settings(deadline=None)
@given(ROWS)
def test_groups_hold_identities_and_originals_together(described: list[tuple[str | None, int | None]]) -> None:
    rows = [
        row(f"v{number}", identity=identity, original_id=f"v{original}" if original is not None else None)
        for number, (identity, original) in enumerate(described)
    ]
    of = dict(zip([item["video_id"] for item in rows], identity_groups(rows).tolist(), strict=True))
    for first in rows:
        assert first["original_id"] not in of or of[first["original_id"]] == of[first["video_id"]]
        for second in rows:
            if first["identity"] is not None and first["identity"] == second["identity"]:
                assert of[first["video_id"]] == of[second["video_id"]]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 9), min_size=1), min_size=3, max_size=30),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
    st.integers(1, 2),
)
def test_whole_groups_are_held_out_whatever_the_order(
    sizes: list[dict[str, int]], fraction: float, seed: int, keep: int
) -> None:
    rows = [
        row(f"{n}/{category}{k}", int(category > "B"), category=category, identity=f"{n}")
        for n, counts in enumerate(sizes)
        for category, count in counts.items()
        for k in range(count)
    ]
    held = hold_out(rows, fraction, seed=seed, keep=keep)
    identities = {item["identity"] for item in rows if item["video_id"] in held}
    assert held == {item["video_id"] for item in rows if item["identity"] in identities}
    assert 0 < len(identities) < len(sizes)
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    assert hold_out(shuffled, fraction, seed=seed, keep=keep) == held


@pytest.mark.parametrize(("count", "test", "val"), [(16, 4, 2), (12, 3, 1), (500, 100, 40), (5, 1, 1), (3, 1, 1)])
def test_small_and_large_sets_give_whole_shares(count: int, test: int, val: int) -> None:
    rows = people(count)
    done = assign(rows, SplitsParams(val_fraction=0.1))
    found = Counter(done.split.values())
    assert (found["test"], found["val"]) == (4 * test, 4 * val)


def test_categories_come_in_their_right_share() -> None:
    rng = random.Random(0)
    rows = [
        row(f"{n}/{category}{k}", int(category != "A"), category=category, identity=f"{n}")
        for n in range(500)
        for category, count in {"A": 1, "B": 1, "C": rng.randint(5, 35), "D": rng.randint(5, 40)}.items()
        for k in range(count)
    ]
    held = hold_out(rows, 0.2, seed=1, keep=2)
    total = Counter(item["category"] for item in rows)
    for category, count in Counter(item["category"] for item in rows if item["video_id"] in held).items():
        assert abs(count - 0.2 * total[category]) <= max(1.0, 0.02 * 0.2 * total[category])


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.15, 0.3, 0.45])
def test_any_fraction_is_met(fraction: float) -> None:
    assert len(hold_out(people(100), fraction, seed=3, keep=1)) == pytest.approx(400 * fraction, abs=8)


def test_a_rare_class_is_in_every_split_and_takes_no_more_of_the_other() -> None:
    rows = [row(f"r{n}", 0, category="real") for n in range(200)]
    rows += [row(f"f{n}", 1, category="fake") for n in range(3)]
    done = assign(rows, PARAMS)
    counts = by_split(rows, done.split)
    assert [counts[split, 1] for split in ("train", "val", "test")] == [1, 1, 1]
    assert 38 <= counts["test", 0] <= 42


def test_another_seed_gives_another_split() -> None:
    rows = people(50)
    assert hold_out(rows, 0.2, seed=1, keep=2) != hold_out(rows, 0.2, seed=2, keep=2)
