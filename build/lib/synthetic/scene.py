"""What a clip shows besides the head: camera and light, background, neck and clothes, and how it all moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthetic.hair import paint_hair_behind
from synthetic.painting import Array, Canvas, Layer, curve, mirrored, noise, ramp, rgb, to_bytes
from synthetic.people import Face, between, draw_fields

SAMPLE_RATES_HZ = {"studio": 16000, "street": 44100}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One clip's camera and light, drawn from the ranges of its style.

    size: side of the written frame in pixels. zoom: side of the frame that is rendered, in written ones. unit,
    centre_x, centre_y: of the face at rest, in sides of the frame. noise: of the camera, in grey levels. blur: of the
    lens, in pixels. shake: hand-held drift in pixels. liveliness: of the head's motion. light_x, light_y: where the key
    light stands (-1..1, up is negative). key, fill, ambient: strengths of the lights. warmth: red against blue.
    strength: of the forgeries' traces.
    """

    size: int
    zoom: float = between((1.0, 1.12))
    unit: float = between((0.205, 0.235), street=(0.190, 0.225))
    centre_x: float = between((0.46, 0.54))
    centre_y: float = between((0.42, 0.48))
    noise: float = between((1.6, 3.4), street=(2.2, 5.0))
    blur: float = between((0.3, 0.6), street=(0.4, 0.8))
    shake: float = between((0.0, 0.0), street=(1.0, 1.0))
    liveliness: float = between((1.0, 1.0), street=(1.4, 1.4))
    light_x: float = between((-0.8, 0.8), street=(-1.2, 1.2))
    light_y: float = between((-0.9, -0.3))
    key: float = between((0.62, 0.82), street=(0.50, 0.95))
    fill: float = between((0.08, 0.22))
    ambient: float = between((0.26, 0.38), street=(0.18, 0.42))
    warmth: float = between((-0.05, 0.05), street=(-0.12, 0.06))
    strength: float = between((1.0, 1.0), street=(0.8, 0.8))

    @classmethod
    def random(cls, rng: np.random.Generator, style: str, size: int) -> Shot:
        """A shot in one of the styles."""
        return cls(size=size, **draw_fields(cls, rng, style))

    @cached_property
    def canvas(self) -> Canvas:
        """The frame that is rendered, with the face at rest."""
        side = 2 * round(self.size * self.zoom / 2)
        return Canvas((side, side), side * self.unit, (side * self.centre_x, side * self.centre_y))

    @property
    def tint(self) -> Array:
        """Colour of the light."""
        return rgb((1 + 0.6 * self.warmth, 1.0, 1 - self.warmth))


def paint_background(rng: np.random.Generator, style: str, side: int) -> Array:
    """A wall with shelves and panels or, on a street, houses and windows, all out of focus, uint8 [shape=(P, P, 3)]."""
    layer = Layer(Canvas((side, side), side, (0.0, 0.0)))  # coordinates run from 0 to 1
    street = style == "street"
    base = rng.uniform(20, 60) if street and rng.uniform() < 0.35 else rng.uniform(70, 200)  # by night or by day
    spot = layer.canvas.bump(float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.3, 0.7)), 0.4, 0.45)
    layer.rgb[:] = (base + rng.uniform(-28, 28, 3)) * (0.55 + 0.6 * spot)[..., None]
    for _ in range(rng.integers(60, 160) if street else rng.integers(0, 9)):
        (x, y), (width, height) = rng.uniform(-0.2, (1, 0.8)), rng.uniform(0.03, (0.12, 0.2) if street else (0.3, 0.4))
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        lit = street and rng.uniform() < 0.15  # a window or a lamp
        colour = rng.uniform(150, 250, 3) if lit else base * rng.uniform(0.3, 1.6) + rng.uniform(-25, 25, 3)
        layer.paint(corners, np.clip(colour, 0, 250), rng.uniform(0.5, 0.95), blur=0.008)
    return to_bytes(layer.rgb)


