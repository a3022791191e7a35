"""What is known of a file already, so that an unchanged dataset is indexed without opening a file again."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from dfdetect.datasets.tree import stored

ROOT = Path(".cache/download")
# Raised when the probe's figures change their meaning, so that older lines are not used.
VERSION = 2
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
        found = [os.stat(path)]
        if stat.S_ISDIR(found[0].st_mode):
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


class Cache:
    """One dataset's files as they were probed: a file of JSON lines, appended to while the stage runs.

    An interrupted run goes on from it; lines that are damaged or of another root are passed over. It is safe to delete.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self._header = [VERSION, stored(os.path.abspath(root))]
        self._known: dict[str, tuple[State, dict[str, Any]]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            with suppress(ValueError, TypeError):
                header, name, state, facts = json.loads(line)
                if header == self._header:
                    self._known[name] = (State(*state), dict(facts))
        self._file = path.open("a" if self._known else "w", encoding="utf-8")
        self._file.write("\n")  # ends a line that was cut short

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, path: str, state: State) -> dict[str, Any] | None:
        """What is known of a file in this state, or None."""
        known, facts = self._known.get(stored(path), (None, None))
        return facts if known == state else None

    def put(self, path: str, state: State, facts: Mapping[str, Any]) -> None:
        """Remember what was found of a file in the state it had before it was read."""
        self._file.write(json.dumps([self._header, stored(path), astuple(state), facts], allow_nan=False) + "\n")

    def flush(self) -> None:
        """Hand what was put to the system, so that an interruption does not lose it."""
        self._file.flush()
