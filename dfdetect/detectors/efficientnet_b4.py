"""Baseline: EfficientNet-B4 on a face crop."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, classification, pool
from dfdetect.detectors.layers.encoders import EFFICIENTNET_STAGES, run_stages
from dfdetect.detectors.pretrained import make_backbone
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import IMAGENET_MEAN, IMAGENET_STD, ImageSettings


@register("efficientnet_b4", ImageSettings)
class EfficientNetB4(Detector):
    """timm's efficientnet_b4, global average pool, dropout, linear.

    Input: face crop (B, 3, 299, 299). Output: logits (B, num_classes). 17.6 M parameters.

    Source: Tan and Le (ICML 2019); as a detector, the baseline of the field's benchmarks.
    """

    inputs = frozenset({"image"})
    mean = IMAGENET_MEAN
    std = IMAGENET_STD

    def __init__(self, settings: ImageSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.drop_rate = settings.drop_rate
        self.backbone = make_backbone("efficientnet_b4", settings.pretrained)
        self.fc = nn.Linear(self.backbone.num_features, settings.num_classes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> logits (B, num_classes)."""
        x = run_stages(self.backbone, EFFICIENTNET_STAGES, batch["image"], checkpointed=self.gradient_checkpointing)
        return {"logits": self.fc(F.dropout(pool(x), self.drop_rate, self.training))}  # pooled: (B, 1792)

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy."""
        loss = classification(output["logits"], batch["label"])
        return {"loss": loss, "classification": loss}
