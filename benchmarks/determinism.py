"""The data stages under circumstances that must not matter: every published byte has to be the same.

`make determinism`. Each circumstance is a clone of the code in a folder of its own, with as many workers, the order in
which the system lists folders, locale, time zone and hash seed that it says. `make test` runs the two extremes on fewer
stages.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.trials import CLIPS, STAGES, Project
from dfdetect.arguments import parser

# Imported by every Python process that has its folder on PYTHONPATH, before anything else is.
_SHUFFLE = """
import os
import random

_listdir, _scandir, _chance = os.listdir, os.scandir, random.Random()


def listdir(path="."):
    names = _listdir(path)
    _chance.shuffle(names)
    return names


class scandir:
    def __init__(self, path="."):
        with _scandir(path) as found:
            self._entries = list(found)
        _chance.shuffle(self._entries)
        self._left = iter(self._entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._left)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._left = iter(())


os.listdir, os.scandir = listdir, scandir
"""


@dataclass(frozen=True)
class Circumstance:
    """What is different, and must not be seen in the results."""

    name: str
    workers: int = 2
    shuffled: bool = False
    env: dict[str, str] = field(default_factory=dict)


PLAIN = Circumstance("1 worker, hash seed 0", 1, env={"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"})
ODD = Circumstance(
    "3 workers, folders listed in random order, locale C, a time zone of +12:45, random hash seed",
    3,
    shuffled=True,
    env={"PYTHONHASHSEED": "random", "TZ": "<+1245>-12:45", "LC_ALL": "C"},
)


def circumstances() -> list[Circumstance]:
    """All of them; Turkish (where I is no upper-case i) only where the system has it."""
    found = [
        PLAIN,
        Circumstance("2 workers"),
        Circumstance("4 workers", 4),
        Circumstance("folders listed in random order", shuffled=True),
        Circumstance("locale C", env={"LC_ALL": "C"}),
        Circumstance("a time zone of -11:00", env={"TZ": "<-11>11"}),
        Circumstance("random hash seed", env={"PYTHONHASHSEED": "random"}),
        ODD,
    ]
    locales = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    turkish = next((name for name in locales if name.lower().startswith("tr_tr")), None)
    if turkish:
        found.append(Circumstance(f"locale {turkish}", env={"LC_ALL": turkish}))
    return found


def artifacts(
    place: Path, what: Circumstance, stages: Sequence[str] = STAGES, *, people: int = 3, **settings: Any
) -> dict[str, str]:
    """Run the stages in a clone of their own; returns the sha256 of every file that they publish.

    Args:
        place: a folder for it, not there yet.
        people: drawn.
        settings: of the Project.
    """
    env = dict(what.env)
    if what.shuffled:
        hooks = place / "hooks"
        hooks.mkdir(parents=True)
        (hooks / "sitecustomize.py").write_text(_SHUFFLE, encoding="utf-8")
        env["PYTHONPATH"] = str(hooks)
    project = Project(place / "project", {**CLIPS, "identities": people}, workers=what.workers, env=env, **settings)
    for stage in stages:
        project.run(stage)
    return project.artifacts()


def differing(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Files of other bytes, or that only one of the two has."""
    return sorted(path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path))


def main() -> None:
    """Run every circumstance; print a Markdown table; exit code 1 where a byte differs."""
    parser("benchmarks.determinism", __doc__).parse_args()
    bad = False
    with tempfile.TemporaryDirectory(prefix="determinism-") as place:
        wanted: dict[str, str] = {}
        print("| circumstance | files | that differ |\n|---|---|---|")
        for number, what in enumerate(circumstances()):
            found = artifacts(Path(place) / f"clone{number}" / ("x" * number), what, layout="fakeavceleb")
            wanted = wanted or found
            names = differing(found, wanted)
            bad = bad or bool(names)
            print(f"| {what.name} | {len(found)} | {', '.join(names) or 'none'} |", flush=True)
    raise SystemExit(bad)


if __name__ == "__main__":
    main()
