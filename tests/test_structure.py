"""The rules of the house: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ROOT / "stages"
ROOMS = {"download", "faces", "masks", "mouths", "mels", "splits", "train", "evaluate"}
FILES = sorted(STAGES.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The modules of `stages` that a file imports, at any level of nesting."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "stages"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(STAGES)))
def test_a_room_never_imports_another_room(path: Path) -> None:
    here = path.relative_to(STAGES).parts[0]
    rooms = {
        parts[1] for name in imports(path) if len(parts := name.split(".")) > 1 and parts[1] in ROOMS | {"predict"}
    }
    allowed = ROOMS | {"predict"} if here == "predict" else {here} & ROOMS
    assert rooms <= allowed, f"{path.name} imports {sorted(rooms - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(STAGES)))
def test_imports_are_absolute(path: Path) -> None:
    relative = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
    assert not relative


LIGHT = {
    "stages.params": {"torch", "dlib", "librosa", "cv2", "matplotlib", "sklearn", "pandas", "albumentations"},
    "stages.download": {"torch", "dlib", "librosa", "matplotlib", "sklearn", "albumentations"},
    "stages.splits.__main__": {"torch", "dlib", "librosa", "matplotlib", "albumentations"},
    "stages.mels.__main__": {"torch", "dlib", "librosa", "matplotlib", "sklearn", "albumentations"},
    "stages.masks.__main__": {"torch", "librosa", "matplotlib", "sklearn", "albumentations"},
}


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_heavy_libraries_stay_out(module: str) -> None:
    code = f"import sys, importlib; importlib.import_module({module!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not LIGHT[module] & set(done.stdout.split())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(STAGES)))
def test_files_and_functions_keep_a_readable_size(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= 400
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [n.name for n in functions if (n.end_lineno or 0) - n.lineno > 70]
    assert not long
