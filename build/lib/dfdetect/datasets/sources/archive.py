"""Archives as they were downloaded: put pieces together, check, unpack all into one tree, archives in archives too.

A rerun goes on after the last whole archive.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path, PurePosixPath

from dfdetect.datasets.sources.unpack import SUFFIXES, Budget, is_archive, is_single, stem, unpack
from dfdetect.datasets.tree import is_passed_over, stored
from dfdetect.errors import UserError
from dfdetect.io.hashes import file_sha256, short_sha256
from dfdetect.io.tables import write_bytes
from dfdetect.runtime.progress import progress_bar

# x.zip.001, x.tar.gz.aa, x.zip.part1: pieces of one archive, cut by size.
_KINDS = "|".join(map(re.escape, SUFFIXES))
_PART = re.compile(rf"(?P<name>.+(?:{_KINDS}))\.(?:part[-_]?)?(?P<part>\d+|[a-z]{{2,3}})", re.IGNORECASE)
_BLOCK = 1024 * 1024
# Archives in archives are unpacked down to this depth; deeper ones stay as they are.
MAX_DEPTH = 3


@dataclass(frozen=True)
class Archive:
    """One archive: a file, or the pieces of one in order.

    Args:
        name: with the folder of the dataset that it is unpacked into.
    """

    name: PurePosixPath
    pieces: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes, packed."""
        return sum(piece.stat().st_size for piece in self.pieces)

    def mark(self) -> str:
        """A name for this archive in this state, to know that it has been unpacked."""
        states = [(piece.name, piece.stat().st_size, piece.stat().st_mtime_ns) for piece in self.pieces]
        return short_sha256(self.name, states)


