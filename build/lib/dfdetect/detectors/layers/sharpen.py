"""Soft images are found and sharpened before a network looks at them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_BLUR = (1.0, 4.0, 6.0, 4.0, 1.0)  # binomial: a Gaussian of sigma 1 px


class SharpenSoft(nn.Module):
    """Unsharp masking of the images whose Laplacian says that they are blurred; the others pass unchanged.

        soft:  variance over the image of laplacian(luma) < threshold
        out =  x + amount (x - G * x), clipped to [0, 1], for soft images, G a 5x5 binomial blur (sigma 1 px)

    Shapes: (B, 3, H, W) in [0, 1] -> (B, 3, H, W) in [0, 1]. No parameters; borders reflected.

    Source: the variance of the Laplacian is Pech-Pacheco et al. (ICPR 2000); the repository Enhanced
    Deepfake Detection asks for blur detection and sharpening and gives no figures.
    """

    laplacian: Tensor
    blur: Tensor
    luma: Tensor

    def __init__(self, threshold: float, amount: float) -> None:
        """Args: threshold: of the variance, luma in [0, 1] (100 on 8-bit values is 0.0015); amount: of detail added."""
        super().__init__()
        self.threshold, self.amount = threshold, amount
        taps = torch.tensor(_BLUR) / sum(_BLUR)
        self.register_buffer("laplacian", torch.tensor(_LAPLACIAN)[None, None], persistent=False)
        self.register_buffer("blur", torch.outer(taps, taps).expand(3, 1, 5, 5).clone(), persistent=False)
        self.register_buffer("luma", torch.tensor(_LUMA).view(1, 3, 1, 1), persistent=False)

    def softness(self, x: Tensor) -> Tensor:
        """Variance of the Laplacian of each image's luma, float32 (B,): the lower, the softer."""
        grey = (x.float() * self.luma).sum(dim=1, keepdim=True)
        edges = F.conv2d(grey, self.laplacian)  # (B, 1, H - 2, W - 2)
        return (edges - edges.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        smooth = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.blur.to(x.dtype), groups=3)
        sharp = (x + self.amount * (x - smooth)).clamp(0.0, 1.0)
        return torch.where((self.softness(x) < self.threshold).view(-1, 1, 1, 1), sharp, x)
