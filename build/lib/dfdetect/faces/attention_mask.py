"""The attention mask of one face, from its 68 landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from dfdetect.faces.landmarks import LEFT_EYE, MOUTH, NOSE, RIGHT_EYE

_SUBPIXEL_BITS = 4


def attention_mask(points: np.ndarray, height: int, width: int, *, blur_ratio: float) -> np.ndarray:
    """Face mask plus organ mask, normalised so that the largest value is 1.

    The face mask is the filled convex hull of all 68 points, the organ mask that of each eye, the nose and the mouth,
    each hull of its own; both Gaussian-blurred, then summed. The source rotates the face first so that its eyes are
    level. Here the landmarks were found on the levelled face (dfdetect/faces/landmarks.py) and the hulls are drawn at
    their places in the crop: hulls and a round blur turn with the points, so this is the source's mask turned back,
    and it fits the crop as it is. Whoever levels a crop by its eye_angle_deg turns the mask along.

    Args:
        points: landmarks in pixels of the crop [shape=(68, 2)].
        height, width: of the crop (px).
        blur_ratio: standard deviation of the blur, as a fraction of the crop's height.
    Returns:
        [float32, shape=(height, width)], 0 to 1; all zero if the face lies outside of the crop.
    Source: ADDNet, arXiv 2101.01456, figure 6.
    """
    fixed_point = np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    face, organs = np.zeros((2, height, width), np.float32)
    for canvas, part in ((face, slice(0, 68)), *((organs, organ) for organ in (LEFT_EYE, RIGHT_EYE, NOSE, MOUTH))):
        cv2.fillConvexPoly(canvas, cv2.convexHull(fixed_point[part]), 1.0, cv2.LINE_8, _SUBPIXEL_BITS)
    mask: np.ndarray = face + organs  # the blur is linear: that of the sum is the sum of both
    sigma_px = blur_ratio * height
    if sigma_px > 0:
        size = 2 * round(3 * sigma_px) + 1
        mask = cv2.GaussianBlur(mask, (size, size), sigma_px, borderType=cv2.BORDER_REPLICATE)
    peak = mask.max()
    return mask / peak if peak > 0 else mask


def encode_mask(mask: np.ndarray, *, compression: int) -> bytes:
    """A mask as an 8-bit grey PNG, 4 to 9 kB at 317 pixels a side.

    Args:
        mask: 0 to 1 [shape=(H, W)].
        compression: zlib's level, 0 to 9; the pixels do not depend on it.
    """
    pixels = np.round(mask * 255.0).astype(np.uint8)
    # Each row against the one above: smallest and fastest of PNG's filters for smooth blobs.
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    done, data = cv2.imencode(".png", pixels, options)
    if not done:
        raise ValueError(f"a mask of shape {mask.shape} cannot be encoded")
    return bytes(data)
