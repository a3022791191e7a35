"""Cross-modality fusion of spatial and frequency features."""

from __future__ import annotations

import torch.nn.functional as F
from timm.models.xception import SeparableConv2d
from torch import Tensor, nn

from dfdetect.detectors.layers.frequency import FrequencyBlock


class CrossModalityFusion(nn.Module):
    """One CMF block: queries from the spatial map, keys and values from the frequency map.

        Q = Wq s, K = Wk f, V = Wv f  (1x1 convolutions, flattened over space)
        Z = softmax(Q K^T / sqrt(C)) V
        s' = s + LeakyReLU_0.2(BN(conv1x1(Z)))
        out = s' + LeakyReLU_0.2(BN(conv3x3(s')))

    Shapes: s, f (B, C, h, w) -> (B, C, h, w); the attention is (h*w) x (h*w) per image: 361 x 361 at 19x19.
    MACs at 19x19: C = 256 0.37 G, C = 728 2.7 G (1.7 G of it the 3x3 convolution; 0.2 G if separable).

    Source: M2TR (ICMR 2022), section 3.4, is the first step; the attention network adds the 3x3 convolution with a
    residual connection.
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


def _project(channels: int, width: int) -> nn.Module:
    """1x1 convolution and batch norm; the identity where the width stays."""
    if channels == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))


class FusionStack(nn.Module):
    """Fuse a feature map with its own frequency view, in several blocks and at a width of their own.

        x_0 = down(s);  x_i = CMF_i(x_(i-1), frequency_i(x_(i-1)));  out = s + up(x_n);  down, up: conv1x1 and BN

    With a shared filter, all blocks read frequency(x_0). At width = channels, `down`, `up` and the outer residual fall
    away and out = x_n. Without blocks, out = s.

    Shapes: (B, C, h, w) -> (B, C, h, w); h = w = size, fixed at construction.

    Source: M2TR (ICMR 2022), whose blocks each filter anew.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        blocks: int,
        size: int,
        *,
        shared_filter: bool = False,
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.reduced = blocks > 0 and width != channels
        self.shared_filter = shared_filter
        self.down = _project(channels, width) if self.reduced else nn.Identity()
        self.frequency = nn.ModuleList(
            FrequencyBlock(width, size) for _ in range(min(blocks, 1) if shared_filter else blocks)
        )
        self.blocks = nn.ModuleList(CrossModalityFusion(width, separable=separable) for _ in range(blocks))
        self.up = _project(width, channels) if self.reduced else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        x = self.down(maps)
        for i, block in enumerate(self.blocks):
            if i == 0 or not self.shared_filter:
                frequency = self.frequency[i](x)
            x = block(x, frequency)
        return maps + self.up(x) if self.reduced else x
