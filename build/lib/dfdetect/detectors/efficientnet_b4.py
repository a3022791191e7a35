"""Baseline: EfficientNet-B4 on a face crop."""

from __future__ import annotations

from dfdetect.detectors.layers.baseline import Baseline
from dfdetect.detectors.layers.encoders import EFFICIENTNET_B4, EFFICIENTNET_STAGES
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import ImageSettings


@register("efficientnet_b4", ImageSettings)
class EfficientNetB4(Baseline):
    """EfficientNet-B4, 17.6 M parameters.

    Source: Tan and Le (ICML 2019); as a detector, the baseline of the field's benchmarks.
    """

    model = EFFICIENTNET_B4
    stages = EFFICIENTNET_STAGES
