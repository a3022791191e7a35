"""Who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stages", "dfdetect", "synthetic")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# The one place of the library that renders samples: the source kind `generate`, and the model of its settings.
RENDERS = {"dfdetect/config/params.py", "dfdetect/datasets/sources/sources.py"}


def imports(path: Path) -> set[str]:
    """The project's own modules that a file imports, at any level of nesting."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            if node.module.split(".")[0] in PACKAGES:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in (*PACKAGES, "tests", "benchmarks")}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_stages_use_the_library_and_the_library_uses_no_stage() -> None:
    wrong = []
    for path in FILES:
        allowed = {
            "stages": {"dfdetect"},
            "dfdetect": {"dfdetect", "synthetic"} if name_of(path) in RENDERS else {"dfdetect"},
            "synthetic": {"dfdetect", "synthetic"},
        }[path.relative_to(ROOT).parts[0]]
        wrong += [f"{name_of(path)} imports {name}" for name in imports(path) if name.split(".")[0] not in allowed]
    assert len(FILES) > 50
    assert not wrong


def test_imports_are_absolute() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], path


def test_there_is_no_circle() -> None:
    """Neither at import time nor through imports inside functions."""
    modules = {name_of(p).removesuffix(".py").removesuffix("/__init__").replace("/", "."): imports(p) for p in FILES}
    del modules["dfdetect"]  # its names are imported from their modules on first use
    graph = {module: (names & modules.keys()) - {module} for module, names in modules.items()}
    while leaves := {module for module, names in graph.items() if not names & graph.keys()}:
        graph = {module: names for module, names in graph.items() if module not in leaves}
    assert not graph


HEAVY = {"torch", "dlib", "librosa", "cv2", "matplotlib", "sklearn", "pandas", "albumentations", "timm"}
LIGHT = {
    "dfdetect": HEAVY,
    "dfdetect.config.params": HEAVY,
    "stages.download": HEAVY - {"cv2"},
    "stages.splits": HEAVY - {"cv2", "sklearn"},
    "stages.mels": HEAVY - {"cv2"},
    "stages.masks": HEAVY - {"cv2", "dlib"},
}


def loaded_by(module: str) -> set[str]:
    """The modules that are loaded after importing one, in a fresh interpreter."""
    code = f"import sys, importlib; importlib.import_module({module!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_heavy_libraries_stay_out(module: str) -> None:
    assert not LIGHT[module] & loaded_by(module)


def test_importing_the_library_sets_nothing() -> None:
    code = (
        "import os, threading; before = dict(os.environ), threading.active_count(); import dfdetect; "
        "assert (dict(os.environ), threading.active_count()) == before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_python_without_the_packages_is_told() -> None:
    """What `dvc repro` says when the environment is not active; -S leaves installed packages out."""
    command = [sys.executable, "-S", "-m", "stages.check"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this Python lacks the project's packages: run `. .venv/bin/activate`")
