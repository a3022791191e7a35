"""Unpack archives that come from strangers: nothing outside the tree, no devices, no bombs, nothing half-done.

zipfile and tarfile do the unpacking. What they leave open is added here: names that lead out are refused instead of
changed, sizes are counted before they are written, links are made last, and an archive that is cut short is an error.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError

# How one file is packed under its own name, as labels.csv.gz; x.tar.gz is a tar archive.
_ALONE: dict[str, Callable[[Any], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", *_ALONE)
MAX_MEMBERS = 5_000_000
# An archive may always expand to this much, whatever its ratio: short lists and blank frames pack well.
FREE_BYTES = 1024**3
_BLOCK = 1024 * 1024
_LONGEST_LINK = 4096  # bytes; what Linux takes
_SPECIAL = "is a device, a pipe or a socket; refused."
# Headers of a tar that tarfile reads into memory whatever their size: long names and pax records.
_READ_WHOLE = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES[:2])
_LONGEST_HEADER = 1024 * 1024  # bytes; names end at 4,096
_UTF8_FLAG = 0x800  # of a zip's member: its name is UTF-8

# What the libraries raise for damaged archives; ValueErrors for offsets and names that cannot be.
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, struct.error),
    *(EOFError, ValueError, OverflowError),
)
Link = tuple[str, str, bool]  # name, what it points to, whether that starts at the root


@dataclass
class Budget:
    """What an archive of some size, and those inside it, may expand to."""

    packed_bytes: int
    max_bytes: int  # altogether
    max_expansion: float  # times packed_bytes (beyond FREE_BYTES)
    progress: Callable[[int], object] = lambda _: None  # called with the bytes of each file that has been written
    spent: int = 0
    members: int = 0

    def take(self, size: int, label: str, name: str) -> None:
        """Count one member before it is written.

        Raises:
            UserError: it would be too much.
        """
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise UserError(f"{label}: more than {MAX_MEMBERS:,} members; refused.")
        self.check(size, label, f"it goes on at {stored(name)}")
        self.spent += size

    def check(self, more: int, label: str, why: str) -> None:
        """Raise a UserError if so many more bytes would be too much."""
        limit = min(self.max_bytes, max(FREE_BYTES, int(self.packed_bytes * self.max_expansion)))
        if self.spent + more > limit:
            raise UserError(
                f"{label}: unpacked it is larger than {limit:,} bytes ({why}); refused. If you trust it, raise "
                "max_unpacked_gb or max_expansion of its source in params.yaml."
            )


def inside(name: str, archive: str) -> str:
    """A member's name as a relative path that stays in the tree.

    Raises:
        UserError: it is absolute, climbs out with `..`, or holds a zero byte.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    drive = len(plain) > 1 and plain[1] == ":"
    if plain.startswith("/") or drive or ".." in parts or "\0" in plain:
        raise UserError(f"{archive}: its member {stored(name)} leads out of the folder it is unpacked into; refused.")
    return "/".join(parts)


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is an archive, or a single packed file, which can be unpacked."""
    return name.lower().endswith(SUFFIXES)


def is_single(name: str) -> bool:
    """Whether a file's name says that one file is packed in it, such as labels.csv.gz."""
    return name.lower().endswith(tuple(_ALONE)) and stem(name) == os.path.splitext(name)[0]


def stem(name: str) -> str:
    """An archive's name without the suffix that says its kind."""
    return name[: -max(len(suffix) for suffix in SUFFIXES if name.lower().endswith(suffix))]


def unpack(file: Any, name: str, target: Path, budget: Budget, label: str | None = None) -> None:
    """Unpack an archive into a folder.

    Args:
        file: open for reading bytes, seekable.
        name: of the archive; its ending says the kind.
        target: folder; made if absent, its files are replaced.
        label: how messages name the archive, if not by its name.
    Raises:
        UserError: it is damaged, cut short, encrypted, of another kind, leads out of the folder, holds devices or links
            that leave the tree, or expands beyond the budget. What was written stays behind in `target`.
    """
    label = label or stored(name)
    kind = _unzip if name.lower().endswith(".zip") else _unpack_single if is_single(name) else _untar
    target.mkdir(parents=True, exist_ok=True)
    try:
        _make_links(kind(file, name, target, budget, label), target, label)
    except NotImplementedError as error:
        said = f"is packed in a way that cannot be read ({error}): unpack it by hand, use kind: directory"
    except RuntimeError as error:
        if "password" not in str(error):
            raise
        said = "is encrypted: unpack it by hand and use kind: directory"
    except (*_BROKEN, OSError) as error:
        if isinstance(error, _BROKEN) or error.errno is None:  # bz2 and zstd raise plain OSErrors
            said = f"is damaged or cut short ({' '.join(str(error).split()) or type(error).__name__}): fetch it again"
        else:
            said = f"cannot be unpacked: {error.strerror} ({stored(str(error.filename or ''))})"
    else:
        return
    raise UserError(f"{label} {said}.")


