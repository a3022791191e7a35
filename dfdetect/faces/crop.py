"""Where a face is cut out."""

from __future__ import annotations

from dfdetect.faces.detectors import Floats
from dfdetect.media.frames import Box


def crop_box(box: Floats, width: int, height: int, *, margin_ratio: float) -> Box:
    """The square around a face, inside the frame, on even pixels (which video's halved colour planes can be cut at).

    A square that would leave the frame is moved inward, and made smaller if it is larger than the frame's shorter side:
    a detector of forgeries must not see pixels that this stage has made up.

    Args:
        box: x0, y0, x1, y1 of the face (px) [shape=(4,)].
        width, height: of the frame (px).
        margin_ratio: border added per side, as a fraction of the box's longer side, >= 0.
    Returns:
        x0, y0, x1, y1 with equal sides; even, unless the frame is a single pixel wide or high.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    wanted = max(x1 - x0, y1 - y0) * (1 + 2 * margin_ratio)
    side = max(1, min(max(2, 2 * round(wanted / 2)), width // 2 * 2, height // 2 * 2))
    left, top = (
        max(0, min(2 * round((low + high - side) / 4), (size - side) // 2 * 2))
        for low, high, size in ((x0, x1, width), (y0, y1, height))
    )
    return left, top, left + side, top + side
