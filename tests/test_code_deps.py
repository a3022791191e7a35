"""dvc.yaml names all the code that decides a stage's result: else `dvc repro` would call stale results up to date."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = ROOT / "stages"
# Read by all, deciding no result by itself: params.yaml's values are what DVC compares, workers and ledger change none.
EVERYWHERE = {"__init__.py", "params.py", "errors.py", "engine.py", "cluster.py", "ledger.py", "locks.py"}
# Imported by params.py for their settings alone.
SETTINGS_OF_SOURCES = "datasets/generator"
# The tables' content is what other code makes of it; the data stages' rows are compared by hash anyway.
PLUMBING = {"host.py", "recipe.py", "store.py", "schema.py", "per_video.py", "datasets/tree.py"}
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported(path: Path) -> set[Path]:
    """The files under stages/ that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        if name.split(".")[0] == "stages":
            place = ROOT / Path(*name.split("."))
            found |= {p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()}
    return found


def closure(start: set[Path]) -> set[str]:
    """All files reached from some, as paths under stages/."""
    seen: set[Path] = set()
    waiting = set(start)
    while waiting:
        path = waiting.pop()
        seen.add(path)
        waiting |= imported(path) - seen
    return {path.relative_to(STAGES).as_posix() for path in seen}


def listed(stage: str) -> list[str]:
    """The code that a stage depends on in dvc.yaml, as paths under stages/; the detector's own file as `*`."""
    deps = DOCUMENT[stage].get("do", DOCUMENT[stage])["deps"]
    return [dep.removeprefix("stages/") for dep in deps if dep.startswith("stages/")]


def covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("stage", ["download", "faces", "masks", "mouths", "mels", "splits", "train", "evaluate"])
def test_a_stage_depends_on_the_code_that_it_imports(stage: str) -> None:
    exempt = EVERYWHERE if stage in {"train", "evaluate"} else EVERYWHERE | PLUMBING
    reached = closure(set((STAGES / stage).rglob("*.py")))
    missing = {
        path
        for path in reached
        if path not in exempt
        and not path.startswith(SETTINGS_OF_SOURCES)
        and path.rpartition("/")[2] != "__init__.py"
        and not covered(path, listed(stage))
    }
    assert missing <= ({"recipe.py"} if stage == "evaluate" else set())  # its recipe is what it was trained with


@pytest.mark.parametrize("stage", ["train", "evaluate", "section"])
def test_a_detector_imports_nothing_that_is_not_listed(stage: str) -> None:
    deps = listed(stage)
    for path in (STAGES / "detectors").glob("*.py"):
        if path.stem not in DETECTORS:
            continue
        reached = closure({path}) - {f"detectors/{path.name}"} - EVERYWHERE
        missing = {
            each
            for each in reached
            if not covered(each, deps)
            and each.rpartition("/")[2] != "__init__.py"
            and not each.startswith(SETTINGS_OF_SOURCES)
        }
        assert missing <= {"recipe.py"} | ({"detectors/losses.py"} if stage != "train" else set()), path.name


DETECTORS = [
    path.stem for path in (STAGES / "detectors").glob("*.py") if "@register(" in path.read_text(encoding="utf-8")
]
