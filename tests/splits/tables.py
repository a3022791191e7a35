"""Rows of videos.parquet for tests of the splits."""

from __future__ import annotations

from typing import Any

from dfdetect.io.schemas import VIDEOS

Rows = list[dict[str, Any]]


def row(video_id: str, label: int | None = 0, **columns: Any) -> dict[str, Any]:
    """One video that probed well; sha256 is its own unless given."""
    base = dict.fromkeys(VIDEOS.names)
    filled = {"video_id": video_id, "path": video_id, "sha256": video_id, "label": label, "visual_label": label}
    return {**base, **filled, "status": "ok", **columns}


def people(count: int, categories: tuple[str, ...] = ("A", "B", "C", "D"), clips: int = 1) -> Rows:
    """`count` identities, each with `clips` videos of every category; the first category is real."""
    return [
        row(f"{category}/{name}/{clip}.mp4", int(category != categories[0]), category=category, identity=name)
        for name in (f"id{number:03d}" for number in range(count))
        for category in categories
        for clip in range(clips)
    ]