def _unzip(file: Any, _: str, target: Path, budget: Budget, label: str) -> list[Link]:
    links = []
    with zipfile.ZipFile(file) as archive:
        declared = sum(info.file_size for info in archive.infolist())
        budget.check(declared, label, f"it declares {declared:,} bytes")
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            name = inside(_zip_name(info), label)
            if kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
                raise UserError(f"{label}: its member {stored(name)} {_SPECIAL}")
            budget.take(info.file_size, label, name)  # zipfile reads no more than it declares
            if stat.S_ISLNK(kind):
                with archive.open(info) as source:
                    links.append((name, os.fsdecode(source.read(_LONGEST_LINK)), False))
            elif info.filename.endswith(("/", "\\")):
                (target / name).mkdir(parents=True, exist_ok=True)
            else:
                info.filename = name
                archive.extract(info, target)
                budget.progress(info.file_size)
    return links


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; macOS and older tools pack UTF-8 without the flag that says so."""
    if info.flag_bits & _UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


class _Member(tarfile.TarInfo):
    """A tar header. tarfile takes anything else for the archive's end; only a block of zeros marks it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """Read 512 bytes.

        Raises:
            tarfile.ReadError: they are damaged, or missing.
        """
        try:
            member = super().frombuf(buf, encoding, errors)
            if member.type in _READ_WHOLE and member.size > _LONGEST_HEADER:
                raise tarfile.ReadError(f"a header of {member.size:,} bytes")
            return member
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}" if buf else "its end is missing") from None


def _untar(file: Any, name: str, target: Path, budget: Budget, label: str) -> list[Link]:
    links = []
    mode = "r:*"
    if name.lower().endswith("zst"):
        import pyarrow as pa

        file, mode = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"), "r|"
    with tarfile.open(fileobj=file, mode=mode, tarinfo=_Member) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # or tarfile keeps every header until the end
            member.name = inside(member.name, label)
            budget.take(member.size, label, member.name)
            if member.issym() or member.islnk():
                links.append((member.name, member.linkname, member.islnk()))
            elif member.isdir() or member.isreg():
                archive.extract(member, target, set_attrs=False, filter="data")
                budget.progress(member.size)
            else:
                raise UserError(f"{label}: its member {stored(member.name)} {_SPECIAL}")
        while archive.fileobj.read(_BLOCK):  # to the end, so that the checksum is verified
            pass
    return links


def _unpack_single(file: Any, name: str, target: Path, budget: Budget, label: str) -> list[Link]:
    name = inside(os.path.basename(name), label)
    with _ALONE[os.path.splitext(name)[1].lower()](file) as source, (target / stem(name)).open("wb") as out:
        while block := source.read(_BLOCK):
            budget.take(len(block), label, stem(name))
            out.write(block)
            budget.progress(len(block))
    return []


def _make_links(links: list[Link], target: Path, label: str) -> None:
    """Make the links once all files are there, so that nothing is ever written through one.

    A link to a file becomes a second name of that file; one to a folder stays a link. Links may point to links. Those
    that point to nothing in the archive are left out.
    """
    root = target.resolve()
    while links:
        left = []
        for name, to, from_root in links:
            path = target / name
            aim = Path(os.path.realpath(target / to if from_root else path.parent / to))
            if to.startswith("/") or "\0" in to or not aim.is_relative_to(root):
                raise UserError(f"{label}: its link {stored(name)} leaves the tree ({stored(to)}); refused.")
            if not aim.exists():
                left.append((name, to, from_root))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if aim.is_dir():
                path.symlink_to(os.path.relpath(aim, path.parent.resolve()), target_is_directory=True)
            else:
                os.link(aim, path)
        if len(left) == len(links):
            return
        links = left
