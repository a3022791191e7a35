"""Cross-modality fusion of spatial and frequency features."""

from __future__ import annotations

import torch.nn.functional as F
from timm.models.xception import SeparableConv2d
from torch import Tensor, nn

from dfdetect.detectors.layers.frequency import project


class CrossModalityFusion(nn.Module):
    """One CMF block: the spatial map asks, the frequency map answers.

        Q = Wq s, K = Wk f, V = Wv f  (1x1 convolutions, flattened over space)
        Z = softmax(Q K^T / sqrt(C)) V
        s' = s + LeakyReLU_0.2(BN(conv1x1(Z)))
        out = s' + LeakyReLU_0.2(BN(conv3x3(s')))

    Shapes: s, f (B, C, h, w) -> (B, C, h, w); the attention is (h*w) x (h*w) per image: 361 x 361 at 19x19.
    MACs at 19x19: C = 256 0.37 G, C = 728 2.7 G (1.7 G of it the 3x3 convolution; 0.2 G if separable).

    Source: M2TR (ICMR 2022), section 3.4; source 001 adds the 3x3 convolution with a residual connection.
    """

    def __init__(self, channels: int, *, separable: bool = False) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)  # a key bias would cancel in the softmax
        self.value = nn.Conv2d(channels, channels, 1)
        self.out = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)
        )
        conv = SeparableConv2d(channels, channels, 3, 1, 1) if separable else _conv3x3(channels)
        self.refine = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, spatial: Tensor, frequency: Tensor) -> Tensor:
        """spatial, frequency (B, C, h, w) -> (B, C, h, w)."""
        q, k, v = (_tokens(m) for m in (self.query(spatial), self.key(frequency), self.value(frequency)))
        z = F.scaled_dot_product_attention(q, k, v)  # (B, 1, h*w, C)
        z = z[:, 0].transpose(1, 2).reshape(spatial.shape)  # (B, C, h, w)
        spatial = spatial + self.out(z)
        return spatial + self.refine(spatial)


def _conv3x3(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)


def _tokens(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)  # (B, C, h, w) -> (B, 1 head, h*w, C)


class FusionStack(nn.Module):
    """Several CMF blocks on one frequency map, at a width of their own.

        out = s + up(CMF_n(... CMF_1(down(s), f) ..., f)),  down, up: conv1x1 and BN

    At width = channels, `down` and `up` fall away and the blocks work on s itself, as in the source.

    Shapes: s (B, C, h, w), f (B, width, h, w) -> (B, C, h, w).
    """

    def __init__(self, channels: int, width: int, blocks: int, *, separable: bool = False) -> None:
        super().__init__()
        self.down = project(channels, width)
        self.blocks = nn.ModuleList(CrossModalityFusion(width, separable=separable) for _ in range(blocks))
        self.up = project(width, channels)
        self.outer_residual = width != channels

    def forward(self, spatial: Tensor, frequency: Tensor) -> Tensor:
        """spatial (B, C, h, w), frequency (B, width, h, w) -> (B, C, h, w)."""
        x = self.down(spatial)
        for block in self.blocks:
            x = block(x, frequency)
        x = self.up(x)
        return spatial + x if self.outer_residual else x
