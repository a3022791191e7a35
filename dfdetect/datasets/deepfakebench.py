"""What people preprocessed for DeepfakeBench: its JSON lists, and a folder of face crops a video.

The JSON is {dataset: {label: {train|val|test: {[compression]: {video: {label, frames: [...]}}}}}}. Frame paths may be
absolute, relative to another folder, or have backslashes: they are found by their ends. A video here is a folder; its
frames are the images in it, in the order of their names. Lists of that project name many videos in two or three splits
(train holds the test videos of Celeb-DF, validation is a copy of test): such a video is taken once, and test goes
before train and val.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.datasets import celebdf, faceforensics
from dfdetect.datasets.layout import Clip, Index, noted
from dfdetect.datasets.lists import read_json_file, stop_on_conflicts
from dfdetect.datasets.tree import Tree, is_image, stored, walk
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

HOLDS = "one or more .json lists of DeepfakeBench, and the folders of frames that they name"
# Of a video that several splits name, the first of these keeps it.
SPLITS = ("test", "train", "val")

_REAL = re.compile(r"(^|[^a-z])real", re.IGNORECASE)
_FAKE = re.compile(r"fake|^FF-|(^|[^a-z])(synthesis|swap|manipulated)", re.IGNORECASE)


@dataclass(frozen=True)
class _Video:
    """One video as a list names it."""

    name: str
    label: str  # the list's own word, such as FF-DF or CelebDFv2_real
    split: str
    compression: str | None
    frames: tuple[str, ...]


@dataclass
class _Found:
    clips: dict[str, Clip] = field(default_factory=dict)  # by folder
    splits: dict[str, set[str]] = field(default_factory=dict)  # by folder, as listed
    missing: set[str] = field(default_factory=set)
    frames_missing: int = 0
    conflicts: list[str] = field(default_factory=list)


def index(root: Path, _entry: DatasetParams, /) -> Index:
    """List the videos of every DeepfakeBench list under the root.

    `category` is the list's label (FF-DF, CelebDFv2_real, ...), `identity` comes from names of the FaceForensics++ and
    Celeb-DF kinds.

    Raises:
        UserError: no list, a label that is neither real nor fake, or one video with two labels.
    """
    tree = walk(root)
    folders = _folders(tree)
    found = _Found()
    lists = []
    for place in tree.files:
        if not place.casefold().endswith(".json"):
            continue
        content = read_json_file(tree.root / place)
        if _is_list(content):
            lists.append(place)
            _read_list(tree.root / place, content, folders, found)
    if not lists:
        names = ", ".join(tree.names_at_root()[:20]) or "nothing"
        raise UserError(f"{stored(str(root))} holds no list of DeepfakeBench; it needs {HOLDS}. It holds {names}.")
    if not found.clips:
        first = ", ".join(sorted(found.missing)[:3])
        raise UserError(f"{stored(str(root))}: none of the listed folders of frames is there, such as {first}.")
    notes = {
        "lists": noted(lists),
        "in_several_splits": noted(name for name, splits in found.splits.items() if len(splits) > 1),
        "missing": noted(found.missing),
        "frames_missing": found.frames_missing,
        "extra": noted(set(folders.images) - set(found.clips)),
    }
    return Index(list(found.clips.values()), notes)


def _is_list(content: Any) -> bool:
    """Whether some label of some dataset has a split: other JSON files may lie about."""
    if not isinstance(content, dict):
        return False
    labels = [label for dataset in content.values() if isinstance(dataset, dict) for label in dataset.values()]
    return any(isinstance(label, dict) and not set(SPLITS).isdisjoint(label) for label in labels)


class _Folders:
    """The folders that hold images, found by the ends of the paths that a list gives."""

    def __init__(self, images: Mapping[str, frozenset[str]]) -> None:
        self.images = images
        self._depth = 0  # how many leading parts of the list's paths are not in the tree; nearly always the same

    def find(self, path: str) -> str | None:
        """The folder on disk that ends the given path, or None."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for depth in (self._depth, *range(len(parts))):
            candidate = "/".join(parts[depth:])
            if candidate in self.images:
                self._depth = depth
                return candidate
        return None


