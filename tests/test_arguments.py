"""Every entry point parses its arguments before it does anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfdetect.cli import COMMANDS

ROOT = Path(__file__).parents[1]
GUARD = '\nif __name__ == "__main__":'
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("stages", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if GUARD in path.read_text(encoding="utf-8")
)
# Each as the words that start it: a module, and for the console script one of its commands.
COMMAND_LINES = [(module,) for module in MODULES] + [("dfdetect", name) for name in COMMANDS]
# What takes a second or more to load.
HEAVY = {"albumentations", "librosa", "lightning", "matplotlib", "pandas", "scipy", "sklearn", "torch"}
# Runs a command with either argument, in one process to save time; prints as JSON what came of it.
DRIVER = """
import contextlib, io, json, runpy, sys
told = []
for argument in ("--help", "--nonsense"):
    sys.argv = ["command", *WORDS[1:], argument]
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(WORDS[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
    told.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "loaded": list(sys.modules)})
print(json.dumps(told))
"""


def test_the_walk_finds_the_commands() -> None:
    assert {("stages.train",), ("stages.check",), ("benchmarks.bench",), ("dfdetect", "predict")} <= set(COMMAND_LINES)


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_help_helps_and_unknown_arguments_are_errors(words: tuple[str, ...], tmp_path: Path) -> None:
    """In an empty folder, where whatever a command does beside parsing fails or leaves a file."""
    line = [sys.executable, "-c", DRIVER.replace("WORDS", repr(words))]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=True)
    helped, refused = json.loads(done.stdout)
    shown = " ".join(words) if words[0] == "dfdetect" else f"python -m {words[0]}"
    assert helped["code"] == 0
    assert helped["out"].startswith(f"usage: {shown} ")
    assert helped["err"] == ""
    if not words[0].startswith("benchmarks."):
        assert not HEAVY & set(helped["loaded"])
    assert refused["code"] == 2
    assert f"{shown}: error: " in refused["err"]
    assert refused["out"] == ""
    assert not any(tmp_path.iterdir())
