"""dvc.yaml names all the code that decides a stage's result: else `dvc repro` would call stale results up to date."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("stages", "dfdetect", "synthetic")
# Read by all, deciding no result by themselves: params.yaml's values are what DVC compares, and neither workers nor the
# cache change a result. A sentence of the model card is no reason to train again.
EVERYWHERE = (
    {
        f"dfdetect/{name}"
        for name in ("arguments.py", "errors.py", "config/params.py", "io/fetch.py", "io/hashes.py", "io/workspace.py")
    }
    | {"dfdetect/reporting/model_card.py"}
    | {f"dfdetect/runtime/{name}.py" for name in ("cache", "executor", "locks", "pool", "progress", "ray")}
)
# The tables' content is what other code makes of it; the data stages' rows are compared by hash anyway.
PLUMBING = {
    "dfdetect/config/recipe.py",
    "dfdetect/datasets/tree.py",
    "dfdetect/io/schemas.py",
    "dfdetect/io/tables.py",
    "dfdetect/runtime/threads.py",
    "dfdetect/runtime/video_stage.py",
}
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported(path: Path) -> set[Path]:
    """The project's own files that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    places = [ROOT / Path(*name.split(".")) for name in names if name.split(".")[0] in PACKAGES]
    return {path for place in places for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()}


def closure(start: set[Path]) -> set[str]:
    """All files reached from some, as paths from the root."""
    seen: set[Path] = set()
    waiting = set(start)
    while waiting:
        path = waiting.pop()
        seen.add(path)
        waiting |= imported(path) - seen
    return {path.relative_to(ROOT).as_posix() for path in seen}


def listed(stage: str) -> list[str]:
    """The code that a stage depends on in dvc.yaml, as paths from the root."""
    deps = DOCUMENT[stage].get("do", DOCUMENT[stage])["deps"]
    return [dep for dep in deps if dep.split("/")[0] in PACKAGES]


def covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


DATA_STAGES = ["download", "faces", "masks", "mouths", "mels", "splits", "audit"]


@pytest.mark.parametrize("stage", ["check", *DATA_STAGES, "train", "predict", "robustness", "evaluate", "report"])
def test_a_stage_depends_on_the_code_that_it_imports(stage: str) -> None:
    exempt = EVERYWHERE if stage in {"train", "predict", "robustness"} else EVERYWHERE | PLUMBING
    reached = closure({ROOT / "stages" / f"{stage}.py"})
    if stage in {"evaluate", "report"}:  # they read a saved model's detector.json and never build its network
        reached = {path for path in reached if not path.startswith(("dfdetect/detectors/", "dfdetect/config/recipe"))}
    missing = {
        path
        for path in reached
        if path not in exempt
        and (stage == "download" or not path.startswith("synthetic/"))  # params.py knows the settings of sources
        and path.rpartition("/")[2] != "__init__.py"
        and not covered(path, listed(stage))
    }
    assert missing <= (
        {"dfdetect/config/recipe.py"} if stage == "evaluate" else set()
    )  # its recipe is what it was trained with


@pytest.mark.parametrize("stage", ["train", "predict", "robustness"])
def test_a_detector_imports_nothing_that_is_not_listed(stage: str) -> None:
    deps = listed(stage)
    for path in (ROOT / "dfdetect/detectors").glob("*.py"):
        if path.stem not in DETECTORS:
            continue
        reached = closure({path}) - {f"dfdetect/detectors/{path.name}"} - EVERYWHERE
        missing = {
            each
            for each in reached
            if not covered(each, deps)
            and each.rpartition("/")[2] != "__init__.py"
            and not each.startswith("synthetic/")
        }
        assert missing <= {"dfdetect/config/recipe.py"} | (
            {"dfdetect/detectors/losses.py"} if stage != "train" else set()
        ), path.name


DETECTORS = [
    path.stem for path in (ROOT / "dfdetect/detectors").glob("*.py") if "@register(" in path.read_text(encoding="utf-8")
]
