"""Attention guided by where the reconstruction fails."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class GuidedAttention(nn.Module):
    """Weigh features by the reconstruction's residual: forged regions rebuild badly.

        m = sigmoid(conv1x1(ReLU(conv3x3(resize(|x - x'|)))))
        out = m * ReLU(BN(conv1x1(F))) + dropout(F)

    Shapes: x, x' (B, 3, H, W), F (B, C, h, w) -> out (B, C, h, w), m (B, 1, h, w).

    Source: RECCE (CVPR 2022), section 3.4 and its published code.
    """

    def __init__(self, channels: int, drop_rate: float = 0.2) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(3, 1, 1, bias=False),
            nn.Sigmoid(),
        )
        self.transform = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, image: Tensor, reconstruction: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """image, reconstruction (B, 3, H, W), features (B, C, h, w) -> features (B, C, h, w), m (B, 1, h, w)."""
        residual = (image - reconstruction).abs()
        residual = F.interpolate(residual, size=features.shape[-2:], mode="bilinear", align_corners=True)
        m = self.gate(residual)
        return m * self.transform(features) + self.dropout(features), m
