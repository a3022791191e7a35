"""Parquet on disk: atomic writes, shards with one row group a video, reading by row group without loading the rest."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import UserError

SHARD_BYTES = 256 * 1024 * 1024


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; on success it is flushed to disk and renamed, on failure removed.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Free space or change permissions there."
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
        pq.write_table(conform(table, schema), temporary, compression="zstd")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
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
    with _readable(path), pq.ParquetFile(path) as file:
        check_schema(file.schema_arrow, schema, path)
        return file.read(columns=columns)


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
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(
                tempfile.mkdtemp(prefix=f".{self.folder.name}.", suffix=".tmp", dir=self.folder.parent)
            )
        except OSError as error:
            raise UserError(f"{self.folder} cannot be written: {error.strerror}.") from None
        self._temporary.chmod(0o755)
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
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._size += table.nbytes

    def _open(self) -> pq.ParquetWriter:
        path = self._temporary / f"part-{self._count:05d}.parquet"
        encoded = [name for name in ("image", "mask") if name in self.schema.names]
        compression = {name: "none" if name in encoded else "zstd" for name in _leaves(self.schema)}
        return pq.ParquetWriter(path, self.schema, compression=compression, use_dictionary=["video_id"])

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._size = None, 0
            self._count += 1

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                if self._count == 0 and self._writer is None:
                    self._writer = self._open()  # a table of no rows, so that readers still find its schema
                self._close()
                for part in self._temporary.iterdir():
                    with part.open("rb") as file:
                        os.fsync(file.fileno())
                if self.folder.exists():
                    shutil.rmtree(self.folder)
                self._temporary.replace(self.folder)
                _sync_folder(self.folder.parent)
            elif self._writer is not None:
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

    Opening reads the files' footers alone. Picklable; file handles are opened on first use in each process.
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
        with _readable(part), pq.ParquetFile(part) as file:
            check_schema(file.schema_arrow, self.schema, part)
            for group in range(file.metadata.num_row_groups):
                row_group = file.metadata.row_group(group)
                key = row_group.column(0).statistics  # video_id is every table's first column; one value a group
                if key is None or key.min != key.max or key.min in self._where:
                    raise UserError(
                        f"{part}: row group {group} does not hold one video of its own; `dvc repro -f` rebuilds it."
                    )
                self._where[key.min] = (number, group)
                self.rows[key.min] = row_group.num_rows

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
        with _readable(self.parts[number]):
            if number not in self._files:
                self._files[number] = pq.ParquetFile(self.parts[number])
            return self._files[number].read_row_group(group, columns=columns)
