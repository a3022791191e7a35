"""Augmentation on the detector's device: a recipe's transforms on whole batches, with parameters of each picture's own.

Meaning, defaults and ranges are albumentations 2's; pixels stay floats in between, so nothing is rounded. All choices
are drawn on the host, so they are the same on every device; noise alone is drawn on the device. albumentations is not
needed. torch is imported where pictures are transformed, so that params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dfdetect.errors import UserError
from dfdetect.data.transforms import ALIASES, handled_elsewhere, translate
from dfdetect.config.recipe import TransformStep

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_GREY = (0.299, 0.587, 0.114)  # BT.601, as OpenCV's grey
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first value must not be larger than the second")
    return pair


def _around_one(value: Any) -> Any:
    return (max(0.0, 1.0 - value), 1.0 + value) if isinstance(value, int | float) else value


def _around_zero(value: Any) -> Any:
    return (-value, value) if isinstance(value, int | float) else value


def _from_zero(value: Any) -> Any:
    return (0, value) if isinstance(value, int | float) else value


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
Factor = Annotated[Range, BeforeValidator(_around_one)]
Shift = Annotated[Range, BeforeValidator(_around_zero)]


class Step(BaseModel):
    """One transform. `p`: how often a picture undergoes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    moves: ClassVar[bool] = False  # whether masks move with their pictures
    p: float = Field(0.5, ge=0.0, le=1.0)

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """Transform pictures: float in [0, 255] [shape=(N, C, S, S)], of the same size afterwards."""
        raise NotImplementedError


class HorizontalFlip(Step):
    """Left and right change places."""

    moves = True

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:  # noqa: ARG002
        """See Step."""
        return images.flip(3)


class VerticalFlip(Step):
    """Top and bottom change places."""

    moves = True

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:  # noqa: ARG002
        """See Step."""
        return images.flip(2)


class RandomRotate90(Step):
    """A turn by 0 to 3 right angles."""

    moves = True

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """See Step."""
        turns = random.integers(4, size=len(images))
        for count in (1, 2, 3):
            rows = _rows(turns == count, images.device)
            if rows is not None:
                images[rows] = images[rows].rot90(count, (2, 3))
        return images


class ColorJitter(Step):
    """Brightness, contrast, saturation and hue, in an order of each picture's own."""

    brightness: Factor = (0.8, 1.2)
    contrast: Factor = (0.8, 1.2)
    saturation: Factor = (0.8, 1.2)
    hue: Shift = (-0.5, 0.5)  # share of the circle

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """See Step."""
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = np.stack([random.uniform(*limits, len(images)) for limits in ranges], axis=1)  # (N, 4)
        order = random.permuted(np.tile(np.arange(4), (len(images), 1)), axis=1)  # (N, 4)
        return jitter(images, factors, order)


class RandomBrightnessContrast(Step):
    """x -> (1 + contrast) x + brightness."""

    brightness_limit: Shift = (-0.2, 0.2)
    contrast_limit: Shift = (-0.2, 0.2)
    brightness_by_max: bool = True  # brightness is a share of 255; else of the picture's mean

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """See Step."""
        gain = _column(1.0 + random.uniform(*self.contrast_limit, len(images)), images)
        lift = _column(random.uniform(*self.brightness_limit, len(images)), images)
        scale = 255.0 if self.brightness_by_max else images.mean(dim=(1, 2, 3), keepdim=True)
        return (images * gain + lift * scale).clamp_(0.0, 255.0)


class GaussianBlur(Step):
    """Convolution with a Gaussian, reflected at the border."""

    blur_limit: Annotated[tuple[int, int], AfterValidator(_rising), BeforeValidator(_from_zero)] = (0, 0)  # taps
    sigma_limit: Annotated[Range, BeforeValidator(_from_zero)] = (0.5, 3.0)  # px

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """See Step."""
        sigmas = random.uniform(*self.sigma_limit, len(images))
        taps = random.integers(self.blur_limit[0], self.blur_limit[1] + 1, len(images))
        return blur(images, [gaussian(float(s), int(t)) for s, t in zip(sigmas, taps, strict=True)])


