"""Text on pictures with the font that comes with Pillow: no system font is needed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dfdetect.media.frames import Rgb

Colour = tuple[int, int, int]
# Of the letters' size: the border of the patch behind them.
PADDING_RATIO = 0.25


@lru_cache(maxsize=512)
def _coverage(text: str, size_px: int) -> np.ndarray:
    """How much of each pixel the letters cover, 0 to 255 [shape=(H, W)]; H depends on the size alone."""
    font = ImageFont.load_default(size_px)
    width = max(1, round(font.getlength(text)))
    height = round(1.35 * size_px)
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((0, height / 2), text, fill=255, font=font, anchor="lm")
    return np.asarray(image)


def text_width(text: str, size_px: int) -> int:
    """Width of a line of text (px)."""
    return _coverage(text, size_px).shape[1]


def write_text(
    picture: Rgb,
    text: str,
    place: tuple[int, int],
    size_px: int,
    colour: Colour,
    *,
    behind: Colour | None = None,
    right: bool = False,
) -> int:
    """Write a line of text into a picture; what would leave it is cut off.

    Args:
        picture: RGB, changed in place [shape=(H, W, 3)].
        text: one line.
        place: x, y of its upper left corner (px); of its upper right one with `right`.
        size_px: of the letters.
        colour: of the letters.
        behind: of a patch behind them; None: no patch.
    Returns:
        Width of the text (px).
    """
    cover = _coverage(text, size_px)
    if behind is not None:
        cover = np.pad(cover, ((0, 0), (round(PADDING_RATIO * size_px),) * 2))
    height, width = cover.shape
    x, y = place[0] - width * right, place[1]
    x = max(0, min(x, picture.shape[1] - width))
    left, top = max(0, x), max(0, y)
    part = picture[top : y + height, left : x + width]
    if part.size == 0:
        return width
    alpha = cover[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1], None] / 255.0
    base = part.astype(np.float32) if behind is None else np.array(behind, np.float32)
    part[:] = np.round(base + alpha * (np.array(colour, np.float32) - base)).astype(np.uint8)
    return width
