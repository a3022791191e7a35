"""Layouts by name. A layout is a file in this folder; adding one edits nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from dfdetect.datasets.layout import Index, OfficialPart
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError, unknown

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams


class Layout(Protocol):
    """What a layout's module offers; see dfdetect/datasets/layout.py."""

    HOLDS: str

    def index(self, root: Path, entry: DatasetParams, /) -> Index:
        """List the dataset under `root`."""
        ...


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by name: the modules of this folder that have an `index` function."""
    package = importlib.import_module("dfdetect.datasets")
    found: dict[str, Layout] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        if not module.ispkg:
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            if hasattr(loaded, "index"):
                found[module.name] = cast(Layout, loaded)
    return MappingProxyType(found)


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
        UserError: there is no such layout, or `methods` or `compression` would have no effect in it.
    """
    selects = getattr(get(entry.layout, f"params.yaml, datasets.{dataset}.layout"), "SELECTS", ())
    for name in ("methods", "compression"):
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

    Raises:
        UserError: unknown layout, nothing found, or a list that contradicts the tree.
    """
    layout = get(entry.layout)
    found = layout.index(root, entry)
    if not found.clips:
        raise UserError(
            f"datasets.{dataset}: no videos under {stored(str(root))}; layout `{entry.layout}` expects {layout.HOLDS}."
        )
    clips = sorted(found.clips, key=lambda clip: clip.path.encode("utf-8", errors="surrogateescape"))
    seen: dict[str, str] = {}
    for clip in clips:
        if clip.video_id in seen:
            raise UserError(
                f"datasets.{dataset}: {stored(clip.path)} and {stored(seen[clip.video_id])} are the same video "
                f"({clip.video_id}): remove one of them."
            )
        seen[clip.video_id] = clip.path
    return Index(clips, found.notes)
