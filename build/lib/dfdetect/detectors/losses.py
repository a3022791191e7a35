"""Loss terms that detectors share. All are scalars, computed in float32, and never NaN for a batch of one class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def flooding(loss: Tensor, level: float) -> Tensor:
    """Keep a loss from going below a level: |L - b| + b.

    Args:
        loss: scalar.
        level: b >= 0; 0 leaves a non-negative loss as it is.
    Source: Ishida et al., "Do We Need Zero Training Loss After Achieving Zero Training Error?" (2020), as in RECCE.
    """
    return (loss - level).abs() + level


def real_reconstruction(reconstruction: Tensor, image: Tensor, label: Tensor) -> Tensor:
    """Mean absolute error over the real samples only; 0, with a zero gradient, if there are none.

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
    with torch.autocast(embedding.device.type, enabled=False):
        unit = F.normalize(embedding.float(), dim=1)
        similarity = (unit @ unit.T + 1.0) / 2.0  # (B, B)
    real = (label == 0).to(similarity.dtype)
    other = torch.eye(len(label), dtype=similarity.dtype, device=similarity.device)
    real_pairs = real[:, None] * real[None, :] * (1.0 - other)
    mixed_pairs = real[:, None] * (1.0 - real)[None, :]
    apart = (real_pairs * (1.0 - similarity)).sum() / real_pairs.sum().clamp(min=1.0)
    alike = (mixed_pairs * similarity).sum() / mixed_pairs.sum().clamp(min=1.0)
    return (apart + alike).clamp(min=0.0)


class AdaptiveFocalLoss(nn.Module):
    """Focal loss whose class weights and focus follow the training.

        L = -alpha_y (1 - p_y)^gamma_t log p_y
        alpha_c = 1 / (2 f_c), f_c the share of class c among the samples seen lately (so alpha averages 1 over them)
        gamma_t = gamma * min(1, progress / gamma_ramp): plain cross-entropy at first, then ever more the hard samples

    The counts behind f are a buffer, updated in training mode only: counts <- decay * counts + the batch's.

    Source: Lin et al., Focal Loss (ICCV 2017), gamma 2; class weights that adapt: the
    repository Enhanced Deepfake Detection, which gives no formula.
    """

    counts: Tensor

    def __init__(self, gamma: float = 2.0, gamma_ramp: float = 0.25, decay: float = 0.99) -> None:
        """Args: gamma: focus; gamma_ramp: share of the training it takes to reach it (0: at once); decay: of counts."""
        super().__init__()
        self.gamma, self.gamma_ramp, self.decay = gamma, gamma_ramp, decay
        self.register_buffer("counts", torch.ones(2))  # real, fake; one of each to begin with

    def alpha(self) -> Tensor:
        """Class weights (2,), for real and fake."""
        return self.counts.sum() / (2.0 * self.counts)

    def gamma_at(self, progress: float) -> float:
        """The focus at a share of the training."""
        return self.gamma * (1.0 if self.gamma_ramp == 0 else min(1.0, progress / self.gamma_ramp))

    def forward(self, logits: Tensor, label: Tensor, progress: float) -> Tensor:
        """logits (B, 1) or (B, 2), label (B,), progress in [0, 1] -> scalar."""
        if self.training:
            with torch.no_grad():
                seen = F.one_hot(label, 2).sum(dim=0).to(self.counts.dtype)
                # The floor keeps alpha finite when one class stays away for long.
                self.counts.copy_((self.decay * self.counts + seen).clamp(min=0.05))
        z = logits.float()
        log_p = F.log_softmax(z, dim=1) if z.shape[1] == 2 else torch.cat([F.logsigmoid(-z), F.logsigmoid(z)], dim=1)
        log_p_true = log_p.gather(1, label[:, None])[:, 0]  # (B,)
        hard = (1.0 - log_p_true.exp()).clamp(min=1e-6) ** self.gamma_at(progress)  # 0^0 has no gradient
        return -(self.alpha()[label] * hard * log_p_true).mean()
