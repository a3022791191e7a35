"""dfdetect predict PATH...: is this video or image fake? One JSON object a line.

Exit code 0: every file was scored; 3: some could not be (they are listed with a reason); 2: bad usage; 130: Ctrl-C,
and what was scored until then is written.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.arguments import add_model, parser
from dfdetect.runtime.threads import cpu_count

if TYPE_CHECKING:
    from dfdetect.inference.prediction import Prediction

NOT_ALL_SCORED, INTERRUPTED = 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the files named on the command line."""
    asked = _arguments(arguments)
    from dfdetect.inference.inputs import expand
    from dfdetect.inference.prediction import as_csv
    from dfdetect.inference.predictor import Predictor
    from dfdetect.io.tables import write_bytes

    inputs = expand(asked.paths)
    predictor = Predictor(
        asked.model,
        device=asked.device,
        workers=asked.workers or cpu_count(),
        batch_size=asked.batch_size,
        threshold=asked.threshold,
        video_score=asked.video_score,
    )
    found: list[Prediction] = []
    interrupted = False
    try:
        for each in _printed(predictor.stream(inputs)):
            found.append(each)
    except KeyboardInterrupt:
        interrupted = True
    if asked.json:
        write_bytes(asked.json, "".join(f"{each.as_json()}\n" for each in found).encode())
    if asked.csv:
        write_bytes(asked.csv, as_csv(found).encode())
    if interrupted:
        print(f"\ninterrupted: {len(found)} of {len(inputs)} files are listed", file=sys.stderr)
        return INTERRUPTED
    failed = [each for each in found if each.score is None]
    if asked.annotate:
        from dfdetect.inference.annotate import annotate_all

        failed += annotate_all(found, asked.annotate, workers=asked.workers or cpu_count())
    fakes = sum(each.label == "fake" for each in found)
    scored = sum(each.score is not None for each in found)
    print(f"{scored} of {len(found)} files scored, {fakes} called fake", file=sys.stderr)
    return NOT_ALL_SCORED if failed else 0


def _printed(predictions: Iterator[Prediction]) -> Iterator[Prediction]:
    """Print each as it comes; a reader that goes away (`| head`) ends the printing, not the scoring."""
    open_ = True
    for each in predictions:
        if open_:
            try:
                print(each.as_json(), flush=True)
            except BrokenPipeError:
                open_ = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        yield each


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("dfdetect predict", __doc__)
    options.add_argument("paths", nargs="+", metavar="PATH", help="videos, images, folders, or patterns in quotes")
    add_model(options)
    options.add_argument("--json", type=Path, metavar="OUT", help="also write the JSON lines to this file")
    options.add_argument("--csv", type=Path, metavar="OUT", help="also write a table, one row a file")
    options.add_argument("--annotate", type=Path, metavar="DIR", help="write copies with box, score, timeline here")
    options.add_argument("--threshold", type=_share, help="fake from this score on (the detector's own)")
    options.add_argument(
        "--video-score",
        choices=("auto", "mean", "median", "max", "top_k"),
        default="auto",
        help="how frames make a video's score (as the detector was trained)",
    )
    options.add_argument("--batch-size", type=_count, metavar="N", help="pictures a batch (8 on a CPU, 64 on a GPU)")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--workers", type=_count, metavar="N", help="processes that read files (one a processor)")
    return options.parse_args(arguments)


def _share(text: str) -> float:
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
