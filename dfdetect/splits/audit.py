"""The audit of a split: how many of what, the official counts, and which people pass from one split to another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfdetect.datasets.layout import OfficialPart
from dfdetect.errors import UserError

Row = Mapping[str, Any]
Split = Mapping[str, str]

# Pairs of splits between which nothing should pass: the first is the one that has to give way.
PAIRS = (("train", "test"), ("val", "test"), ("train", "val"))
_COUNTED = ("label", "visual_label", "category", "method", "compression")


def counts(rows: Sequence[Row], split: Split) -> dict[str, Any]:
    """Videos a split, and within each by label, visual label, category, method and compression.

    Args:
        rows: of videos.parquet.
        split: video_id -> split.
    Returns:
        split -> {"videos", "fake_share", "identities", column -> {value -> n}}; a null value is counted as "null".
    """
    result: dict[str, Any] = {}
    for name in sorted(set(split.values())):
        own = [row for row in rows if split[row["video_id"]] == name]
        labels = [row["label"] for row in own if row["label"] is not None]
        result[name] = {
            "videos": len(own),
            "fake_share": round(sum(labels) / len(labels), 4) if labels else None,
            "identities": len({row["identity"] for row in own} - {None}),
        }
        for column in _COUNTED:
            counted = Counter("null" if row[column] is None else str(row[column]) for row in own)
            result[name][column] = dict(sorted(counted.items()))
    return result


def official_counts(rows: Sequence[Row], parts: Iterable[OfficialPart], dataset: str) -> list[dict[str, Any]]:
    """Compare the official counts with those found.

    Returns:
        One entry a part that is there, at least in part: what was expected and found, and whether it is whole.
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


def shared_people(rows: Sequence[Row], split: Split) -> dict[str, Any]:
    """Identities and originals that occur in two splits.

    `identities` counts people seen in both. `videos_by_any_role` counts videos of the second split in which someone is
    seen, or lent face or voice, who also is or does so in the first: a face swap carries two people.

    Returns:
        {"unknown": videos without an identity, "train-test": {...}, "val-test": {...}, "train-val": {...}}.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    any_role: dict[str, set[str]] = defaultdict(set)
    originals: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        name = split[row["video_id"]]
        seen[name] |= {row["identity"]} - {None}
        any_role[name] |= _people(row)
        originals[name].add(row["original_id"] or row["video_id"])
    result: dict[str, Any] = {"unknown": sum(row["identity"] is None for row in rows)}
    for first, second in PAIRS:
        own = [row for row in rows if split[row["video_id"]] == second]
        both = seen[first] & seen[second]
        result[f"{first}-{second}"] = {
            "identities": len(both),
            "share": round(len(both) / len(seen[second]), 4) if seen[second] else None,
            "examples": sorted(both)[:10],
            "videos": sum(row["identity"] in both for row in own),
            "videos_by_any_role": sum(not _people(row).isdisjoint(any_role[first]) for row in own),
            "originals": len(originals[first] & originals[second]),
        }
    return result


def _people(row: Row) -> set[str]:
    return {row["identity"], row["source_identity"]} - {None}
