"""What the settings of every detector have in common. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class DetectorSettings(BaseModel):
    """Base of a detector's `Settings`, one entry of `detectors:` in params.yaml: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    small: ClassVar[dict[str, Any]] = {}  # the smallest sensible sizes: tests and dry runs build with these


class ImageSettings(DetectorSettings):
    """A detector of single face crops."""

    small: ClassVar[dict[str, Any]] = {"image_size": 64}
    image_size: int = Field(299, ge=64, le=2048)  # side of the input (px); under 64 batch norm sees one value a channel
    # true: ImageNet weights through timm; a path: a file (safetensors, or PyTorch's weights-only kind); false: none
    pretrained: bool | str = False
    num_classes: Literal[1, 2] = 2  # 1: one logit and a sigmoid; 2: softmax over (real, fake)
    drop_rate: float = Field(0.2, ge=0.0, lt=1.0)  # dropout before the classifier


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)  # maps [0, 1] to [-1, 1], as timm's legacy_xception weights expect
