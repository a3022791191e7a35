"""The detectors' settings: entries of `detectors:` in params.yaml, checked without loading the networks.

Imports no torch. A detector's class names its settings in `@register`; a detector that is a single file may have them
there, and loading it is then part of checking params.yaml.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)  # maps [0, 1] to [-1, 1], as timm's legacy_xception weights expect
Position = Literal["input", "stem", "block1", "block2", "block3", "middle", "block12"]  # in Xception


class DetectorSettings(BaseModel):
    """Base of a detector's settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    small: ClassVar[dict[str, Any]] = {}  # the smallest sensible sizes: tests and dry runs build with these
    reads: ClassVar[tuple[str, ...]] = ("faces",)  # the stages whose tables the detector reads


class ImageSettings(DetectorSettings):
    """A detector of single face crops; `detectors.xception` and `detectors.efficientnet_b4` as it stands."""

    small: ClassVar[dict[str, Any]] = {"image_size": 64}
    image_size: int = Field(299, ge=64, le=2048)  # side of the input (px); under 64 batch norm sees one value a channel
    # true: ImageNet weights through timm; package: from an installed package that carries them; a path: a file
    # (safetensors, or PyTorch's weights-only kind); false: none
    pretrained: bool | str = False
    num_classes: Literal[1, 2] = 2  # 1: one logit and a sigmoid; 2: softmax over (real, fake)
    drop_rate: float = Field(0.2, ge=0.0, lt=1.0)  # dropout before the classifier


class AttentionNetworkSettings(ImageSettings):
    """`detectors.attention_network`."""

    small: ClassVar[dict[str, Any]] = {"image_size": 64, "graph_width": 32, "fusion_width": 32}
    drop_rate: float = Field(0.2, ge=0.0, le=0.5)
    encoder: Literal["xception", "efficientnet"] = "xception"
    efficientnet: Literal["efficientnet_b0", "efficientnet_b4"] = "efficientnet_b4"  # which one, if it is the encoder
    lambda_1: float = Field(0.1, ge=0.0)  # weight of the reconstruction loss
    lambda_2: float = Field(0.1, ge=0.0)  # weight of the metric-learning loss
    flood_level: float = Field(0.04, ge=0.0)  # the classification loss is kept from going below; 0: off
    noise_std: float = Field(0.05, ge=0.0)  # white noise while training, inputs in [-1, 1]; 1e-6 is RECCE's code
    graph_width: int = Field(256, ge=8)  # embedding of graph reasoning
    fusion_width: int = Field(256, ge=8)  # of the fusion blocks; 728: Xception's own, not reduced
    fusion_blocks: int = Field(4, ge=0, le=8)  # 0: no fusion, which is RECCE
    fusion_position: Literal["before_guide", "after_attention"] = "before_guide"  # of block 8 and guided attention
    shared_filter: bool = False  # one frequency filter for all fusion blocks; false: each block has its own
    fusion_separable: bool = False  # 3x3 convolution of a fusion block depthwise-separable (cheaper at full width)


class ADDNetSettings(ImageSettings):
    """`detectors.addnet`."""

    reads: ClassVar[tuple[str, ...]] = ("faces", "masks")
    drop_rate: float = Field(0.5, ge=0.0, lt=1.0)
    # After which parts the mask is applied; the paper's figure also has input and stem.
    add_positions: tuple[Position, ...] = ("block1", "block2", "block3", "middle", "block12")

    @field_validator("add_positions")
    @classmethod
    def _once_each(cls, positions: tuple[Position, ...]) -> tuple[Position, ...]:
        if len(set(positions)) != len(positions):
            raise ValueError("a position is named twice")
        return positions


class ADDNetBandpassSettings(ADDNetSettings):
    """`detectors.addnet_bandpass`."""

    kernel_size: int = Field(31, ge=3, le=127)  # taps of each blur; odd
    sigma_low: float = Field(0.793, gt=0.05)  # starting width of the narrow blur (px)
    delta: float = Field(3.966, gt=0.05)  # starting extra width of the wide blur (px)

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd, so that the blur is centred on a pixel")
        return size


