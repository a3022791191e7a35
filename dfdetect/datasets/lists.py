"""Reading the official lists: CSV and JSON with their line numbers, lookups that forgive letter case, conflicts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError

SHOWN_CONFLICTS = 5


def read_text(path: Path) -> str:
    """A text file as UTF-8, with or without a byte-order mark; bytes that are no UTF-8 survive as surrogates.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{stored(str(path))} cannot be read: {error.strerror}.") from None


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, stripped cell by cell, each with its line number.

    Raises:
        UserError: it is no CSV.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{stored(str(path))}, line {reader.line_num}: {error}. Fetch the file again.") from None


def read_json_file(path: Path) -> Any:
    """A JSON file of a dataset.

    Raises:
        UserError: it is no JSON (often cut short); the message says where.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # the latter: thousands of brackets inside one another
        raise UserError(f"{stored(str(path))} is no valid JSON: {error}. Fetch the file again.") from None


class Lookup:
    """Find a file by the path that a list gives: exactly, else in another letter case."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._exact = set(self.paths)
        self._folded: dict[str, str] = {}
        for path in self.paths:
            self._folded.setdefault(path.casefold(), path)

    def find(self, path: str) -> str | None:
        """The path on disk, or None."""
        return path if path in self._exact else self._folded.get(path.casefold())


def stop_on_conflicts(path: Path, conflicts: Sequence[str], remedy: str) -> None:
    """Stop where a list contradicts the tree; the first conflicts are named.

    Args:
        conflicts: each begins with the line or entry it is about.
    Raises:
        UserError: there are any.
    """
    if conflicts:
        shown = "".join(f"\n  {line}" for line in conflicts[:SHOWN_CONFLICTS])
        more = f"\n  ... and {len(conflicts) - SHOWN_CONFLICTS} more" if len(conflicts) > SHOWN_CONFLICTS else ""
        raise UserError(
            f"{stored(str(path))} contradicts the dataset in {len(conflicts)} places. {remedy}{shown}{more}"
        )
