"""Source kind `archive`: check, join the parts, unpack into raw/. A rerun goes on after the last whole archive."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfdetect.datasets.sources.progress import progress_bar
from dfdetect.datasets.sources.unpack import SUFFIXES, UnpackLimits, is_archive, unpack
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError
from dfdetect.io.tables import write_bytes

# x.zip.001, x.tar.gz.aa, x.zip.part1: pieces of one archive, cut by size.
_KINDS = "|".join(map(re.escape, SUFFIXES))
_PART = re.compile(rf"(?P<name>.+(?:{_KINDS}))\.(?:part[-_]?)?(?P<part>\d+|[a-z]{{2,3}})", re.IGNORECASE)
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Archive:
    """One archive: a file, or the pieces of one in order; unpacked into `folder` of the dataset."""

    name: str
    pieces: tuple[Path, ...]
    folder: str = ""

    @property
    def size(self) -> int:
        """Bytes, packed."""
        return sum(piece.stat().st_size for piece in self.pieces)

    def mark(self) -> str:
        """A name for this archive in this state, to know that it has been unpacked."""
        states: list[object] = [self.folder]
        states += [(piece.name, piece.stat().st_size, piece.stat().st_mtime_ns) for piece in self.pieces]
        return hashlib.sha256(repr(states).encode("utf-8", errors="surrogateescape")).hexdigest()[:24]


class _Joined(io.RawIOBase):
    """The pieces of an archive, read as one file."""

    def __init__(self, pieces: Sequence[Path]) -> None:
        self._files = [piece.open("rb") for piece in pieces]
        sizes = [piece.stat().st_size for piece in pieces]
        self._starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        for file, start, end in zip(self._files, self._starts, self._starts[1:], strict=False):
            if start <= self._at < end:
                file.seek(self._at - start)
                data = file.read(min(len(buffer), end - self._at))
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def check_sha256(paths: Sequence[Path], digests: Sequence[str], key: str) -> None:
    """Compare each file with its sha256.

    Args:
        key: of params.yaml, for messages.
    Raises:
        UserError: the numbers of paths and digests differ, or a file has another digest.
    """
    if not digests:
        return
    if len(digests) != len(paths):
        raise UserError(f"{key}.sha256 has {len(digests)} entries for {len(paths)} paths: give one for each, or none.")
    total = sum(path.stat().st_size for path in paths)
    with progress_bar("checking sha256", "B", total=total, scaled=True) as bar:
        for path, expected in zip(paths, digests, strict=True):
            found = file_sha256(path, bar.update)
            if found != expected.strip().lower():
                raise UserError(
                    f"{stored(str(path))} has the sha256 {found}, and {key}.sha256 says {expected}: "
                    "the file is damaged or another one; fetch it again."
                )


def file_sha256(path: Path, progress: Callable[[int], object] = lambda _: None) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def group(paths: Sequence[Path]) -> list[Archive]:
    """Put the pieces of an archive together, by their names.

    Raises:
        UserError: a path is missing or no archive, or a piece is missing or doubled.
    """
    pieces: dict[Path, dict[str, Path]] = defaultdict(dict)
    whole: list[Archive] = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"{stored(str(path))} is not there: correct `paths` of the source in params.yaml.")
        part = _PART.fullmatch(path.name)
        if part:
            if part["part"].lower() in pieces[path.with_name(part["name"])]:
                raise UserError(f"{stored(str(path))} is given twice.")
            pieces[path.with_name(part["name"])][part["part"].lower()] = path
        elif is_archive(path.name):
            whole.append(Archive(path.name, (path,)))
        else:
            raise UserError(_no_archive(path))
    for name, found in pieces.items():
        whole.append(Archive(name.name, tuple(_in_order(name, found))))
    return sorted(whole, key=lambda archive: [str(piece) for piece in archive.pieces])


def _no_archive(path: Path) -> str:
    hint = ""
    if re.fullmatch(r"\.z\d\d", path.suffix.lower()):
        hint = " Join a split zip first: zip -s 0 name.zip --out whole.zip."
    return f"{stored(str(path))} is no archive that can be unpacked ({', '.join(SUFFIXES)}, or pieces of one).{hint}"


def _in_order(name: Path, found: dict[str, Path]) -> list[Path]:
    """The pieces in order; a gap is an error, since the joined file would be garbage."""
    keys = sorted(found, key=lambda key: (int(key) if key.isdigit() else 0, len(key), key))
    if all(key.isdigit() for key in keys):
        numbers = [int(key) for key in keys]
        first = 0 if numbers[0] == 0 else 1
        wanted = list(range(first, first + len(keys)))
        absent = [str(number).zfill(len(keys[0])) for number in range(first, numbers[-1]) if number not in numbers]
    else:
        numbers = [_letters(key) for key in keys]
        wanted = list(range(len(keys)))
        absent = ["a" * len(keys[0])] if numbers[0] else []
    if numbers != wanted:
        which = f" (such as .{absent[0]})" if absent else ""
        raise UserError(f"{stored(str(name))}: pieces are missing between those given{which}; give all of them.")
    return [found[key] for key in keys]


def _letters(key: str) -> int:
    """The place of aa, ab, ... as `split` names its pieces."""
    value = 0
    for letter in key:
        value = value * 26 + ord(letter) - ord("a")
    return value


def unpack_all(archives: Sequence[Archive], staging: Path, limits: UnpackLimits, *, label: str) -> None:
    """Unpack archives into `staging`/files; those that an earlier, interrupted run finished are not unpacked again.

    The files of an archive that has no folder at its top go into a folder of the archive's name when there are several
    archives, since their lists would overwrite each other.

    Raises:
        UserError: see unpack; what was unpacked of that archive is removed.
    """
    files, done = staging / "files", staging / "done"
    files.mkdir(parents=True, exist_ok=True)
    todo = [archive for archive in archives if not (done / archive.mark()).exists()]
    _check_room(todo, staging)
    with progress_bar(label, "B", scaled=True) as bar:
        for archive in todo:
            fresh = staging / "unpacking"
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                with _opened(archive) as file:
                    unpack(file, archive.name, archive.size, fresh, limits, bar.update)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            flat = len(archives) > 1 and any(not path.is_dir() for path in fresh.iterdir())
            goal = files / archive.folder
            _merge(fresh, goal / _stem(archive.name) if flat else goal)
            write_bytes(done / archive.mark(), b"")


def _opened(archive: Archive) -> io.BufferedReader:
    if len(archive.pieces) == 1:
        return archive.pieces[0].open("rb")
    return io.BufferedReader(_Joined(archive.pieces), _BLOCK)


def _check_room(archives: Sequence[Archive], staging: Path) -> None:
    """Packed size is the least that unpacking takes: videos hardly pack."""
    needed, free = sum(archive.size for archive in archives), shutil.disk_usage(staging).free
    if needed > free:
        raise UserError(f"unpacking needs more than {needed:,} bytes and {staging} has {free:,} left: free some space.")


def _stem(name: str) -> str:
    return next(
        name[: -len(suffix)] for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(suffix)
    )


def _merge(source: Path, target: Path) -> None:
    """Move everything in `source` into `target`, folder by folder; a file of the same name is replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        goal = target / path.name
        if path.is_dir() and not path.is_symlink() and goal.is_dir():
            _merge(path, goal)
        else:
            path.replace(goal)
    source.rmdir()