def paint_body(rng: np.random.Generator, face: Face, shot: Shot) -> Array:
    """Neck, shoulders and clothes below a head, and long hair behind them.

    Returns:
        Colours multiplied by opacity, and opacity, uint8 [shape=(P, P, 4)].
    """
    layer = Layer(shot.canvas)
    x, y, shape = shot.canvas.x, shot.canvas.y, shot.canvas.shape
    across = np.clip(0.86 + 0.16 * shot.light_x * x - 0.05 * x * x, 0.45, 1.15)
    shade = np.broadcast_to(across * (0.75 * shot.key + shot.ambient), shape)[..., None]
    paint_hair_behind(layer, face, rng)
    girth, broad = (0.46, 1.95) if face.gender == "women" else (0.58, 2.25)
    neck = [(0, 0.5), (girth, 0.6), (girth * 0.98, 1.35), (girth * 1.25, 1.78), (girth * 1.9, 2.0), (0, 2.9)]
    under_chin = 1 - 0.48 * ramp(y, face.chin_y + 0.55, face.chin_y - 0.05)
    roundness = np.maximum(np.clip(1.05 - 0.55 * (x / girth) ** 2, 0.55, 1.1), 0.8 * ramp(y, 1.45, 1.75))
    skin = rgb(face.skin) * shot.tint * (under_chin * roundness)[..., None] * shade
    layer.paint(curve(mirrored(neck)), skin, blur=0.01, solid=True)
    neckline = [(0, rng.choice([2.08, 2.35])), (0.38, 1.88), (0.60, 1.74)]
    shoulders = [(1.2, 1.92), (broad * 0.9, 2.22), (broad, 2.8), (broad * 1.05, 4.2), (0, 4.2)]
    outline = mirrored(neckline + shoulders)
    colour = np.clip(rng.uniform(25, 215) + rng.uniform(-40, 40, 3), 12, 235).astype(np.float32)
    folds = 1 + 0.07 * noise(rng, shape, 0.10 * shape[0]) + 0.02 * rng.standard_normal(shape, dtype=np.float32)
    if rng.uniform() < 0.2:  # stripes
        folds = folds * (1 - 0.18 * (np.floor((x if rng.uniform() < 0.5 else y) * 5) % 2))
    layer.paint(curve(outline), colour * folds[..., None] * shade, blur=0.01, solid=True)
    layer.paint(curve(outline[[-2, -1, 0, 1, 2]], closed=False), colour * 0.45, 0.35, width=0.03)  # the neckline's seam
    if rng.uniform() < 0.5:
        collar = np.array([(0.02, 2.45), (0.34, 1.80), (0.60, 1.72), (0.66, 1.98), (0.36, 2.30)])
        for flap in (collar, collar * (-1, 1)):
            layer.paint(flap, np.clip(colour * 1.25 + 12, 0, 245) * shade, blur=0.008)
    return layer.premultiplied()


class Motion:
    """How one clip moves: one value per frame [shape=(T,) or (T, K)].

    shift: of the head in face units; roll: its tilt in radians; scale: nearness; turn: shift of the nose against the
    outline in face units; eyes: blink (0 open .. 1 closed) and gaze in x and y (-1..1); gain: exposure of each colour;
    shake: drift of the camera in pixels.
    """

    def __init__(self, rng: np.random.Generator, frames: int, fps: float, shot: Shot) -> None:
        time, lively = np.arange(frames) / fps, shot.liveliness

        def wander(period_s: float, size: float) -> Array:
            """Smooth change with about one turn in `period_s`."""
            return noise(rng, (frames, 1), max(2.0, period_s * fps))[:, 0] * size

        yaw = np.clip(wander(0.9, 0.075 * lively) + rng.uniform(-0.10, 0.10), -0.24, 0.24)
        pitch = np.clip(wander(0.8, 0.045 * lively) + rng.uniform(-0.05, 0.05), -0.14, 0.14)
        self.turn = np.stack([yaw, pitch], axis=1)
        self.shift = np.stack([wander(1.1, 0.055 * lively) + 0.35 * yaw, wander(0.7, 0.035 * lively)], axis=1)
        self.roll = wander(1.2, 0.035 * lively) + rng.uniform(-0.03, 0.03)
        self.scale = 1 + wander(1.4, 0.012 * lively)
        blink, start = np.zeros(frames), rng.uniform(0.2, 1.8)
        while start < frames / fps:  # a blink of about a quarter of a second, every two seconds or so
            blink = np.maximum(blink, np.clip(1.5 - np.abs(time - start) * 1.5 / rng.uniform(0.10, 0.15), 0, 1))
            start += rng.uniform(1.0, 3.2)
        rests = np.cumsum(rng.uniform(0.3, 1.3, 2 + int(frames / fps / 0.3)))  # the gaze rests and jumps
        gaze_x, gaze_y = rng.uniform((-0.7, -0.5), (0.7, 0.5), (len(rests), 2))[np.searchsorted(rests, time)].T
        self.eyes = np.stack([blink, np.clip(gaze_x - 2.0 * yaw, -1, 1), gaze_y], axis=1)
        gain = 1 + wander(0.8, 0.012) + np.linspace(-1, 1, frames) * rng.uniform(-0.03, 0.03)
        self.gain = gain[:, None] + wander(1.5, 0.006)[:, None] * np.array([1, 0, -1])
        self.shake = np.stack([wander(0.25, shot.shake), wander(0.25, shot.shake)], axis=1)
