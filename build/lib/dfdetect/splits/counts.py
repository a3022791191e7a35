"""How many videos of what each split has, and whether the official counts are met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfdetect.datasets.layout import OfficialPart
from dfdetect.errors import UserError

Row = Mapping[str, Any]
Split = Mapping[str, str]

_COUNTED = ("label", "visual_label", "category", "method", "compression")


def counts(rows: Sequence[Row], split: Split) -> dict[str, Any]:
    """Videos per split, and within each by label, visual label, category, method and compression.

    Args:
        rows: of videos.parquet.
        split: video_id -> split.
    Returns:
        split -> {"videos", "fake_fraction", "identities", column -> {value -> n}}; a null value is counted as "null".
    """
    result: dict[str, Any] = {}
    for name in sorted(set(split.values())):
        own = [row for row in rows if split[row["video_id"]] == name]
        labels = [row["label"] for row in own if row["label"] is not None]
        result[name] = {
            "videos": len(own),
            "fake_fraction": round(sum(labels) / len(labels), 4) if labels else None,
            "identities": len({row["identity"] for row in own} - {None}),
        }
        for column in _COUNTED:
            counted = Counter("null" if row[column] is None else str(row[column]) for row in own)
            result[name][column] = dict(sorted(counted.items()))
    return result


def official_counts(rows: Sequence[Row], parts: Iterable[OfficialPart], dataset: str) -> list[dict[str, Any]]:
    """Compare the official counts with those found.

    Returns:
        One entry per part that is there, at least in part: what was expected and found, and whether it is whole.
    Raises:
        UserError: a part is whole and its official split has other counts.
    """
    found = []
    for part in parts:
        own = [row for row in rows if all(row[column] == value for column, value in part.where.items())]
        if not own:
            continue
        splits = Counter(row["official_split"] for row in own if row["official_split"] is not None)
        whole = len(own) == part.videos
        where = ", ".join(f"{column} {value}" for column, value in part.where.items())
        if whole and splits and part.splits and dict(splits) != dict(part.splits):
            raise UserError(
                f"datasets.{dataset}: all {part.videos} videos with {where} are there, but their split is "
                f"{dict(sorted(splits.items()))} and not {dict(sorted(part.splits.items()))}: fetch its lists again."
            )
        found.append(
            {
                "where": dict(part.where),
                "expected": part.videos,
                "found": len(own),
                "whole": whole,
                "expected_splits": dict(sorted(part.splits.items())),
                "found_splits": dict(sorted(splits.items())),
            }
        )
    return found
