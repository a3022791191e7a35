"""What the user names, as files: files, folders, and patterns that the shell did not expand."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dfdetect.datasets.tree import is_image, is_video, walk
from dfdetect.errors import UserError


@dataclass(frozen=True)
class Input:
    """One file to score, or a name that led to none and why."""

    path: Path
    problem: str | None = None


def expand(names: Iterable[str | Path]) -> list[Input]:
    """List the files that some names stand for, each once, in the order given.

    Args:
        names: a file is taken whatever its extension; of a folder, and of those below it, all videos and images; a
            pattern with *, ? or [...] stands for what it matches (** for any folders) unless a file has that very name.
    """
    inputs: dict[str, Input] = {}
    for name in names:
        for item in _expand(Path(name)):
            inputs.setdefault(str(item.path), item)
    return list(inputs.values())


def _expand(path: Path) -> Iterator[Input]:
    if path.is_dir():
        yield from _folder(path)
    elif path.exists() or path.is_symlink():
        yield Input(path)
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            yield Input(path, "no file matches the pattern")
        for match in matches:
            if Path(match).is_dir():
                yield from _folder(Path(match))
            else:
                yield Input(Path(match))
    else:
        yield Input(path, "the file does not exist")


def _folder(path: Path) -> Iterator[Input]:
    try:
        files = walk(path).files
    except UserError as error:
        yield Input(path, str(error))
        return
    media = [file for file in files if is_video(file) or is_image(file)]
    if not media:
        yield Input(path, "the folder holds no video or image")
    for file in media:
        yield Input(path / file)
