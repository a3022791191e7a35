"""dfdetect predict PATH...: is this video or image fake?

On a terminal a line per file, elsewhere a JSON object per line.

Exit code 0: every file was scored (and with --annotate has its copy); 3: some were not, each with its reason; 2: bad
usage; 130: Ctrl-C; 141: the reader of the output is gone. --json and --csv then hold what was scored until then.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from dfdetect.arguments import add_model, parser
from dfdetect.runtime.threads import cpu_count


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the files named on the command line. Returns the exit code."""
    options = parser("dfdetect predict", __doc__)
    options.add_argument("paths", nargs="+", metavar="PATH", help="videos, images, folders, or patterns in quotes")
    add_model(options)
    options.add_argument("--json", type=Path, metavar="OUT", help="also write the JSON lines to this file")
    options.add_argument("--csv", type=Path, metavar="OUT", help="also write a table, one row per file")
    options.add_argument("--annotate", type=Path, metavar="DIR", help="write copies with box, score and timeline here")
    options.add_argument("--threshold", type=_probability, help="fake from this score on (the detector's own)")
    options.add_argument(
        "--aggregation",
        choices=("auto", "mean", "median", "max", "top_k"),
        default="auto",
        help="how the frames' scores become the file's (as the detector was trained)",
    )
    options.add_argument("--batch-size", type=_count, metavar="N", help="crops per batch (8 on a CPU, 64 on a GPU)")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument(
        "--workers", type=_count, default=cpu_count(), metavar="N", help="processes that read files (%(default)s)"
    )
    args = options.parse_args(arguments)
    from dfdetect.inference.predict_files import predict_files

    return predict_files(args)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value
