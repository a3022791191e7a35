"""Filming a scene frame by frame: pose, layers, camera, and the forgery that is blended into the finished frame.

Pictures move in OpenCV's fixed-point arithmetic and are mixed in integers, so that every processor gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from synthetic.features import MovingParts
from synthetic.forgery import Forger
from synthetic.head import ORIGIN, Head
from synthetic.motion import Motion
from synthetic.paint import Array, cover, smooth_noise
from synthetic.scene import Camera

JAW = 0.13  # how far the chin drops at the widest mouth, in face units
_PIVOT = np.array([0.0, 1.3])  # the head turns about the neck, in face units
_STEPS = 32  # parts of a pixel in OpenCV's fixed-point remap
_NOISE_REACH = 48  # the camera's noise is one picture, shifted at random by up to this many pixels

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Mouth:
    """Opening 0..1 and lip spread -1..1, one value a frame [shape=(T,)]."""

    opening: Array
    spread: Array


@dataclass(frozen=True)
class Forged:
    """A forged head (None: the target's own), what becomes of its picture, and the mouth that it shows."""

    head: Head | None
    forger: Forger
    mouth: Mouth


@dataclass(frozen=True)
class _Map:
    """Where each pixel of a window of the frame comes from in the head's picture, in fixed point."""

    window: Window
    index: Array
    fraction: Array

    def take(self, texture: Array) -> Array:
        """The head's picture as it lies in the window."""
        return cast(
            Array, cv2.remap(texture, self.index, self.fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        )


class Scene:
    """A filmed take: yields frames, with a forgery blended in or without one."""

    def __init__(
        self,
        camera: Camera,
        background: Array,
        body: Array,
        head: Head,
        motion: Motion,
        mouth: Mouth,
        *,
        noise_seed: tuple[int, ...],
        size: int,
    ) -> None:
        self.camera, self.background, self.head, self.motion = camera, background, head, motion
        self.mouth, self.size = mouth, size
        self._body_at, self._body = _crop(body, margin=24)
        rng = np.random.default_rng(noise_seed)
        self._shifts = rng.integers(0, _NOISE_REACH, (len(motion.x), 2))
        side = camera.pixels + _NOISE_REACH
        grey = rng.standard_normal((side, side, 1), dtype=np.float32)
        tinted = rng.standard_normal((side, side, 3), dtype=np.float32)
        self._noise = np.rint((0.85 * grey + 0.5 * tinted) * np.float32(camera.noise)).astype(np.int16)
        self._shake = [smooth_noise(rng, len(motion.x), 6) * camera.shake for _ in range(2)]

    def film(self, forged: Forged | None) -> Iterator[Array]:
        """Yield the clip's frames, RGB uint8 [shape=(size, size, 3)]."""
        own = MovingParts(self.head)
        parts = MovingParts(forged.head) if forged is not None and forged.head is not None else own
        area = cover(self.head.rgba)
        for t in range(len(self.motion.x)):
            frame = self._stage(t)
            place = self._place(t)
            layout = self._map(t, place, area, self.mouth.opening[t])
            _lay(frame, layout.window, layout.take(self._look(own, self.mouth, t)))
            tones = self._tones(t)
            picture = self._expose(frame, tones, t)
            if forged is not None:
                layout = self._map(t, place, forged.forger.box, forged.mouth.opening[t])
                face = forged.forger.forge(self._look(parts, forged.mouth, t))
                _blend(picture, layout.window, layout.take(face), tones)
            if picture.shape[0] != self.size:
                picture = cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_LINEAR_EXACT)
            yield picture

    def face_box(self, t: int) -> tuple[float, float, float, float]:
        """Ear to ear and hairline to chin in frame t, in pixels of the written frame."""
        face, canvas = self.head.face, self.head.canvas
        turn, offset = self._place(t)
        corners = canvas.pixels(np.array([(-face.width, face.forehead_y), (face.width, face.chin_y)]))
        scale = self.size / self.camera.pixels
        (x0, y0), (x1, y1) = (_solve(turn, corner - offset) * scale for corner in corners)
        return float(x0), float(y0), float(x1), float(y1)

    def _look(self, parts: MovingParts, mouth: Mouth, t: int) -> Array:
        gaze = (float(self.motion.gaze_x[t]), float(self.motion.gaze_y[t]))
        return parts.texture(mouth.opening[t], mouth.spread[t], self.motion.blink[t], gaze)

    def _tones(self, t: int) -> Array:
        """Exposure and colour of the frame's light as a table from level to level, uint8 [shape=(1, 256, 3)]."""
        gain, warm = self.motion.gain[t], self.motion.warmth[t]
        gains = np.array([gain + warm, gain, gain - warm])
        levels = np.rint(np.arange(256)[None, :, None] * gains[None, None, :])
        return np.clip(levels, 0, 255).astype(np.uint8)

    def _stage(self, t: int) -> Array:
        """Background and body behind the head."""
        drift = [float(self._shake[k][t]) for k in range(2)]
        frame = self.background.copy() if not self.camera.shake else _shift(self.background, drift[0], drift[1])
        x = 0.45 * self.motion.x[t] * self.camera.unit + drift[0]
        y = 0.45 * self.motion.y[t] * self.camera.unit + drift[1]
        _lay(frame, self._body_at, _shift(self._body, x, y))
        return frame

    def _place(self, t: int) -> tuple[Array, Array]:
        """Matrix and offset that take frame pixels to canvas pixels."""
        m, camera = self.motion, self.camera
        sine = float(m.roll[t])
        cosine = float(np.sqrt(1 - sine * sine))
        turn = np.array([[cosine, sine], [-sine, cosine]]) / float(m.scale[t])
        centre = np.array(camera.centre) + np.array([m.x[t], m.y[t]]) * camera.unit
        centre = centre + np.array([self._shake[0][t], self._shake[1][t]]) + _PIVOT * camera.unit
        offset = (_PIVOT + np.array(ORIGIN)) * camera.unit
        moved = np.array([turn[k, 0] * centre[0] + turn[k, 1] * centre[1] for k in range(2)])
        return turn, offset - moved

    def _map(self, t: int, place: tuple[Array, Array], area: Window, opening: float) -> _Map:
        """Map the part of the frame that shows `area` of the head's canvas."""
        turn, offset = place
        unit = self.camera.unit
        rows, columns = self.head.canvas.shape
        window = self._window(turn, offset, area, int((0.2 + JAW) * unit))
        u = (np.arange(window[1].start, window[1].stop) + 0.5).astype(np.float32)[None, :]
        v = (np.arange(window[0].start, window[0].stop) + 0.5).astype(np.float32)[:, None]
        x = np.float32(turn[0, 0]) * u + (np.float32(turn[0, 1]) * v + np.float32(offset[0] - 0.5))
        y = np.float32(turn[1, 0]) * u + (np.float32(turn[1, 1]) * v + np.float32(offset[1] - 0.5))
        at = np.clip(y, 0, rows - 1).astype(np.int32) * np.int32(columns) + np.clip(x, 0, columns - 1).astype(np.int32)
        depth, jaw = self.head.depth.ravel()[at], self.head.jaw.ravel()[at]
        x -= depth * np.float32(self.motion.yaw[t] * unit)
        y -= depth * np.float32(self.motion.pitch[t] * unit) + jaw * np.float32(opening * JAW * unit)
        fixed_x, fixed_y = np.rint(x * _STEPS).astype(np.int32), np.rint(y * _STEPS).astype(np.int32)
        return _Map(window, *_fixed(fixed_x, fixed_y))

    def _window(self, turn: Array, offset: Array, area: Window, margin: int) -> Window:
        top, bottom, left, right = area[0].start, area[0].stop, area[1].start, area[1].stop
        corners = [np.array(c, np.float64) for c in ((left, top), (right, top), (right, bottom), (left, bottom))]
        spots = np.array([_solve(turn, corner - offset) for corner in corners])
        limit = self.camera.pixels
        x0, y0 = (int(np.clip(v - margin, 0, limit - 1)) for v in spots.min(axis=0))
        x1, y1 = (int(np.clip(v + margin, 1, limit)) for v in spots.max(axis=0))
        return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))

    def _expose(self, frame: Array, tones: Array, t: int) -> Array:
        """Lens blur, exposure, sensor noise."""
        frame = cast("np.ndarray", cv2.GaussianBlur(frame, (3, 3), self.camera.blur))
        y, x = self._shifts[t]
        noise = self._noise[y : y + frame.shape[0], x : x + frame.shape[1]]
        return cast(Array, cv2.add(cv2.LUT(frame, tones), noise, dtype=cv2.CV_8U))


