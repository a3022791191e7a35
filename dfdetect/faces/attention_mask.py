"""The attention mask of one face, from its 68 landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from dfdetect.faces.landmarks import EYE_DISTANCE, LEFT_EYE, MOUTH, NOSE, RIGHT_EYE, Face

ORGANS = (LEFT_EYE, RIGHT_EYE, NOSE, MOUTH)
_SUBPIXEL_BITS = 4


def attention_mask(face: Face, height: int, width: int, *, blur_ratio: float) -> np.ndarray:
    """Face mask plus organ mask, normalised so that the largest value is 1.

    The face mask is the filled convex hull of all 68 points, the organ mask that of each eye, the nose and the mouth,
    each hull of its own; both Gaussian-blurred, then summed. The source rotates the face first so that its eyes are
    level. Here the landmarks were found on the levelled face (dfdetect/faces/landmarks.py) and the hulls are drawn at
    their places in the crop: hulls and a round blur turn with the points, so this is the source's mask turned back,
    and it fits the crop as it is. Whoever levels a crop by its eye_angle_deg turns the mask along.

    Args:
        face: landmarks in pixels of the crop.
        height: of the crop (px).
        width: of the crop (px).
        blur_ratio: standard deviation of the blur, in distances between the eyes of a face seen from the front.
    Returns:
        [float32, shape=(height, width)], 0 to 1; all zero if the face lies outside of the crop.
    Source: ADDNet, arXiv 2101.01456, figure 6.
    """
    # The blur is linear: the blurred sum is the sum of the blurred masks.
    levels: np.ndarray = np.zeros((height, width), np.float32)
    points = np.round(face.points * (1 << _SUBPIXEL_BITS)).astype(np.int32)  # (68, 2)
    _fill_hull(levels, points, 1.0)
    organs = np.zeros_like(levels)
    for organ in ORGANS:
        _fill_hull(organs, points[organ], 1.0)
    levels += organs
    sigma_px = blur_ratio * EYE_DISTANCE * face.scale_px
    if sigma_px > 0:
        size = 2 * round(3 * sigma_px) + 1
        levels = cv2.GaussianBlur(levels, (size, size), sigma_px, borderType=cv2.BORDER_REPLICATE)
    peak = levels.max()
    return levels / peak if peak > 0 else levels


def _fill_hull(canvas: np.ndarray, points: np.ndarray, value: float) -> None:
    cv2.fillConvexPoly(canvas, cv2.convexHull(points), value, cv2.LINE_8, _SUBPIXEL_BITS)


def encode_mask(mask: np.ndarray, *, compression: int) -> bytes:
    """A mask as an 8-bit grey PNG, 7 to 9 kB at 317 pixels a side.

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
