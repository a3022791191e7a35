"""dfdetect export --format torchscript|onnx: a trained detector as one file for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfdetect.arguments import add_model, parser

SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the trained detector."""
    options = parser("dfdetect export", __doc__)
    options.add_argument("--format", choices=sorted(SUFFIXES), required=True)
    add_model(options)
    options.add_argument("--out", type=Path, help="the file (models/<detector folder's name>.pt or .onnx)")
    asked = options.parse_args(arguments)
    from dfdetect.inference.portable import export

    target = asked.out or asked.model.with_name(asked.model.name + SUFFIXES[asked.format])
    found = export(asked.model, target, asked.format)
    print(f"{target}: inputs {found['inputs']}, scores equal within {found['largest_difference']:.2g}")
