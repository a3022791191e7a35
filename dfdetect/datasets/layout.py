"""What a layout hands back: one Clip a video, and notes on what is missing, doubled or left out.

A layout is a module in this folder. Its name is the layout's name in params.yaml, and it has

    HOLDS: str                                     what the root folder must hold, for messages
    OFFICIAL: tuple[OfficialPart, ...]             the official counts, where there are any (optional)
    SELECTS: tuple[str, ...]                       which of the entry's `methods` and `compression` it obeys (optional)
    NAMES_TELL: bool                               people and originals are only known from file names, which may
                                                   mislead, and the split from folders (optional)
    def index(root: Path, entry: DatasetParams, /) -> Index
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dfdetect.datasets.tree import stored

# How many names the notes and messages list; the rest are counted.
LISTED = 20


@dataclass(frozen=True)
class Clip:
    """One video of a dataset, before it is opened. Columns as in dfdetect/io/schemas.py, VIDEOS.

    Args:
        path: relative to the root, as the file system has it.
        video_id: the path from where the official tree starts, so that it does not depend on how the set was unpacked.
    """

    path: str
    video_id: str
    label: int | None
    visual_label: int | None
    category: str | None = None
    method: str | None = None
    compression: str | None = None
    identity: str | None = None
    source_identity: str | None = None
    original_id: str | None = None
    official_split: str | None = None


@dataclass(frozen=True)
class Index:
    """A dataset's clips, and notes for the metrics: what the official lists name and the disk lacks, and so on."""

    clips: list[Clip]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OfficialPart:
    """A part of the official set and its counts.

    Args:
        where: column -> value that picks the part's videos.
        videos: how many the whole official part has.
        splits: official split -> how many; checked when the part is whole.
    """

    where: Mapping[str, str | int]
    videos: int
    splits: Mapping[str, int] = field(default_factory=dict)


def noted(names: Iterable[str]) -> dict[str, Any]:
    """A count and the first names in order, for Index.notes."""
    ordered = sorted(stored(name) for name in names)
    return {"count": len(ordered), "examples": ordered[:LISTED]}
