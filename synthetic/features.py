"""The moving parts of a head: eyes (blink, gaze) and mouth (opening, width), drawn in small boxes and remembered.

Positions are quantised to a few dozen levels, so that a clip draws each eye and mouth once and then reuses it.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from synthetic.head import GLASSES_RGB, Head
from synthetic.paint import Array, bell, ramp, to_bytes

_SUPER = 2  # supersampling of the small boxes
MOUTH_LEVELS, WIDTH_LEVELS, BLINK_LEVELS, GAZE_LEVELS = 16, 2, 6, 4
MOUTH_GAPE = 0.30  # the widest opening between the lips, in face units


def _band(low: Array, high: Array, at: Array, soft: float) -> Array:
    """1 where low < at < high, with edges `soft` units wide."""
    scale = np.float32(1 / soft)
    inside = np.minimum((at - low) * scale, (high - at) * scale) + np.float32(0.5)
    return cast(Array, np.clip(inside, 0, 1))


def _disc(x: Array, y: Array, radius: float, soft: float) -> Array:
    distance = np.sqrt(x * x + y * y)
    return cast(Array, np.clip((np.float32(radius) - distance) * np.float32(1 / soft) + np.float32(0.5), 0, 1))


class MovingParts:
    """Draws one head's face with given eyes and mouth: `texture()` per frame."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._cache: dict[tuple[object, ...], tuple[Array, tuple[slice, slice]]] = {}
        self._canvas = head.rgba.copy()
        self._dirty: list[tuple[slice, slice]] = []

    def texture(self, mouth: float, wide: float, blink: float, gaze: tuple[float, float]) -> Array:
        """The head's picture with eyes and mouth in place; the array is reused by the next call.

        Args:
            mouth: 0 closed .. 1 wide open.
            wide: -1 rounded .. 1 spread lips.
            blink: 0 open .. 1 closed eyes.
            gaze: x, y of the look, -1..1.
        Returns:
            Colours multiplied by alpha, uint8 [shape=(H, W, 4)].
        """
        for box in self._dirty:
            self._canvas[box] = self.head.rgba[box]
        self._dirty = []
        closed = round(min(1.0, max(0.0, blink)) * BLINK_LEVELS)
        look = (round(gaze[0] * GAZE_LEVELS), round(gaze[1] * GAZE_LEVELS))
        parts = [self._eye(side, closed, look) for side in (-1, 1)]
        parts.append(self._mouth(round(min(1.0, max(0.0, mouth)) * MOUTH_LEVELS), round(wide * WIDTH_LEVELS)))
        for picture, box in parts:
            self._canvas[box][..., :3] = picture
            self._dirty.append(box)
        return self._canvas

    def _window(self, cx: float, cy: float, rx: float, ry: float) -> tuple[tuple[slice, slice], Array, Array, float]:
        """A box of the canvas, its supersampled x (row) and y (column) about (cx, cy), and a pixel's size."""
        canvas = self.head.canvas
        (x0, y0), (x1, y1) = np.rint(canvas.pixels(np.array([(cx - rx, cy - ry), (cx + rx, cy + ry)]))).astype(int)
        step = 1 / (canvas.unit * _SUPER)
        corner = canvas.pixels(np.array([(cx, cy)]))[0]
        x = ((np.arange((x1 - x0) * _SUPER) + 0.5) / _SUPER + x0 - corner[0]) / canvas.unit
        y = ((np.arange((y1 - y0) * _SUPER) + 0.5) / _SUPER + y0 - corner[1]) / canvas.unit
        box = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        return box, x.astype(np.float32)[None, :], y.astype(np.float32)[:, None], step

    def _settle(self, box: tuple[slice, slice], colour: Array, alpha: Array, lit: float) -> Array:
        """Shrink a supersampled part to the canvas and lay it over the head's still picture there."""
        base = self.head.rgba[box][..., :3].astype(np.float32)
        size = (base.shape[1], base.shape[0])
        cover = alpha[..., None]
        small = cv2.resize(to_bytes(colour * cover), size, interpolation=cv2.INTER_AREA).astype(np.float32)
        small_alpha = cv2.resize(to_bytes(alpha * 255), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        shade = np.clip(self.head.shade[box], 0.2, 1.25) * np.float32(lit) + np.float32(1 - lit)
        picture = base * (1 - small_alpha[..., None]) + small * shade[..., None]
        if self.head.glasses is not None:
            frame = self.head.glasses[box][..., None]
            picture = picture * (1 - frame) + np.asarray(GLASSES_RGB, np.float32) * frame
        return to_bytes(picture)

    def _eye(self, side: int, closed: int, look: tuple[int, int]) -> tuple[Array, tuple[slice, slice]]:
        key = ("eye", side, closed, look)
        if key not in self._cache:
            self._cache[key] = self._draw_eye(side, closed / BLINK_LEVELS, look)
        return self._cache[key]

    def _draw_eye(self, side: int, closed: float, look: tuple[int, int]) -> tuple[Array, tuple[slice, slice]]:
        face = self.head.face
        box, x, y, step = self._window(side * face.eye_x, 0.0, 0.36, 0.27)
        x = x * side  # outer corner at +1 for both eyes
        w = face.eye_half_width
        u = x / np.float32(w)
        dome = np.maximum(0, 1 - u * u)
        tilt = -np.float32(face.eye_tilt) * u
        low = tilt + np.float32(face.eye_low) * dome * (1 + np.float32(0.18) * u)
        top = tilt - np.float32(face.eye_up) * np.sqrt(dome) * np.sqrt(np.sqrt(dome)) * (1 - np.float32(0.10) * u)
        top = top + (low - top) * np.float32(closed * 0.96)
        inside = np.abs(u) < 1
        opening = _band(top, low, y, 1.4 * step) * inside
        white = np.array([236, 230, 226], np.float32) - (np.abs(u) ** 2)[..., None] * np.array([18, 40, 40], np.float32)
        colour = np.broadcast_to(white, (*opening.shape, 3)).copy()
        gx, gy = look[0] / GAZE_LEVELS * 0.05 * side, look[1] / GAZE_LEVELS * 0.022 - 0.014
        self._paint_iris(colour, x - np.float32(gx), y - np.float32(gy), step, side)
        under_lid = np.clip(1 - (y - top) * np.float32(1 / 0.055), 0, 1)
        colour *= (1 - np.float32(0.48) * under_lid)[..., None]
        thick = 0.024 if face.women else 0.017
        lash = _band(
            top - np.float32(thick) * (np.float32(0.55) + np.float32(0.45) * u), top + np.float32(0.012), y, 2.2 * step
        )
        lash *= np.clip((np.float32(1.06) - np.abs(u)) * 8, 0, 1)
        lower = _band(low - np.float32(0.004), low + np.float32(0.014), y, 2.5 * step) * inside * np.float32(0.30)
        lid = _band(tilt - np.float32(face.eye_up) * dome, top, y, 0.03) * inside * np.float32(closed)
        skin = np.asarray(face.skin, np.float32) * np.array([0.86, 0.78, 0.76], np.float32)
        dark = np.minimum(np.asarray(face.hair, np.float32) * 0.4 + 8, 60)
        alpha = np.zeros_like(opening)
        out = np.zeros_like(colour)
        for mask, paint in ((lid * 0.8, skin), (opening, colour), (lower, skin * 0.45), (lash * 0.92, dark)):
            out += mask[..., None] * (paint - out)
            alpha = alpha + mask * (1 - alpha)
        out /= np.maximum(alpha, np.float32(1e-3))[..., None]
        return self._settle(box, np.minimum(out, 255), alpha, 0.65), box

    def _paint_iris(self, colour: Array, x: Array, y: Array, step: float, side: int) -> None:
        radius = 0.097
        iris = np.asarray(self.head.face.iris, np.float32)
        distance = np.sqrt(x * x + y * y) * np.float32(1 / radius)
        tone = np.clip(1.25 - np.float32(0.25) * distance + y * np.float32(4.5), 0.55, 1.9)
        tone = tone * (1 - np.float32(0.55) * np.clip((distance - np.float32(0.76)) * 5, 0, 1))
        disc = _disc(x, y, radius, 1.8 * step)[..., None]
        colour += disc * (np.minimum(255, iris * tone[..., None]) - colour)
        pupil = _disc(x, y, radius * 0.44, 2 * step)[..., None]
        colour += pupil * (np.array([14, 11, 11], np.float32) - colour)
        spark = _disc(x * side + np.float32(0.034), y + np.float32(0.036), 0.021, 2 * step)[..., None]
        colour += spark * np.float32(0.92) * (np.float32(252) - colour)

    def _mouth(self, opened: int, wide: int) -> tuple[Array, tuple[slice, slice]]:
        key = ("mouth", opened, wide)
        if key not in self._cache:
            self._cache[key] = self._draw_mouth(opened / MOUTH_LEVELS, wide / WIDTH_LEVELS)
        return self._cache[key]

    def _draw_mouth(self, opened: float, wide: float) -> tuple[Array, tuple[slice, slice]]:
        face = self.head.face
        box, x, y, step = self._window(0.0, face.mouth_y + 0.06, 0.52, 0.36)
        y = y + np.float32(0.06)  # 0 where the closed lips meet
        half = face.mouth_half_width * (1 + 0.13 * wide - 0.08 * opened)
        u = x / np.float32(half)
        u2 = u * u
        dome = np.maximum(0, 1 - u2)
        full = np.maximum(0, 1 - u2 * u2)
        rise = np.float32(0.035) * (u2 - np.float32(0.4)) * np.float32(-0.6 * wide - 0.2)
        gape = np.float32(opened * MOUTH_GAPE * (1 - 0.25 * max(0.0, wide)))
        up_in = rise - np.float32(0.22) * gape * dome - np.float32(0.012) * (dome - dome * dome) * 2
        low_in = rise + np.float32(0.78) * gape * dome * np.sqrt(dome + np.float32(0.15))
        bow = (
            1
            - np.float32(0.30) * bell(x[0], 0, 0.045)[None, :]
            + np.float32(0.12) * bell(np.abs(x[0]), 0.09, 0.06)[None, :]
        )
        pout = 1 + 0.18 * max(0.0, -wide) - 0.12 * max(0.0, wide)
        up_out = up_in - np.float32(face.lip_up * pout) * bow * dome
        low_out = low_in + np.float32(face.lip_low * pout) * full * np.sqrt(dome)
        inside = np.clip((1 - np.abs(u)) * 14, 0, 1)
        lips = _band(up_out, low_out, y, 3.2 * step) * inside
        hole = _band(up_in, low_in, y, 1.8 * step) * inside
        lip = np.asarray(face.lip, np.float32)
        over_top = np.clip((up_in - y) * np.float32(1 / 0.05), 0, 1)
        tone = np.float32(1.04) - np.float32(0.20) * over_top
        depth = (y - low_in) * np.float32(1 / max(face.lip_low, 0.03))
        shine = bell(depth.ravel(), 0.42, 0.2).reshape(depth.shape) * bell(x[0], 0.0, 0.16)[None, :]
        crease = np.clip(1 - np.abs(y - low_in) * np.float32(1 / 0.02), 0, 1) * np.float32(0.35)
        paint = lip * (tone - crease)[..., None] + (shine * np.float32(30))[..., None]
        colour = np.broadcast_to(paint, (*hole.shape, 3)).copy()
        line = _band(up_in - np.float32(0.011), up_in + np.float32(0.011), y, 2.5 * step) * inside * np.float32(0.8)
        colour += line[..., None] * (lip * np.float32(0.36) - colour)
        self._paint_inside(colour, hole, x, y, up_in, low_in)
        under = bell((y - low_out).ravel(), 0.045, 0.03).reshape(y.shape[0], -1) * dome * np.float32(0.28)
        corner = bell(np.abs(u[0]), 1.0, 0.10)[None, :] * bell(y[:, 0], 0.0, 0.025)[:, None] * np.float32(0.40)
        skin = np.asarray(face.skin, np.float32) * np.array([0.62, 0.48, 0.46], np.float32)
        alpha = np.maximum(lips, hole)
        extra = np.clip(under + corner, 0, 1) * (1 - alpha)
        out = colour * alpha[..., None] + skin * extra[..., None]
        alpha = alpha + extra
        out /= np.maximum(alpha, np.float32(1e-3))[..., None]
        return self._settle(box, np.clip(out, 0, 255), alpha, 0.9), box

    def _paint_inside(self, colour: Array, hole: Array, x: Array, y: Array, up_in: Array, low_in: Array) -> None:
        """Dark cavity, tongue below, upper teeth behind the lip."""
        gap = np.maximum(low_in - up_in, np.float32(1e-3))
        dark = np.array([58, 20, 22], np.float32)
        colour += hole[..., None] * (dark - colour)
        tongue = hole * ramp(((y - up_in) / gap).ravel(), 0.55, 0.95).reshape(hole.shape) * bell(x[0], 0, 0.17)[None, :]
        colour += tongue[..., None] * np.float32(0.85) * (np.array([168, 78, 80], np.float32) - colour)
        teeth = _band(up_in - np.float32(0.02), up_in + np.minimum(np.float32(0.075), gap * np.float32(0.55)), y, 0.012)
        teeth = teeth * hole * np.clip((np.float32(0.25) - np.abs(x)) * 12, 0, 1)
        gums = np.clip((gap - np.float32(0.02)) * 30, 0, 1)
        ivory = np.array([228, 220, 206], np.float32) * (1 - np.float32(1.6) * np.abs(x))[..., None]
        colour += (teeth * gums)[..., None] * np.float32(0.92) * (ivory - colour)
