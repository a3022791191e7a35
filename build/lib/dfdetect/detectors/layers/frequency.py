"""A learned filter in the frequency domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfdetect.detectors.base import check_map


class FrequencyFilter(nn.Module):
    """Multiply the spectrum of every channel by a learned complex filter.

        y = irfft2(rfft2(x) * W), norm "ortho", W (C, h, w // 2 + 1) complex, initialised 0.02 N(0, 1)

    FFTs have no half precision worth having, so this runs in float32 under autocast too. The product is written in real
    numbers: compilers do not fuse complex ones.

    Shapes: (B, C, h, w) -> (B, C, h, w) float32; h = w = size, fixed at construction.

    Source: M2TR (ICMR 2022), section 3.3; GFNet (NeurIPS 2021).
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.randn(channels, size, size // 2 + 1, 2) * 0.02)  # last axis: real, imaginary

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        check_map("FrequencyFilter", x, self.size)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.view_as_real(torch.fft.rfft2(x.float(), norm="ortho"))  # (B, C, h, w // 2 + 1, 2)
            real, imaginary = spectrum.unbind(-1)
            w_real, w_imaginary = self.weight.float().unbind(-1)
            product = torch.stack(
                [real * w_real - imaginary * w_imaginary, real * w_imaginary + imaginary * w_real], dim=-1
            )
            return torch.fft.irfft2(torch.view_as_complex(product), s=(self.size, self.size), norm="ortho")


class FrequencyBlock(nn.Module):
    """The frequency view of a feature map.

        y = x + FFN(filter(x)),  FFN = conv1x1, BN, LeakyReLU 0.2, conv1x1

    Shapes: (B, C, h, w) -> (B, C, h, w); h = w = size, fixed at construction.

    Source: M2TR (ICMR 2022), whose FFN has 3x3 convolutions; 1x1 ones as in the attention network's code.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.filter = FrequencyFilter(channels, size)
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x + self.ffn(self.filter(x).to(x.dtype))
