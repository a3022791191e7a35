"""Reading the official lists, whatever program saved them; lookups that forgive letter case and spelling of accents."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError

SHOWN_CONFLICTS = 5


def read_text(path: Path) -> str:
    r"""A text file with \n between its lines, whichever line ends it has.

    UTF-8, UTF-16 and UTF-32 are told apart by the byte-order mark or the zeros between letters. Bytes that are not
    UTF-8 survive as surrogates, as in file names.

    Raises:
        UserError: it is missing, cannot be read, or is not in the encoding that it begins in.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{stored(str(path))} cannot be read: {error.strerror}.") from None
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "strict")
    except UnicodeError as error:
        said = getattr(error, "reason", error)
        raise UserError(f"{stored(str(path))} begins as {encoding} and is not ({said}): save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, stripped cell by cell, each with its line number.

    The separator is the one of , ; tab and | that its first line has most of.

    Raises:
        UserError: it cannot be read as CSV.
    """
    text = read_text(path)
    first = next((line for line in text.split("\n") if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=first.count))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and cells[0] != "sep=":  # Excel's own line for the separator
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{stored(str(path))}, line {reader.line_num}: {error}. Fetch the file again.") from None


def read_json_file(path: Path) -> Any:
    """A JSON file of a dataset.

    Raises:
        UserError: it is not JSON (often cut short); the message says where.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # the latter: thousands of brackets inside one another
        raise UserError(f"{stored(str(path))} is not valid JSON: {error}. Fetch the file again.") from None


def fold(path: str) -> str:
    """A path for comparison: letter case and the two encodings of é (macOS stores the longer one) do not matter."""
    return unicodedata.normalize("NFC", path).casefold()


class Lookup:
    """Find a file by the path that a list gives: exactly, else by `fold`."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._exact = set(self.paths)
        self._folded = {fold(path): path for path in reversed(self.paths)}

    def __contains__(self, path: str) -> bool:
        return path in self._exact

    def find(self, path: str) -> str | None:
        """The path on disk, or None."""
        return path if path in self._exact else self._folded.get(fold(path))


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
