"""What the baseline detectors have in common: a timm backbone and a linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, pool
from dfdetect.detectors.layers.encoders import run_stages
from dfdetect.detectors.pretrained import make_backbone, normalisation
from dfdetect.detectors.settings import ImageSettings


class Baseline(Detector):
    """Backbone, global average pool, dropout, linear layer; trained by cross-entropy.

    Input: face crop (B, 3, S, S), S = image_size, normalised as the backbone's ImageNet weights expect.
    Output: logits (B, num_classes).

    Class variables:
        model: timm's name of the backbone.
        stages: its parts, as run_stages takes them.
    """

    inputs = frozenset({"image"})
    model: ClassVar[str]
    stages: ClassVar[Sequence[Sequence[str]]]

    def __init__(self, settings: ImageSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.drop_rate = settings.drop_rate
        self.backbone = make_backbone(self.model, settings.pretrained)
        self.mean, self.std = normalisation(self.backbone)
        self.fc = nn.Linear(self.backbone.num_features, settings.num_classes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> logits (B, num_classes)."""
        x = run_stages(self.backbone, self.stages, batch["image"], checkpointed=self.gradient_checkpointing)
        return {"logits": self.fc(F.dropout(pool(x), self.drop_rate, self.training))}
