"""dfdetect export --format torchscript|onnx: a trained detector as one file for other programs."""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dfdetect.errors import UserError
from dfdetect.inference.portable import Portable
from dfdetect.inference.saved_model import FOLDER, load
from dfdetect.io.tables import atomic_path

if TYPE_CHECKING:
    from dfdetect.detectors.base import Detector

TOLERANCE = 1e-4
# In the order of the file's inputs, as dfdetect/detectors/base.py describes them.
INPUTS = ("image", "mask", "mouths", "mels", "frame_time_s", "chunk_time_s")
SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}


class Scores(nn.Module):
    """A detector with positional inputs and one output: its score, uncalibrated for anomaly detectors (B,).

    Args:
        detector: in evaluation mode.
        names: of the inputs, in order.
        portable: whether to put what ONNX lacks in other operators.
    """

    def __init__(self, detector: Detector, names: list[str], *, portable: bool = False) -> None:
        super().__init__()
        self.detector, self.names, self.portable = detector, names, portable

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs in the order of `names` -> score (B,)."""
        with Portable() if self.portable else nullcontext():
            return self.detector.score(self.detector(dict(zip(self.names, inputs, strict=True))))


def export(model: Path, target: Path, kind: str) -> dict[str, object]:
    """Write a detector as one file and check that it gives the same scores.

    Args:
        model: the detector's folder.
        target: the file.
        kind: torchscript or onnx.
    Returns:
        inputs (name and shape, batch first) and the largest difference of scores on batches of one, two and three;
        of scores beyond 1, as those of anomaly detectors, relative to them.
    Raises:
        UserError: the detector cannot be exported so, a package is missing, or the scores differ.
    """
    _, detector = load(model)
    examples = [detector.example_batch(size, seed=size) for size in (2, 1, 3)]
    names = [name for name in INPUTS if name in examples[0]]
    batches = [tuple(batch[name] for name in names) for batch in examples]
    scores = Scores(detector, names, portable=kind == "onnx").eval()
    with torch.inference_mode():
        expected = [detector.score(detector(dict(zip(names, batch, strict=True)))).numpy() for batch in batches]
    with atomic_path(target) as temporary:
        found = (_torchscript if kind == "torchscript" else _onnx)(scores, names, batches, temporary)
        worst = max(
            float(np.max(np.abs(a - b) / np.maximum(1, np.abs(a)))) for a, b in zip(expected, found, strict=True)
        )
        if not worst <= TOLERANCE:
            raise UserError(
                f"{detector.name} as {kind} differs from the original by {worst:.2g} (allowed: {TOLERANCE:g}); "
                "no file was written."
            )
    return {"inputs": {name: list(examples[0][name].shape) for name in names}, "largest_difference": worst}


def _torchscript(scores: Scores, names: list[str], batches: list[tuple[Tensor, ...]], path: Path) -> list[np.ndarray]:
    """Trace, save, load again, score."""
    del names
    try:
        with torch.no_grad():
            traced = torch.jit.trace(scores, batches[0], check_trace=False)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"this detector cannot be traced: {str(error).splitlines()[0]}") from None
    torch.jit.save(traced, str(path))
    again = torch.jit.load(str(path))
    with torch.inference_mode():
        return [again(*batch).numpy() for batch in batches]


def _onnx(scores: Scores, names: list[str], batches: list[tuple[Tensor, ...]], path: Path) -> list[np.ndarray]:
    """Export, load with onnxruntime, score."""
    lacking = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"ONNX export needs {' and '.join(lacking)}: run `make export-setup`, or use --format torchscript."
        )
    import onnxruntime

    batch_axis = {name: {0: "batch"} for name in [*names, "score"]}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every size that becomes a constant, which is meant
            torch.onnx.export(
                scores,
                batches[0],
                str(path),
                input_names=names,
                output_names=["score"],
                dynamic_axes=batch_axis,
                dynamo=False,
            )
    except (RuntimeError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        raise UserError(f"this detector cannot be put as ONNX: {str(error).splitlines()[0]}") from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}
    feeds = [{n: v.numpy() for n, v in zip(names, batch, strict=True) if n in taken} for batch in batches]
    return [np.asarray(session.run(None, feed)[0]) for feed in feeds]


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the trained detector."""
    parser = argparse.ArgumentParser(prog="dfdetect export", description=__doc__)
    parser.add_argument("--format", choices=sorted(SUFFIXES), required=True)
    parser.add_argument("--model", type=Path, default=FOLDER, help="the detector's folder (%(default)s)")
    parser.add_argument("--out", type=Path, help="the file (models/<detector folder's name>.pt or .onnx)")
    asked = parser.parse_args(arguments)
    target = asked.out or asked.model.with_name(asked.model.name + SUFFIXES[asked.format])
    found = export(asked.model, target, asked.format)
    print(f"{target}: inputs {found['inputs']}, scores equal within {found['largest_difference']:.2g}")
