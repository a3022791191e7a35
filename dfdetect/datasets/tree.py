"""Walking a dataset's folder: which files are videos, which images, and how odd file names are stored."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dfdetect.errors import UserError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# Folders that unpackers and tools leave behind.
_DEBRIS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def stored(path: str) -> str:
    r"""A file-system path as tables keep it: UTF-8 text, / between folders.

    Bytes that are no UTF-8, control characters (newlines among them) and the backslash are written `\xNN`; any other
    name is stored as it is. `on_disk` undoes it.
    """
    data = os.fsencode(path)
    text = data.decode("utf-8", errors="surrogateescape")
    if "\\" not in text and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F or char == "\\":
        return f"\\x{code:02x}"
    return char


def on_disk(path: str) -> str:
    """The file-system path of a stored one."""
    if "\\" not in path:
        return path if path.isascii() else os.fsdecode(path.encode("utf-8"))
    data = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), path.encode("utf-8"))
    return os.fsdecode(data)


def below(root: Path, path: str) -> Path:
    """Where the file of a stored path is.

    Raises:
        UserError: outside of the root: our stages write no such path, so the table was changed.
    """
    relative = Path(on_disk(path))
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(
            f"{path} in videos.parquet leads out of {stored(str(root))}: rebuild it with `dvc repro -f`, and do not "
            "use tables from where this one comes."
        )
    return root / relative


def path_key(path: str) -> bytes:
    """The order of rows: by the path's bytes, whatever the locale and the file system's own order."""
    return os.fsencode(path)


@dataclass(frozen=True)
class Tree:
    """The files under a root, relative, / between folders, in the order of their bytes.

    Attributes:
        hidden: hidden files and unpackers' debris that were passed over.
    """

    root: Path
    files: tuple[str, ...]
    hidden: int = 0

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Files with a video's extension, in any case."""
        return tuple(path for path in self.files if is_video(path))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Files with an image's extension, in any case."""
        return tuple(path for path in self.files if is_image(path))

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file somewhere below it; "" is the root."""
        found = {""}
        for path in self.files:
            parent = path.rpartition("/")[0]
            while parent not in found:
                found.add(parent)
                parent = parent.rpartition("/")[0]
        return frozenset(found)

    def names_at_root(self) -> list[str]:
        """What lies directly in the root, folders with a slash: for messages."""
        return sorted({stored(path.split("/", 1)[0]) + "/" * ("/" in path) for path in self.files})


def suffix(path: str) -> str:
    """The extension in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()


def is_video(path: str) -> bool:
    """Whether the extension is a video's."""
    return suffix(path) in VIDEO_SUFFIXES


def is_image(path: str) -> bool:
    """Whether the extension is an image's."""
    return suffix(path) in IMAGE_SUFFIXES


def stem(path: str) -> str:
    """The file's name without folders and extension."""
    return os.path.splitext(path.rpartition("/")[2])[0]


def walk(root: Path) -> Tree:
    """List the files under a root; links are followed, once each way down.

    Raises:
        UserError: the root is missing or is no folder, or a folder cannot be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{stored(str(root))} {what}: give the folder that holds the dataset.")
    hidden = 0
    files: list[str] = []

    def visit(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> None:
        nonlocal hidden
        for entry in _entries(folder):
            if entry.name.startswith(".") or entry.name in _DEBRIS:
                hidden += 1
            elif entry.is_dir():
                status = entry.stat()
                mark = (status.st_dev, status.st_ino)
                if mark not in above:
                    visit(entry.path, f"{prefix}{entry.name}/", above | {mark})
            elif entry.is_file() or entry.is_symlink():  # a dangling link is listed, and fails as unreadable
                files.append(prefix + entry.name)

    visit(str(root), "", frozenset())
    return Tree(root, tuple(sorted(files, key=path_key)), hidden)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise UserError(f"{stored(folder)} cannot be read: {error.strerror}. Check its permissions.") from None


def find_base(tree: Tree, markers: Callable[[str], bool], depth: int = 2) -> str | None:
    """The folder in which the official tree starts: the root, or one up to `depth` levels below it.

    Args:
        markers: says whether a name is that of a folder or file at the top of the official tree.
    Returns:
        "" or a path that ends in /; None when no folder has a marker. The one nearest to the root wins.
    """
    best: str | None = None
    for path in tree.files:
        for base, name in _levels(path, depth):
            if markers(name) and (best is None or base.count("/") < best.count("/")):
                best = base
    return best


def _levels(path: str, depth: int) -> Iterator[tuple[str, str]]:
    parts = path.split("/")
    for level in range(min(depth + 1, len(parts))):
        yield "".join(part + "/" for part in parts[:level]), parts[level]
