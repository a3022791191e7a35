"""Parquet on disk: atomic writes, shards with one row group a video, reading by row group without loading the rest.

Every page carries a checksum, which every reader compares: data that changed on the disk is reported, not used.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dfdetect.errors import UserError

SHARD_BYTES = 256 * 1024 * 1024


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system says while `path` is written (a full disk, a read-only folder), as a UserError that names it."""
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(f"{path} cannot be written: {what}. Free space or change permissions there.") from None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; on success it is flushed to disk and renamed, on failure removed.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=_SUFFIXES[0], dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


# Ends of temporary names: what is being written, and what a new folder is about to replace.
_SUFFIXES = (".tmp", ".old")


def _prefix(path: Path) -> str:
    return f".{path.name[:100]}."


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sweep(*paths: Path) -> int:
    """Remove what writers of these files and folders left behind when they were killed; returns how many there were.

    Only for one who knows that no other process is writing them (dfdetect/runtime/locks.py).
    """
    count = 0
    for path in paths:
        for left in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
            if left.suffix in _SUFFIXES:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
                count += 1
    return count


def temporary_folder(folder: Path) -> Path:
    """A new folder beside `folder` to fill, for `replace_folder`."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(folder), suffix=_SUFFIXES[0], dir=folder.parent))
        temporary.chmod(0o755)
        return temporary


def replace_folder(temporary: Path, folder: Path) -> None:
    """Flush a filled folder to disk and put it in the place of an earlier one, which is never there in part.

    The earlier one is moved aside, to a hidden name, until the new one is in its place.
    """
    with writing(folder):
        for path in temporary.iterdir():
            path.chmod(0o644)
            _flush(path)
        _sync_folder(temporary)
        aside = temporary.with_suffix(_SUFFIXES[1])
        if folder.exists():
            folder.rename(aside)
        try:
            temporary.replace(folder)
        except OSError:
            if aside.exists():
                aside.rename(folder)
            raise
        _sync_folder(folder.parent)
        shutil.rmtree(aside, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is either whole or absent."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, keys in the given order, one value a line, floats as they are; NaN is refused."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a UserError that names it."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (`dvc repro`).") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}. Remove it and run `dvc repro`.") from None


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the schema's columns, in order and type.

    Raises:
        ValueError: a column is missing or too many (a programming error, not the user's).
    """
    if set(table.column_names) != set(schema.names):
        wrong = sorted(set(table.column_names) ^ set(schema.names))
        raise ValueError(f"table {_name(schema)}: columns differ from the schema: {wrong}")
    return table.select(schema.names).cast(schema)


def from_rows(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table from row dicts; a missing key is null, an unknown key an error."""
    known = set(schema.names)
    for row in rows:
        if unknown := set(row) - known:
            raise ValueError(f"table {_name(schema)}: unknown columns {sorted(unknown)}")
    return pa.Table.from_pylist(rows, schema=schema)


def _name(schema: pa.Schema) -> str:
    return (schema.metadata or {}).get(b"table", b"?").decode()


def check_schema(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    """Refuse a file of another table, version or column set, naming it and the command that repairs it."""
    meta, want = found.metadata or {}, expected.metadata or {}
    if meta.get(b"table") != want[b"table"] or meta.get(b"version") != want[b"version"]:
        raise UserError(
            f"{path} is not a `{_name(expected)}` table of version {want[b'version'].decode()} "
            f"(it says {_name(found)} {meta.get(b'version', b'?').decode()}): rebuild it with `dvc repro -f`."
        )
    if not found.remove_metadata().equals(expected.remove_metadata()):
        raise UserError(f"{path} has other columns than the `{_name(expected)}` table: rebuild it with `dvc repro -f`.")


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write one table atomically as Parquet, checked against its schema."""
    with atomic_path(path) as temporary:
        pq.write_table(conform(table, schema), temporary, compression="zstd", write_page_checksum=True)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a Parquet file is read, as a UserError that names it and the remedy."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (`dvc repro`).") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{path} is damaged ({first}): `dvc checkout` restores it, `dvc repro -f` rebuilds it."
        ) from None


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file whole.

    Raises:
        UserError: it is missing, damaged, or of another schema.
    """
    with readable(path), open_parquet(path) as file:
        check_schema(file.schema_arrow, schema, path)
        return file.read(columns=columns)


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file whose pages are checked against their checksums as they are read.

    Raises:
        OSError, pyarrow.ArrowException: it is damaged; `readable` puts that into words.
    """
    return pq.ParquetFile(path, page_checksum_verification=True)


