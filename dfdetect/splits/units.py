"""What must not be torn apart: the videos of one person, and a fake with its original."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unit:
    """Videos that go to one split together.

    Args:
        name: from the identity where one is known, else from the original's video_id; it decides the unit's place in
            the order.
        video_ids: its videos.
        categories: category -> number of its videos.
    """

    name: str
    video_ids: tuple[str, ...]
    categories: Mapping[str, int]


def make_units(rows: Sequence[Mapping[str, Any]]) -> list[Unit]:
    """Group the rows of videos.parquet: equal `identity`, or one the original of the other, is one unit.

    `source_identity` links nothing: a face swap shows one person with another's face, and linking both would tie most
    of a dataset into one unit. Such overlaps are counted by the audit instead.

    Returns:
        Units in the order of their names; the same whatever the order of the rows.
    """
    parents: dict[tuple[int, str], tuple[int, str]] = {}

    def find(node: tuple[int, str]) -> tuple[int, str]:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    # A node's first part ranks it as a name: a person before an original, an original before a fake.
    place = {row["video_id"]: (1 if row["original_id"] is None else 2, row["video_id"]) for row in rows}
    for row in rows:
        node = place[row["video_id"]]
        links = [(0, row["identity"])] if row["identity"] is not None else []
        if row["original_id"] is not None:
            links.append(place.get(row["original_id"], (1, row["original_id"])))
        for link in links:
            low, high = sorted((find(node), find(link)))
            parents[high] = low  # the lowest node is the root, and so the name
    members: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        members[find(place[row["video_id"]])].append(row)
    return [_unit(("video:" if root[0] else "identity:") + root[1], members[root]) for root in sorted(members)]


def _unit(name: str, rows: list[Mapping[str, Any]]) -> Unit:
    categories: dict[str, int] = defaultdict(int)
    for row in rows:
        categories[stratum_of(row)] += 1
    return Unit(name, tuple(sorted(row["video_id"] for row in rows)), dict(sorted(categories.items())))


def stratum_of(row: Mapping[str, Any]) -> str:
    """What the splits are balanced by: the category, or the label where a layout has no categories."""
    return str(row["category"] if row["category"] is not None else row["label"])
