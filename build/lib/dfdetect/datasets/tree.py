"""Walking a dataset's folder: which files are videos, which images, and how odd file names are stored."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dfdetect.errors import UserError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})

# What unpackers, disks and network storage (Synology, QNAP, Windows, macOS) leave in any folder, in lower case: recycle
# bins, previews, snapshots. Hidden files and folders (.Trash, .AppleDouble, .@__thumb, ._x.mp4, ...) count among them.
_DEBRIS = frozenset(
    {"__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "recycler", "recycled", "lost+found", "@__thumb"}
    | {"#snapshot", "~snapshot", "@recently-snapshot", "@tmp", "system volume information", "network trash folder"}
    | {"temporary items", "thumbs.db", "ehthumbs.db", "desktop.ini"}
)
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def stored(path: str) -> str:
    r"""A file-system path as tables keep it: UTF-8 text, / between folders.

    Bytes that are not UTF-8, control characters (newlines among them) and the backslash are written `\xNN`; any other
    name is stored as it is. `on_disk` undoes it.
    """
    data = os.fsencode(path)
    text = data.decode("utf-8", errors="surrogateescape")
    if "\\" not in text and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
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


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of this name does not belong to any dataset."""
    return name.startswith(".") or name.casefold() in _DEBRIS


def path_key(path: str) -> bytes:
    """The order of rows: by the path's bytes, whatever the locale and the file system's own order."""
    return os.fsencode(path)


@dataclass(frozen=True)
class Tree:
    """The files under a root, relative, / between folders, in the order of their bytes.

    Attributes:
        passed_over: hidden files and what unpackers, recycle bins and network disks leave behind; folders end in /.
    """

    root: Path
    files: tuple[str, ...]
    passed_over: tuple[str, ...] = ()

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Files with a video's extension, in any case."""
        return tuple(path for path in self.files if is_video(path))

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
        UserError: the root is missing or is not a folder, or a folder cannot be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{stored(str(root))} {what}: give the folder that holds the dataset.")
    files: list[str] = []
    passed_over: list[str] = []

    def visit(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> None:
        for entry in _entries(folder):
            if is_passed_over(entry.name):
                passed_over.append(prefix + entry.name + "/" * entry.is_dir())
            elif entry.is_dir():
                status = entry.stat()
                mark = (status.st_dev, status.st_ino)
                if mark not in above:
                    visit(entry.path, f"{prefix}{entry.name}/", above | {mark})
            elif entry.is_file() or entry.is_symlink():  # a dangling link is listed, and fails as unreadable
                files.append(prefix + entry.name)

    visit(str(root), "", frozenset())
    return Tree(root, tuple(sorted(files, key=path_key)), tuple(passed_over))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise UserError(f"{stored(folder)} cannot be read: {error.strerror}. Check its permissions.") from None


def find_base(tree: Tree, is_marker: Callable[[str], bool], depth: int = 2) -> str | None:
    """The folder in which the official tree starts: the root, or one up to `depth` levels below it.

    Args:
        is_marker: says whether a name is that of a folder at the top of the official tree.
    Returns:
        "" or a path that ends in /; None when no folder has a marker. The one nearest to the root wins.
    """
    found = None
    for path in tree.files:
        folders = path.split("/")[:-1]
        for level, name in enumerate(folders[: depth + 1 if found is None else found.count("/")]):
            if is_marker(name):
                found = "".join(f"{folder}/" for folder in folders[:level])
                break
    return found
