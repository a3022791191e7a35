"""The first check of a file, in a worker process: whether the page takes it, and a picture to show."""

from __future__ import annotations

import math
from pathlib import Path

import cv2

from dfdetect.errors import MediaError
from dfdetect.media.image import encode, is_image, read_image
from dfdetect.media.video import Limits, probe

MAX_MB, MAX_S = 200, 300
# A clip whose length the file does not say, or says wrong, is stopped at this many frames.
MAX_FRAMES = 60 * MAX_S
PREVIEW_PX = 1200


def precheck(path: Path) -> bytes | None:
    """Refuse what is too long; of a picture, make a preview.

    Args:
        path: of a video or an image.
    Returns:
        JPEG, upright; None of a video.
    Raises:
        MediaError: the clip says that it is too long, or the picture cannot be read.
    """
    if is_image(path):
        picture = read_image(path, max_pixels=Limits().max_pixels)
        scale = min(1.0, PREVIEW_PX / max(picture.shape[:2]))
        if scale < 1.0:
            height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
            return encode(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype("uint8"))
        return encode(picture)
    try:
        duration_s = probe(path).duration_s
    except MediaError:
        return None  # predict has another decoder to try, and the words for what it finds
    if duration_s is not None and math.isfinite(duration_s) and duration_s > MAX_S:
        raise MediaError(f"the clip lasts {duration_s / 60:.1f} minutes", "too_long")
    return None