def _folders(tree: Tree) -> _Folders:
    images: dict[str, set[str]] = {}
    for path in tree.files:
        if is_image(path):
            folder, _, name = path.rpartition("/")
            images.setdefault(folder, set()).add(name)
    return _Folders({folder: frozenset(names) for folder, names in images.items()})


def _read_list(path: Path, content: Mapping[str, Any], folders: _Folders, found: _Found) -> None:
    for dataset, labels in content.items():
        for video in _videos(path, dataset, labels):
            _add(path, video, folders, found)
    stop_on_conflicts(path, found.conflicts, "A video is either real or fake; write the list anew.")


def _videos(path: Path, dataset: str, labels: Any) -> Iterator[_Video]:
    """Every video of one dataset in a list. Some lists lack the level of the video's name, or that of compression."""
    if not isinstance(labels, dict):
        raise UserError(f"{stored(str(path))}: `{dataset}` must map labels to splits.")
    for label, splits in labels.items():
        for split, content in splits.items() if isinstance(splits, dict) else ():
            if split not in SPLITS:
                known = ", ".join(SPLITS)
                raise UserError(f"{stored(str(path))}: {dataset}/{label} has the split `{split}`; there is {known}.")
            yield from _records(label, split, None, content)


def _records(label: str, split: str, compression: str | None, content: Any, name: str = "") -> Iterator[_Video]:
    if not isinstance(content, dict):
        return
    if isinstance(content.get("frames"), list):
        frames = tuple(str(frame).replace("\\", "/") for frame in content["frames"])
        yield _Video(name, str(content.get("label", label)), split, compression, frames)
        return
    for key, inner in content.items():
        leads_to_videos = isinstance(inner, dict) and not isinstance(inner.get("frames"), list)
        yield from _records(label, split, key if leads_to_videos else compression, inner, key)


def _add(path: Path, video: _Video, folders: _Folders, found: _Found) -> None:
    parents = {frame.rpartition("/")[0] for frame in video.frames}
    if not parents:
        found.missing.add(video.name)
        return
    if len(parents) > 1:
        raise UserError(f"{stored(str(path))}: the frames of {stored(video.name)} lie in several folders: {parents}.")
    listed = parents.pop()
    folder = folders.find(listed)
    if folder is None:
        found.missing.add(listed)
        return
    label = _label(path, video)
    before = found.clips.get(folder)
    if before is not None and before.label != label:
        found.conflicts.append(f"{stored(folder)} is both {before.category} and {video.label}")
    if before is None:
        there = folders.images[folder]
        found.frames_missing += sum(frame.rpartition("/")[2] not in there for frame in video.frames)
    seen = found.splits.setdefault(folder, set())
    seen.add(video.split)
    found.clips[folder] = _clip(folder, video, label, next(split for split in SPLITS if split in seen))


def _label(path: Path, video: _Video) -> int:
    real, fake = _REAL.search(video.label), _FAKE.search(video.label)
    if real:
        return 0
    if fake:
        return 1
    raise UserError(
        f"{stored(str(path))}: {stored(video.name)} has the label `{video.label}`, which says neither real nor fake."
    )


def _clip(folder: str, video: _Video, label: int, split: str) -> Clip:
    name = video.name or folder.rpartition("/")[2]
    identity, source_identity = celebdf.people(name)
    if identity is None:
        identity, source_identity = faceforensics.people(name)
    return Clip(
        path=folder,
        video_id=stored(folder),
        label=label,
        visual_label=label,
        category=video.label,
        method=video.label if label else "real",
        compression=video.compression,
        identity=identity,
        source_identity=source_identity,
        official_split=split,
    )
