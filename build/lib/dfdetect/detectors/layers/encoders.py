"""timm encoders run stage by stage, so that layers can be put between the stages; parameter names stay timm's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from torch import Tensor, nn

from dfdetect.detectors.layers.checkpoint import run_modules
from dfdetect.detectors.pretrained import Backbone

XCEPTION = "legacy_xception"
# The TensorFlow variant: all EfficientNet-B4 weights of this field come from TensorFlow, whose padding and batch-norm
# epsilon timm's own `efficientnet_b4` does not share, although the weights would load into it.
EFFICIENTNET_B4 = "tf_efficientnet_b4.aa_in1k"
XCEPTION_STAGES: dict[str, tuple[str, ...]] = {
    "stem": ("conv1", "bn1", "act1", "conv2", "bn2", "act2"),
    **{f"block{i}": (f"block{i}",) for i in range(1, 13)},
    "exit": ("conv3", "bn3", "act3", "conv4", "bn4", "act4"),
}
"""Shapes at 299: conv1 32x149x149, conv2 64x147x147, block1 128x74x74, block2 256x37x37, block3 to block11 728x19x19,
block12 1024x10x10, conv4 (stage `exit`) 2048x10x10."""

EFFICIENTNET_STAGES: tuple[tuple[str, ...], ...] = (
    ("conv_stem", "bn1"),
    *((f"blocks.{i}",) for i in range(7)),
    ("conv_head", "bn2"),
)
"""Also MobileNetV2's, which timm builds from the same class. B4 at 224: blocks 0 to 6 24x112, 32x56, 56x28, 112x14,
160x14, 272x7, 448x7, head 1792x7."""


def xception_map_size(image_size: int) -> int:
    """Side of the maps of block3 to block11: 19 at 299, 8 at 128."""
    side = (image_size - 3) // 2 + 1 - 2  # conv1: 3x3, stride 2, no padding; conv2: 3x3, no padding
    for _ in range(3):  # block1 to block3: max pool 3x3, stride 2, padding 1
        side = (side - 1) // 2 + 1
    return side


def efficientnet_map_size(image_size: int) -> int:
    """Side of EfficientNet's maps at stride 16: 19 at 299, 8 at 128."""
    side = image_size
    for _ in range(4):
        side = (side + 1) // 2
    return side


def run_stages(
    backbone: nn.Module, stages: Sequence[Sequence[str]], x: Tensor, *, checkpointed: bool = False
) -> Tensor:
    """Run parts of a backbone.

    Args:
        backbone: a timm model.
        stages: per stage the dotted names of its modules, in order; each stage is one checkpointed unit.
        x: (B, C, H, W).
        checkpointed: recompute each stage in the backward pass.
    """
    for stage in stages:
        modules = [reduce(getattr, name.split("."), backbone) for name in stage]
        x = run_modules(modules, x, checkpointed=checkpointed)
    return x


@dataclass(frozen=True)
class FourPartEncoder:
    """An encoder cut where the attention network inserts its layers; each part is a list of stages for run_stages.

    embed -> the embedding, which the decoder reads; reason -> graph reasoning; guide -> guided attention;
    tail -> global pool. The maps between embed and tail have one size, `map_size`.
    """

    embed: tuple[tuple[str, ...], ...]
    reason: tuple[tuple[str, ...], ...]
    guide: tuple[tuple[str, ...], ...]
    tail: tuple[tuple[str, ...], ...]
    embed_channels: int
    reason_channels: int
    features: int
    map_size: int


def xception_parts(image_size: int) -> FourPartEncoder:
    """Xception as RECCE cuts it: after block4, block7 and block8."""
    stages = list(XCEPTION_STAGES.values())  # stem, block1 ... block12, exit
    return FourPartEncoder(
        embed=tuple(stages[:5]),
        reason=tuple(stages[5:8]),
        guide=tuple(stages[8:9]),
        tail=tuple(stages[9:]),
        embed_channels=728,
        reason_channels=728,
        features=2048,
        map_size=xception_map_size(image_size),
    )


def efficientnet_parts(backbone: Backbone, image_size: int) -> FourPartEncoder:
    """EfficientNet cut at the same depths: the embedding is the first map at stride 16, as in Xception.

    Stages 3 and 4 of its seven work at stride 16; the first half of stage 4 leads to graph reasoning, the second to
    guided attention. B4 at 299: embedding 112x19x19, then 160x19x19, tail 1792x10x10.
    """
    halves = len(backbone.blocks[4]) // 2
    last = [f"blocks.4.{i}" for i in range(len(backbone.blocks[4]))]
    return FourPartEncoder(
        embed=(("conv_stem", "bn1"), *((f"blocks.{i}",) for i in range(4))),
        reason=(tuple(last[:halves]),),
        guide=(tuple(last[halves:]),),
        tail=(("blocks.5",), ("blocks.6",), ("conv_head", "bn2")),
        embed_channels=_channels(backbone.blocks[3]),
        reason_channels=_channels(backbone.blocks[4]),
        features=backbone.num_features,
        map_size=efficientnet_map_size(image_size),
    )


def _channels(stage: nn.Module) -> int:
    return [m.num_features for m in stage.modules() if isinstance(m, nn.BatchNorm2d)][-1]
