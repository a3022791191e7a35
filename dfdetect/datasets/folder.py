"""One's own videos or images under class folders: real/ and fake/, alone or inside train/, val/, test/ (any case).

An image is a video of one frame. Folders inside a class folder are allowed; for fakes the first one names the method.
File names may tell originals and people (dfdetect/datasets/names.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.datasets.layout import Clip, Index, noted
from dfdetect.datasets.names import with_origins
from dfdetect.datasets.tree import Tree, is_image, is_video, stored, walk
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

NAMES_TELL = True
HOLDS = "real/ and fake/, or train/, val/ and test/ with real/ and fake/ in each"

CLASSES = {"real": 0, "fake": 1}
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def index(root: Path, _entry: DatasetParams, /) -> Index:
    """List the videos and images under the class folders.

    `category` is the class (real, fake); `method` is `real`, or the first folder inside fake/. The split folders are
    taken as the official split.

    Raises:
        UserError: a folder that holds media is neither a class nor a split; the message lists what was found.
    """
    tree = walk(root)
    media = [path for path in tree.files if is_video(path) or is_image(path)]
    clips, outside, strange = [], [], set()
    inner: dict[str, str] = {}
    for path in media:
        folders = path.split("/")[:-1]
        place = _place(folders)
        if place is not None:
            clips.append(_clip(path, folders, *place))
            inner[path] = "/".join(path.split("/")[place[2] :])
        elif folders:
            strange.add("/".join(folders[: 1 + (folders[0].casefold() in SPLITS)]))
        else:
            outside.append(path)
    if strange or not clips:
        raise UserError(_what_is_wrong(tree, strange))
    labels = {clip.label for clip in clips}
    notes = {
        "absent_parts": [name for name, label in CLASSES.items() if label not in labels],
        "images": sum(is_image(clip.path) for clip in clips),
        "outside": noted(outside),
        "ignored": noted(set(tree.files) - set(media)),
    }
    return Index(with_origins(clips, inner), notes)


def _place(folders: list[str]) -> tuple[str | None, str, int] | None:
    """The official split, the class and the number of folders that say so; None where no class folder is."""
    if folders and folders[0].casefold() in CLASSES:
        return None, folders[0].casefold(), 1
    if len(folders) > 1 and folders[0].casefold() in SPLITS and folders[1].casefold() in CLASSES:
        return SPLITS[folders[0].casefold()], folders[1].casefold(), 2
    return None


def _clip(path: str, folders: list[str], split: str | None, name: str, depth: int) -> Clip:
    label = CLASSES[name]
    inner = stored(folders[depth]) if len(folders) > depth else None
    return Clip(
        path=path,
        video_id=stored(path),
        label=label,
        visual_label=label,
        category=name,
        method=inner if label else "real",
        official_split=split,
    )


def _what_is_wrong(tree: Tree, strange: set[str]) -> str:
    root = stored(str(tree.root))
    if strange:
        found = ", ".join(f"{stored(name)}/" for name in sorted(strange)[:20])
        return f"{root}: unknown class folders {found}. Layout `folder` expects {HOLDS}: rename or move them."
    found = ", ".join(tree.names_at_root()[:20]) or "nothing"
    return f"{root} holds no videos or images in class folders; it holds {found}. Layout `folder` expects {HOLDS}."
