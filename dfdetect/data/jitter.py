"""albumentations' ColorJitter with the same draws and the same meaning, in less than half the time."""

from __future__ import annotations

from typing import Any

import albumentations
import cv2
import numpy as np

_GREY = np.array([0.299, 0.587, 0.114])  # BT.601, as OpenCV's grey
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


class ColorJitter(albumentations.ColorJitter):
    """Brightness, contrast and saturation are affine in RGB, so neighbours among them are applied in one pass.

    Differs from the original by rounding once instead of three times, by clipping once, and by a hue circle of 256
    steps instead of 180.
    """

    def apply(
        self,
        img: np.ndarray,
        brightness: float,
        contrast: float,
        saturation: float,
        hue: float,
        order: list[int],
        **params: Any,
    ) -> np.ndarray:
        """Jitter one picture; anything but 8-bit RGB is left to the original.

        Args:
            img: RGB uint8 [shape=(H, W, 3)].
            brightness, contrast, saturation: factors.
            hue: shift as a share of the circle.
            order: of the four.
            params: not used.
        """
        if img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3:
            return super().apply(img, brightness, contrast, saturation, hue, order, **params)
        factors = (brightness, contrast, saturation, hue)
        pending = _Affine(img)
        for kind in order:
            if kind == _HUE:
                pending = _Affine(shift_hue(pending.result(), hue))
            else:
                pending.then(kind, factors[kind])
        return pending.result()


class _Affine:
    """A picture with colour changes that are still to be applied: x -> matrix x + offset."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.matrix, self.offset = np.eye(3), np.zeros(3)
        self.changed = False

    def then(self, kind: int, factor: float) -> None:
        """Add one change."""
        if factor == 1.0:
            return
        self.changed = True
        step, shift = factor * np.eye(3), 0.0
        if kind == _CONTRAST:
            mean = self.matrix @ np.array(cv2.mean(self.image)[:3]) + self.offset
            shift = (1.0 - factor) * float(_GREY @ mean)
        elif kind == _SATURATION:
            step = step + (1.0 - factor) * np.outer(np.ones(3), _GREY)
        self.matrix, self.offset = step @ self.matrix, step @ self.offset + shift

    def result(self) -> np.ndarray:
        """The picture with all changes, rounded and clipped once."""
        if not self.changed:
            return self.image
        return np.asarray(cv2.transform(self.image, np.column_stack([self.matrix, self.offset]).astype(np.float32)))


def shift_hue(image: np.ndarray, share: float) -> np.ndarray:
    """Turn the hue circle.

    Args:
        image: RGB uint8 [shape=(H, W, 3)].
        share: of the whole circle, in [-0.5, 0.5].
    """
    step = np.uint8(round(share * 256) % 256)
    if step == 0:
        return image
    turned = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # hue in 256 steps, so that bytes wrap where the circle does
    rows = turned.reshape(len(turned), -1)  # whole rows add four times as fast as every third byte
    np.add(rows, np.tile(np.array([step, 0, 0], np.uint8), turned.shape[1]), out=rows)
    return np.asarray(cv2.cvtColor(turned, cv2.COLOR_HSV2RGB_FULL))
