"""What `dfdetect predict` does with its arguments: predictions to the terminal, to files, and as annotated copies."""

from __future__ import annotations

import argparse
import csv
import io
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from dfdetect.errors import wait_for_reader_to_leave
from dfdetect.inference.annotate import AnnotatedCopy, annotate
from dfdetect.inference.inputs import Input, expand
from dfdetect.inference.prediction import CSV_COLUMNS, Prediction, to_json_line
from dfdetect.inference.predictor import Predictor
from dfdetect.inference.saved_model import SYNTHETIC_WARNING
from dfdetect.io.tables import writing

NOT_ALL_SCORED, INTERRUPTED = 3, 130
COPY_COLUMNS = ("annotated", "annotated_reason")


def predict_files(args: argparse.Namespace) -> int:
    """Score the files named on the command line. Returns the exit code."""
    inputs = expand(args.paths)
    predictor = Predictor(
        args.model,
        device=args.device,
        workers=args.workers,
        batch_size=args.batch_size,
        threshold=args.threshold,
        aggregation=args.aggregation,
    )
    if predictor.info.synthetic:
        print(f"warning: {SYNTHETIC_WARNING}", file=sys.stderr)
    listed = scored = fake = without_copy = 0
    with ExitStack() as stack:
        output = _Output(args, stack)
        try:
            stack.enter_context(_stop_without_reader())
            for prediction, copy in stack.enter_context(closing(_predictions(predictor, inputs, args))):
                output.write(prediction, copy)
                listed += 1
                scored += prediction.score is not None
                fake += prediction.label == "fake"
                if prediction.score is not None and copy is not None and copy.path is None:
                    without_copy += 1
                    tqdm.write(f"{prediction.path}: no annotated copy: {copy.reason}", file=sys.stderr)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            print(f"\nstopped: {listed} of {len(inputs)} files are listed", file=sys.stderr)
            if isinstance(error, BrokenPipeError):
                raise
            return INTERRUPTED
    print(f"{scored} of {listed} files scored, {fake} called fake", file=sys.stderr)
    return NOT_ALL_SCORED if scored < listed or without_copy else 0


def _predictions(
    predictor: Predictor, inputs: list[Input], args: argparse.Namespace
) -> Generator[tuple[Prediction, AnnotatedCopy | None], None, None]:
    """Predictions with their annotated copies, where these are asked for."""
    with closing(predictor.stream(inputs)) as predictions:
        if not args.annotate:
            yield from ((prediction, None) for prediction in predictions)
            return
        sources = [item.path for item in inputs]
        with closing(annotate(predictions, args.annotate, sources=sources, workers=args.workers)) as annotated:
            yield from annotated


class _Output:
    """Standard output and the files of --json and --csv; each prediction is written at once."""

    def __init__(self, args: argparse.Namespace, stack: ExitStack) -> None:
        self.terminal = sys.stdout.isatty()
        if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8 whatever the locale
            sys.stdout.reconfigure(encoding=None if self.terminal else "utf-8", errors="backslashreplace")
        self.json = stack.enter_context(_open(args.json)) if args.json else None
        self.csv = None
        if args.csv:
            columns = CSV_COLUMNS + COPY_COLUMNS * bool(args.annotate)
            self.csv = csv.DictWriter(stack.enter_context(_open(args.csv)), columns, lineterminator="\n")
            self.csv.writeheader()

    def write(self, prediction: Prediction, copy: AnnotatedCopy | None) -> None:
        """Write one prediction everywhere."""
        annotated = {} if copy is None else dict(zip(COPY_COLUMNS, (copy.path, copy.reason), strict=True))
        line = to_json_line({**prediction.to_dict(), **annotated})
        if self.json is not None:
            self.json.write(line)
        if self.csv is not None:
            self.csv.writerow({**prediction.to_csv_row(), **annotated})
        if self.terminal:
            tqdm.write(prediction.to_text())  # above the progress bar
        else:
            print(line, end="", flush=True)


def _open(path: Path) -> TextIO:
    """Open a file for writing, line by line, so that what is scored is there whatever happens later."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", errors="backslashreplace", newline="", buffering=1)


@contextmanager
def _stop_without_reader() -> Iterator[None]:
    """Raise BrokenPipeError as soon as nobody reads standard output any more, and not only at the next line.

    A file may take minutes, and nothing would read the result.
    """

    def stop(*_: object) -> None:
        raise BrokenPipeError

    def watch() -> None:
        wait_for_reader_to_leave()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGPIPE)

    before = signal.signal(signal.SIGPIPE, stop)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)
