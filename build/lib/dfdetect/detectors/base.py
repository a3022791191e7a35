"""What every detector offers to train, evaluate and predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.settings import HALF, DetectorSettings

Batch = dict[str, Tensor]
"""What a detector reads, by key:
    image (B, 3, H, W): float, normalised with the detector's mean and std.
    mask (B, 1, H, W): attention mask in [0, 1], when the detector asks for it.
    mouths (B, 16, 3, 112, 112): mouth crops, normalised likewise.
    mels (B, 8, n_mels, T): log-mel chunks.
    frame_time_s (B, 16), chunk_time_s (B, 8): centre times of the two in seconds, for alignment.
    label (B,): int64, 0 real, 1 fake; needed by loss() only.
"""


class Detector(nn.Module, ABC):
    """Base of all detectors. A subclass sets the class variables, implements forward and loss, and is registered.

    Class variables:
        name: the registered name (set by the registry).
        inputs: the keys of Batch that forward reads.
        target: what it predicts: `visual_label` (are the images manipulated) or `label` (is anything).
        trains_on: `both` classes, or `real` samples only (an anomaly detector).
        mean, std: normalisation of its images, per RGB channel, of values in [0, 1].
        channels_last: whether `.to(memory_format=torch.channels_last)` pays off.
        backbone_prefixes: parameters under these names form the group `backbone`.
    Attributes:
        image_size: side of its images (px).
    """

    name: ClassVar[str]
    inputs: ClassVar[frozenset[str]]
    target: ClassVar[Literal["visual_label", "label"]] = "visual_label"
    trains_on: ClassVar[Literal["both", "real"]] = "both"
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    channels_last: ClassVar[bool] = True
    backbone_prefixes: ClassVar[tuple[str, ...]] = ("backbone.",)

    def __init__(self, settings: DetectorSettings, *, image_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.image_size = image_size
        self.gradient_checkpointing = False

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Score a batch.

        Returns:
            `logits` (B, num_classes) for classifiers, `log_prob` (B,) for anomaly detectors, and what the loss needs.
        """

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """The training loss in named parts, each a scalar; by default the cross-entropy of the logits.

        Args:
            output: what forward returned for this batch.
            batch: with `label`.
            progress: share of the training done, in [0, 1], for losses that adapt.
        Returns:
            The parts as they are logged, and `loss`, which is minimised.
        """
        loss = classification(output["logits"], batch["label"])
        return {"loss": loss, "classification": loss}

    def score(self, output: dict[str, Tensor]) -> Tensor:
        """One number per sample, higher = more likely fake (B,).

        Classifiers: the probability of fake in [0, 1]. Anomaly detectors: minus the log-probability, uncalibrated
        (dfdetect/detectors/calibration.py maps it to [0, 1]).
        """
        if "log_prob" in output:
            return -output["log_prob"].float()
        logits = output["logits"].float()  # (B, num_classes)
        return logits.sigmoid()[:, 0] if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters as `backbone` (what ImageNet weights are for) and `head` (all else)."""
        groups: dict[str, list[nn.Parameter]] = {"backbone": [], "head": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups["backbone" if name.startswith(self.backbone_prefixes) else "head"].append(parameter)
        return groups

    @property
    def calibrates_on_fakes(self) -> bool:
        """Of an anomaly detector: may calibration and threshold look at validation fakes?"""
        return False

    def epoch_report(self) -> dict[str, float]:
        """Figures to log after each epoch, such as a learned filter's width."""
        return {}

    def pictures(self, batch: Batch, output: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002
        """Pictures that show what the detector does: name -> (B, 3 or 1, H, W) in [0, 1]; a caller may save them."""
        return {}

    def example_batch(self, batch_size: int = 2, *, seed: int = 0) -> Batch:
        """A random batch of the right shapes, labels alternating real and fake: for tests, profiles and export."""
        generator = torch.Generator().manual_seed(seed)
        size = (self.image_size, self.image_size)
        batch: Batch = {"label": torch.arange(batch_size) % 2}
        if "image" in self.inputs:
            batch["image"] = torch.randn(batch_size, 3, *size, generator=generator).clamp(-1.0, 1.0)
        if "mask" in self.inputs:
            batch["mask"] = torch.rand(batch_size, 1, *size, generator=generator)
        return batch

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass instead of keeping them: less memory, about a third more time."""
        self.gradient_checkpointing = enabled

    def unnormalise(self, images: Tensor) -> Tensor:
        """Undo the normalisation: (B, 3, H, W) to [0, 1]."""
        mean = images.new_tensor(self.mean).view(1, 3, 1, 1)
        std = images.new_tensor(self.std).view(1, 3, 1, 1)
        return (images * std + mean).clamp(0.0, 1.0)


def pool(maps: Tensor) -> Tensor:
    """Global average pool that keeps the batch axis: (B, C, H, W) -> (B, C)."""
    return maps.mean(dim=(2, 3))


def classification(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of one logit (sigmoid) or two (softmax), averaged over the batch; computed in float32.

    Args:
        logits: (B, 1) or (B, 2).
        label: 0 real, 1 fake (B,).
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0].float(), label.float())
    return F.cross_entropy(logits.float(), label)


def check_map(name: str, maps: Tensor, side: int) -> None:
    """Refuse an input of another size than the detector was built for, where its layers depend on the size."""
    if tuple(maps.shape[-2:]) != (side, side) and not torch.compiler.is_compiling():
        raise ValueError(f"{name} was built for {side}x{side}, got {tuple(maps.shape[-2:])}.")
