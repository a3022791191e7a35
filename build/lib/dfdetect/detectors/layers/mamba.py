"""A selective state-space (Mamba) layer in plain PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def selective_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Run the selective state-space recurrence; float32.

        h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t,  y_t = C_t . h_t,  h_0 = 0

    One step per position, each over all samples, channels and states at once: for the 8 to 32 positions of a clip this
    is faster on a CPU than a parallel scan, and it needs no logarithms of products.

    Args:
        u: input (B, T, D).
        dt: step sizes (B, T, D), > 0.
        A: state matrix, diagonal (D, N), < 0.
        B, C: input and output projections (B, T, N).
    Returns:
        y (B, T, D).
    Source: Gu and Dao, Mamba (2023), algorithm 2; zero-order hold for A and Euler for B, as in their code.
    """
    decay = torch.exp(dt.unsqueeze(-1) * A)  # (B, T, D, N)
    drive = (dt * u).unsqueeze(-1) * B.unsqueeze(2)  # (B, T, D, N)
    state = torch.zeros_like(drive[:, 0])
    outputs = []
    for t in range(u.shape[1]):
        state = decay[:, t] * state + drive[:, t]
        outputs.append((state * C[:, t].unsqueeze(1)).sum(-1))  # (B, D)
    return torch.stack(outputs, dim=1)


class MambaLayer(nn.Module):
    """One Mamba block on normalised input, with a residual.

        x, z = W_in LayerNorm(s);  x = SiLU(causal depthwise conv(x))
        dt = softplus(W_dt W_down x + b), B, C = W_B x, W_C x, A = -exp(A_log)
        out = s + dropout(W_out((scan(x, dt, A, B, C) + D x) * SiLU(z)))

    Shapes: (B, T, C) -> (B, T, C). Causal: out_t depends on s_1 ... s_t only.

    Source: Gu and Dao, Mamba (2023), figure 3; sizes are theirs (expansion 2, state 16, kernel 4, dt rank C / 16).
    """

    def __init__(
        self, channels: int, dropout: float = 0.0, *, expand: int = 2, states: int = 16, kernel_size: int = 4
    ) -> None:
        super().__init__()
        inner, rank = expand * channels, max(1, channels // 16)
        self.rank, self.states, self.kernel_size, self.drop_rate = rank, states, kernel_size, dropout
        self.norm = nn.LayerNorm(channels)
        self.in_project = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, kernel_size, groups=inner)
        self.select = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_project = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, states + 1, dtype=torch.float32).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_project = nn.Linear(inner, channels, bias=False)
        self._init_steps(inner, rank)

    def _init_steps(self, inner: int, rank: int) -> None:
        # Step sizes start spread between 0.001 and 0.1, so that channels remember over different spans.
        nn.init.uniform_(self.dt_project.weight, -(rank**-0.5), rank**-0.5)
        dt = torch.exp(torch.rand(inner) * math.log(100.0) + math.log(0.001))
        with torch.no_grad():
            self.dt_project.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(self, s: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x, z = self.in_project(self.norm(s)).chunk(2, dim=-1)  # (B, T, inner) each
        padded = F.pad(x.transpose(1, 2), (self.kernel_size - 1, 0))
        x = F.silu(self.conv(padded).transpose(1, 2))
        low, B, C = self.select(x).split([self.rank, self.states, self.states], dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            dt = F.softplus(self.dt_project(low.float()))
            y = selective_scan(x.float(), dt, -self.A_log.float().exp(), B.float(), C.float())
        y = (y + self.D * x) * F.silu(z)
        return s + F.dropout(self.out_project(y.to(s.dtype)), self.drop_rate, self.training)
