"""Augmentation on the detector's device: a recipe's transforms by torchvision.transforms.v2, drawn anew for each crop.

Names, parameters, defaults and ranges are albumentations 2's, so that one list serves both; pixels stay floats in
between, so nothing is rounded. torch is imported where transforms are built, so that params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dfdetect.config.recipe import TransformStep
from dfdetect.data.transforms import handled_elsewhere
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.transforms.v2 import Transform


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first value must not be larger than the second")
    return pair


def _not_negative(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 0:
        raise ValueError("the values must not be negative")
    return pair


def _within_half(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < -0.5 or pair[1] > 0.5:
        raise ValueError("the values must lie in [-0.5, 0.5]")
    return pair


def _around_one(value: Any) -> Any:
    return (max(0.0, 1.0 - value), 1.0 + value) if isinstance(value, int | float) else value


def _around_zero(value: Any) -> Any:
    return (-value, value) if isinstance(value, int | float) else value


def _from_zero(value: Any) -> Any:
    return (0, value) if isinstance(value, int | float) else value


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
Factor = Annotated[Range, AfterValidator(_not_negative), BeforeValidator(_around_one)]
Shift = Annotated[Range, BeforeValidator(_around_zero)]


class Step(BaseModel):
    """One transform of a recipe. `p`: the probability that a crop undergoes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    p: float = Field(0.5, ge=0.0, le=1.0)

    def build(self) -> Transform:
        """torchvision's transform of a crop, float in [0, 1], with its mask where geometry changes; without `p`."""
        raise NotImplementedError


class HorizontalFlip(Step):
    """Mirror left and right."""

    def build(self) -> Transform:
        """See Step."""
        from torchvision.transforms import v2

        return v2.RandomHorizontalFlip(1.0)


class VerticalFlip(Step):
    """Mirror top and bottom."""

    def build(self) -> Transform:
        """See Step."""
        from torchvision.transforms import v2

        return v2.RandomVerticalFlip(1.0)


class RandomRotate90(Step):
    """Rotate by 0 to 3 right angles."""

    def build(self) -> Transform:
        """See Step."""
        from torchvision.transforms import v2

        return v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)])


class ColorJitter(Step):
    """Brightness, contrast, saturation and hue, in random order."""

    brightness: Factor = (0.8, 1.2)
    contrast: Factor = (0.8, 1.2)
    saturation: Factor = (0.8, 1.2)
    hue: Annotated[Shift, AfterValidator(_within_half)] = (-0.5, 0.5)  # fraction of the hue circle

    def build(self) -> Transform:
        """See Step."""
        from torchvision.transforms import v2

        return v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)


class RandomBrightnessContrast(Step):
    """x -> (1 + contrast) x + brightness; torchvision's brightness is a factor, not a summand."""

    brightness_limit: Shift = (-0.2, 0.2)
    contrast_limit: Shift = (-0.2, 0.2)
    brightness_by_max: bool = True  # brightness is a fraction of white; else of the crop's mean

    def build(self) -> Transform:
        """See Step."""
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        return v2.Lambda(self._apply, tv_tensors.Image)

    def _apply(self, image: Tensor) -> Tensor:
        scale = 1.0 if self.brightness_by_max else image.mean()
        changed = image * (1.0 + _uniform(self.contrast_limit)) + _uniform(self.brightness_limit) * scale
        return changed.clamp_(0.0, 1.0)


class GaussianBlur(Step):
    """Convolution with a Gaussian of random width, reflected at the border."""

    blur_limit: Annotated[tuple[int, int], AfterValidator(_rising), BeforeValidator(_from_zero)] = (0, 0)  # taps
    sigma_limit: Annotated[Range, BeforeValidator(_from_zero)] = (0.5, 3.0)  # px

    def build(self) -> Transform:
        """See Step."""
        from torchvision.transforms import v2

        # As albumentations: an even number of taps is raised to the next odd one, 0 takes what sigma needs.
        enough = int(self.sigma_limit[1] * 3.5) * 2 + 1
        taps = [n + (n % 2 == 0) if n else enough for n in range(self.blur_limit[0], self.blur_limit[1] + 1)]
        return v2.RandomChoice([v2.GaussianBlur(n, self.sigma_limit) for n in taps])


