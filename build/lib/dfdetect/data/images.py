"""From encoded bytes to the pixels that a detector sees, the same in training, evaluation and prediction."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

# Processes share the cores; OpenCV's own threads would fight over them.
cv2.setNumThreads(0)

# From this factor on, bilinear sampling skips source pixels, so areas are averaged instead.
AREA_FROM = 2.0


def decode(encoded: Any) -> np.ndarray | None:
    """An encoded picture as pixels.

    Args:
        encoded: bytes, or uint8 [shape=(length,)].
    Returns:
        RGB uint8 [shape=(H, W, 3)]; None when the bytes are no picture.
    """
    return _decode(encoded, cv2.IMREAD_COLOR_RGB)


def decode_mask(encoded: Any) -> np.ndarray | None:
    """An encoded attention mask as uint8 [shape=(H, W)], 255 is 1.0; None when the bytes are no picture."""
    return _decode(encoded, cv2.IMREAD_GRAYSCALE)


def _decode(encoded: Any, flags: int) -> np.ndarray | None:
    data = np.frombuffer(encoded, np.uint8) if isinstance(encoded, bytes) else encoded
    if data.size == 0:
        return None
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


def interpolation(source: int, target: int) -> int:
    """The OpenCV interpolation with which a side of `source` pixels becomes one of `target`."""
    return int(cv2.INTER_AREA if source >= AREA_FROM * target else cv2.INTER_LINEAR)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Scale a picture or a mask to a square; the interpolation follows from the sizes alone.

    Args:
        image: uint8 [shape=(H, W)] or [shape=(H, W, 3)].
        size: side of the result (px).
    Returns:
        uint8 of the same rank; `image` itself where the size is right already.
    """
    height, width = image.shape[:2]
    if height == size and width == size:
        return image
    how = interpolation(min(height, width), size)
    return np.asarray(cv2.resize(image, (size, size), interpolation=how))
