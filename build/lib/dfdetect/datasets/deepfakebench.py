"""What people preprocessed for DeepfakeBench: its JSON lists, and a folder of face crops per video.

The JSON is {dataset: {label: {train|val|test: {[compression]: {video: {label, frames: [...]}}}}}}. Frame paths may be
absolute, relative to another folder, or have backslashes: they are found by their ends. A video here is a folder; its
frames are the images in it, in the order of the numbers in their names. Lists of that project name many videos in two
or three splits (train holds the test videos of Celeb-DF, validation is a copy of test): such a video is taken once, and
test goes before train and val.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.datasets import celebdf, faceforensics
from dfdetect.datasets.layout import Clip, Index, not_found, noted
from dfdetect.datasets.lists import Lookup, read_json_file, stop_on_conflicts
from dfdetect.datasets.tree import Tree, is_image, stored
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
    splits: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by folder, as listed
    missing: set[str] = field(default_factory=set)
    frames_missing: int = 0


def index(tree: Tree, _entry: DatasetParams, /) -> Index:
    """List the videos of every DeepfakeBench list under the root.

    `category` is the list's label (FF-DF, CelebDFv2_real, ...), `identity` comes from names of the FaceForensics++ and
    Celeb-DF kinds.

    Raises:
        UserError: no list, a label that is neither real nor fake, or one video with two labels.
    """
    folders, found, lists = _Folders(tree), _Found(), []
    for place in tree.files:
        if place.casefold().endswith(".json") and _is_list(content := read_json_file(tree.root / place)):
            lists.append(place)
            _read_list(tree.root / place, content, folders, found)
    if not lists:
        raise not_found(tree, f"no list of DeepfakeBench ({HOLDS})")
    if not found.clips:
        first = ", ".join(sorted(found.missing)[:3])
        raise UserError(f"{stored(str(tree.root))}: none of the listed folders of frames is there, such as {first}.")
    extra = set(folders.images) - set(found.clips)
    notes = {
        "in_several_splits": noted(name for name, splits in found.splits.items() if len(splits) > 1),
        "missing": noted(found.missing),
        "frames_missing": found.frames_missing,
        "extra": noted(extra),
    }
    counted = [f"{folder}/{name}".lstrip("/") for folder in extra for name in folders.images[folder]]
    return Index(list(found.clips.values()), notes, lists=lists, counted=counted)


def _is_list(content: Any) -> bool:
    """Whether some label of some dataset has a split: other JSON files may lie about."""
    return any(
        not set(SPLITS).isdisjoint(_items(label))
        for labels in _items(content).values()
        for label in _items(labels).values()
    )


def _items(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


class _Folders:
    """The folders that hold images, found by the ends of the paths that a list gives.

    Attributes:
        images: folder -> names of the images in it.
    """

    def __init__(self, tree: Tree) -> None:
        self.images: dict[str, list[str]] = defaultdict(list)
        for path in tree.files:
            if is_image(path):
                folder, _, name = path.rpartition("/")
                self.images[folder].append(name)
        self._lookup = Lookup(self.images)
        self._depth = 0  # how many leading parts of the list's paths are not in the tree; nearly always the same

    def find(self, path: str) -> str | None:
        """The folder on disk that ends the given path, or None."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for depth in (self._depth, *range(len(parts))):
            if (found := self._lookup.find("/".join(parts[depth:]))) is not None:
                self._depth = depth
                return found
        return None


def _read_list(path: Path, content: Mapping[str, Any], folders: _Folders, found: _Found) -> None:
    """Add the videos of one list, which may lack the level of the video's name, or that of compression."""
    conflicts: list[str] = []
    for dataset, labels in content.items():
        if not isinstance(labels, dict):
            raise UserError(f"{stored(str(path))}: `{dataset}` must map labels to splits.")
        for label, splits in labels.items():
            for split, videos in _items(splits).items():
                if split not in SPLITS:
                    known = ", ".join(SPLITS)
                    raise UserError(
                        f"{stored(str(path))}: {dataset}/{label} has the split `{split}`; there is {known}."
                    )
                for keys, record in _records(videos):
                    frames = tuple(str(frame).replace("\\", "/") for frame in record["frames"])
                    compression = keys[-2] if len(keys) > 1 else None
                    name = keys[-1] if keys else ""
                    video = _Video(name, str(record.get("label", label)), split, compression, frames)
                    conflicts += _add(path, video, folders, found)
    stop_on_conflicts(path, conflicts, "A video is either real or fake; write the list anew.")


def _records(content: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Whatever has frames, with the keys that lead there."""
    if isinstance(_items(content).get("frames"), list):
        yield keys, content
        return
    for key, inner in _items(content).items():
        yield from _records(inner, (*keys, key))


def _add(path: Path, video: _Video, folders: _Folders, found: _Found) -> list[str]:
    """Add one video, or to its splits. Returns the conflicts with what other lists say of it."""
    parents = sorted({frame.rpartition("/")[0] for frame in video.frames})
    if len(parents) > 1:
        raise UserError(f"{stored(str(path))}: the frames of {stored(video.name)} lie in several folders: {parents}.")
    folder = folders.find(parents[0]) if parents else None
    if folder is None:
        found.missing.add(parents[0] if parents else video.name)
        return []
    if not (real := _REAL.search(video.label)) and not _FAKE.search(video.label):
        said = f"{stored(video.name)} has the label `{video.label}`, which says neither real nor fake"
        raise UserError(f"{stored(str(path))}: {said}.")
    label, before = int(not real), found.clips.get(folder)
    if before is None:
        there = Lookup(folders.images[folder])
        found.frames_missing += sum(there.find(frame.rpartition("/")[2]) is None for frame in video.frames)
    found.splits[folder].add(video.split)
    split = next(split for split in SPLITS if split in found.splits[folder])
    found.clips[folder] = _clip(folder, video, label, split)
    differ = before is not None and before.label != label
    return [f"{stored(folder)} is both {before.category} and {video.label}"] if before and differ else []


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
