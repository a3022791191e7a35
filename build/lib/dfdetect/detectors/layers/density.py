"""A causal density model of feature sequences."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dfdetect.detectors.layers.temporal import Temporal, TemporalStack


class CausalDensity(nn.Module):
    """p(s_1 ... s_T) as a product of p(s_t | s_1 ... s_(t-1)), each a mixture of diagonal Gaussians.

        p(s_t | s_<t) = sum_k pi_k prod_i N(s_ti; mu_ki, sigma_ki),  (pi, mu, log sigma) = head(causal stack(s_<t))
        sigma = min_scale + softplus(raw)

    The first step is conditioned on a learned start. A true density: it integrates to 1 over s_t, which a test does.

    Shapes: s (B, T, C) -> log p(s_t | s_<t) (B, T), in nats, summed over the C channels; float32.

    Source: the repository Dual-Stream Audio-Visual Transformer Deepfake Detection (embed 512, positional encoding, 6
    causal layers, 8 heads, output 256). It speaks of a decoder: there is no second sequence to attend to, so these are
    decoder layers without cross-attention.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 512,
        layers: int = 6,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        components: int = 1,
        min_scale: float = 0.05,
        temporal: Temporal = "transformer",
    ) -> None:
        super().__init__()
        self.components, self.min_scale = components, min_scale
        self.embed = nn.Linear(channels, width)
        self.start = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.stack = TemporalStack(
            temporal, width, layers, heads=heads, feedforward=feedforward, dropout=dropout, causal=True
        )
        self.mean = nn.Linear(width, components * channels)
        self.raw_scale = nn.Linear(width, components * channels)
        self.weight = nn.Linear(width, components) if components > 1 else None

    def forward(self, s: Tensor, *, checkpointed: bool = False) -> Tensor:
        """(B, T, C) -> log p(s_t | s_<t) (B, T)."""
        B, T, C = s.shape
        past = torch.cat([self.start.expand(B, 1, -1), self.embed(s[:, :-1])], dim=1)  # (B, T, width): s shifted by one
        h = self.stack(past, checkpointed=checkpointed)
        with torch.autocast(s.device.type, enabled=False):
            h, target = h.float(), s.float().unsqueeze(2)  # (B, T, 1, C)
            mean = self.mean(h).view(B, T, self.components, C)
            scale = nn.functional.softplus(self.raw_scale(h)).view(B, T, self.components, C) + self.min_scale
            z = (target - mean) / scale
            log_p = (-0.5 * z.square() - scale.log() - 0.5 * math.log(2.0 * math.pi)).sum(-1)  # (B, T, K)
            if self.weight is None:
                return log_p[..., 0]
            return torch.logsumexp(log_p + self.weight(h).log_softmax(-1), dim=-1)
