"""What a layout hands back: one Clip per video, and notes on what is missing, doubled or left out.

A layout is a module in this folder. Its name is the layout's name in params.yaml, and it has

    HOLDS: str                                     what the root folder must hold, for messages
    OFFICIAL: tuple[OfficialPart, ...]             the official counts, where there are any (optional)
    SELECTS: tuple[str, ...]                       which settings of the entry it obeys, of OPTIONAL (optional)
    NAMES_TELL: bool                               people and originals are only known from file names, which may
                                                   mislead, and the split from folders (optional)
    def index(tree: Tree, entry: DatasetParams, /) -> Index
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dfdetect.datasets.lists import fold
from dfdetect.datasets.tree import Tree, find_base, stored
from dfdetect.errors import UserError

# Settings of a dataset's entry that are refused where its layout does not obey them.
OPTIONAL = ("methods", "compression", "frame_folders")
# How many names the notes and messages list; the rest are counted.
LISTED = 20
# The notes in words; a note of another name stands as it is.
NOTES = {
    "lists": "lists read",
    "list_lines": "lines in the list",
    "list_duplicates": "named more than once by a list",
    "missing": "named by a list, not here",
    "frames_missing": "frames named by a list, not here",
    "extra": "here, named by no list",
    "duplicates": "here in two parts, taken once",
    "unlabelled": "without a label",
    "absent_originals": "originals of fakes, not here",
    "absent_parts": "parts that are not here",
    "not_selected": "here, left out by the settings",
    "in_several_splits": "named in several splits by a list",
    "odd_names": "names that do not say who is seen",
    "images": "images, each taken as a video of one frame",
    "frame_folders": "folders of numbered images, each taken as one video (or set frame_folders: false)",
    "loose_frames": "folders of numbered images whose images are taken one by one (or set frame_folders: true)",
    "outside": "videos outside of the folders that count",
    "archives": "archives that are not unpacked (list them in a source of kind archive)",
    "ignored": "files of other kinds",
    "passed_over": "hidden, or left behind by unpackers, recycle bins and network disks",
}


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
    """What a layout finds.

    Args:
        clips: the videos.
        notes: for the metrics, by the keys of NOTES: what the official lists name and the disk lacks, and so on.
        lists: paths of the lists that were read; None where the layout has none.
        counted: paths of files that the notes count already, and that are neither clips nor lists.
    """

    clips: list[Clip]
    notes: dict[str, Any] = field(default_factory=dict)
    lists: Collection[str] | None = None
    counted: Collection[str] = ()


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


def not_found(tree: Tree, what: str) -> UserError:
    """The error for a tree that is not one of the layout.

    Args:
        what: what it does not hold.
    """
    found = ", ".join(tree.names_at_root()[:LISTED]) or "nothing"
    return UserError(f"{stored(str(tree.root))} holds {what}; it holds {found}.")


def official_videos(tree: Tree, folders: Mapping[str, object], what: str) -> tuple[str, dict[str, str]]:
    """The videos in the folders of an official tree.

    Args:
        folders: their names; letter case does not matter.
        what: what the tree holds none of, for the message.
    Returns:
        Where the official tree starts ("" or a path that ends in /), and path from there -> path from the root.
    Raises:
        UserError: there is no such folder.
    """
    known = {fold(name) for name in folders}
    base = find_base(tree, lambda name: fold(name) in known)
    if base is None:
        raise not_found(tree, what)
    below = {path[len(base) :]: path for path in tree.videos if path.startswith(base)}
    return base, {short: path for short, path in below.items() if fold(short.split("/", 1)[0]) in known}


def find_list(tree: Tree, base: str, name: str) -> str | None:
    """The path of an official list: where the tree starts if it is there, else the one nearest to the root."""
    found = [path for path in tree.files if fold(path.rpartition("/")[2]) == fold(name)]
    return min(found, key=lambda path: (fold(path) != fold(base + name), path.count("/"), path), default=None)
