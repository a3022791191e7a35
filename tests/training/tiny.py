"""A detector of two layers, for tests of the training loop."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, classification, pool
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import DetectorSettings


class Settings(DetectorSettings):
    """`detectors.tiny`."""

    image_size: int = 32
    width: int = 8
    drop_rate: float = 0.2
    masked: bool = False
    explode_at: int = Field(-1)  # the call of loss that gives NaN
    norm: bool = True


@register("tiny", Settings)
class Tiny(Detector):
    """One convolution, dropout, a linear layer."""

    inputs = frozenset({"image"})

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        if settings.masked:
            self.inputs = frozenset({"image", "mask"})
        self.backbone = nn.Conv2d(3, settings.width, 5, stride=2)
        self.norm = nn.BatchNorm2d(settings.width) if settings.norm else nn.Identity()
        self.dropout = nn.Dropout(settings.drop_rate)
        self.fc = nn.Linear(settings.width, 2)
        self.calls = 0

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, S, S) -> logits (B, 2)."""
        maps = self.norm(self.backbone(batch["image"])).relu()
        if "mask" in self.inputs:
            maps = maps * nn.functional.adaptive_avg_pool2d(batch["mask"], maps.shape[-1])
        return {"logits": self.fc(self.dropout(pool(maps)))}

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy."""
        loss = classification(output["logits"], batch["label"])
        if self.training:
            self.calls += 1
            if self.calls == self.settings.explode_at:
                loss = loss * torch.nan
        return {"loss": loss, "classification": loss}

    def epoch_report(self) -> dict[str, float]:
        """The bias of the first class."""
        return {"bias": self.fc.bias[0].item()}
