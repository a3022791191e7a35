"""Unpack archives that come from strangers: nothing outside the tree, no devices, no bombs, nothing half-done."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_MEMBERS = 5_000_000
# An archive may always expand to this much, whatever its ratio: short lists and blank frames pack well.
FREE_BYTES = 1024**3
_BLOCK = 1024 * 1024
_TAR_BLOCK = 512
_LONGEST_LINK = 4096

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


@dataclass(frozen=True)
class UnpackLimits:
    """How far an archive may expand.

    Args:
        max_bytes: altogether.
        max_expansion: times the archive's own size (beyond FREE_BYTES).
    """

    max_bytes: int
    max_expansion: float

    def of(self, packed_bytes: int) -> int:
        """The bytes that an archive of this size may expand to."""
        return min(self.max_bytes, max(FREE_BYTES, int(packed_bytes * self.max_expansion)))


@dataclass
class _Target:
    """The folder to unpack into, and what has been written there."""

    archive: str
    root: Path
    limit: int
    progress: Callable[[int], object]
    written: int = 0
    members: int = 0
    links: list[tuple[str, str, bool]] = field(default_factory=list)  # name, what it points to, whether from the root

    def place(self, name: str) -> Path:
        """Where a member goes.

        Raises:
            UserError: outside the tree.
        """
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise UserError(f"{self.archive}: more than {MAX_MEMBERS:,} members; refused.")
        return self.root / inside(name, self.archive)

    def write(self, name: str, source: IO[bytes]) -> None:
        """One file; its size is counted as it is written, whatever the archive declares."""
        path = self.place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while block := source.read(_BLOCK):
                self.written += len(block)
                if self.written > self.limit:
                    raise self.too_large(f"it goes on at {stored(name)}")
                file.write(block)
                self.progress(len(block))

    def too_large(self, what: str) -> UserError:
        """The error for an archive that expands too far."""
        return UserError(
            f"{self.archive}: unpacked it is larger than {self.limit:,} bytes ({what}); refused. If you trust it, "
            "raise max_unpacked_gb or max_expansion of its source in params.yaml."
        )


def inside(name: str, archive: str) -> str:
    """A member's name as a relative path that stays in the tree.

    Raises:
        UserError: it is absolute, climbs out with `..`, or is no name.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    drive = len(plain) > 1 and plain[1] == ":"
    if plain.startswith("/") or drive or ".." in parts or "\0" in plain:
        raise UserError(f"{archive}: its member {stored(name)} leads out of the folder it is unpacked into; refused.")
    return "/".join(parts)


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is an archive which can be unpacked."""
    return name.lower().endswith(SUFFIXES)


def unpack(
    file: io.BufferedIOBase | IO[bytes],
    name: str,
    size: int,
    target: Path,
    limits: UnpackLimits,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Unpack an archive into a folder.

    Args:
        file: open for reading, seekable.
        name: of the archive; its ending says the kind, and messages name it.
        size: of the archive (bytes).
        target: folder; made if absent, its files are replaced.
        progress: called with the bytes of each block written.
    Raises:
        UserError: it is damaged, cut short, encrypted, of another kind, leads out of the folder, holds devices or links
            that leave the tree, or expands beyond the limits. What was written stays behind in `target`.
    """
    label, lower = stored(name), name.lower()
    goal = _Target(label, target, limits.of(size), progress)
    target.mkdir(parents=True, exist_ok=True)
    with _explained(label):
        if lower.endswith(".zip"):
            _unzip(file, goal)
        elif lower.endswith(SUFFIXES):
            _untar(file, lower, goal)
        else:
            raise UserError(f"{label}: not an archive that can be unpacked ({', '.join(SUFFIXES)}).")
        _link(goal)


@contextmanager
def _explained(label: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise UserError(f"{label} is damaged or cut short ({error or type(error).__name__}): fetch it again.") from None
    except NotImplementedError as error:
        raise UserError(
            f"{label} is packed in a way that cannot be read ({error}): unpack it by hand, use kind: directory."
        ) from None
    except RuntimeError as error:
        if "password" not in str(error):
            raise
        raise UserError(f"{label} is encrypted: unpack it by hand and use kind: directory.") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"{label} cannot be unpacked: {why} ({stored(str(error.filename or ''))}).") from None


def _unzip(file: Any, goal: _Target) -> None:
    with zipfile.ZipFile(file) as archive:
        declared = sum(info.file_size for info in archive.infolist())
        if declared > goal.limit:
            raise goal.too_large(f"it declares {declared:,} bytes")
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or info.filename.endswith("\\"):
                goal.place(info.filename).mkdir(parents=True, exist_ok=True)
            elif kind == stat.S_IFLNK:
                goal.links.append((info.filename, _link_target(archive, info), False))
            elif kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
                raise _refused_kind(goal, info.filename)
            else:
                with archive.open(info) as source:
                    goal.write(info.filename, source)


def _link_target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as source:
        return os.fsdecode(source.read(_LONGEST_LINK))


class _Watched:
    """A stream that remembers its last read: a tar archive that is whole ends in a block of zeros."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self.last = data
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())


def _untar(file: Any, lower: str, goal: _Target) -> None:
    with _decompressed(file, lower) as stream:
        watched = _Watched(stream)
        with tarfile.open(fileobj=watched, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                _untar_member(archive, member, goal)
        if len(watched.last) < _TAR_BLOCK:
            raise tarfile.ReadError("its end is missing")
        while stream.read(_BLOCK):  # to the end, so that the checksum is verified
            pass


def _untar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, goal: _Target) -> None:
    archive.members = []  # type: ignore[attr-defined]  # or tarfile keeps every member's header until the end
    if member.isdir():
        goal.place(member.name).mkdir(parents=True, exist_ok=True)
    elif member.issym() or member.islnk():
        goal.links.append((member.name, member.linkname, member.islnk()))
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None, "a regular member has content"
        with source:
            goal.write(member.name, source)
    else:
        raise _refused_kind(goal, member.name)


def _decompressed(file: Any, lower: str) -> Any:
    if lower.endswith((".gz", ".tgz")):
        return gzip.GzipFile(fileobj=file)
    if lower.endswith(("bz2",)):
        return bz2.BZ2File(file)
    if lower.endswith(("xz",)):
        return lzma.LZMAFile(file)
    return file


def _refused_kind(goal: _Target, name: str) -> UserError:
    return UserError(f"{goal.archive}: its member {stored(name)} is a device, a pipe or a socket; refused.")


def _link(goal: _Target) -> None:
    """Make the links once all files are there, so that nothing is ever written through one.

    A link to a file becomes a second name of that file; one to a folder stays a link. Links may point to links.
    """
    waiting = [(goal.place(name), name, to, from_root) for name, to, from_root in goal.links]
    root = goal.root.resolve()
    while waiting:
        left = []
        for path, name, to, from_root in waiting:
            outside = to.startswith("/") or "\0" in to
            aim = Path(os.path.realpath(goal.root / to if from_root else path.parent / to))
            if outside or not aim.is_relative_to(root):
                raise UserError(f"{goal.archive}: its link {stored(name)} leaves the tree ({stored(to)}); refused.")
            if not aim.exists():
                left.append((path, name, to, from_root))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if aim.is_dir():
                path.symlink_to(os.path.relpath(aim, path.parent.resolve()), target_is_directory=True)
            else:
                os.link(aim, path)
        if len(left) == len(waiting):
            return  # the rest point to nothing in the archive: left out
        waiting = left
