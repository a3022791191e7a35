"""Stacks of sequence layers: transformer or Mamba."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from dfdetect.detectors.layers.checkpoint import run_modules
from dfdetect.detectors.layers.mamba import MambaLayer
from dfdetect.detectors.layers.transformer import TransformerLayer, positional_encoding

Temporal = Literal["transformer", "mamba"]


class TemporalStack(nn.Module):
    """Positional encoding, layers, and a final layer norm: (B, T, C) -> (B, T, C).

    Mamba layers are causal whether asked or not, and know positions by themselves; they get the encoding too, so that
    the two variants differ in nothing else.
    """

    def __init__(
        self,
        kind: Temporal,
        channels: int,
        layers: int,
        *,
        heads: int,
        feedforward: int,
        dropout: float,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(channels, heads, feedforward, dropout, causal=causal)
            if kind == "transformer"
            else MambaLayer(channels, dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, *, checkpointed: bool = False) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + positional_encoding(x.shape[1], x.shape[2], x.device).to(x.dtype)
        for layer in self.layers:
            x = run_modules([layer], x, checkpointed=checkpointed)
        return self.norm(x)
