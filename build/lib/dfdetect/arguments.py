"""Command lines: an entry point parses its arguments here first, and only then imports what takes long to load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfdetect.config.params import Params


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the module's docstring as it is written. An abbreviated option is an unknown one.

    Args:
        name: a command, such as `dfdetect predict`, or the module that `python -m` takes.
        doc: the module's docstring.
    """
    return argparse.ArgumentParser(
        prog=name if name.startswith("dfdetect") else f"python -m {name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_model(arguments: argparse.ArgumentParser) -> None:
    """Take `--model`, the folder of a trained detector."""
    default = Path("models/detector")  # saved_model.FOLDER, whose module takes long to load
    arguments.add_argument("--model", type=Path, default=default, help="the detector's folder (%(default)s)")


def chosen_datasets(module: str, doc: str | None) -> tuple[Params, list[str]]:
    """Parse `--dataset NAME` and read params.yaml.

    Args:
        module: the name that `python -m` takes.
        doc: the module's docstring.
    Returns:
        The params, and the names of the datasets to work on: the one given, or all of run.datasets.
    Raises:
        UserError: params.yaml is not valid, or has no dataset of that name.
    """
    arguments = parser(module, doc)
    arguments.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    name = arguments.parse_args().dataset
    from dfdetect.config.params import load

    params = load()
    if name is not None:
        params.dataset(name)
    return params, params.run.datasets if name is None else [name]
