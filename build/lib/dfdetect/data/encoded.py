"""Single images out of a sharded Parquet table, read a row group (one video) at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dfdetect.errors import UserError
from dfdetect.io.tables import open_parquet, readable

# Row groups kept in memory per process: a batch takes several frames of a video, and a video has about a megabyte.
HELD_GROUPS = 32


class BinaryColumn:
    """One non-null binary column of a sharded table, value by value. Picklable; each process opens its own files.

    Args:
        parts: the table's files in order.
        column: name of a top-level binary column.
    Raises:
        UserError: a file is missing or damaged, or has no such column.
    """

    def __init__(self, parts: Sequence[Path], column: str) -> None:
        self.parts, self.column = list(parts), column
        for part in self.parts:
            with readable(part), open_parquet(part) as file:
                if column not in file.schema_arrow.names:
                    raise UserError(f"{part} has no column `{column}`: `dvc repro -f` rebuilds it.")
        self._files: dict[int, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_groups": OrderedDict()}

    def get(self, part: int, group: int, row: int) -> np.ndarray:
        """The bytes of one value.

        Returns:
            uint8 [shape=(length,)], read-only.
        Raises:
            UserError: the file is damaged.
        """
        if (part, group) in self._groups:
            self._groups.move_to_end((part, group))
        else:
            self._groups[part, group] = self._read(part, group)
            if len(self._groups) > HELD_GROUPS:
                self._groups.popitem(last=False)
        return np.frombuffer(self._groups[part, group][row].as_buffer(), np.uint8)

    def _read(self, part: int, group: int) -> pa.Array:
        path = self.parts[part]
        with readable(path):
            if part not in self._files:
                self._files[part] = open_parquet(path)
            return self._files[part].read_row_group(group, columns=[self.column]).column(0).combine_chunks()