class ShardWriter:
    """Write tables as `part-00000.parquet`, ... in a folder: one row group a table, a new file past `shard_bytes`.

    The folder appears whole at the end of the `with` block, or not at all. The bytes depend on the tables and their
    order alone.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.schema, self.shard_bytes = folder, schema, shard_bytes
        self._writer: pq.ParquetWriter | None = None
        self._size = 0
        self._count = 0

    def __enter__(self) -> ShardWriter:
        self._temporary = temporary_folder(self.folder)
        return self

    def write(self, table: pa.Table) -> None:
        """Append one row group; an empty table adds nothing."""
        if table.num_rows == 0:
            return
        table = conform(table, self.schema)
        if self._writer is not None and self._size + table.nbytes > self.shard_bytes:
            self._close()
        if self._writer is None:
            self._writer = self._open()
        with writing(self.folder):
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._size += table.nbytes

    def add(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        """Put a table of its own into the folder, as the file `name`."""
        write_table(self._temporary / name, table, schema)

    def _part(self) -> Path:
        return self._temporary / f"part-{self._count:05d}.parquet"

    def _open(self) -> pq.ParquetWriter:
        encoded = [name for name in ("image", "mask") if name in self.schema.names]
        compression = {name: "none" if name in encoded else "zstd" for name in _leaves(self.schema)}
        with writing(self.folder):
            return pq.ParquetWriter(
                self._part(),
                self.schema,
                compression=compression,
                use_dictionary=["video_id"],
                write_page_checksum=True,
            )

    def _close(self) -> None:
        if self._writer is not None:
            with writing(self.folder):
                self._writer.close()
            self._writer, self._size = None, 0
            self._count += 1

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                if self._count == 0 and self._writer is None:
                    self._writer = self._open()  # a table of no rows, so that readers still find its schema
                self._close()
                replace_folder(self._temporary, self.folder)
            elif self._writer is not None:
                with suppress(OSError):  # what went wrong is told already; a full disk refuses the footer, too
                    self._writer.close()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _leaves(schema: pa.Schema) -> list[str]:
    return [
        f"{f.name}.list.element" if pa.types.is_list(f.type) or pa.types.is_fixed_size_list(f.type) else f.name
        for f in schema
    ]


class Shards:
    """A sharded table on disk, read one video at a time.

    Opening reads the footers and the column of video ids. Picklable; files are opened on first use in each process.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema = Path(folder), schema
        parts = sorted(self.folder.glob("part-*.parquet"))
        if not parts:
            raise UserError(f"{folder} holds no part-*.parquet: run the stage that writes it (`dvc repro`).")
        expected = [f"part-{i:05d}.parquet" for i in range(len(parts))]
        if [part.name for part in parts] != expected:
            missing = sorted(set(expected) - {part.name for part in parts})
            raise UserError(
                f"{folder} lacks {', '.join(missing)}: `dvc checkout` restores it, `dvc repro -f` rebuilds it."
            )
        self.parts = parts
        self._where: dict[str, tuple[int, int]] = {}
        self.rows: dict[str, int] = {}
        for number, part in enumerate(parts):
            self._index(number, part)
        self._files: dict[int, pq.ParquetFile] = {}

    def _index(self, number: int, part: Path) -> None:
        with readable(part), open_parquet(part) as file:
            check_schema(file.schema_arrow, self.schema, part)
            ids = (
                file.read(columns=[self.schema.names[0]]).column(0).to_pylist()
            )  # video_id, every table's first column
            first = 0
            for group in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                own = set(ids[first : first + count])
                if len(own) != 1 or not own.isdisjoint(self._where):
                    raise UserError(
                        f"{part}: row group {group} does not hold one video of its own; `dvc repro -f` rebuilds it."
                    )
                self._where[own.pop()] = (number, group)
                self.rows[ids[first]] = count
                first += count

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._where

    def __len__(self) -> int:
        return len(self._where)

    @property
    def video_ids(self) -> list[str]:
        """The videos that have rows, in stored order."""
        return list(self._where)

    def read(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one video; a video without rows gives an empty table.

        Raises:
            UserError: the shard is damaged.
        """
        if video_id not in self._where:
            names = columns or self.schema.names
            return pa.schema([self.schema.field(name) for name in names]).empty_table()
        number, group = self._where[video_id]
        with readable(self.parts[number]):
            if number not in self._files:
                self._files[number] = open_parquet(self.parts[number])
            return self._files[number].read_row_group(group, columns=columns)
