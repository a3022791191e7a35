"""Graph reasoning between an encoder map and two decoder maps, without a loop over positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _embedding(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(width, width, 1, bias=False)
    )


class _Neighbourhood(nn.Module):
    """One decoder map: each encoder position attends to its own r x r patch of it.

        w_pq = softmax_q(ReLU(u . [a_p ; b_q])), q in the patch of p
        g_p = (1 - sigmoid(W a'_p)) * sum_q w_pq b_q

    with a_p, b_q embedded and a' the raw encoder feature. u . [a; b] is u_a . a + u_b . b, so both halves are 1x1
    convolutions over whole maps, and the softmax runs over the r*r offsets.
    """

    def __init__(self, encoder_channels: int, decoder_channels: int, width: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.gate = nn.Conv2d(encoder_channels, width, 1, bias=False)
        self.embed = _embedding(decoder_channels, width)
        self.weigh_encoder = nn.Conv2d(width, 1, 1, bias=False)
        self.weigh_decoder = nn.Conv2d(width, 1, 1, bias=False)

    def forward(self, raw: Tensor, embedded: Tensor, decoder_map: Tensor) -> Tensor:
        """raw (B, C, h, w), embedded (B, width, h, w), decoder_map (B, D, rh, rw) -> (B, width, h, w)."""
        r = self.ratio
        b = self.embed(decoder_map)  # (B, width, r*h, r*w)
        logits = F.pixel_unshuffle(self.weigh_decoder(b), r) + self.weigh_encoder(embedded)  # (B, r*r, h, w)
        weights = F.pixel_shuffle(logits.relu().softmax(dim=1), r)  # (B, 1, r*h, r*w)
        aggregate = F.avg_pool2d(b * weights, r) * (r * r)  # the sum over each patch: (B, width, h, w)
        return aggregate * (1.0 - self.gate(raw).sigmoid())


class GraphReasoning(nn.Module):
    """Let every encoder position look up what the decoder made of its neighbourhood.

        out = W2 ReLU(W1 sigmoid([g2 ; g4 ; a])), dropout

    with g2, g4 the gated aggregates of the 2x2 patch of d2 and the 4x4 patch of d4 (see _Neighbourhood), a the embedded
    encoder feature. The caller adds the result to the encoder map.

    Shapes: encoder (B, C, h, w), d2 (B, 256, 2h, 2w), d4 (B, 128, 4h, 4w) -> (B, C, h, w).

    Source: RECCE (CVPR 2022), section 3.3 and its published code, which loops over the h*w positions; equal to it up to
    rounding, and about six times faster on a CPU.
    """

    def __init__(
        self, channels: int, d2_channels: int = 256, d4_channels: int = 128, width: int = 256, drop_rate: float = 0.2
    ) -> None:
        super().__init__()
        self.embed = _embedding(channels, width)
        self.near2 = _Neighbourhood(channels, d2_channels, width, 2)
        self.near4 = _Neighbourhood(channels, d4_channels, width, 4)
        self.project = nn.Sequential(
            nn.Conv2d(3 * width, channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Dropout(drop_rate),
        )

    def forward(self, encoder_map: Tensor, d2: Tensor, d4: Tensor) -> Tensor:
        """encoder_map (B, C, h, w), d2 (B, 256, 2h, 2w), d4 (B, 128, 4h, 4w) -> (B, C, h, w)."""
        a = self.embed(encoder_map)
        g2 = self.near2(encoder_map, a, d2)
        g4 = self.near4(encoder_map, a, d4)
        return self.project(torch.cat([g2, g4, a], dim=1).sigmoid())
