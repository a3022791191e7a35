"""What the tests of the report share."""

from __future__ import annotations

import cv2
import numpy as np

from dfdetect.reporting.crops import as_address


def jpeg_address(image: np.ndarray) -> str:
    """An image [shape=(H, W, 3)] as the page embeds it."""
    return as_address(bytes(cv2.imencode(".jpg", image)[1]))
