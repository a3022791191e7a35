"""Baseline: Xception on a face crop."""

from __future__ import annotations

from dfdetect.detectors.layers.baseline import Baseline
from dfdetect.detectors.layers.encoders import XCEPTION, XCEPTION_STAGES
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import ImageSettings


@register("xception", ImageSettings)
class Xception(Baseline):
    """Xception, 20.8 M parameters.

    Source: Chollet (CVPR 2017); as a detector, Roessler et al., FaceForensics++ (ICCV 2019).
    """

    model = XCEPTION
    stages = tuple(XCEPTION_STAGES.values())