def _solve(turn: Array, point: Array) -> Array:
    """The inverse of a 2x2 matrix times a point."""
    det = turn[0, 0] * turn[1, 1] - turn[0, 1] * turn[1, 0]
    x = (turn[1, 1] * point[0] - turn[0, 1] * point[1]) / det
    y = (turn[0, 0] * point[1] - turn[1, 0] * point[0]) / det
    return np.array([x, y])


def _fixed(x: Array, y: Array) -> tuple[Array, Array]:
    """Positions in 1/32 pixel to the two maps that cv2.remap takes."""
    index = np.empty((*np.broadcast_shapes(x.shape, y.shape), 2), np.int16)
    index[..., 0], index[..., 1] = x >> 5, y >> 5
    return index, ((y & 31) * _STEPS + (x & 31)).astype(np.uint16)


def _shift(picture: Array, x: float, y: float) -> Array:
    """Move a picture by a fraction of a pixel."""
    rows, columns = picture.shape[:2]
    index, fraction = _fixed(
        (np.arange(columns) * _STEPS - round(x * _STEPS))[None, :],
        (np.arange(rows) * _STEPS - round(y * _STEPS))[:, None],
    )
    return cast(Array, cv2.remap(picture, index, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _crop(layer: Array, margin: int) -> tuple[Window, Array]:
    """The part of a layer that shows anything, with a margin to move in."""
    rows, columns = cover(layer)
    height, width = layer.shape[:2]
    window = (
        slice(max(0, rows.start - margin), min(height, rows.stop + margin)),
        slice(max(0, columns.start - margin), min(width, columns.stop + margin)),
    )
    return window, np.ascontiguousarray(layer[window])


def _split(layer: Array) -> tuple[Array, Array]:
    """Colours of a picture with alpha, and the alpha once for each channel."""
    alpha = cv2.cvtColor(cv2.extractChannel(layer, 3), cv2.COLOR_GRAY2RGB)
    return cast(Array, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)), cast(Array, alpha)


def _times(picture: Array, alpha: Array) -> Array:
    """A picture times an 8-bit alpha."""
    return cast(Array, cv2.multiply(picture, alpha, scale=1 / 255))


def _lay(frame: Array, window: Window, layer: Array) -> None:
    """Lay a picture with multiplied alpha over the frame, in place."""
    colours, alpha = _split(layer)
    frame[window] = cv2.add(_times(frame[window], cv2.bitwise_not(alpha)), colours)


def _blend(frame: Array, window: Window, layer: Array, tones: Array) -> None:
    """Blend a forged face over the filmed frame, in place, under the frame's light."""
    colours, alpha = _split(layer)
    face = cast("np.ndarray", cv2.LUT(colours, tones))
    frame[window] = cv2.add(_times(frame[window], cv2.bitwise_not(alpha)), _times(face, alpha))
