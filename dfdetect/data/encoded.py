"""Single images out of Parquet by byte offset: no row group is read for the sake of one crop.

The stores write encoded images as uncompressed PLAIN pages (dfdetect/io/tables.py), so each image lies in the file as it is,
behind its length. The page headers are parsed and the pages' checksums compared here on first touch of a row group, and
the file is memory-mapped: reading a crop costs microseconds, and the system's page cache is shared by all workers.
Source: the Parquet format's PageHeader (parquet.thrift) and Thrift's compact protocol.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.errors import UserError
from dfdetect.io.tables import open_parquet

_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_PLAIN = 0


class BinaryColumn:
    """One non-null binary column of a sharded table, value by value. Picklable; files are mapped in each process.

    Args:
        parts: the table's files in order.
        column: name of a top-level binary column.
    Raises:
        UserError: a file is missing, damaged, or the column is stored otherwise than dfdetect.io.tables writes it.
    """

    def __init__(self, parts: Sequence[Path], column: str) -> None:
        self.parts, self.column = list(parts), column
        # per part: [shape=(row groups, 3)] first byte, bytes, values
        self._chunks = [self._read_chunks(part) for part in self.parts]
        self._maps: dict[int, mmap.mmap] = {}
        self._spans: dict[tuple[int, int], np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_spans": {}}

    def _read_chunks(self, part: Path) -> np.ndarray:
        try:
            with open_parquet(part) as file:
                metadata = file.metadata
                names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
                number = names.index(self.column)
                required = metadata.schema.column(number).max_definition_level == 0
                chunks = [metadata.row_group(g).column(number) for g in range(metadata.num_row_groups)]
        except FileNotFoundError:
            raise UserError(f"{part} is missing: run the stage that writes it (`dvc repro`).") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(part, str(error).splitlines()[0]) from None
        plain = all(c.compression == "UNCOMPRESSED" and not c.has_dictionary_page for c in chunks)
        if not (required and plain):
            raise _damaged(part, f"column `{self.column}` is compressed or dictionary-encoded")
        rows = [(c.data_page_offset, c.total_compressed_size, c.num_values) for c in chunks]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def get(self, part: int, group: int, row: int) -> np.ndarray:
        """The bytes of one value, not copied.

        Returns:
            uint8 [shape=(length,)], read-only, a view of the mapped file.
        """
        spans = self._spans.get((part, group))
        if spans is None:
            spans = self._spans[part, group] = self._locate(part, group)
        start, length = spans[row]
        return np.frombuffer(self._maps[part], np.uint8, int(length), int(start))

    def _locate(self, part: int, group: int) -> np.ndarray:
        """First byte and length of each value of a row group [shape=(values, 2)]."""
        if part not in self._maps:
            with self.parts[part].open("rb") as file:
                self._maps[part] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = self._maps[part]
        start, size, values = (int(v) for v in self._chunks[part][group])
        spans: list[tuple[int, int]] = []
        position, end = start, start + size
        try:
            while position < end and len(spans) < values:
                position = _read_page(view, position, spans)
        except (IndexError, KeyError, ValueError) as error:
            raise _damaged(self.parts[part], f"row group {group}: {error or type(error).__name__}") from None
        if len(spans) != values or any(first + length > end for first, length in spans):
            raise _damaged(self.parts[part], f"row group {group}: column `{self.column}` ends early")
        return np.array(spans, dtype=np.int64).reshape(-1, 2)


def _damaged(part: Path, what: str) -> UserError:
    return UserError(f"{part} cannot be used ({what}): `dvc checkout` restores it, `dvc repro -f` rebuilds it.")


def _read_page(view: mmap.mmap, position: int, spans: list[tuple[int, int]]) -> int:
    """Append the spans of one page's values; returns where the next page begins."""
    header, position = _struct(view, position)
    end = position + header[3]
    if 4 in header and zlib.crc32(view[position:end]) != header[4] & 0xFFFFFFFF:
        raise ValueError("a page is not what was written: its checksum differs")
    if header[1] == _DATA_PAGE:
        values, encoding = header[5][1], header[5][2]
    elif header[1] == _DATA_PAGE_V2:
        values, encoding = header[8][1], header[8][4]
        position += header[8].get(5, 0) + header[8].get(6, 0)  # levels come first
    else:
        raise ValueError(f"page type {header[1]}")
    if encoding != _PLAIN:
        raise ValueError(f"page encoding {encoding}")
    for _ in range(values):
        length = int.from_bytes(view[position : position + 4], "little")
        spans.append((position + 4, length))
        position += 4 + length
    if position > end:
        raise ValueError("a value passes the end of its page")
    return end


def _varint(view: mmap.mmap, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number does not end")


def _signed(view: mmap.mmap, position: int) -> tuple[int, int]:
    value, position = _varint(view, position)
    return (value >> 1) ^ -(value & 1), position


def _struct(view: mmap.mmap, position: int) -> tuple[dict[int, Any], int]:
    """A Thrift compact struct as field id -> value; of the types that a page header has."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = view[position]
        position += 1
        if head == 0:
            return fields, position
        kind, delta = head & 0x0F, head >> 4
        if delta:
            number += delta
        else:
            number, position = _signed(view, position)
        if kind in (1, 2):  # booleans live in the field's head
            fields[number] = kind == 1
        elif kind in (4, 5, 6):
            fields[number], position = _signed(view, position)
        elif kind == 8:
            length, position = _varint(view, position)
            position += length  # statistics, not needed
        elif kind == 12:
            fields[number], position = _struct(view, position)
        else:
            raise ValueError(f"a field of type {kind}")