class GaussNoise(Step):
    """White noise of random mean and standard deviation, as fractions of white; torchvision's has fixed ones."""

    std_range: Range = (0.2, 0.44)
    mean_range: Range = (0.0, 0.0)
    per_channel: bool = True

    def build(self) -> Transform:
        """See Step."""
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        return v2.Lambda(self._apply, tv_tensors.Image)

    def _apply(self, image: Tensor) -> Tensor:
        import torch

        noise = torch.randn_like(image if self.per_channel else image[:1])
        return (image + noise * _uniform(self.std_range) + _uniform(self.mean_range)).clamp_(0.0, 1.0)


def _uniform(limits: tuple[float, float]) -> float:
    import torch

    return float(torch.empty(()).uniform_(*limits))


STEPS: dict[str, type[Step]] = {
    step.__name__: step
    for step in (
        HorizontalFlip,
        VerticalFlip,
        RandomRotate90,
        ColorJitter,
        RandomBrightnessContrast,
        GaussianBlur,
        GaussNoise,
    )
}


class DeviceAugmentation:
    """A recipe's transforms for batches of one size.

    Args:
        steps: the recipe's list; Resize and Normalize are done elsewhere, as for dfdetect.data.transforms.
        image_size: side of the pictures (px).
        where: the list's place in params.yaml, for messages.
        mean, std: the detector's.
    Raises:
        UserError: a transform or parameter that there is not here, or a bad value.
    """

    def __init__(
        self,
        steps: Sequence[TransformStep],
        image_size: int,
        *,
        where: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        from torchvision.transforms import v2

        kept = [step for step in steps if not handled_elsewhere(step, image_size, where, mean, std)]
        self.transform = v2.Compose(
            [v2.RandomApply([checked.build()], checked.p) for checked in (build_step(step, where) for step in kept)]
            or [v2.Identity()]
        )

    def __call__(self, batch: dict[str, Tensor], random: np.random.Generator) -> dict[str, Tensor]:
        """Transform a batch's crops, each by its own draws, and its masks along with them.

        Args:
            batch: with image (B, 3, S, S) and maybe mask (B, 1, S, S), uint8; others are handed through.
            random: of all draws. They are made on the CPU, so every device has the same; only noise is drawn there.
        Returns:
            The batch with float crops in [0, 255].
        """
        import torch
        from torchvision import tv_tensors

        images, device, masks = batch["image"], batch["image"].device, batch.get("mask")
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
        ):
            torch.manual_seed(int(random.integers(2**62)))
            crops = [tv_tensors.Image(image) for image in images.float() / 255.0]
            if masks is None:
                changed = [self.transform(crop) for crop in crops]
                return {**batch, "image": torch.stack(changed).as_subclass(torch.Tensor) * 255.0}
            pairs = [self.transform(crop, tv_tensors.Mask(mask)) for crop, mask in zip(crops, masks, strict=True)]
        done, moved = zip(*pairs, strict=True)
        return {
            **batch,
            "image": torch.stack(done).as_subclass(torch.Tensor) * 255.0,
            "mask": torch.stack(moved).as_subclass(torch.Tensor),
        }


def build_step(step: TransformStep, where: str) -> Step:
    """One transform of a recipe.

    Args:
        step: name and parameters.
        where: the list's place in params.yaml, for messages.
    Raises:
        UserError: a transform or parameter that there is not here, or a bad value.
    """
    kind = STEPS.get(step.name)
    if kind is None:
        raise UserError(
            f"{where}: gpu_transforms has no {step.name}; it has {', '.join(STEPS)}. Take the step out, or set "
            "gpu_transforms: false."
        )
    accepted = list(kind.model_fields)
    try:
        return kind.model_validate(step.params)
    except ValidationError as error:
        listed = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors()]
        wrong = "; ".join(f"{name}: {what} (given: {value!r})" for name, what, value in listed)
        raise UserError(f"{where}: {step.name} with gpu_transforms: {wrong}; it has {', '.join(accepted)}.") from None
