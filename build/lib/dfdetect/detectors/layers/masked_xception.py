"""Xception whose maps are weighed by an attention mask: what both ADDNets are."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, pool
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


class ADDBlock(nn.Module):
    """Multiply a feature map by the attention mask, average-pooled to the map's size.

        out_c = F_c * adaptive_avg_pool(mask, (h, w)) for every channel c

    Shapes: F (B, C, h, w), mask (B, 1, H, W) in [0, 1] -> (B, C, h, w). No parameters.

    Source: Zi et al., WildDeepfake (arXiv 2101.01456), section 4.2.
    """

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, C, h, w), mask (B, 1, H, W) -> (B, C, h, w)."""
        height, width = features.shape[-2:]
        return features * F.adaptive_avg_pool2d(mask, (height, width)).to(features.dtype)


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
