"""The ADD block: an attention mask laid over feature maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ADDBlock(nn.Module):
    """Multiply a feature map by the attention mask, average-pooled to the map's size.

        out_c = F_c * adaptive_avg_pool(mask, (h, w)) for every channel c

    Shapes: F (B, C, h, w), mask (B, 1, H, W) -> (B, C, h, w). No parameters.

    Source: Zi et al., WildDeepfake (arXiv 2101.01456), section 4.2; source 003.
    """

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, C, h, w), mask (B, 1, H, W) in [0, 1] -> (B, C, h, w)."""
        height, width = features.shape[-2:]
        return features * F.adaptive_avg_pool2d(mask, (height, width)).to(features.dtype)