class _Joined(io.RawIOBase):
    """The pieces of an archive, read as one file."""

    def __init__(self, pieces: Sequence[Path]) -> None:
        self._files = [piece.open("rb") for piece in pieces]
        self._starts = [0, *accumulate(piece.stat().st_size for piece in pieces)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._starts[-1]:
            return 0
        piece = bisect_right(self._starts, self._at) - 1
        self._files[piece].seek(self._at - self._starts[piece])
        size = self._files[piece].readinto(buffer)
        self._at += size
        return size

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
    with progress_bar("checking sha256", total=sum(path.stat().st_size for path in paths)) as bar:
        for path, expected in zip(paths, digests, strict=True):
            found = file_sha256(path, bar.update)
            if found != expected.strip().lower():
                raise UserError(
                    f"{stored(str(path))} has the sha256 {found}, and {key}.sha256 says {expected}: "
                    "the file is damaged or another one; fetch it again."
                )


def group(files: Mapping[str, Path]) -> tuple[list[Archive], dict[str, Path]]:
    """Tell archives from other files by their names, and put the pieces of an archive together.

    Args:
        files: name in the dataset -> file.
    Returns:
        The archives in the order of their names, and the other files.
    Raises:
        UserError: a piece is missing or doubled.
    """
    archives = [Archive(PurePosixPath(name), (path,)) for name, path in files.items() if is_archive(name)]
    others = {name: path for name, path in files.items() if not is_archive(name)}
    pieces: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for name in others:
        if part := _PART.fullmatch(name):
            found = pieces[part["name"], 0 if part["part"].isdigit() else len(part["part"])]
            if found.setdefault(_number(part["part"]), name) != name:
                raise UserError(f"{stored(name)} and {stored(found[_number(part['part'])])} are the same piece.")
    for (name, letters), found in pieces.items():
        row = max(found) - min(found) + 1 == len(found) > 1
        if letters and 0 not in found and not row:  # x.zip.asc is a signature, x.tar.lz another kind of archive
            continue
        first = 0 if letters or 0 in found else 1
        numbers = range(first, first + len(found))
        if absent := set(numbers) - set(found):
            which = f"number {min(absent)}, counted from {first}"
            raise UserError(f"{stored(name)}: pieces are missing between those given ({which}); give all of them.")
        archives.append(Archive(PurePosixPath(name), tuple(others.pop(found[number]) for number in numbers)))
    return sorted(archives, key=lambda archive: str(archive.name)), others


def _number(part: str) -> int:
    """The place of a piece: 001, 002, ...; or aa, ab, ... from 0 as `split` names them."""
    return int(part) if part.isdigit() else reduce(lambda n, letter: n * 26 + ord(letter) - ord("a"), part.lower(), 0)


def local_archives(paths: Sequence[Path]) -> list[Archive]:
    """The archives that the user names, all to be unpacked into one folder.

    Raises:
        UserError: a path is missing or no archive, or a piece is missing or doubled.
    """
    for path in paths:
        if not path.is_file():
            raise UserError(f"{stored(str(path))} is not there: correct `paths` of the source in params.yaml.")
    archives, others = group({str(path): path for path in paths})
    for path in others.values():
        hint = ""
        if re.fullmatch(r"\.z\d\d", path.suffix.lower()):
            hint = " Join a split zip first: zip -s 0 name.zip --out whole.zip."
        raise UserError(
            f"{stored(str(path))} is not an archive that can be unpacked ({', '.join(SUFFIXES)}, or all pieces of one, "
            f"such as .001 or .aa and so on).{hint}"
        )
    return [Archive(PurePosixPath(archive.name.name), archive.pieces) for archive in archives]


def unpack_all(archives: Sequence[Archive], staging: Path, max_bytes: int, max_expansion: float, *, label: str) -> None:
    """Unpack archives into `staging`/files; those that an earlier, interrupted run finished are not unpacked again.

    Archives inside an archive are unpacked where they lie, under the limits of the outer one.

    Raises:
        UserError: see unpack; what was unpacked of that archive is removed.
    """
    files, done = staging / "files", staging / "done"
    files.mkdir(parents=True, exist_ok=True)
    todo = [archive for archive in archives if not (done / archive.mark()).exists()]
    needed, free = sum(archive.size for archive in todo), shutil.disk_usage(staging).free
    if needed > free:  # videos hardly pack
        raise UserError(f"unpacking needs more than {needed:,} bytes and {staging} has {free:,} left: free some space.")
    with progress_bar(label) as bar:
        for archive in todo:
            budget = Budget(archive.size, max_bytes, max_expansion, bar.update)
            _unpack_tree(archive, staging / "unpacking", files, budget, alone=len(archives) == 1)
            write_bytes(done / archive.mark(), b"")


def _unpack_tree(
    archive: Archive, scratch: Path, goal: Path, budget: Budget, *, alone: bool, label: str = "", depth: int = 0
) -> None:
    """Unpack an archive and those inside it by way of `scratch`, so that `goal` gets all of it or nothing.

    The files of an archive that has no folder at its top go into a folder of the archive's name unless it is the only
    one, since the lists of several would overwrite each other.
    """
    label += stored(archive.name.name)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with io.BufferedReader(_Joined(archive.pieces), _BLOCK) as file:
            unpack(file, archive.name.name, scratch, budget, label)
        inner, _ = group(_files(scratch)) if depth < MAX_DEPTH else ([], {})
        for each in inner:
            below = scratch.with_name(f"unpacking-{depth + 1}")
            _unpack_tree(each, below, scratch, budget, alone=len(inner) == 1, label=f"{label}, in it ", depth=depth + 1)
        if depth:  # one inside another archive is used up; what it holds may have its name
            for piece in archive.pieces:
                piece.unlink()
        loose = any(not (path.is_dir() or is_passed_over(path.name)) for path in scratch.iterdir())
        apart = loose and not alone and not is_single(archive.name.name)
        place = goal / archive.name.parent
        _merge(scratch, place / stem(archive.name.name) if apart else place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _files(root: Path) -> dict[str, Path]:
    """The files below a folder by their names from there, without links and what is passed over everywhere."""
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not is_passed_over(name)]
        paths = [Path(folder, name) for name in names if not is_passed_over(name)]
        found |= {path.relative_to(root).as_posix(): path for path in paths if not path.is_symlink()}
    return found


def _merge(source: Path, target: Path) -> None:
    """Move everything in `source` into `target`, folder by folder; a file of the same name is replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        goal = target / path.name
        if path.is_dir() and not path.is_symlink() and goal.is_dir():
            _merge(path, goal)
        elif goal.is_dir():
            raise UserError(
                f"{stored(path.name)} is a file in one archive and a folder in another: unpack them by hand."
            )
        else:
            path.replace(goal)
    source.rmdir()
