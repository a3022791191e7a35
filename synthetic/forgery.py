"""The forgeries: face swaps, re-drawn mouths, and the traces that a generator's upsampling leaves.

A forgery is made in face coordinates, as real ones are made on an aligned crop, and blended into filmed frames: what
it replaces loses the camera's noise and detail and gains the generator's grid; a swap also brings another's colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from synthetic.anatomy import Face
from synthetic.head import Canvas, Head
from synthetic.paint import Array, fill, mirror, spline
from synthetic.plan import Forgery


@dataclass(frozen=True)
class Traces:
    """How a generator falls short.

    resolution: pixels of its output per pixel of the face; grid, grid_rgb: height in grey levels and colour of the
    pattern left by its upsampling; sharpen: gain of the sharpening that hides the loss; match: share of the colour
    difference between the two faces that is corrected; cast: colour error left, in grey levels; feather: softness of
    the mask in face units.
    """

    resolution: float
    grid: float
    grid_rgb: tuple[float, float, float]
    sharpen: float
    match: float
    cast: tuple[float, float, float]
    feather: float


def draw_traces(rng: np.random.Generator, forgery: Forgery, strength: float) -> Traces:
    """Draw one forgery's shortcomings; strength 1 is the sample's, lower is harder to see."""
    gan = forgery.gan
    cast = rng.uniform(-1, 1, 3) * (5.0 if forgery.swap else 3.0) * strength
    red = float(rng.uniform(0.7, 1.0))
    return Traces(
        resolution=float(rng.uniform(0.34, 0.42) if not gan else rng.uniform(0.40, 0.48)),
        grid=float(rng.uniform(19.0, 23.0) if forgery.swap else rng.uniform(22.0, 26.0)) * strength,
        grid_rgb=(red, -0.45 * red, 0.9 - 1.4 * red),
        sharpen=float(rng.uniform(0.9, 1.4)),
        match=float(rng.uniform(0.72, 0.88) if forgery.swap and not gan else rng.uniform(0.80, 0.92)),
        cast=(float(cast[0]), float(cast[1]), float(cast[2])),
        feather=float(rng.uniform(0.05, 0.09) if forgery.swap and not gan else rng.uniform(0.07, 0.12)),
    )


def fit_donor(donor: Face, target: Face) -> Face:
    """The donor's features at the target's places: what a swap shows after alignment to the target's landmarks."""
    return replace(
        donor,
        width=target.width,
        jaw=target.jaw,
        chin_width=target.chin_width,
        chin_y=target.chin_y,
        forehead_y=target.forehead_y,
        eye_x=target.eye_x,
        nose_y=target.nose_y,
        mouth_y=target.mouth_y,
        hair_style="bald",
        glasses=target.glasses,
    )


class Forger:
    """Turns the clean picture of a forged head into what is blended into the frames."""

    def __init__(self, forged: Head, target: Head, forgery: Forgery, traces: Traces) -> None:
        self.traces = traces
        region = _inner_face if forgery.swap else _lower_face
        mask = region(target.face, target.canvas, traces.feather)
        rows, columns = np.flatnonzero(mask.max(axis=1) > 0), np.flatnonzero(mask.max(axis=0) > 0)
        self.box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        self.mask = np.clip(np.rint(mask[self.box] * 255), 0, 255).astype(np.uint8)
        self.shape = target.canvas.shape
        self.gain, self.offset = _colour_match(forged.rgba, target.rgba, mask, traces)
        self._grid = self._make_grid()

    def _make_grid(self) -> tuple[tuple[int, int], Array]:
        height, width = self.mask.shape
        small = (
            max(8, round(width * self.traces.resolution / 2) * 2),
            max(8, round(height * self.traces.resolution / 2) * 2),
        )
        rows, columns = np.mgrid[0 : small[1], 0 : small[0]]
        fine = np.where((rows + columns) % 2 == 0, 1.0, -1.0)
        coarse = np.where(rows % 4 < 2, 1.0, -1.0) * np.where(columns % 4 < 2, 1.0, -1.0)
        tint = np.array(self.traces.grid_rgb)
        return small, (0.3 * fine[..., None] + coarse[..., None] * tint).astype(np.float32) * np.float32(
            self.traces.grid
        )

    def forge(self, texture: Array) -> Array:
        """Forged picture and its mask on the head's canvas, uint8 [shape=(H, W, 4)], from the forged head's texture."""
        face = texture[self.box][..., :3].astype(np.float32) * self.gain + self.offset
        small_size, grid = self._grid
        height, width = self.mask.shape
        face8 = np.clip(np.rint(face), 0, 255).astype(np.uint8)
        half = cv2.resize(face8, small_size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int16)
        blurred = cv2.GaussianBlur(half.astype(np.uint8), (3, 3), 0.8).astype(np.float32)
        sharp = half + np.float32(self.traces.sharpen) * (half - blurred) + grid
        small = np.clip(np.rint(sharp), 0, 255).astype(np.uint8)
        out = np.zeros((*self.shape, 4), np.uint8)
        out[self.box][..., :3] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        out[self.box][..., 3] = self.mask
        return out


def _inner_face(face: Face, canvas: Canvas, feather: float) -> Array:
    """Mask of a swap: brows to chin, inside the outline."""
    w = face.width
    right = [(0.0, face.brow_y - 0.16), (0.55 * w, face.brow_y - 0.14), (0.78 * w, -0.05), (0.74 * w * face.jaw, 0.62)]
    right += [(0.48 * w * face.jaw, 1.0), (0.20, face.chin_y - 0.12), (0.0, face.chin_y - 0.09)]
    return fill(canvas.shape, canvas.pixels(spline(mirror(np.array(right)))), blur=feather * canvas.unit)


def _lower_face(face: Face, canvas: Canvas, feather: float) -> Array:
    """Mask of a re-drawn mouth: the lower half of the face, from the nose to the chin."""
    w = face.width * face.jaw
    right = [(0.0, face.nose_y - 0.10), (0.45 * w, face.nose_y - 0.14), (0.74 * w, 0.55), (0.55 * w, 1.0)]
    right += [(0.22, face.chin_y - 0.10), (0.0, face.chin_y - 0.07)]
    return fill(canvas.shape, canvas.pixels(spline(mirror(np.array(right)))), blur=feather * canvas.unit)


def _colour_match(forged: Array, target: Array, mask: Array, traces: Traces) -> tuple[Array, Array]:
    """Per-channel gain and offset that bring the forged face's colours near the target's, but not onto them."""
    inside = mask > 0.9
    a, b = forged[inside][:, :3].astype(np.int64), target[inside][:, :3].astype(np.int64)
    count = max(1, len(a))
    mean_a, mean_b = a.sum(axis=0) / count, b.sum(axis=0) / count
    spread_a = np.sqrt(np.maximum(1, (a * a).sum(axis=0) / count - mean_a**2))
    spread_b = np.sqrt(np.maximum(1, (b * b).sum(axis=0) / count - mean_b**2))
    gain = 1 + traces.match * (np.clip(spread_b / spread_a, 0.6, 1.6) - 1)
    goal = mean_a + traces.match * (mean_b - mean_a) + np.array(traces.cast)
    gain = np.rint(gain * 1024) / 1024
    offset = np.rint((goal - gain * mean_a) * 64) / 64
    return gain.astype(np.float32), offset.astype(np.float32)
