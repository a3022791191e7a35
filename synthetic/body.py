"""Neck, shoulders and clothes below a head, and long hair behind them: drawn once a clip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic.anatomy import Face
from synthetic.hair import LONG_STYLES, strands
from synthetic.head import Light
from synthetic.paint import Array, Rgb, cloud, fill, mirror, over, ramp, spline, to_bytes
from synthetic.scene import Camera


@dataclass
class _Sheet:
    """The picture being painted over the whole frame, with face coordinates of its columns (x) and rows (y)."""

    camera: Camera
    picture: Array
    alpha: Array
    x: Array
    y: Array
    side: Array  # light from left to right, one value a pixel

    def mask(self, points: Array, blur: float = 0.7) -> Array:
        """Filled outline given in face units."""
        return fill((self.camera.pixels, self.camera.pixels), self.place(points), blur=blur)

    def place(self, points: Array) -> Array:
        """Face units to pixels."""
        return np.asarray(points, np.float64) * self.camera.unit + np.array(self.camera.centre)

    def lay(self, mask: Array, colour: Array | Rgb) -> None:
        """Paint, and count as body what is painted."""
        over(self.picture, mask, colour)
        np.maximum(self.alpha, mask, out=self.alpha)


def draw_body(rng: np.random.Generator, face: Face, camera: Camera, light: Light) -> Array:
    """Draw a body over the whole frame.

    Returns:
        Colours multiplied by alpha, uint8 [shape=(P, P, 4)], P = camera.pixels.
    """
    size = camera.pixels
    x = ((np.arange(size) + 0.5 - camera.centre[0]) / camera.unit).astype(np.float32)[None, :]
    y = ((np.arange(size) + 0.5 - camera.centre[1]) / camera.unit).astype(np.float32)[:, None]
    strength = light.key * 0.75 + light.ambient
    side = np.clip(0.86 + 0.16 * light.x * x - 0.05 * x * x, 0.45, 1.15) * strength
    picture, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    sheet = _Sheet(camera, picture, alpha, x, y, side * np.ones_like(y))
    if face.hair_style in LONG_STYLES:
        _paint_long_hair(sheet, face, rng)
    _paint_neck(sheet, face, light)
    _dress(sheet, face, rng)
    return np.concatenate([to_bytes(picture * alpha[..., None]), to_bytes(alpha * 255)[..., None]], axis=2)


def _paint_long_hair(sheet: _Sheet, face: Face, rng: np.random.Generator) -> None:
    end = 1.9 if face.hair_style == "long" else 1.0
    half = np.array([(0, -1.2), (0.9, -0.9), (1.16, 0.0), (1.22, 0.9), (1.08, end), (0.0, end)])
    tone = 0.62 + 0.18 * strands(sheet.x[0], sheet.y[:, 0], (face.hair_part, -2.3), rng, 26.0)
    colour = np.asarray(face.hair, np.float32) * tone[..., None]
    sheet.lay(sheet.mask(spline(mirror(half * np.array([face.width, 1])))), colour)


def _paint_neck(sheet: _Sheet, face: Face, light: Light) -> None:
    skin = np.asarray(face.skin, np.float32) * np.asarray(light.tint, np.float32)
    girth = 0.46 if face.women else 0.58
    half = np.array([(0, 0.5), (girth, 0.6), (girth * 0.98, 1.35), (girth * 1.25, 1.78), (girth * 1.9, 2.0), (0, 2.9)])
    under = 1 - 0.48 * ramp(sheet.y, face.chin_y + 0.55, face.chin_y - 0.05)
    round_ = np.clip(1.05 - 0.55 * (sheet.x / girth) ** 2, 0.55, 1.1)
    tone = under * np.maximum(round_, 0.8 * ramp(sheet.y, 1.45, 1.75)) * sheet.side
    sheet.lay(sheet.mask(spline(mirror(half))), skin * tone[..., None])


def _dress(sheet: _Sheet, face: Face, rng: np.random.Generator) -> None:
    """Shoulders in a shirt, a jumper or a jacket."""
    size = sheet.camera.pixels
    broad = 1.95 if face.women else 2.25
    kind = ("round", "vee", "jacket", "collar")[int(rng.integers(4))]
    dip = 2.35 if kind in ("vee", "jacket") else 2.08
    half = [
        (0, dip),
        (0.38, 1.88),
        (0.60, 1.74),
        (1.2, 1.92),
        (broad * 0.9, 2.22),
        (broad, 2.8),
        (broad * 1.05, 4.2),
        (0, 4.2),
    ]
    outline = mirror(np.array(half))
    mask = sheet.mask(spline(outline), blur=0.8)
    colour = np.clip((rng.uniform(25, 215) + rng.uniform(-40, 40, 3)).astype(np.float32), 12, 235)
    folds = 1 + 0.07 * cloud(rng, size, size, 0.10 * size) + 0.02 * rng.standard_normal((size, size)).astype(np.float32)
    if rng.uniform() < 0.2:
        across = sheet.x if rng.uniform() < 0.5 else sheet.y
        folds = folds * (1 - 0.18 * (np.floor(across * 5) % 2))
    sheet.lay(mask, colour * (folds * sheet.side)[..., None])
    edge = sheet.place(spline(outline[[-2, -1, 0, 1, 2]], closed=False))
    seam = np.zeros((size, size), np.uint8)
    cv2.polylines(seam, [np.rint(edge * 16).astype(np.int32)], False, 255, 2, cv2.LINE_AA, 4)
    over(sheet.picture, seam.astype(np.float32) / 255 * 0.35 * mask, colour * np.float32(0.45))
    if kind in ("jacket", "collar"):
        white = kind == "jacket"
        shirt = rng.uniform(190, 245, 3).astype(np.float32) if white else np.clip(colour * 1.25 + 12, 0, 245)
        for s in (-1, 1):
            flap = np.array([(0.02, 2.45), (0.34, 1.80), (0.60, 1.72), (0.66, 1.98), (0.36, 2.30)]) * np.array([s, 1.0])
            over(sheet.picture, sheet.mask(flap, blur=0.6), shirt * sheet.side[..., None])
        if white:
            tie = np.array([(-0.10, 2.36), (0.10, 2.36), (0.16, 3.4), (-0.16, 3.4)])
            cloth = rng.uniform(20, 150, 3).astype(np.float32)
            over(sheet.picture, sheet.mask(tie), cloth * sheet.side[..., None])
