"""dfdetect COMMAND ...: score files, compare detectors, export one, serve the web page.

Each command's module is imported when it is asked for, so that `dfdetect --help` loads nothing heavy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from dfdetect.errors import run_cli


@dataclass(frozen=True)
class Command:
    """One command: the module whose `main(arguments)` runs it, and a line for the list of commands."""

    module: str
    summary: str


COMMANDS = {
    "predict": Command("dfdetect.inference.command", "score videos and images with a trained detector"),
    "compare": Command("dfdetect.evaluation.command", "compare two detectors by their predictions.parquet"),
    "bandpass": Command("dfdetect.detectors.bandpass_image", "save the band of an image between two Gaussian blurs"),
    "export": Command("dfdetect.inference.export", "write a detector as one ONNX or TorchScript file"),
    "demo": Command("dfdetect.demo.command", "serve a web page for trying a detector on this machine"),
    "summary": Command("dfdetect.reporting.summary", "print the figures of the last run and where its results are"),
}


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:<10}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: dfdetect COMMAND ...",
            "",
            *lines,
            "",
            "`dfdetect COMMAND --help` describes a command. The pipeline is run with `dvc repro`.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run one command; the exit code is the command's own, 2 for bad usage.

    Args:
        arguments: the command and its arguments; those of the process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words and words[0] == "--version":
        from dfdetect import __version__

        print(f"dfdetect {__version__}")
        return 0
    if not words or words[0] not in COMMANDS:
        problem = f"error: there is no command `{words[0]}`\n\n" if words else ""
        print(problem + usage(), file=sys.stderr)
        return 2
    run: Callable[[Sequence[str]], int | None] = import_module(COMMANDS[words[0]].module).main
    return run(words[1:])


def entry() -> None:
    """The console script."""
    run_cli(main)


if __name__ == "__main__":
    entry()
