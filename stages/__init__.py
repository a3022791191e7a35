"""The DVC pipeline: one module per stage; dvc.yaml says what each reads and writes."""

from importlib.util import find_spec

if find_spec("pydantic") is None:  # dvc.yaml runs whichever `python` is first on PATH
    raise SystemExit(
        "error: this Python lacks the project's packages: run `. .venv/bin/activate`, then the command again."
    )
