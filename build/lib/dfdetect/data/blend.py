"""Self-blended images: a forgery made of one real face crop, blended with an altered copy of itself.

What all face swaps share is that one picture was blended into another; a detector that learns the blend from pictures
that are the same otherwise has nothing else to learn, and finds forgeries of kinds it never saw.
Source: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images" (CVPR 2022). There either the source or
the target is altered; here always the source, so that the target, outside the mask, is a real crop in every pixel and
no colour tells forgeries from reals. Needs OpenCV alone.
"""

from __future__ import annotations

import cv2
import numpy as np

# As often at full strength as at all weaker ones together, as in the paper.
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
# Points of the 68 whose hull is blended: all; without the jaw; the mouth's region.
_PARTS = (slice(0, 68), slice(17, 68), slice(27, 68))


def self_blend(image: np.ndarray, landmarks: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Forge one real crop.

    Args:
        image: RGB uint8 [shape=(H, W, 3)].
        landmarks: x, y of dlib's 68 points in the crop's pixels [shape=(68, 2)].
        random: of all choices.
    Returns:
        The forgery, RGB uint8 [shape=(H, W, 3)], and the blending weights in [0, 1], float32 [shape=(H, W)]; where the
        weight is 0, the forgery is the image.
    """
    weights = blend_mask(image.shape[:2], landmarks, random) * np.float32(random.choice(RATIOS))
    source = _displace(_alter(image, random), random)
    mixed = source * weights[..., None] + image * (1.0 - weights[..., None])
    return np.where(weights[..., None] > 0, np.rint(mixed), image).clip(0, 255).astype(np.uint8), weights


def blend_mask(size: tuple[int, int], landmarks: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The landmarks' hull, bent at random and softened: float32 in [0, 1] [shape=(H, W)]."""
    points = landmarks[_PARTS[random.integers(len(_PARTS))]]
    hull = cv2.convexHull(np.round(points).astype(np.int32))
    mask = cv2.fillConvexPoly(np.zeros(size, np.float32), hull, 1.0)
    mask = _bend(mask, random, strength=0.03)
    side = max(size)
    first, second = (float(random.uniform(0.01, 0.04)) * side for _ in range(2))
    mask = cv2.GaussianBlur(mask, (0, 0), max(first, 0.5))
    mask = np.where(mask < mask.max() * random.uniform(0.2, 0.6), 0, mask).astype(np.float32)  # shrink, then soften
    mask = cv2.GaussianBlur(mask, (0, 0), max(second, 0.5))
    top = max(float(mask.max()), 1e-30)  # of an empty mask: stays empty
    scaled = np.asarray(mask / np.float32(top), np.float32)
    return np.where(scaled < 1 / 255, 0, scaled).astype(np.float32)


def _bend(mask: np.ndarray, random: np.random.Generator, *, strength: float) -> np.ndarray:
    """Shift each point by a smooth random field of up to `strength` of the side."""
    height, width = mask.shape
    field = random.uniform(-1, 1, (4, 4, 2)).astype(np.float32) * strength * max(height, width)
    shift = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.asarray(cv2.remap(mask, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR))


def _alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another camera's picture of the same face: colour, light, sharpness; float32."""
    changed = image.astype(np.float32) + random.uniform(-20, 20, 3).astype(np.float32)
    grey = changed.mean(axis=2, keepdims=True)
    changed = grey + (changed - grey) * np.float32(random.uniform(0.7, 1.3))
    mean = changed.mean()
    changed = mean + (changed - mean) * np.float32(random.uniform(0.9, 1.1)) + np.float32(random.uniform(-15, 15))
    if random.random() < 0.5:
        height, width = image.shape[:2]
        scale = random.uniform(0.25, 0.6)
        small = cv2.resize(
            changed, (max(1, int(width * scale)), max(1, int(height * scale))), interpolation=cv2.INTER_AREA
        )
        changed = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        soft = cv2.GaussianBlur(changed, (0, 0), 1.5)
        changed = changed + (changed - soft) * np.float32(random.uniform(0.2, 0.8))
    return np.asarray(changed.clip(0, 255), dtype=np.float32)


def _displace(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Shift by up to 3 % and scale by up to 5 %, so that source and target do not quite fit."""
    height, width = image.shape[:2]
    scale = random.uniform(0.95, 1 / 0.95)
    shift_x, shift_y = random.uniform(-0.03, 0.03) * width, random.uniform(-0.015, 0.015) * height
    matrix = np.array(
        [
            [scale, 0, (1 - scale) * width / 2 + shift_x],
            [0, scale, (1 - scale) * height / 2 + shift_y],
        ]
    )
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101))