class GaussNoise(Step):
    """White noise of a mean and a spread of each picture's own, as shares of 255."""

    std_range: Range = (0.2, 0.44)
    mean_range: Range = (0.0, 0.0)
    per_channel: bool = True

    def apply(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """See Step."""
        import torch

        std = _column(255.0 * random.uniform(*self.std_range, len(images)), images)
        mean = _column(255.0 * random.uniform(*self.mean_range, len(images)), images)
        generator = torch.Generator(images.device).manual_seed(int(random.integers(2**62)))
        shape = (len(images), images.shape[1] if self.per_channel else 1, *images.shape[2:])
        noise = torch.randn(shape, generator=generator, device=images.device)
        return (images + noise * std + mean).clamp_(0.0, 255.0)


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
        kept = [step for step in steps if not handled_elsewhere(step, image_size, where, mean, std)]
        self.steps = [build_step(step, where) for step in kept]

    def __call__(self, batch: dict[str, Tensor], random: np.random.Generator) -> dict[str, Tensor]:
        """Transform a batch's pictures and masks.

        Args:
            batch: with image (B, 3, S, S) and maybe mask (B, 1, S, S), uint8; others are handed through.
            random: of all choices.
        Returns:
            The batch with float pictures in [0, 255].
        """
        import torch

        images = batch["image"].float()  # a copy: uint8 came in
        masks = batch["mask"].clone() if "mask" in batch else None
        with torch.autocast(images.device.type, enabled=False):
            for step in self.steps:
                rows = _rows(random.random(len(images)) < step.p, images.device)
                if rows is None:
                    continue
                if step.moves and masks is not None:
                    again = np.random.default_rng(seed := int(random.integers(2**62)))
                    masks[rows] = step.apply(masks[rows], again)
                    images[rows] = step.apply(images[rows], np.random.default_rng(seed))
                else:
                    images[rows] = step.apply(images[rows], random)
        return {**batch, "image": images} if masks is None else {**batch, "image": images, "mask": masks}


def build_step(step: TransformStep, where: str) -> Step:
    """One transform of a recipe.

    Args:
        step: name and parameters.
        where: the list's place in params.yaml, for messages.
    Raises:
        UserError: a transform or parameter that there is not here, or a bad value.
    """
    kind = STEPS.get(ALIASES.get(step.name, step.name))
    if kind is None:
        raise UserError(
            f"{where}: gpu_transforms has no {step.name}; it has {', '.join(STEPS)}. Take the step out, or set "
            "gpu_transforms: false."
        )
    accepted = list(kind.model_fields)
    params = translate(kind.__name__, step.params, accepted)
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        listed = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors()]
        wrong = "; ".join(f"{name}: {what} (given: {value!r})" for name, what, value in listed)
        raise UserError(f"{where}: {step.name} with gpu_transforms: {wrong}; it has {', '.join(accepted)}.") from None


def _rows(chosen: np.ndarray, device: torch.device) -> Tensor | None:
    """Positions at which a mask is set; None where there are none."""
    import torch

    rows = np.flatnonzero(chosen)
    return torch.from_numpy(rows).to(device) if len(rows) else None


def _column(values: np.ndarray, images: Tensor) -> Tensor:
    """One number a picture [shape=(N, 1, 1, 1)]."""
    import torch

    return torch.from_numpy(values.astype(np.float32)).to(images.device).view(-1, 1, 1, 1)


def jitter(images: Tensor, factors: np.ndarray, order: np.ndarray) -> Tensor:
    """Brightness, contrast, saturation and hue.

    Args:
        images: float in [0, 255] [shape=(N, 3, H, W)].
        factors: of the four [shape=(N, 4)].
        order: of the four [shape=(N, 4)].
    """
    hue_place = (order == _HUE).argmax(axis=1)[:, None]
    place = np.arange(4)[None]
    images = _affine(images, factors, order, place < hue_place)
    images = shift_hue(images, factors[:, _HUE])
    return _affine(images, factors, order, place > hue_place)


