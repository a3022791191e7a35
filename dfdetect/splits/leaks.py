"""What leaks between splits: the same file, or near-equal frames; and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dfdetect.config.params import SplitsParams
from dfdetect.errors import UserError
from dfdetect.splits.audit import PAIRS, Row
from dfdetect.splits.near import Frames, matches, nearest

EXCLUDED = "excluded"  # the split of videos that on_leak: drop takes out
_EXAMPLES = 10


@dataclass
class Leaks:
    """Findings, and for each video that leaks the videos's own reason.

    Args:
        files: figures of equal files.
        frames: figures of near-equal frames; None where there are no faces yet.
        leaking: video_id -> why, for the side that has to give way.
    """

    files: dict[str, Any]
    frames: dict[str, Any] | None
    leaking: dict[str, str] = field(default_factory=dict)


def find_leaks(rows: Sequence[Row], split: Mapping[str, str], frames: Frames | None, bits: int) -> Leaks:
    """Look for equal files and near-equal frames in different splits.

    Args:
        rows: of videos.parquet.
        frames: hashes of the face crops, by place in `rows`; None where the faces stage has not run.
        bits: hashes that differ in at most so many bits are near-equal.
    Returns:
        Figures and the videos that leak. Between train or val and test it is never the test video that gives way.
    """
    leaks = Leaks(*_equal_files(rows, split))
    if frames is not None:
        leaks.frames = _near_frames(rows, split, frames, bits, leaks.leaking)
    return leaks


def _equal_files(rows: Sequence[Row], split: Mapping[str, str]) -> tuple[dict[str, Any], None, dict[str, str]]:
    """Files with the same sha256. Files that cannot be probed do not count: nothing is learned from them."""
    by_hash: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok":
            by_hash[row["sha256"]].append(row)
    groups = [group for group in by_hash.values() if len(group) > 1]
    leaking: dict[str, str] = {}
    for group in groups:
        first_in = {split[row["video_id"]]: row["video_id"] for row in reversed(group)}
        for gives_way, stays in PAIRS:
            if gives_way in first_in and stays in first_in:
                for row in group:
                    if split[row["video_id"]] == gives_way:
                        leaking.setdefault(row["video_id"], f"the same file as {first_in[stays]} ({stays})")
    across = [group for group in groups if len({split[row["video_id"]] for row in group}) > 1]
    conflicting = [group for group in groups if len({row["label"] for row in group} - {None}) > 1]
    figures = {
        "groups": len(groups),
        "files": sum(len(group) for group in groups),
        "groups_across_splits": len(across),
        "groups_with_both_labels": len(conflicting),
        "examples": [[row["video_id"] for row in group[:3]] for group in (across or groups)[:_EXAMPLES]],
    }
    return figures, None, leaking


def _near_frames(
    rows: Sequence[Row], split: Mapping[str, str], frames: Frames, bits: int, leaking: dict[str, str]
) -> dict[str, Any]:
    names = np.array([split[row["video_id"]] for row in rows])
    parts = {name: frames.of(np.flatnonzero(names == name)) for name in {name for pair in PAIRS for name in pair}}
    figures: dict[str, Any] = {"bits": bits, "frames": len(frames.phash)}
    for gives_way, stays in PAIRS:
        left, right = parts[gives_way], parts[stays]
        left_hit, right_hit, pairs = matches(left.phash, right.phash, bits)
        examples = []
        videos, first_rows = np.unique(left.video[left_hit], return_index=True)
        for number, (video, at) in enumerate(zip(videos.tolist(), first_rows.tolist(), strict=True)):
            row = int(np.flatnonzero(left_hit)[at]) if number < _EXAMPLES else None
            if row is not None:
                examples.append(_example(rows, left, right, row))
            leaking.setdefault(rows[video]["video_id"], f"frames near-equal to some in {stays}")
        figures[f"{gives_way}-{stays}"] = {
            "pairs": pairs,
            f"frames_in_{gives_way}": int(left_hit.sum()),
            f"frames_in_{stays}": int(right_hit.sum()),
            f"videos_in_{gives_way}": len(videos),
            f"videos_in_{stays}": len(np.unique(right.video[right_hit])),
            "examples": examples,
        }
    return figures


def _example(rows: Sequence[Row], left: Frames, right: Frames, row: int) -> dict[str, Any]:
    other, distance = nearest(left, right, row)
    return {
        "video_id": rows[int(left.video[row])]["video_id"],
        "frame_index": int(left.frame_index[row]),
        "near_video_id": rows[int(right.video[other])]["video_id"],
        "near_frame_index": int(right.frame_index[other]),
        "bits": distance,
    }


def act(leaks: Leaks, split: dict[str, str], params: SplitsParams, dataset: str) -> dict[str, int]:
    """Do what splits.on_leak says: nothing, take the leaking videos out of their split, or stop.

    Returns:
        How many videos were taken out, by the split they were in; `split` is changed.
    Raises:
        UserError: on_leak is fail and something leaks; the first ones are named.
    """
    if params.on_leak == "fail" and leaks.leaking:
        shown = "".join(f"\n  {video_id}: {why}" for video_id, why in sorted(leaks.leaking.items())[:5])
        raise UserError(
            f"datasets.{dataset}: {len(leaks.leaking)} videos leak into another split (splits.on_leak is fail; "
            f"metrics/{dataset}/splits.json has the figures). The first:{shown}"
        )
    taken: dict[str, int] = {}
    if params.on_leak == "drop":
        for video_id in sorted(leaks.leaking):
            taken[split[video_id]] = taken.get(split[video_id], 0) + 1
            split[video_id] = EXCLUDED
    return dict(sorted(taken.items()))
