"""Layouts by name. A layout is a file in this folder; adding one edits nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from dfdetect.datasets.layout import OPTIONAL, Index, OfficialPart, noted
from dfdetect.datasets.tree import ARCHIVE_SUFFIXES, Tree, is_video, path_key, stored, suffix, walk
from dfdetect.errors import UserError, unknown

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams


class Layout(Protocol):
    """What a layout's module offers; see dfdetect/datasets/layout.py."""

    HOLDS: str

    def index(self, tree: Tree, entry: DatasetParams, /) -> Index:
        """List the dataset in a tree."""
        ...


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by name: the modules of this folder that have an `index` function."""
    package = importlib.import_module("dfdetect.datasets")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return MappingProxyType({name: cast(Layout, found) for name, found in modules.items() if hasattr(found, "index")})


def get(name: str, where: str = "params.yaml") -> Layout:
    """The layout of that name.

    Args:
        name: as params.yaml has it.
        where: it has it, for messages.
    Raises:
        UserError: there is none; the message lists those there are.
    """
    known = layouts()
    if name not in known:
        raise UserError(f"{where}: {unknown('layout', name, known)}")
    return known[name]


def check(dataset: str, entry: DatasetParams) -> None:
    """Whether the layout exists and obeys the entry's settings.

    Raises:
        UserError: there is no such layout, or a setting would have no effect in it.
    """
    selects = getattr(get(entry.layout, f"params.yaml, datasets.{dataset}.layout"), "SELECTS", ())
    for name in OPTIONAL:
        if getattr(entry, name) is not None and name not in selects:
            able = ", ".join(each for each, layout in layouts().items() if name in getattr(layout, "SELECTS", ()))
            raise UserError(
                f"params.yaml: datasets.{dataset}.{name} has no effect in layout `{entry.layout}`, only in {able}: "
                "remove the key, and take out of the folder what should not be used."
            )


def official(name: str) -> tuple[OfficialPart, ...]:
    """The official counts of a layout; empty where the set has none."""
    return tuple(getattr(get(name), "OFFICIAL", ()))


def names_tell(name: str) -> bool:
    """Whether a layout knows people and originals from file names only, and its split from folders."""
    return bool(getattr(get(name), "NAMES_TELL", False))


def build_index(dataset: str, entry: DatasetParams, root: Path) -> Index:
    """Index a dataset with its layout; the clips come back in the order of their paths' bytes.

    Every file under the root is a clip, a frame of one, a list, or counted in a note.

    Raises:
        UserError: unknown layout, nothing found, or a list that contradicts the tree.
    """
    layout, tree = get(entry.layout), walk(root)
    found = layout.index(tree, entry)
    if not found.clips:
        raise UserError(
            f"datasets.{dataset}: no videos under {stored(str(root))}; layout `{entry.layout}` expects {layout.HOLDS}."
        )
    clips = sorted(found.clips, key=lambda clip: path_key(clip.path))
    seen: dict[str, str] = {}
    for clip in clips:
        if clip.video_id in seen:
            raise UserError(
                f"datasets.{dataset}: {stored(clip.path)} and {stored(seen[clip.video_id])} are the same video "
                f"({clip.video_id}): remove one of them."
            )
        seen[clip.video_id] = clip.path
    used = {*seen.values(), *(found.lists or ()), *found.counted}
    left = [path for path in tree.files if path not in used and path.rpartition("/")[0] not in used]
    notes = {
        **({"lists": noted(found.lists)} if found.lists is not None else {}),
        **found.notes,
        "outside": noted(path for path in left if is_video(path)),
        "archives": noted(path for path in left if suffix(path) in ARCHIVE_SUFFIXES),
        "ignored": noted(path for path in left if not is_video(path) and suffix(path) not in ARCHIVE_SUFFIXES),
        "passed_over": noted(tree.passed_over),
    }
    return Index(clips, notes)
