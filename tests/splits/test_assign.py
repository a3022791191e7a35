from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.splits.assign import TOLERANCE, hold_out
from dfdetect.splits.units import Unit, make_units
from tests.splits.tables import people, row


def units_of(sizes: list[dict[str, int]]) -> list[Unit]:
    return [
        Unit(
            f"identity:{number}",
            tuple(f"{number}/{c}{k}" for c in sizes_ for k in range(sizes_[c])),
            dict(sorted(sizes_.items())),
        )
        for number, sizes_ in enumerate(sizes)
    ]


UNITS = st.lists(st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 9), min_size=1), min_size=1, max_size=40).map(
    units_of
)


@settings(deadline=None)
@given(UNITS, st.floats(0.05, 0.45), st.integers(0, 5), st.integers(1, 2), st.randoms(use_true_random=False))
def test_the_choice_is_the_same_in_any_order(
    units: list[Unit], fraction: float, seed: int, keep: int, rng: random.Random
) -> None:
    chosen = hold_out(units, fraction, seed=seed, keep=keep)
    assert chosen <= {unit.name for unit in units}
    shuffled = units[:]
    rng.shuffle(shuffled)
    assert hold_out(shuffled, fraction, seed=seed, keep=keep) == chosen


@settings(deadline=None)
@given(UNITS, st.floats(0.05, 0.45), st.integers(0, 5), st.integers(1, 2))
def test_no_category_is_emptied_and_none_is_forgotten(units: list[Unit], fraction: float, seed: int, keep: int) -> None:
    chosen = hold_out(units, fraction, seed=seed, keep=keep)
    for category in "ABCD":
        holders = [unit for unit in units if category in unit.categories]
        taken = sum(unit.name in chosen for unit in holders)
        if holders:
            assert len(holders) - taken >= max(1, min(keep, len(holders) - 1))
        alone = [unit for unit in holders if set(unit.categories) == {category}]
        if len(alone) > keep:  # a unit of this category alone can always be spared
            assert taken >= 1


@pytest.mark.parametrize(("count", "test", "val"), [(16, 4, 2), (12, 3, 1), (500, 100, 40), (5, 1, 1), (3, 1, 1)])
def test_small_and_large_sets_give_whole_shares(count: int, test: int, val: int) -> None:
    units = make_units(people(count))
    chosen = hold_out(units, 0.2, seed=42, keep=2)
    rest = [unit for unit in units if unit.name not in chosen]
    assert len(chosen) == test
    assert len(hold_out(rest, 0.1, seed=42, keep=1)) == val


def test_categories_come_in_their_right_share() -> None:
    rng = random.Random(0)
    units = units_of([{"A": 1, "B": 1, "C": rng.randint(5, 35), "D": rng.randint(5, 40)} for _ in range(500)])
    total, held = Counter(), Counter()
    chosen = hold_out(units, 0.2, seed=1, keep=2)
    for unit in units:
        total.update(unit.categories)
        held.update(unit.categories if unit.name in chosen else {})
    for category, count in total.items():
        assert abs(held[category] - 0.2 * count) <= max(1.0, TOLERANCE * 0.2 * count)


def test_another_seed_gives_another_split() -> None:
    units = make_units(people(50))
    assert hold_out(units, 0.2, seed=1, keep=2) != hold_out(units, 0.2, seed=2, keep=2)


def test_an_added_identity_moves_few_others() -> None:
    before = hold_out(make_units(people(200)), 0.2, seed=42, keep=2)
    for extra in range(201, 206):
        after = hold_out(make_units(people(extra)), 0.2, seed=42, keep=2)
        assert len(before - after) <= math.ceil((extra - 200) * 0.2) + 1


def test_an_added_clip_moves_nobody() -> None:
    rows = people(50)
    more = [*rows, row("C/id007/9.mp4", 1, category="C", identity="id007")]
    chosen = hold_out(make_units(rows), 0.2, seed=42, keep=2)
    assert hold_out(make_units(more), 0.2, seed=42, keep=2) == chosen
