"""What is known of a file already, so that an unchanged dataset is indexed without opening a file again.

One file of JSON lines a dataset under .cache/, appended to while the stage runs: an interrupted run continues from it.
It is safe to delete.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from dfdetect.datasets.tree import stored

ROOT = Path(".cache/download")
# Raised when the probe's figures change their meaning, so that older lines are not used.
VERSION = 1
# A file changed this shortly before it was read may change again within one tick of the file system's clock.
SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class State:
    """What tells an unchanged file: any write changes one of these."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str) -> State:
        """The state of a file, or of a folder of frames and all that is in it; raises OSError."""
        status = os.stat(path)
        found = [status]
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                found += [entry.stat() for entry in entries]
        return cls(
            sum(one.st_size for one in found),
            max(one.st_mtime_ns for one in found),
            max(one.st_ctime_ns for one in found),
        )

    def settled(self, seen_ns: int) -> bool:
        """Whether the last change lay far enough back, when the file was looked at, to be told from the next one."""
        return seen_ns - max(self.mtime_ns, self.ctime_ns) > SETTLED_NS


@dataclass
class Cache:
    """The cache of one dataset; use it in a `with` block.

    Args:
        path: of the cache file.
        root: the dataset's folder; entries of another folder are not used.
    """

    path: Path
    root: Path
    _known: dict[str, tuple[State, dict[str, Any]]] = field(default_factory=dict)
    _lines: int = 0
    _file: TextIO | None = None

    def __enter__(self) -> Cache:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = {"version": VERSION, "root": stored(os.path.abspath(self.root))}
        lines = self._read()
        if lines[:1] == [header]:
            for line in lines[1:]:
                self._take(line)
        if self._lines != len(self._known) or not self._known:  # another root, or lines that later ones replace
            self._rewrite(header)
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> list[Any]:
        """The lines that are whole; one cut short by an interruption is left out."""
        found = []
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        for line in data.split(b"\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                self._lines += bool(line)  # counted, so that the file is rewritten without it
        return found

    def _take(self, line: Any) -> None:
        self._lines += 1
        if isinstance(line, list) and len(line) == 5 and isinstance(line[4], dict):
            self._known[line[0]] = (State(*line[1:4]), line[4])

    def _rewrite(self, header: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(header) + "\n")
            file.writelines(self._line(path, *entry) for path, entry in self._known.items())
        temporary.replace(self.path)

    @staticmethod
    def _line(path: str, state: State, facts: dict[str, Any]) -> str:
        return json.dumps([path, state.size, state.mtime_ns, state.ctime_ns, facts], allow_nan=False) + "\n"

    def get(self, path: str, state: State) -> dict[str, Any] | None:
        """What is known of a file in this state, or None."""
        found = self._known.get(stored(path))
        return found[1] if found is not None and found[0] == state else None

    def put(self, path: str, state: State, facts: dict[str, Any]) -> None:
        """Remember what was found of a file in the state it had before it was read."""
        assert self._file is not None, "use the cache in a `with` block"
        self._file.write(self._line(stored(path), state, facts))

    def flush(self) -> None:
        """Hand what was put to the system, so that an interruption does not lose it."""
        assert self._file is not None
        self._file.flush()
