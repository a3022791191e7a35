"""Transformer layers for short sequences."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def positional_encoding(length: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Sinusoids that tell positions apart: (length, channels) float32.

        PE(t, 2i) = sin(t / 10000^(2i / C)), PE(t, 2i + 1) = cos(t / 10000^(2i / C))

    Args:
        length: positions.
        channels: C, even.
    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    position = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, channels, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / channels))
    angles = position * rate  # (T, C / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # sines and cosines interleaved


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network, each on normalised input and with a residual (pre-norm).

        h = x + dropout(W_o softmax(Q K^T / sqrt(d) [+ causal mask]) V),  Q, K, V from LayerNorm(x)
        out = h + dropout(W2 GELU(W1 LayerNorm(h)))

    Shapes: (B, T, C) -> (B, T, C). With causal=True, out_t depends on x_1 ... x_t only.

    Source: Vaswani et al. (2017); pre-norm after Xiong et al. (2020), which trains without a warm-up.
    """

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.drop_rate = heads, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.value = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)  # a key bias would cancel in the softmax
        self.out = nn.Linear(channels, channels)
        self.feedforward = nn.Sequential(
            nn.Linear(channels, feedforward), nn.GELU(), nn.Dropout(dropout), nn.Linear(feedforward, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        y = self.norm1(x)
        q, k, v = (f(y).view(B, T, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        drop = self.drop_rate if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=self.causal)  # (B, heads, T, C / heads)
        x = x + F.dropout(self.out(y.transpose(1, 2).reshape(B, T, C)), self.drop_rate, self.training)
        return x + F.dropout(self.feedforward(self.norm2(x)), self.drop_rate, self.training)
