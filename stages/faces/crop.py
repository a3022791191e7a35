"""Square face crops from full-resolution frames."""

from __future__ import annotations

import cv2
import numpy as np

from stages.faces.finders import Floats
from stages.media.frames import Box, Frame, Rgb


def crop_box(box: Floats, *, margin_ratio: float) -> Box:
    """The square around a face, on whole pixels.

    Args:
        box: x0, y0, x1, y1 of the face (px) [shape=(4,)].
        margin_ratio: border added per side, as a fraction of the box's longer side, >= 0.
    Returns:
        x0, y0, x1, y1 with equal sides, at least 1 px; may leave the frame.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin_ratio)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    return left, top, left + side, top + side


def cut_square(frame: Frame, square: Box, image_size: int) -> Rgb:
    """Cut a square and resize it; what lies outside the frame repeats the frame's edge.

    The edge is repeated rather than mirrored, so that no second, mirrored face appears, and not blackened, so that no
    hard border does.

    Args:
        square: x0, y0, x1, y1 with equal sides (px); may leave the frame but not miss it.
        image_size: side of the result (px).
    Returns:
        RGB [shape=(image_size, image_size, 3)]; shrunk by area averaging, enlarged by cubic interpolation.
    Raises:
        ValueError: the square lies wholly outside the frame.
    """
    x0, y0, x1, y1 = square
    inside = (max(0, x0), max(0, y0), min(frame.width, x1), min(frame.height, y1))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise ValueError(f"the square {square} misses the frame of {frame.width}x{frame.height}")
    pixels = frame.patch(inside)
    if inside != square:
        left, top, right, bottom = inside[0] - x0, inside[1] - y0, x1 - inside[2], y1 - inside[3]
        pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge")
    how = cv2.INTER_AREA if x1 - x0 > image_size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (image_size, image_size), interpolation=how), np.uint8)
