"""Two fixed views of an image, each with a small learned network on top: its spectrum and its edges."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SOBEL_X = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


def conv_tower(channels: list[int]) -> nn.Sequential:
    """3x3 convolutions of stride 2 with batch norm and ReLU: (B, c[0], H, W) -> (B, c[-1], H / 2^n, W / 2^n)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class LogSpectrum(nn.Module):
    """Log-magnitude spectrum, low frequencies in the vertical middle, and the radial frequency as a further channel.

        out = [log(1 + |rfft2(x)|) ; sqrt(fy^2 + fx^2)], norm "ortho", in float32 under autocast too

    The last channel tells the convolutions above, which look the same everywhere, which band they see.

    Shapes: (B, 3, H, W) -> (B, 4, H, W // 2 + 1). No parameters.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 4, H, W // 2 + 1) float32."""
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.view_as_real(torch.fft.rfft2(x.float(), norm="ortho"))
            power = spectrum.square().sum(-1)
            magnitude = torch.log1p(torch.sqrt(power + 1e-12))  # the constant keeps the gradient at 0 finite
            magnitude = torch.fft.fftshift(magnitude, dim=-2)
            fy = torch.fft.fftshift(torch.fft.fftfreq(x.shape[-2], device=x.device))
            fx = torch.fft.rfftfreq(x.shape[-1], device=x.device)
            radius = torch.sqrt(fy[:, None].square() + fx[None, :].square())
            return torch.cat([magnitude, radius.expand(x.shape[0], 1, *radius.shape)], dim=1)


class SobelLaplacian(nn.Module):
    """Fixed edge maps per colour channel.

        out = [sqrt(sobel_x(x)^2 + sobel_y(x)^2 + 1e-6) ; laplacian(x)]

    Shapes: (B, 3, H, W) -> (B, 6, H, W); borders replicated. No parameters.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        sobel, laplacian = torch.tensor(_SOBEL_X) / 8.0, torch.tensor(_LAPLACIAN) / 4.0
        kernels = torch.stack([sobel, sobel.T, laplacian])  # (3, 3, 3)
        self.register_buffer("kernels", kernels.unsqueeze(1).repeat(3, 1, 1, 1), persistent=False)  # (9, 1, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 6, H, W)."""
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        y = F.conv2d(padded, self.kernels.to(x.dtype), groups=3)  # (B, 9, H, W): x, y, Laplacian of each channel
        gradient = torch.sqrt(y[:, 0::3].square() + y[:, 1::3].square() + 1e-6)
        return torch.cat([gradient, y[:, 2::3]], dim=1)
