"""The reconstruction decoder: an Xception-like mirror of the encoder's entry flow."""

from __future__ import annotations

from timm.models.xception import Block, SeparableConv2d
from torch import Tensor, nn

from dfdetect.detectors.layers.checkpoint import run_modules


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Nearest x2, 3x3 depthwise-separable convolution, batch norm, ReLU: (B, C, H, W) -> (B, C', 2H, 2W)."""
    return nn.Sequential(
        nn.UpsamplingNearest2d(scale_factor=2),
        SeparableConv2d(in_channels, out_channels, 3, 1, 1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ReconstructionDecoder(nn.Module):
    """Rebuild the face from the encoder's embedding.

    Shapes for an embedding of 728x19x19: up 256x38x38, residual block (d2), up 128x76x76, residual block (d4),
    up 64x152x152, 1x1 convolution and tanh 3x152x152.

    Source: RECCE (CVPR 2022), figure 2; kernel sizes and widths from its published code.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.up1 = upsample(in_channels, 256)
        self.block1 = Block(256, 256, 3, 1)
        self.up2 = upsample(256, 128)
        self.block2 = Block(128, 128, 3, 1)
        self.up3 = upsample(128, 64)
        self.out = nn.Sequential(nn.Conv2d(64, 3, 1, bias=False), nn.Tanh())

    def forward(self, x: Tensor, *, checkpointed: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Decode.

        Args:
            x: the embedding (B, C, h, w).
            checkpointed: recompute in the backward pass.
        Returns:
            d2 (B, 256, 2h, 2w), d4 (B, 128, 4h, 4w), the image in [-1, 1] (B, 3, 8h, 8w).
        """
        d2 = run_modules([self.up1, self.block1], x, checkpointed=checkpointed)
        d4 = run_modules([self.up2, self.block2], d2, checkpointed=checkpointed)
        return d2, d4, run_modules([self.up3, self.out], d4, checkpointed=checkpointed)
