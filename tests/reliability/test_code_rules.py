"""No code of the project hands strangers' words to a shell, unpickles a file, or reads YAML that builds objects."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(p for name in ("stages", "dfdetect", "synthetic", "benchmarks") for p in (ROOT / name).rglob("*.py"))

FORBIDDEN = {
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "asyncio.create_subprocess_shell": "a shell",
    "pickle.load": "unpickling",
    "pickle.loads": "unpickling",
    "pickle.Unpickler": "unpickling",
    "marshal.load": "unpickling",
    "marshal.loads": "unpickling",
    "shelve.open": "unpickling",
    "joblib.load": "unpickling",
    "pd.read_pickle": "unpickling",
    "yaml.load": "YAML that builds objects",
    "yaml.load_all": "YAML that builds objects",
    "yaml.unsafe_load": "YAML that builds objects",
    "yaml.full_load": "YAML that builds objects",
    "tempfile.mktemp": "a name that another may take first",
    "eval": "code from data",
    "exec": "code from data",
}
# call -> the argument without which it unpickles, and its value.
NEEDED = {"torch.load": ("weights_only", True), "load_from_checkpoint": ("weights_only", True)}


def offences(source: str) -> Iterator[str]:
    """What a file's code does that it must not, with the line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if name in FORBIDDEN:
            yield f"line {node.lineno}: {name}: {FORBIDDEN[name]}"
        if "shell" in given and given["shell"] is not False:
            yield f"line {node.lineno}: {name}: a shell"
        if given.get("allow_pickle", False) is not False:
            yield f"line {node.lineno}: {name}: unpickling"
        for call, (argument, value) in NEEDED.items():
            if (name == call or name.endswith(f".{call}")) and given.get(argument) is not value:
                yield f"line {node.lineno}: {name} without {argument}={value}"
        for argument in ("ckpt_path",):
            if argument in given and given.get("weights_only") is not True:
                yield f"line {node.lineno}: {name} of a checkpoint without weights_only=True"


def test_no_shell_no_pickle_no_code_from_data() -> None:
    found = {str(path.relative_to(ROOT)): list(offences(path.read_text(encoding="utf-8"))) for path in FILES}
    assert len(found) > 100
    assert not {path: said for path, said in found.items() if said}


@pytest.mark.parametrize(
    "source",
    [
        "os.system(f'ffmpeg -i {name}')",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=wanted)",
        "pickle.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "Module.load_from_checkpoint(path)",
        "trainer.fit(module, ckpt_path=path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "x = eval(text)",
    ],
)
def test_the_rule_finds(source: str) -> None:
    assert len(list(offences(source))) == 1


@pytest.mark.parametrize("name", ["yaml", "pickle", "os", "subprocess"])
def test_no_module_is_imported_so_that_the_rule_would_not_see_it(name: str) -> None:
    """`from pickle import load` or `import os as o` would pass by the rule."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not [a for a in node.names if a.name == name and a.asname], path
            if isinstance(node, ast.ImportFrom) and node.module == name:
                calls = {f"{name}.{alias.name}" for alias in node.names}
                assert not calls & set(FORBIDDEN), path
