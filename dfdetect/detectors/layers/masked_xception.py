"""Xception whose maps are weighed by an attention mask: what both ADDNets are."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, classification, pool
from dfdetect.detectors.layers.add_block import ADDBlock
from dfdetect.detectors.layers.encoders import XCEPTION, XCEPTION_STAGES, run_stages
from dfdetect.detectors.pretrained import make_backbone
from dfdetect.detectors.settings import ADDNetSettings, Position

# Each part of the backbone, and the position whose ADD block follows it.
_PARTS: tuple[tuple[Position | None, tuple[str, ...]], ...] = (
    ("stem", ("stem",)),
    ("block1", ("block1",)),
    ("block2", ("block2",)),
    ("block3", ("block3",)),
    ("middle", tuple(f"block{i}" for i in range(4, 12))),
    ("block12", ("block12",)),
    (None, ("exit",)),
)


class MaskedXception(Detector):
    """Xception with ADD blocks between its parts; see dfdetect/detectors/addnet.py."""

    inputs = frozenset({"image", "mask"})

    def __init__(self, settings: ADDNetSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.positions = frozenset(settings.add_positions)
        self.drop_rate = settings.drop_rate
        self.backbone = make_backbone(XCEPTION, settings.pretrained)
        self.add = ADDBlock()
        self.fc = nn.Linear(self.backbone.num_features, settings.num_classes)

    def preprocess(self, image: Tensor) -> Tensor:
        """What the backbone sees of the image (B, 3, H, W); the bandpass variant filters here."""
        return image

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, H, W), mask (B, 1, H, W) -> logits (B, num_classes)."""
        x, mask = self.preprocess(batch["image"]), batch["mask"]
        if "input" in self.positions:
            x = self.add(x, mask)
        for position, names in _PARTS:
            stages = [XCEPTION_STAGES[name] for name in names]
            x = run_stages(self.backbone, stages, x, checkpointed=self.gradient_checkpointing)
            if position in self.positions:
                x = self.add(x, mask)
        return {"logits": self.fc(F.dropout(pool(x), self.drop_rate, self.training))}

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy."""
        loss = classification(output["logits"], batch["label"])
        return {"loss": loss, "classification": loss}
