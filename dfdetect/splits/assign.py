"""Pick the units of a held-out split: seeded, balanced by category, hardly moved by files that come later."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dfdetect.splits.units import Unit

# A category may be off its share by this much (and by one video) before units are exchanged.
TOLERANCE = 0.02
MAX_EXCHANGES = 200
# Only units near the border between chosen and rest are exchanged, so that the rest stays where the hash put it.
EXCHANGE_WINDOW = 128


def hold_out(units: Sequence[Unit], fraction: float, *, seed: int, keep: int) -> set[str]:
    """Choose about a fraction of the units, rounded up, with every category in its right share.

    Units with the same set of categories form a stratum; each gives its share, in the order of a hash of seed and name.
    So the choice does not depend on the order of the units, and a unit that is added moves few others. Then units of
    the same stratum are exchanged while a category's share of videos is off by more than TOLERANCE.

    Args:
        fraction: of the units, 0 to 0.5.
        keep: units of each category that must stay behind, where the category has that many and one more.
    Returns:
        The names of the chosen units.
    """
    ordered = sorted(units, key=lambda unit: (_draw(seed, unit.name), unit.name))
    wanted = math.ceil(round(fraction * len(ordered), 9))
    strata: dict[tuple[str, ...], list[Unit]] = defaultdict(list)
    for unit in ordered:
        strata[tuple(unit.categories)].append(unit)
    left = _unit_counts(ordered)
    floor = {category: max(1, min(keep, count - 1)) for category, count in left.items()}
    chosen: dict[str, Unit] = {}
    for key, quota in _quotas({key: len(members) for key, members in strata.items()}, wanted).items():
        for unit in strata[key]:
            if quota and all(left[category] > floor[category] for category in unit.categories):
                _take(unit, chosen, left)
                quota -= 1
    for category in sorted(floor):  # every category that can be in the held-out split is
        if not any(category in unit.categories for unit in chosen.values()):
            for unit in ordered:
                if category in unit.categories and all(left[c] > floor[c] for c in unit.categories):
                    _take(unit, chosen, left)
                    break
    return _balanced(strata.values(), set(chosen), len(chosen) / len(ordered) if ordered else 0.0)


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()


def _take(unit: Unit, chosen: dict[str, Unit], left: dict[str, int]) -> None:
    chosen[unit.name] = unit
    for category in unit.categories:
        left[category] -= 1


def _unit_counts(units: Iterable[Unit]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for unit in units:
        for category in unit.categories:
            counts[category] += 1
    return counts


def _quotas(sizes: Mapping[tuple[str, ...], int], wanted: int) -> dict[tuple[str, ...], int]:
    """Part a number among strata by size: whole shares first, what is left to the largest remainders."""
    total = sum(sizes.values())
    shares = {key: wanted * size / total for key, size in sizes.items()}
    quotas = {key: math.floor(share) for key, share in shares.items()}
    by_remainder = sorted(sizes, key=lambda key: (quotas[key] - shares[key], -sizes[key], key))
    for key in by_remainder[: wanted - sum(quotas.values())]:
        quotas[key] += 1
    return {key: quotas[key] for key in sorted(quotas)}


def _balanced(strata: Iterable[Sequence[Unit]], chosen: set[str], share: float) -> set[str]:
    """Exchange chosen units for others of their stratum while that brings the categories nearer to their share."""
    groups = [list(members) for members in strata]
    names = sorted({category for members in groups for unit in members for category in unit.categories})
    column = {name: number for number, name in enumerate(names)}
    total, have = np.zeros(len(names)), np.zeros(len(names))
    for members in groups:
        for unit in members:
            for category, count in unit.categories.items():
                total[column[category]] += count
                have[column[category]] += count * (unit.name in chosen)
    target = total * share
    for _ in range(MAX_EXCHANGES):
        if np.all(np.abs(have - target) <= np.maximum(1.0, TOLERANCE * target)):
            break
        best = _best_exchange(groups, chosen, column, have - target, np.maximum(total, 1.0))
        if best is None:
            break
        out, come, change = best
        chosen = (chosen - {out}) | {come}
        have += change
    return chosen


def _best_exchange(
    groups: Sequence[Sequence[Unit]], chosen: set[str], column: Mapping[str, int], off: np.ndarray, total: np.ndarray
) -> tuple[str, str, np.ndarray] | None:
    """The exchange that lowers the squared relative deviation most; None when none does."""
    best: tuple[str, str, np.ndarray] | None = None
    lowest = float(np.sum((off / total) ** 2)) - 1e-12
    for members in groups:
        inside = [unit for unit in members if unit.name in chosen][-EXCHANGE_WINDOW:]
        outside = [unit for unit in members if unit.name not in chosen][:EXCHANGE_WINDOW]
        if not inside or not outside:
            continue
        gain = _matrix(outside, column)[None] - _matrix(inside, column)[:, None]  # (inside, outside, categories)
        score = np.sum(((off + gain) / total) ** 2, axis=2)
        place = int(np.argmin(score))  # the first of equals: the order of the hash
        if score.flat[place] < lowest:
            row, col = divmod(place, len(outside))
            lowest = float(score[row, col])
            best = (inside[row].name, outside[col].name, gain[row, col])
    return best


def _matrix(units: Sequence[Unit], column: Mapping[str, int]) -> np.ndarray:
    """Videos a unit and category [shape=(units, categories)]."""
    table = np.zeros((len(units), len(column)))
    for row, unit in enumerate(units):
        for category, count in unit.categories.items():
            table[row, column[category]] = count
    return table
