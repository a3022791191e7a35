"""Augmentation by name: a recipe's list of {name, params} as albumentations transforms, masks moving with pictures.

albumentations is imported when an augmentation is built, never for evaluation, whose path (decode, resize) is in
dfdetect/data/images.py. Normalisation is no step here: it is done once a batch, on the detector's device.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dfdetect.config.recipe import TransformStep
from dfdetect.data.images import resize
from dfdetect.errors import UserError

if TYPE_CHECKING:
    import albumentations


class Augmentation:
    """A recipe's transforms for pictures of one size; picklable.

    Args:
        steps: the recipe's list.
        image_size: side of the result (px). Pictures are resized to it first, unless a step of the list does.
        where: the list's place in params.yaml, for messages.
        mean, std: the detector's; a Normalize step must agree with them, and is otherwise left to the batch.
    Raises:
        UserError: an unknown name, an unknown parameter, a bad value, or a list that gives another size.
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
        import albumentations as A

        self.image_size = image_size
        kept = [step for step in steps if not handled_elsewhere(step, image_size, where, mean, std)]
        built = [build_step(step, where) for step in kept]
        self.compose = A.Compose(built, mask_interpolation=cv2.INTER_LINEAR)
        self.resize_first = self._sizes_itself(where) is False

    def _sizes_itself(self, where: str) -> bool:
        """Whether the steps bring a picture to image_size; found by trying them on one of another size."""
        side = self.image_size + 16
        shapes = set()
        for seed in range(8):
            self.compose.set_random_seed(seed)
            try:
                result = self.compose(
                    image=np.full((side, side, 3), 99, np.uint8), mask=np.zeros((side, side), np.uint8)
                )
            except Exception as error:  # albumentations raises whatever the values lead it to
                raise UserError(f"{where}: the transforms fail: {type(error).__name__}: {error}") from None
            if result["image"].dtype != np.uint8:
                raise UserError(f"{where}: the transforms must leave 8-bit pictures, not {result['image'].dtype}.")
            shapes.add(result["image"].shape[:2])
        if shapes == {(self.image_size, self.image_size)}:
            return True
        if shapes == {(side, side)}:
            return False
        raise UserError(
            f"{where}: the transforms must leave pictures of {self.image_size} px, not of {sorted(shapes)}."
        )

    def seeded(self, seed: int) -> Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray | None]]:
        """The transform with its random state set, for the pictures of one batch."""
        self.compose.set_random_seed(seed)
        return self._apply

    def of_clip(self, images: np.ndarray) -> np.ndarray:
        """The transform of a clip's pictures: drawn once, the same for all [uint8, shape=(F, S, S, 3)]."""
        return np.asarray(self.compose(images=images)["images"]) if self.compose.transforms else images

    def _apply(self, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if self.resize_first:
            image = resize(image, self.image_size)
            mask = None if mask is None else resize(mask, self.image_size)
        if not self.compose.transforms:
            return image, mask
        if mask is None:
            return self.compose(image=image)["image"], None
        result = self.compose(image=image, mask=mask)
        return result["image"], result["mask"]


def handled_elsewhere(
    step: TransformStep, image_size: int, where: str, mean: Sequence[float], std: Sequence[float]
) -> bool:
    """Whether a step is Resize or Normalize, which come before and after a recipe's transforms in any case.

    Raises:
        UserError: it asks for another size, or for other values, than the detector takes.
    """
    if step.name == "Resize":
        asked = {step.params[side] for side in ("height", "width", "size") if side in step.params}
        if asked - {image_size}:
            raise UserError(
                f"{where}: Resize to {sorted(asked)}, but the detector takes {image_size} px: leave the step "
                "out, and set the recipe's image_size."
            )
        return True
    if step.name == "Normalize":
        given = (step.params.get("mean", mean), step.params.get("std", std))
        for wanted, own in zip(given, (mean, std), strict=True):
            if not np.allclose(wanted, own, atol=1e-6):
                raise UserError(
                    f"{where}: Normalize with mean {given[0]}, std {given[1]}, but the detector normalises with "
                    f"mean {list(mean)}, std {list(std)}: leave the step out."
                )
        return True
    return False


@cache
def known_transforms() -> dict[str, type[albumentations.BasicTransform]]:
    """albumentations' transforms of single pictures by name."""
    import albumentations as A

    found = {name: getattr(A, name) for name in dir(A)}
    classes = {name: item for name, item in found.items() if inspect.isclass(item)}
    kinds = (A.ImageOnlyTransform, A.DualTransform)
    return {name: item for name, item in classes.items() if issubclass(item, kinds) and item not in kinds}


def build_step(step: TransformStep, where: str) -> albumentations.BasicTransform:
    """One transform of a recipe, by its name and parameters in albumentations 2.

    Args:
        step: name and parameters.
        where: the list's place in params.yaml, for messages.
    Raises:
        UserError: unknown name or parameter (the message lists what exists), or a bad value.
    """
    known = known_transforms()
    if step.name not in known:
        near = difflib.get_close_matches(step.name, known, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"{where}: there is no transform {step.name!r}.{hint} There are: {', '.join(sorted(known))}.")
    kind = known[step.name]
    accepted = [parameter for parameter in inspect.signature(kind.__init__).parameters if parameter != "self"]
    if unknown := [key for key in step.params if key not in accepted]:
        raise UserError(f"{where}: {step.name} has no parameter {', '.join(unknown)}; it has {', '.join(accepted)}.")
    try:
        return kind(**{key: _tuples(value) for key, value in step.params.items()})
    except (ValueError, TypeError) as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[:4])
        raise UserError(f"{where}: {step.name} with {step.params}: {reason}") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