class BackboneFiles(DetectorSettings):
    """Files of ImageNet weights (safetensors, or PyTorch's weights-only kind); null: none for that backbone."""

    visual: str | None = None  # EfficientNet-B0
    audio: str | None = None  # MobileNetV2


class AVTransformerSettings(DetectorSettings):
    """`detectors.av_transformer`. The ranges are those of the source."""

    reads: ClassVar[tuple[str, ...]] = ("mouths", "mels")
    small: ClassVar[dict[str, Any]] = {
        "image_size": 64,
        "frames": 8,
        "chunks": 4,
        "n_mels": 64,
        "visual_layers": 2,
        "audio_layers": 2,
        "d_model": 128,
        "feedforward": 128,
        "density_layers": 2,
        "density_width": 128,
    }
    pretrained: bool | BackboneFiles = False  # true: ImageNet weights through timm for both backbones
    image_size: int = Field(112, ge=64, le=512)  # side of a mouth crop (px)
    frames: int = Field(16, ge=8, le=32)  # mouth crops a clip
    chunks: int = Field(8, ge=4, le=16)  # mel chunks a clip
    n_mels: int = Field(80, ge=64, le=128)
    temporal: Literal["transformer", "mamba"] = "transformer"
    visual_layers: int = Field(4, ge=2, le=6)
    audio_layers: int = Field(4, ge=2, le=6)
    d_model: int = Field(256, ge=128, le=512)  # of both streams and of the sync features
    heads: int = Field(8, ge=1)
    feedforward: int = Field(2048, ge=16)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    density_layers: int = Field(6, ge=1, le=12)
    density_width: int = Field(512, ge=64, le=1024)
    components: int = Field(1, ge=1, le=16)  # Gaussians in the mixture
    min_scale: float = Field(0.05, gt=0.0)  # smallest standard deviation (the features' own is 1)
    num_negatives: int = Field(4, ge=1, le=16)  # wrong soundtracks that the sync loss sets against the right one
    cross_clip_negatives: bool = False  # every second of them is another clip's; false: all are the clip's own, shifted
    temperature: float = Field(0.1, gt=0.0)  # of the sync loss
    sync_weight: float = Field(1.0, ge=0.0)
    calibrate_on_fakes: bool = False  # true: validation fakes too decide calibration and threshold
    stop_gradient: bool = True  # the density does not train the features; false with sync_weight 0 lets them collapse

    @model_validator(mode="after")
    def _divisible(self) -> AVTransformerSettings:
        if self.frames % self.chunks:
            whole = [n for n in range(4, 17) if self.frames % n == 0]
            raise ValueError(
                f"chunks {self.chunks} must divide frames {self.frames}, so that each chunk of audio belongs to "
                f"equally many mouth crops: set chunks to {' or '.join(map(str, whole)) or 'a divisor of frames'}"
            )
        for name in ("d_model", "density_width"):
            if getattr(self, name) % (2 * self.heads):
                raise ValueError(f"{name} {getattr(self, name)} must be a multiple of 2 x heads ({2 * self.heads})")
        return self


class EfficientNetLite0Settings(ImageSettings):
    """`detectors.efficientnet_lite0`."""

    image_size: int = Field(224, ge=64, le=2048)  # side of the input (px), as its ImageNet weights were trained


class MultiBranchSettings(ImageSettings):
    """`detectors.multibranch`."""

    image_size: int = Field(224, ge=64, le=2048)
    drop_rate: float = Field(0.4, ge=0.0, lt=1.0)
    attention_reduction: int = Field(16, ge=1)  # bottleneck of the attention over the features
    sharpen_below: float = Field(
        0.0015, ge=0.0
    )  # a picture is soft when its Laplacian (luma in [0, 1]) varies less; 0: off
    sharpen_amount: float = Field(1.0, ge=0.0, le=5.0)  # of detail added to a soft picture
    focal_gamma: float = Field(2.0, ge=0.0)
    focal_gamma_ramp: float = Field(0.25, ge=0.0, le=1.0)  # share of the training until gamma is reached; 0: at once
    focal_decay: float = Field(0.99, ge=0.0, lt=1.0)  # how slowly the class weights follow the classes seen
