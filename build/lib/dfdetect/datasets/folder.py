"""One's own videos or images under class folders: real/ and fake/, alone, inside train/, val/, test/ or around them.

Letter case does not matter. An image is a video of one frame; a folder of numbered images below a class folder is one
video (see _frame_folders). Other folders inside a class folder are allowed; for fakes the first one names the method.
File names may tell originals and people (dfdetect/datasets/names.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dfdetect.datasets.layout import LISTED, Clip, Index, not_found, noted
from dfdetect.datasets.names import with_origins
from dfdetect.datasets.tree import Tree, find_base, is_image, is_video, stem, stored
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

NAMES_TELL = True
HOLDS = "real/ and fake/, or train/, val/ and test/ with real/ and fake/ in each"
SELECTS = ("frame_folders",)

CLASSES = {"real": 0, "fake": 1}
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # the last number of a name


@dataclass(frozen=True)
class _Place:
    """What the folders of a file say: its split, its class, and the folders inside these."""

    split: str | None
    category: str
    inner: tuple[str, ...]


def index(tree: Tree, entry: DatasetParams, /) -> Index:
    """List the videos and images under the class folders.

    `category` is the class (real, fake); `method` is `real`, or the first folder inside fake/. The split folders are
    taken as the official split.

    Raises:
        UserError: a folder that holds media is neither a class nor a split; the message lists what was found.
    """
    base = find_base(tree, lambda name: name.casefold() in {*CLASSES, *SPLITS}) or ""
    found: dict[str, _Place] = {}
    strange = set()
    for path in tree.files:
        folders = path.removeprefix(base).split("/")[:-1]
        if (is_video(path) or is_image(path)) and folders:
            place = _place(folders) if path.startswith(base) else None
            if place:
                found[path] = place
            else:
                strange.add("/".join(path.split("/")[: base.count("/") + 1 + (folders[0].casefold() in SPLITS)]))
    if strange or not found:
        raise _what_is_wrong(tree, strange)
    frames, loose = _frame_folders(found, entry.frame_folders)
    clips = {path: place for path, place in found.items() if path.rpartition("/")[0] not in frames}
    clips |= {path: replace(place, inner=place.inner[:-1]) for path, place in frames.items()}
    labels = {place.category for place in found.values()}
    notes = {
        "absent_parts": [name for name in CLASSES if name not in labels],
        "images": sum(is_image(path) for path in clips if path not in frames),
        "frame_folders": noted(frames),
        "loose_frames": noted(loose),
    }
    listed = [_clip(path, path[len(base) :], place) for path, place in clips.items()]
    inner = {path: "/".join([*place.inner, path.rpartition("/")[2]]) for path, place in clips.items()}
    return Index(with_origins(listed, inner), notes)


def _place(folders: list[str]) -> _Place | None:
    """The split and the class, whichever comes first, or a method between them; None without a class folder."""
    splits = [level for level, name in enumerate(folders[:3]) if name.casefold() in SPLITS]
    inner = [name for level, name in enumerate(folders) if level not in splits]
    if len(splits) > 1 or not inner or inner[0].casefold() not in CLASSES:
        return None
    split = SPLITS[folders[splits[0]].casefold()] if splits else None
    return _Place(split, inner[0].casefold(), tuple(inner[1:]))


def _frame_folders(found: dict[str, _Place], wanted: bool | None) -> tuple[dict[str, _Place], list[str]]:
    """The folders that hold the frames of one video each: images that differ in a number only, below a class folder.

    Unrelated images can be numbered, too. Unless the params say which they are, they are taken for frames where every
    image is in such a folder: those who collect single images have some directly in real/ or fake/.

    Returns:
        Folder -> its place, and the folders that might be such and are not taken for it.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path in found:
        images[path.rpartition("/")[0]].append(path)
    numbered = {
        folder: found[paths[0]] for folder, paths in images.items() if found[paths[0]].inner and _numbered(paths)
    }
    if all(len(images[folder]) == 1 for folder in numbered):
        return {}, []
    every = all(folder in numbered for folder, paths in images.items() if any(map(is_image, paths)))
    return (numbered, []) if (every if wanted is None else wanted) else ({}, list(numbered))


def _numbered(paths: list[str]) -> bool:
    """Whether these are images whose names differ in one number only, such as frame_0998.png to frame_1000.png."""
    names = [_NUMBERED.fullmatch(stem(path)) if is_image(path) else None for path in paths]
    parts = [(name[1], name[3]) for name in names if name]
    return len({int(name[2]) for name in names if name}) == len(paths) and len(set(parts)) == 1


def _clip(path: str, short: str, place: _Place) -> Clip:
    label = CLASSES[place.category]
    method = stored(place.inner[0]) if place.inner else None
    return Clip(
        path=path,
        video_id=stored(short),
        label=label,
        visual_label=label,
        category=place.category,
        method=method if label else "real",
        official_split=place.split,
    )


def _what_is_wrong(tree: Tree, strange: set[str]) -> UserError:
    if not strange:
        said = not_found(tree, "no videos or images in class folders")
        return UserError(f"{said} Layout `folder` expects {HOLDS}.")
    found = ", ".join(f"{stored(name)}/" for name in sorted(strange)[:LISTED])
    root = stored(str(tree.root))
    return UserError(f"{root}: unknown class folders {found}. Layout `folder` expects {HOLDS}: rename or move them.")
