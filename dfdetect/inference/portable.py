"""Operators that ONNX lacks, or that its exporter writes for one batch size alone, put in others while a detector is
exported; the detector's own code stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


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
