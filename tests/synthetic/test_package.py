"""The package stands by itself: what it imports, who imports it, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "synthetic"
OTHERS = ("stages", "dfdetect")


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports from, at any level of nesting."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_other_packages_import_its_settings_and_generate_only() -> None:
    files = [path for package in OTHERS for path in (ROOT / package).rglob("*.py")]
    used = {name for path in files for name in imported(path) if name.split(".")[0] == "synthetic"}
    assert used == {"synthetic.generate", "synthetic.settings"}


def test_it_imports_no_other_package_of_the_project() -> None:
    for path in PACKAGE.glob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {*OTHERS, "scripts", "benchmarks", "tests"}, path


def test_its_modules_import_each_other_without_a_circle() -> None:
    paths = [path for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    graph = {f"synthetic.{path.stem}": imported(path) - {"synthetic"} for path in paths}
    assert set(graph) <= set(TopologicalSorter(graph).static_order())  # a circle raises CycleError


def test_reading_its_settings_loads_no_drawing_library() -> None:
    code = "import sys, synthetic; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "cv2", "av"} & set(done.stdout.split())
