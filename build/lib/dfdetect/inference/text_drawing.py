"""Draw text with the font that comes with OpenCV 5: no system font is needed."""

from __future__ import annotations

import cv2

from dfdetect.media.frames import Rgb

Colour = tuple[int, int, int]
FONT, WEIGHT = cv2.FontFace("sans"), 400
PADDING_RATIO = 0.25  # border of a background, of the text's size


def text_width(text: str, size_px: int) -> int:
    """Width of a line of text (px)."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), FONT, size_px, WEIGHT)[2])


def draw_text(
    picture: Rgb,
    text: str,
    position: tuple[int, int],
    size_px: int,
    colour: Colour,
    *,
    background: Colour | None = None,
    align_right: bool = False,
) -> int:
    """Draw a line of text, moved sideways into the picture where it fits; what leaves the picture is cut off.

    Args:
        picture: RGB, changed in place [shape=(H, W, 3)].
        text: one line.
        position: x, y of its upper left corner (px), or of its upper right one with `align_right`.
        size_px: of the letters.
        colour: of the letters.
        background: colour of a patch behind them; None: no patch.
    Returns:
        Width of the text (px), with its background.
    """
    pad = 0 if background is None else round(PADDING_RATIO * size_px)
    width, height = text_width(text, size_px) + 2 * pad, round(1.35 * size_px)
    x, y = position[0] - width * align_right, position[1]
    x = max(0, min(x, picture.shape[1] - width))
    if background is not None:
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), background, -1)
    cv2.putText(picture, text, (x + pad, y + round(1.05 * size_px)), colour, FONT, size_px, WEIGHT)
    return width
