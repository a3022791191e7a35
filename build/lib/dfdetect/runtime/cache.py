"""What is computed already: a Parquet file a video and stage under .cache/, named by what the result depends on.

The result cache lets a stage continue after an interruption and process only what changed; the artifacts are assembled
from it. It is never an input to anything else and is safe to delete.
"""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dfdetect.errors import UserError
from dfdetect.io.tables import atomic_path, check_schema, conform, open_parquet

ROOT = Path(".cache/results")
# A network folder shows a file that another machine has made once its cached list of names is out of date.
VISIBLE_S = 90.0
# Code is named by its path from the folder that holds the packages.
_ROOT = Path(__file__).parents[2]


def make_key(parts: Mapping[str, Any]) -> str:
    """A hex key over everything that a result depends on; the order of the parts does not matter."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


class DamagedEntryError(Exception):
    """An entry was damaged on the disk; it has been removed, so that its video is computed again."""


class ResultCache:
    """The result cache of one stage: by key a table and a record (a small dict with at least `status`)."""

    def __init__(self, stage: str, schema: pa.Schema, root: Path | None = None) -> None:
        self.folder = (root or ROOT) / stage
        self.schema = schema

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.parquet"

    def write(self, key: str, table: pa.Table, record: dict[str, Any]) -> None:
        """Store a result; it is there whole or not at all."""
        table = conform(table, self.schema)
        text = json.dumps(record, allow_nan=False).encode()
        metadata = {**(self.schema.metadata or {}), b"record": text, b"record_sha256": _digest(text)}
        with atomic_path(self._path(key)) as temporary:
            pq.write_table(
                table.replace_schema_metadata(metadata), temporary, compression="none", write_page_checksum=True
            )

    def find(self, key: str) -> dict[str, Any] | None:
        """The record of a result, or None where there is none; a damaged entry is removed and counts as none."""
        path = self._path(key)
        try:
            with open_parquet(path) as file:
                check_schema(file.schema_arrow, self.schema, path)
                metadata = file.schema_arrow.metadata or {}
                if metadata[b"record_sha256"] != _digest(metadata[b"record"]):
                    raise ValueError("another record than was written")
                return dict(json.loads(metadata[b"record"]))
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException, UserError, KeyError, ValueError):
            path.unlink(missing_ok=True)
            return None

    def await_entries(self, keys: Iterable[str]) -> None:
        """Wait until all entries that workers on other machines have written can be seen here.

        Raises:
            UserError: one cannot after VISIBLE_S seconds.
        """
        deadline = time.monotonic() + VISIBLE_S
        for path in map(self._path, keys):
            while not path.exists():
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{path} was written by a worker and is not here after {VISIBLE_S:g} s: the project's folder, "
                        f".cache/ included, must be shared by all machines of the cluster (docs/cluster.md)."
                    )
                time.sleep(0.2)

    def table(self, key: str, video_id: str) -> pa.Table:
        """The rows, under the id of the video that asks: files of equal content share an entry.

        Raises:
            DamagedEntryError: they are not what was written, or gone; nothing of the entry is left.
        """
        path = self._path(key)
        try:
            with open_parquet(path) as file:
                table = file.read()
        except (OSError, pa.ArrowException):
            path.unlink(missing_ok=True)
            raise DamagedEntryError(str(path)) from None
        column = pa.array([video_id] * table.num_rows, pa.string())
        return table.set_column(0, self.schema.field(0), column).replace_schema_metadata(self.schema.metadata)


def code_hash(names: tuple[str, ...]) -> str:
    """A hash of Python files (or all those of a folder) as code: comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name in sorted(names):
        place = _ROOT / name
        if not place.exists():
            raise FileNotFoundError(place)
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            tree = ast.parse(path.read_bytes())
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
                    and ast.get_docstring(node) is not None
                ):
                    node.body = node.body[1:]
            digest.update(f"{path.relative_to(_ROOT).as_posix()}\0{ast.dump(tree)}\0".encode())
    return digest.hexdigest()
