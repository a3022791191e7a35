"""Painting primitives: a canvas in face coordinates, soft shapes, curves through points, smooth noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import cv2
import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray
Rgb = tuple[float, float, float]
Window = tuple[slice, slice]
_SUBPIXEL_BITS = 4  # of polygon corners, for OpenCV's antialiasing


@dataclass(frozen=True)
class Canvas:
    """A picture's face coordinates: x to the right, y down, (0, 0) between the eyes, 1 is half the width of a face.

    shape: rows and columns. unit: pixels of one face unit. centre: x, y of (0, 0) in pixels.
    """

    shape: tuple[int, int]
    unit: float
    centre: tuple[float, float]

    @cached_property
    def x(self) -> Array:
        """x of each column, float32 [shape=(1, W)]."""
        return ((np.arange(self.shape[1], dtype=np.float32) + 0.5 - self.centre[0]) / self.unit)[None, :]

    @cached_property
    def y(self) -> Array:
        """y of each row, float32 [shape=(H, 1)]."""
        return ((np.arange(self.shape[0], dtype=np.float32) + 0.5 - self.centre[1]) / self.unit)[:, None]

    def pixels(self, points: ArrayLike) -> Array:
        """Face units to pixels [shape=(K, 2)]."""
        return np.asarray(points, np.float64) * self.unit + np.array(self.centre)

    def bump(self, x: float, y: float, width: float, height: float) -> Array:
        """Gaussian hill of height 1 at (x, y) with standard deviations `width` and `height` [shape=(H, W)]."""
        return bell(self.y, y, height) * bell(self.x, x, width)

    def part(self, points: ArrayLike, margin: float | tuple[float, float]) -> tuple[Window, Canvas]:
        """The part of the canvas around some points, as rows and columns and as a canvas of its own."""
        spots, border = self.pixels(points), np.multiply(margin, self.unit) + 2
        low, high = (spots.min(axis=0) - border).tolist(), (spots.max(axis=0) + border).tolist()
        sides = self.shape[::-1]
        x0, y0 = (int(min(max(at, 0), side - 1)) for at, side in zip(low, sides, strict=True))
        x1, y1 = (ceil(min(max(at, 1), side)) for at, side in zip(high, sides, strict=True))
        centre = (self.centre[0] - x0, self.centre[1] - y0)
        return (slice(y0, y1), slice(x0, x1)), Canvas((y1 - y0, x1 - x0), self.unit, centre)

    def mask(self, outline: ArrayLike, blur: float = 0.0, width: float | None = None) -> Array:
        """Antialiased polygon, or line of a width, as float32 in 0..1 [shape=(H, W)]; all lengths in face units."""
        mask = np.zeros(self.shape, np.uint8)
        corners = [np.rint((self.pixels(outline) - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)]
        if width is None:
            cv2.fillPoly(mask, corners, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        else:
            cv2.polylines(mask, corners, False, 255, max(1, round(width * self.unit)), cv2.LINE_AA, _SUBPIXEL_BITS)
        soft = mask.astype(np.float32) / 255
        return np.asarray(cv2.GaussianBlur(soft, (0, 0), blur * self.unit)) if blur else soft


class Layer:
    """A picture being painted: colours, float32 0..255 [shape=(H, W, 3)], and opacity, 0..1 [shape=(H, W)]."""

    def __init__(self, canvas: Canvas, colours: Array | None = None) -> None:
        self.canvas, self.alpha = canvas, np.zeros(canvas.shape, np.float32)
        self.rgb = np.zeros((*canvas.shape, 3), np.float32) if colours is None else colours

    def paint(
        self,
        outline: ArrayLike,
        colour: ArrayLike,
        opacity: float | Array = 1.0,
        *,
        blur: float = 0.0,
        width: float | None = None,
        solid: bool = False,
    ) -> None:
        """Paint a polygon, or a line of a width, with soft edges; lengths in face units.

        The colour is one [shape=(3,)] or a picture of the layer's shape, the opacity one number or one per pixel. If
        solid, the layer becomes opaque here; else only what is opaque already changes its colour.
        """
        window, canvas = self.canvas.part(outline, 3 * blur + (width or 0))
        mask = canvas.mask(outline, blur, width) * (opacity if np.ndim(opacity) == 0 else np.asarray(opacity)[window])
        over(self.rgb[window], mask, colour if np.ndim(colour) < 3 else np.asarray(colour)[window])
        if solid:
            np.maximum(self.alpha[window], mask, out=self.alpha[window])

    def premultiplied(self) -> Array:
        """Colours multiplied by opacity, and opacity, uint8 [shape=(H, W, 4)]."""
        return to_bytes(np.dstack([self.rgb * self.alpha[..., None], self.alpha * 255]))


def over(base: Array, mask: Array, colour: ArrayLike) -> None:
    """Paint a colour, or a picture of the same size, over `base` in place where the mask is 1."""
    base += mask[..., None] * (np.asarray(colour, np.float32) - base)


def rgb(colour: Sequence[float]) -> Array:
    """A colour as an array."""
    return np.asarray(colour, np.float32)


def to_bytes(picture: Array) -> Array:
    """Float picture in 0..255 to uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def bell(x: Array, centre: float, sigma: float) -> Array:
    """Gaussian bell of height 1."""
    return np.exp(-0.5 * ((x - centre) / sigma) ** 2)


def ramp(x: Array, start: float, end: float) -> Array:
    """Smooth step: 0 at `start`, 1 at `end` (either may be the larger)."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Array:
    """Smooth random field of about unit variance, float32 [shape=shape]; cell: size of a blob in pixels."""
    knots = rng.standard_normal([1 + round((side - 1) / cell) for side in shape], dtype=np.float32)
    return np.asarray(cv2.resize(knots, shape[::-1], interpolation=cv2.INTER_CUBIC))


def curve(points: ArrayLike, steps: int = 8, *, closed: bool = True) -> Array:
    """Catmull-Rom spline through points [shape=(K, 2)] -> [shape=(about K * steps, 2)]."""
    p = np.asarray(points, np.float64)
    ends = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    knots = np.lib.stride_tricks.sliding_window_view(np.concatenate([ends[0], p, ends[1]]), 4, axis=0)
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    weights = np.vander(np.arange(steps) / steps, 4, increasing=True) @ basis
    line = np.einsum("sk,ndk->nsd", weights, knots).reshape(-1, 2)
    return line if closed else np.concatenate([line, p[-1:]])


def band(x: Array, above: Array, below: Array) -> Array:
    """Outline of what lies between two curves over the same x [shape=(2 K, 2)]."""
    return np.concatenate([np.stack([x, above], axis=1), np.stack([x, below], axis=1)[::-1]])


def ellipse(x: float, y: float, width: float, height: float) -> Array:
    """Outline of an ellipse with half axes `width` and `height` [shape=(24, 2)]."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)


def mirrored(right: ArrayLike) -> Array:
    """Close a half outline, given top to bottom on the right side (x >= 0), with its mirror image."""
    p = np.asarray(right, np.float64)
    return np.concatenate([p, p[-2:0:-1] * (-1, 1)])
