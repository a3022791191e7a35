"""The audit of a split: how many of what, and what passes from one split to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def counts(rows: Sequence[Row], split: Mapping[str, str]) -> dict[str, Any]:
    """Videos a split, and within each by label, visual label, category, method and compression.

    Args:
        rows: of videos.parquet.
        split: video_id -> split.
    Returns:
        split -> {"videos": n, column -> {value -> n}}; a null value is counted as "null".
    """
    result: dict[str, Any] = {}
    for name in sorted(set(split.values())):
        own = [row for row in rows if split[row["video_id"]] == name]
        result[name] = {"videos": len(own)}
        for column in ("label", "visual_label", "category", "method", "compression"):
            counted = Counter("null" if row[column] is None else str(row[column]) for row in own)
            result[name][column] = dict(sorted(counted.items()))
        result[name]["identities"] = len({row["identity"] for row in own} - {None})
    return result
