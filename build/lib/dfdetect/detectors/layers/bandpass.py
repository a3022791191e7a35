"""A bandpass filter of images whose band is learned."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SIGMA_MIN = 0.05  # (px) a Gaussian this narrow is one pixel; keeps the division by sigma^2 finite


def _softplus_inverse(value: float) -> float:
    return math.log(math.expm1(value))


class BandpassLayer(nn.Module):
    """Difference of two Gaussian blurs with learned widths.

        y = G(sigma_low) * x - G(sigma_high) * x,  sigma_high = sigma_low + delta
        sigma_low = softplus(a) + 0.05, delta = softplus(b) + 0.05  (always positive)
        frequency response at f cycles per pixel: exp(-2 pi^2 sigma_low^2 f^2) - exp(-2 pi^2 sigma_high^2 f^2)

    Both blurs are separable depthwise convolutions with normalised kernels of `kernel_size` taps (so the mean is
    removed exactly), borders reflected. The response above holds while sigma_high stays under about a sixth of
    kernel_size and sigma_low above 0.8; a Gaussian sampled more coarsely blurs the finest detail less than it says.

    Shapes: (B, 3, H, W) -> (B, 3, H, W).

    Source: the repository tasso-canellas/addnet gives the equation and kernel_size 31. Its widths are |a| + 1e-5 and
    |b| + 1e-5, its two-dimensional kernels the outer products of those here.
    """

    def __init__(self, kernel_size: int = 31, sigma_low: float = 0.793, delta: float = 3.966) -> None:
        """Args: kernel_size: taps, odd; sigma_low, delta: starting values (px), > 0.05.

        Raises:
            ValueError: an even kernel, or a starting value that is too small.
        """
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError(f"kernel_size {kernel_size}: must be odd and at least 3.")
        if min(sigma_low, delta) <= _SIGMA_MIN:
            raise ValueError(f"sigma_low {sigma_low}, delta {delta}: both must be above {_SIGMA_MIN} px.")
        self.kernel_size = kernel_size
        self.raw_sigma_low = nn.Parameter(torch.tensor(_softplus_inverse(sigma_low - _SIGMA_MIN)))
        self.raw_delta = nn.Parameter(torch.tensor(_softplus_inverse(delta - _SIGMA_MIN)))

    @property
    def sigma_low(self) -> Tensor:
        """Width of the narrow blur (px), a scalar."""
        return F.softplus(self.raw_sigma_low) + _SIGMA_MIN

    @property
    def delta(self) -> Tensor:
        """How much wider the other blur is (px), a scalar."""
        return F.softplus(self.raw_delta) + _SIGMA_MIN

    @property
    def sigma_high(self) -> Tensor:
        """Width of the wide blur (px), a scalar."""
        return self.sigma_low + self.delta

    def kernels(self) -> Tensor:
        """The two blurs' normalised one-dimensional kernels, float32 (2, kernel_size)."""
        radius = self.kernel_size // 2
        offsets = torch.arange(-radius, radius + 1, device=self.raw_delta.device, dtype=torch.float32)
        sigmas = torch.stack([self.sigma_low, self.sigma_high]).float()
        kernels = torch.exp(-(offsets**2) / (2.0 * sigmas[:, None] ** 2))
        return kernels / kernels.sum(dim=1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), in x's dtype; computed in float32: the difference is small."""
        channels, radius = x.shape[1], self.kernel_size // 2
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float(), (radius, radius, radius, radius), mode="reflect")
            taps = self.kernels()  # (2, k)
            rows = taps.repeat(channels, 1).view(2 * channels, 1, 1, -1)  # per channel: narrow, wide
            y = F.conv2d(padded, rows, groups=channels)  # (B, 2C, H + 2r, W)
            y = F.conv2d(y, rows.transpose(2, 3), groups=2 * channels)  # (B, 2C, H, W)
            return (y[:, 0::2] - y[:, 1::2]).to(x.dtype)
