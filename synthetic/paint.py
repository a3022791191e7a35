"""Drawing primitives whose results do not depend on the processor.

Exponentials are rounded to 2**-12 before use, masks are 8-bit, and everything else is addition, multiplication,
division and square root, which IEEE 754 defines to the last bit. So the same seed gives the same picture everywhere.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

Array = np.ndarray
Rgb = tuple[float, float, float]
_SUB = 4  # fractional bits of polygon corners


def quantise(values: Array) -> Array:
    """Round to multiples of 2**-12, as float32: hides differences in the last bit between math libraries."""
    return (np.rint(np.asarray(values, np.float64) * 4096.0) / 4096.0).astype(np.float32)


def bell(x: Array, centre: float, sigma: float) -> Array:
    """Gaussian bell of height 1 over a 1-D axis [shape=(N,)]; x, centre and sigma share a unit."""
    return quantise(np.exp(-0.5 * ((x.astype(np.float64) - centre) / sigma) ** 2))


def ramp(x: Array, start: float, end: float) -> Array:
    """Smooth step: 0 at `start`, 1 at `end` (either may be the larger)."""
    t = np.clip((x - np.float32(start)) * np.float32(1.0 / (end - start)), 0, 1).astype(np.float32)
    return cast(Array, t * t * (3 - 2 * t))


def smooth_noise(rng: np.random.Generator, count: int, knot_every: float) -> Array:
    """Smooth random curve, about unit variance [shape=(count,)]: cubic B-spline through random knots."""
    knots = int(count / knot_every) + 5
    values = rng.standard_normal(knots)
    at = np.arange(count) / knot_every
    index = at.astype(np.int64)
    t = at - index
    p0, p1, p2, p3 = (values[index + k] for k in range(4))
    t2, t3 = t * t, t * t * t
    spline = ((1 - t) * (1 - t) * (1 - t) * p0 + (3 * t3 - 6 * t2 + 4) * p1 + (-3 * t3 + 3 * t2 + 3 * t + 1) * p2) / 6
    return cast(Array, (spline + t3 * p3 / 6) * 1.5)


def cloud(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """Smooth random field, about unit deviation, float32 [shape=(height, width)]; cell: size of a blob in pixels."""
    small = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3))
    codes = np.clip(np.rint(small * 40 + 128), 0, 255).astype(np.uint8)
    scale = int(np.ceil(cell))
    big = cv2.resize(codes, (codes.shape[1] * scale, codes.shape[0] * scale), interpolation=cv2.INTER_LINEAR_EXACT)
    big = cv2.GaussianBlur(big, (0, 0), max(0.5, cell * 0.4)) if cell < 30 else big
    return cast(Array, (big[:height, :width].astype(np.float32) - 128) / 40)


def fill(shape: tuple[int, int], points: Array, blur: float = 0.0) -> Array:
    """Antialiased filled polygon as a float32 mask in 0..1 [shape=shape]; points: x, y in pixels [shape=(K, 2)]."""
    mask = np.zeros(shape, np.uint8)
    corners = np.rint((points - 0.5) * (1 << _SUB)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SUB)
    if blur > 0:
        mask = cast("np.ndarray", cv2.GaussianBlur(mask, (0, 0), blur))
    return mask.astype(np.float32) / 255


def stroke(shape: tuple[int, int], points: Array, width: float, blur: float = 0.0) -> Array:
    """Antialiased open line as a float32 mask in 0..1; width in pixels, below 1 fades."""
    mask = np.zeros(shape, np.uint8)
    corners = np.rint((points - 0.5) * (1 << _SUB)).astype(np.int32)
    level = 255 if width >= 1 else int(255 * max(width, 0.1))
    cv2.polylines(mask, [corners], False, level, max(1, round(width)), cv2.LINE_AA, _SUB)
    if blur > 0:
        mask = cast("np.ndarray", cv2.GaussianBlur(mask, (0, 0), blur))
    return mask.astype(np.float32) / 255


def spline(points: Array, steps: int = 8, closed: bool = True) -> Array:
    """Catmull-Rom curve through points [shape=(K, 2)] -> [shape=(about K * steps, 2)]."""
    p = np.asarray(points, np.float64)
    ring = (
        np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    )
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (ring[k : len(ring) - 3 + k, None, :] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, p[-1:]])


def mirror(right: Array) -> Array:
    """Close a half outline, given top to bottom on the right side (x >= 0), with its mirror image."""
    left = right[::-1] * np.array([-1.0, 1.0])
    return np.concatenate([right, left[1:-1]])


def over(base: Array, mask: Array, colour: Array | Rgb) -> None:
    """Paint a colour, or a picture of the same size, over `base` in place where the mask is 1."""
    base += mask[..., None] * (np.asarray(colour, np.float32) - base)


def cover(layer: Array) -> tuple[slice, slice]:
    """Rows and columns outside which a picture's alpha [shape=(H, W, 4)] is nowhere above 0."""
    seen = layer[..., 3] > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def to_bytes(picture: Array) -> Array:
    """Float picture in 0..255 to uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
