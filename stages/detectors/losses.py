"""Loss terms that detectors share. All are scalars, computed in float32, and never NaN for a batch of one class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def flooding(loss: Tensor, level: float) -> Tensor:
    """Keep a loss from going below a level: |L - b| + b.

    Args:
        loss: scalar.
        level: b >= 0; 0 leaves a non-negative loss as it is.
    Source: Ishida et al., "Do We Need Zero Training Loss After Achieving Zero Training Error?" (2020), as in RECCE.
    """
    return (loss - level).abs() + level


def real_reconstruction(reconstruction: Tensor, image: Tensor, label: Tensor) -> Tensor:
    """Mean absolute error over the real samples alone; 0, with a zero gradient, if there are none.

    Real faces come from one source, forgeries from many: only the real ones are worth a common representation.

    Args:
        reconstruction: (B, 3, H, W).
        image: the clean input (B, 3, H, W).
        label: 0 real, 1 fake (B,).
    Source: RECCE (CVPR 2022), equation 1.
    """
    real = (label == 0).to(torch.float32)  # (B,)
    error = (reconstruction.float() - image.float()).abs().mean(dim=(1, 2, 3))  # (B,)
    return (error * real).sum() / real.sum().clamp(min=1.0)


def metric_learning(embedding: Tensor, label: Tensor) -> Tensor:
    """Pull real samples together and push forgeries away from them; forgeries may lie anywhere else.

        S_ij = (cos(e_i, e_j) + 1) / 2
        loss = max(0, 1 - mean S(real, real; i != j) + mean S(real, fake))

    Pairs that a batch does not have contribute 0: without two reals the term 1 - mean S(real, real) is left out,
    without both classes the other one; a batch of one sample gives 0. (RECCE's code keeps the constant 1 then; the
    gradient is the same.)

    Args:
        embedding: pooled features of one map (B, C); normalised here.
        label: 0 real, 1 fake (B,).
    Source: RECCE (CVPR 2022), equation 2.
    """
    unit = F.normalize(embedding.float(), dim=1)
    similarity = (unit @ unit.T + 1.0) / 2.0  # (B, B)
    real = (label == 0).to(similarity.dtype)
    other = torch.eye(len(label), dtype=similarity.dtype, device=similarity.device)
    real_pairs = real[:, None] * real[None, :] * (1.0 - other)
    mixed_pairs = real[:, None] * (1.0 - real)[None, :]
    apart = (real_pairs * (1.0 - similarity)).sum() / real_pairs.sum().clamp(min=1.0)
    alike = (mixed_pairs * similarity).sum() / mixed_pairs.sum().clamp(min=1.0)
    return (apart + alike).clamp(min=0.0)
