"""EfficientNet-B4 beside a multi-scale, a frequency and an edge view, weighed by attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, classification, pool
from dfdetect.detectors.layers.checkpoint import run_modules
from dfdetect.detectors.layers.encoders import EFFICIENTNET_B4, EFFICIENTNET_STAGES, run_stages
from dfdetect.detectors.layers.sharpen import SharpenSoft
from dfdetect.detectors.layers.spectrum_edges import LogSpectrum, SobelLaplacian, conv_tower
from dfdetect.detectors.losses import AdaptiveFocalLoss
from dfdetect.detectors.pretrained import make_backbone, normalisation
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import MultiBranchSettings

# Last stage of each stride (4, 8, 16, 32), its channels in B4, and the width it is projected to: 960 in all.
_SCALES = ((2, 32, 64), (3, 56, 128), (5, 160, 256), (7, 448, 512))
_FREQUENCY, _EDGES = 256, 128


@register("multibranch", MultiBranchSettings)
class MultiBranch(Detector):
    """Four views of a face crop, concatenated, re-weighed, classified.

        soft images are found and sharpened first (layers/sharpen.py)
        EfficientNet-B4, pooled                                      1792
        multi-scale: maps at strides 4, 8, 16, 32, 1x1 conv, pooled   960 = 64 + 128 + 256 + 512
        frequency: log spectrum, four strided convolutions, pooled    256
        edges: Sobel and Laplacian, three strided convolutions, pooled 128
        v (3136) -> v * sigmoid(W2 ReLU(W1 v)) -> dropout 0.4 -> linear

    Input: face crop (B, 3, 224, 224). Output: logits (B, num_classes). 19.6 M parameters (the source: about 19 M).
    Loss: adaptive focal (see losses.py). New layers and the backbone have learning rates of their own
    (parameter_groups).

    Source: the repository Enhanced Deepfake Detection, which names the views and their widths; what is
    inside each is ours.
    """

    inputs = frozenset({"image"})

    def __init__(self, settings: MultiBranchSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.drop_rate = settings.drop_rate
        self.sharpen = SharpenSoft(settings.sharpen_below, settings.sharpen_amount)
        self.backbone = make_backbone(EFFICIENTNET_B4, settings.pretrained)
        self.mean, self.std = normalisation(self.backbone)
        self.scales = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for _, channels, width in _SCALES
        )
        self.frequency = nn.Sequential(LogSpectrum(), conv_tower([4, 32, 64, 128, _FREQUENCY]))
        self.edges = nn.Sequential(SobelLaplacian(), conv_tower([6, 32, 64, _EDGES]))
        features = self.backbone.num_features + sum(width for _, _, width in _SCALES) + _FREQUENCY + _EDGES  # 3136
        hidden = max(8, features // settings.attention_reduction)
        self.attention = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, features), nn.Sigmoid()
        )
        self.fc = nn.Linear(features, settings.num_classes)
        self.focal = AdaptiveFocalLoss(settings.focal_gamma, settings.focal_gamma_ramp, settings.focal_decay)

    def features(self, image: Tensor) -> Tensor:
        """The four views, concatenated: (B, 3, H, W) -> (B, 3136)."""
        saving = self.gradient_checkpointing
        mean, std = (image.new_tensor(each).view(1, 3, 1, 1) for each in (self.mean, self.std))
        image = (self.sharpen(self.unnormalise(image)) - mean) / std
        x, start, multi_scale = image, 0, []
        for (last, _, _), project in zip(_SCALES, self.scales, strict=True):
            x = run_stages(self.backbone, EFFICIENTNET_STAGES[start : last + 1], x, checkpointed=saving)
            start = last + 1
            multi_scale.append(pool(project(x)))
        x = run_stages(self.backbone, EFFICIENTNET_STAGES[start:], x, checkpointed=saving)
        frequency = run_modules([self.frequency], image, checkpointed=saving)
        edges = run_modules([self.edges], image, checkpointed=saving)
        return torch.cat([pool(x), *multi_scale, pool(frequency), pool(edges)], dim=1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> logits (B, num_classes)."""
        v = self.features(batch["image"])
        v = v * self.attention(v)
        return {"logits": self.fc(F.dropout(v, self.drop_rate, self.training))}

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:
        """Adaptive focal loss; the plain cross-entropy is logged beside it."""
        loss = self.focal(output["logits"], batch["label"], progress)
        with torch.no_grad():
            plain = classification(output["logits"], batch["label"])
        return {"loss": loss, "focal": loss, "classification": plain}

    def epoch_report(self) -> dict[str, float]:
        """The class weights that the focal loss has arrived at."""
        real, fake = self.focal.alpha().tolist()
        return {"focal_alpha_real": real, "focal_alpha_fake": fake}
