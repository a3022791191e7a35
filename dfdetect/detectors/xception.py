"""Baseline: Xception on a face crop."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, classification, pool
from dfdetect.detectors.layers.encoders import XCEPTION, XCEPTION_STAGES, run_stages
from dfdetect.detectors.pretrained import make_backbone
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import ImageSettings


@register("xception", ImageSettings)
class Xception(Detector):
    """timm's legacy_xception, global average pool, dropout, linear.

    Input: face crop (B, 3, 299, 299). Output: logits (B, num_classes). 20.8 M parameters.

    Source: Chollet (CVPR 2017); as a detector, Roessler et al., FaceForensics++ (ICCV 2019).
    """

    inputs = frozenset({"image"})

    def __init__(self, settings: ImageSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.drop_rate = settings.drop_rate
        self.backbone = make_backbone(XCEPTION, settings.pretrained)
        self.fc = nn.Linear(self.backbone.num_features, settings.num_classes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> logits (B, num_classes)."""
        stages = list(XCEPTION_STAGES.values())
        x = run_stages(self.backbone, stages, batch["image"], checkpointed=self.gradient_checkpointing)
        features = F.dropout(pool(x), self.drop_rate, self.training)  # (B, 2048)
        return {"logits": self.fc(features)}

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy."""
        loss = classification(output["logits"], batch["label"])
        return {"loss": loss, "classification": loss}
