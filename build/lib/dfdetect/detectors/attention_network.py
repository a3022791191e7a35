"""The attention network: reconstruction-classification learning with a frequency branch and cross-modality fusion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector, check_map, classification, pool
from dfdetect.detectors.layers.cmf import FusionStack
from dfdetect.detectors.layers.decoder import ReconstructionDecoder
from dfdetect.detectors.layers.encoders import (
    EFFICIENTNET_B4,
    XCEPTION,
    efficientnet_parts,
    run_stages,
    xception_parts,
)
from dfdetect.detectors.layers.graph_reasoning import GraphReasoning
from dfdetect.detectors.layers.guided_attention import GuidedAttention
from dfdetect.detectors.losses import flooding, metric_learning, real_reconstruction
from dfdetect.detectors.pretrained import make_backbone, normalisation
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import AttentionNetworkSettings

_MAPS = ("pooled_embedding", "pooled_d2", "pooled_d4")  # the three maps of the metric-learning loss


@register("attention_network", AttentionNetworkSettings)
class AttentionNetwork(Detector):
    """RECCE whose encoder maps are fused with their frequency view by four cross-modality blocks.

        image + noise -> blocks 1-4 -> embedding -> decoder -> d2, d4, reconstruction
        embedding -> blocks 5-7 -> graph reasoning with d2 and d4 -> 4 x (frequency filter, CMF)
            -> block 8 -> attention guided by |image - reconstruction| -> blocks 9-12, conv3, conv4, pool, linear

    With `fusion_position: after_attention` the fusion follows guided attention instead; with `fusion_blocks: 0` there
    is none, and the network is RECCE.

    Input: face crop (B, 3, S, S) in [-1, 1], S = image_size, 299 in the sources.
    Output: logits (B, num_classes); reconstruction (B, 3, S, S) in [-1, 1]; attention_map (B, 1, 19, 19); the pooled
    maps of the metric-learning loss (B, 728), (B, 256), (B, 128).

    Noise, reconstruction and residual need inputs in [-1, 1], the range of the decoder's tanh; the encoder gets them
    normalised as its ImageNet weights expect, which for Xception is [-1, 1] too.

    The fusion blocks work at fusion_width 256 (1x1 convolutions down and up, with a residual around them): at
    Xception's own 728 channels the four full 3x3 convolutions would cost 6.9 GMACs, more than the whole middle flow; at
    256 all four blocks cost 1.8. `fusion_width: 728` gives the unreduced network.

    Differences from the published code of the attention network, and why:
        It draws the filter's weights anew in each forward pass, so that they are noise; here they are learned, as in
        M2TR. It has one block; its README says four, with a 3x3 convolution and a residual connection each. It leaves
        out graph reasoning, which its README's base, RECCE, has. It adds the fusion's input twice (once inside the
        block); here it is added once, as in M2TR. Its filter block has the residual after the filter; here it is around
        filter and FFN, as in M2TR. The ImageNet normalisation of its later configuration is not used, see above.

    Source: the repository Attention_Network_for_Deepfake_Detection (both READMEs and its code); RECCE (CVPR 2022); M2TR
    (ICMR 2022).
    """

    inputs = frozenset({"image"})

    def __init__(self, settings: AttentionNetworkSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.options = settings
        if settings.encoder == "xception":
            self.backbone = make_backbone(XCEPTION, settings.pretrained)
            self.parts = xception_parts(settings.image_size)
        else:
            model = EFFICIENTNET_B4 if settings.efficientnet == "efficientnet_b4" else settings.efficientnet
            self.backbone = make_backbone(model, settings.pretrained)
            self.parts = efficientnet_parts(self.backbone, settings.image_size)
        parts, drop_rate = self.parts, settings.drop_rate
        self.dropout = nn.Dropout(drop_rate)
        self.decoder = ReconstructionDecoder(parts.embed_channels)
        self.reasoning = GraphReasoning(parts.reason_channels, width=settings.graph_width, drop_rate=drop_rate)
        self.attention = GuidedAttention(parts.reason_channels, drop_rate)
        self.fusion = FusionStack(
            parts.reason_channels,
            settings.fusion_width,
            settings.fusion_blocks,
            parts.map_size,
            shared_filter=settings.shared_filter,
            separable=settings.fusion_separable,
        )
        self.fc = nn.Linear(parts.features, settings.num_classes)

    def add_noise(self, image: Tensor) -> Tensor:
        """White Gaussian noise on a random half of the samples, clipped to [-1, 1]: (B, 3, H, W) -> the same."""
        if not self.training or self.options.noise_std == 0:
            return image
        chosen = (torch.rand(len(image), 1, 1, 1, device=image.device) > 0.5).to(image.dtype)
        return (image + torch.randn_like(image) * self.options.noise_std * chosen).clamp(-1.0, 1.0)

    def for_encoder(self, image: Tensor) -> Tensor:
        """Change the normalisation of (B, 3, H, W) from [-1, 1] to that of the encoder's ImageNet weights."""
        mean, std = normalisation(self.backbone)
        if (mean, std) == (self.mean, self.std):
            return image
        mean_map, std_map = (image.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        return (image * 0.5 + 0.5 - mean_map) / std_map

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """image (B, 3, S, S) -> logits, reconstruction, attention_map and pooled maps (shapes: class docstring)."""
        image = batch["image"]
        check_map("attention_network", image, self.image_size)
        parts, saving = self.parts, self.gradient_checkpointing
        seen = self.for_encoder(self.add_noise(image))
        embedding = run_stages(self.backbone, parts.embed, seen, checkpointed=saving)  # 728x19x19
        d2, d4, small = self.decoder(self.dropout(embedding), checkpointed=saving)  # 256x38x38, 128x76x76, 3x152x152
        reconstruction = F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=True)
        x = run_stages(self.backbone, parts.reason, embedding, checkpointed=saving)
        x = x + self.reasoning(x, d2, d4)
        if self.options.fusion_position == "before_guide":
            x = self.fusion(x)
        x = run_stages(self.backbone, parts.guide, x, checkpointed=saving)
        x, attention_map = self.attention(image, reconstruction, x)
        if self.options.fusion_position == "after_attention":
            x = self.fusion(x)
        x = run_stages(self.backbone, parts.tail, x, checkpointed=saving)  # 2048x10x10
        return {
            "logits": self.fc(self.dropout(pool(x))),
            "reconstruction": reconstruction,
            "attention_map": attention_map,
            **dict(zip(_MAPS, (pool(embedding), pool(d2), pool(d4)), strict=True)),
        }

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Flooded classification + lambda_1 * reconstruction of reals + lambda_2 * metric learning at three maps."""
        label = batch["label"]
        wrong = classification(output["logits"], label)
        reconstruction = real_reconstruction(output["reconstruction"], batch["image"], label)
        metric = torch.stack([metric_learning(output[name], label) for name in _MAPS]).sum()
        loss = (
            flooding(wrong, self.options.flood_level)
            + self.options.lambda_1 * reconstruction
            + self.options.lambda_2 * metric
        )
        return {"loss": loss, "classification": wrong, "reconstruction": reconstruction, "metric": metric}

    def pictures(self, batch: Batch, output: dict[str, Tensor]) -> dict[str, Tensor]:
        """The reconstruction, its residual and the attention map, beside the input."""
        image, rebuilt = self.unnormalise(batch["image"].float()), self.unnormalise(output["reconstruction"].float())
        size = image.shape[-2:]
        return {
            "input": image,
            "reconstruction": rebuilt,
            "residual": (image - rebuilt).abs(),
            "attention_map": F.interpolate(output["attention_map"].float(), size=size, mode="nearest"),
        }
