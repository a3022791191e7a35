"""A detector as one file for other programs. Operators that ONNX lacks, or that its exporter writes for one batch size
only, are put in others while it is exported; the detector's own code stays as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dfdetect.errors import UserError
from dfdetect.inference.saved_model import load
from dfdetect.io.tables import atomic_path

if TYPE_CHECKING:
    from dfdetect.detectors.base import Detector

TOLERANCE = 1e-4
# In the order of the file's inputs, as dfdetect/detectors/base.py describes them.
INPUTS = ("image", "mask", "mouths", "mels", "frame_time_s", "chunk_time_s")


class Portable(TorchFunctionMode):
    """Within it, Fourier transforms and adaptive average pooling are products with constant matrices.

    A spectrum is a real tensor with (real, imaginary) as its last axis, so that view_as_real and view_as_complex do
    nothing. Sizes of pictures are taken as constants; the batch's stays free.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace what is in the table, leave the rest."""
        del types
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


def _constant(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype)


def _waves(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi k n / size, over sqrt(size) ("ortho") [shape=(count, size)]."""
    angle = 2 * np.pi * np.outer(np.arange(count), np.arange(size)) / size
    return np.cos(angle) / np.sqrt(size), np.sin(angle) / np.sqrt(size)


def rfft2(x: Tensor, *, norm: str) -> Tensor:
    """As torch.fft.rfft2(x, norm="ortho"), (..., H, W) -> (..., H, W // 2 + 1, 2)."""
    _check(norm)
    height, width = int(x.shape[-2]), int(x.shape[-1])
    cos_w, sin_w = (_constant(wave.T, x) for wave in _waves(width, width // 2 + 1))
    cos_h, sin_h = (_constant(wave, x) for wave in _waves(height, height))
    real, imaginary = x @ cos_w, -(x @ sin_w)
    return torch.stack((cos_h @ real + sin_h @ imaginary, cos_h @ imaginary - sin_h @ real), dim=-1)


def irfft2(spectrum: Tensor, *, s: tuple[int, int], norm: str) -> Tensor:
    """As torch.fft.irfft2(spectrum, s=s, norm="ortho"), (..., H, W // 2 + 1, 2) -> (..., H, W)."""
    _check(norm)
    height, width = (int(side) for side in s)
    cos_h, sin_h = (_constant(wave, spectrum) for wave in _waves(height, height))
    share = np.full((width // 2 + 1, 1), 2.0)  # each wave stands for its mirror image too, but for the first and,
    share[0] = 1.0  # of an even width, the last
    share[-1] = 1.0 if width % 2 == 0 else 2.0
    cos_w, sin_w = (_constant(wave * share, spectrum) for wave in _waves(width, width // 2 + 1))
    real, imaginary = spectrum[..., 0], spectrum[..., 1]
    real, imaginary = cos_h @ real - sin_h @ imaginary, cos_h @ imaginary + sin_h @ real
    return real @ cos_w - imaginary @ sin_w


def adaptive_avg_pool2d(x: Tensor, output_size: int | tuple[int, int]) -> Tensor:
    """As F.adaptive_avg_pool2d: bin i of n averages floor(i L / n) to ceil((i + 1) L / n)."""
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    height = _constant(_bins(int(x.shape[-2]), int(rows)), x)
    width = _constant(_bins(int(x.shape[-1]), int(columns)).T, x)
    return height @ x @ width


def _bins(length: int, count: int) -> np.ndarray:
    weights = np.zeros((count, length))
    for i in range(count):
        first, end = i * length // count, -((-(i + 1) * length) // count)
        weights[i, first:end] = 1 / (end - first)
    return weights


def _fftshift(x: Tensor, dim: int = -1) -> Tensor:
    return torch.roll(x, int(x.shape[dim]) // 2, dim)


def _pad(x: Tensor, pad: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """F.pad; a picture's mirrored border is picked by index, so that its size stays known."""
    if mode != "reflect":
        return F.pad(x, pad, mode, value)
    for dim, (before, after) in zip((-1, -2), (pad[:2], pad[2:]), strict=False):
        rows = np.pad(np.arange(int(x.shape[dim])), (int(before), int(after)), mode="reflect")
        x = x.index_select(dim, torch.tensor(rows))
    return x


def _conv2d(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """F.conv2d; a kernel that is computed, but not from the picture, becomes a constant."""
    if not isinstance(weight, torch.nn.Parameter):
        weight = _constant(weight.detach().numpy(), x)
    return F.conv2d(x, weight, *args, **kwargs)


def _unflatten(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    at = dim % x.ndim
    return x.reshape([*x.shape[:at], *sizes, *x.shape[at + 1 :]])


def _frequencies(of: Callable[[int], np.ndarray]) -> Callable[..., Tensor]:
    def made(n: int, **_: Any) -> Tensor:
        return torch.tensor(of(int(n)), dtype=torch.float32)

    return made


def _same(x: Tensor) -> Tensor:
    return x


def _check(norm: str) -> None:
    if norm != "ortho":
        raise NotImplementedError(f"Fourier transforms with norm {norm!r}")


_REPLACED: dict[Any, Callable[..., Any]] = {
    torch.fft.rfft2: rfft2,
    torch.fft.irfft2: irfft2,
    torch.fft.fftshift: _fftshift,
    torch.fft.fftfreq: _frequencies(np.fft.fftfreq),
    torch.fft.rfftfreq: _frequencies(np.fft.rfftfreq),
    torch.view_as_real: _same,
    torch.view_as_complex: _same,
    torch.Tensor.unflatten: _unflatten,
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    F.conv2d: _conv2d,
    F.pad: _pad,
}


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
        UserError: the detector cannot be exported so, or the scores differ.
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