def _affine(images: Tensor, factors: np.ndarray, order: np.ndarray, used: np.ndarray) -> Tensor:
    """The changes of colour at some places of the order, as one map x -> matrix x + offset a picture."""
    import torch

    count, device = len(images), images.device
    chosen = np.where(used & (order != _HUE), np.take_along_axis(factors, order, axis=1), 1.0)  # (N, 4)
    steps = chosen[..., None, None] * np.eye(3)  # (N, 4, 3, 3)
    steps += ((1.0 - chosen) * (order == _SATURATION))[..., None, None] * np.outer(np.ones(3), _GREY)
    pulls = torch.from_numpy(((1.0 - chosen) * (order == _CONTRAST)).astype(np.float32)).to(device)  # (N, 4)
    maps = torch.from_numpy(steps.astype(np.float32)).to(device)
    grey = torch.tensor(_GREY, device=device)
    mean = images.mean(dim=(2, 3)).unsqueeze(2)  # (N, 3, 1)
    matrix, offset = torch.eye(3, device=device).expand(count, 3, 3), torch.zeros(count, 3, 1, device=device)
    for place in range(4):
        shift = pulls[:, place, None] * (grey @ (matrix @ mean + offset))  # (N, 1)
        matrix, offset = maps[:, place] @ matrix, maps[:, place] @ offset + shift.unsqueeze(2)
    pixels = images.permute(0, 2, 3, 1).reshape(count, -1, 3)  # no copy where channels come last
    changed = torch.baddbmm(offset.transpose(1, 2), pixels, matrix.transpose(1, 2)).clamp_(0.0, 255.0)
    return changed.view(count, *images.shape[2:], 3).permute(0, 3, 1, 2)


def shift_hue(images: Tensor, share: np.ndarray) -> Tensor:
    """Turn the hue circle (hue, saturation, value), each picture by its share of it [shape=(N,)]."""
    import torch

    red, green, blue = images.unbind(1)  # (N, H, W)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2.0, (red - green) / safe + 4.0),
    )
    hue = hue + 6.0 * _column(share, images)[..., 0]
    turned = []
    for sector in (5.0, 3.0, 1.0):
        along = torch.remainder(hue + sector, 6.0)
        turned.append(value - chroma * torch.minimum(along, 4.0 - along).clamp_(0.0, 1.0))
    return torch.stack(turned, dim=1)


def gaussian(sigma: float, taps: int) -> np.ndarray:
    """A normalised Gaussian of an odd number of taps; 0 taps: as many as sigma needs."""
    taps = int(sigma * 3.5) * 2 + 1 if taps == 0 else taps + (taps % 2 == 0)
    x = np.arange(taps) - taps // 2
    kernel = np.exp(-0.5 * (x / max(sigma, 1e-6)) ** 2)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def blur(images: Tensor, kernels: Sequence[np.ndarray]) -> Tensor:
    """Filter each picture with its own kernel along both sides; the border is reflected without its own pixels."""
    import torch
    import torch.nn.functional as F

    count, channels, height, width = images.shape
    reach = max(len(kernel) for kernel in kernels) // 2
    padded = np.stack([np.pad(kernel, reach - len(kernel) // 2) for kernel in kernels])  # (N, taps)
    weight = torch.from_numpy(padded).to(images.device).repeat_interleave(channels, dim=0)  # (N C, taps)
    flat = images.reshape(1, count * channels, height, width)
    flat = F.pad(flat, (reach, reach, reach, reach), mode="reflect")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=count * channels)
    flat = F.conv2d(flat, weight[:, None, :, None], groups=count * channels)
    return flat.view(count, channels, height, width)
