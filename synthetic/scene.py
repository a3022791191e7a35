"""Where a clip is filmed: the camera and lights drawn for it, and the background behind the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic.head import Light
from synthetic.paint import Array, bell, fill, over, spline, to_bytes


@dataclass(frozen=True)
class Camera:
    """pixels: side of the filmed square frame before the final resize; noise: deviation in grey levels; blur: in
    pixels; unit: pixels of one face unit; centre: where the eyes' middle rests, x and y in pixels; shake: hand-held
    drift in pixels.
    """

    pixels: int
    noise: float
    blur: float
    unit: float
    centre: tuple[float, float]
    shake: float


@dataclass(frozen=True)
class Look:
    """Ranges (low, high) that one data set draws its clips from."""

    sample_rate: int
    noise: tuple[float, float]
    blur: tuple[float, float]
    unit: tuple[float, float]
    shake: float
    liveliness: float
    key: tuple[float, float]
    ambient: tuple[float, float]
    light_x: float
    tint: tuple[float, float]
    strength: float  # of the forgeries' traces


LOOKS: dict[str, Look] = {
    "studio": Look(
        sample_rate=16000,
        noise=(1.6, 3.4),
        blur=(0.3, 0.6),
        unit=(0.205, 0.235),
        shake=0.0,
        liveliness=1.0,
        key=(0.62, 0.82),
        ambient=(0.26, 0.38),
        light_x=0.8,
        tint=(-0.05, 0.05),
        strength=1.0,
    ),
    "street": Look(
        sample_rate=44100,
        noise=(2.2, 5.0),
        blur=(0.4, 0.8),
        unit=(0.190, 0.225),
        shake=1.0,
        liveliness=1.4,
        key=(0.50, 0.95),
        ambient=(0.18, 0.42),
        light_x=1.2,
        tint=(-0.12, 0.06),
        strength=0.9,
    ),
}


def draw_camera(rng: np.random.Generator, look: Look, size: int) -> tuple[Camera, Light]:
    """Draw one clip's camera and lights."""
    pixels = 2 * round(size * rng.uniform(1.0, 1.12) / 2)
    camera = Camera(
        pixels=pixels,
        noise=float(rng.uniform(*look.noise)),
        blur=float(rng.uniform(*look.blur)),
        unit=float(rng.uniform(*look.unit)) * pixels,
        centre=(pixels * float(rng.uniform(0.46, 0.54)), pixels * float(rng.uniform(0.42, 0.48))),
        shake=look.shake,
    )
    warm = float(rng.uniform(*look.tint))
    light = Light(
        x=float(rng.uniform(-look.light_x, look.light_x)),
        y=float(rng.uniform(-0.9, -0.3)),
        key=float(rng.uniform(*look.key)),
        fill=float(rng.uniform(0.08, 0.22)),
        ambient=float(rng.uniform(*look.ambient)),
        tint=(1 + warm * 0.6, 1.0, 1 - warm),
    )
    return camera, light


def draw_background(rng: np.random.Generator, look: str, size: int) -> Array:
    """A square background, uint8 [shape=(size, size, 3)]."""
    painter = _studio if look == "studio" else _street
    return to_bytes(painter(rng, size))


def _studio(rng: np.random.Generator, size: int) -> Array:
    """A wall with a soft spot of light, at times panels, a shelf or a window out of focus."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    colour = rng.uniform(70, 200) + rng.uniform(-28, 28, 3)
    spot = bell(at, float(rng.uniform(0.3, 0.7)), 0.45)[:, None] * bell(at, float(rng.uniform(0.2, 0.8)), 0.4)[None, :]
    wall = np.asarray(colour, np.float32) * (0.55 + 0.6 * spot)[..., None]
    kind = int(rng.integers(4))
    layer = np.zeros((size, size), np.float32)
    if kind == 1:  # panels
        for edge in np.arange(rng.uniform(0.05, 0.2), 1, rng.uniform(0.16, 0.3)):
            layer += 0.35 * bell(at, float(edge), 0.008)[None, :] - 0.2 * bell(at, float(edge) + 0.016, 0.01)[None, :]
        wall *= (1 - 0.6 * layer)[..., None]
    elif kind == 2:  # books on a shelf
        top = rng.uniform(0.15, 0.4)
        x = 0.0
        while x < 1:
            width = rng.uniform(0.02, 0.06)
            box = (
                np.array([(x, top - rng.uniform(0.1, 0.2)), (x + width, top - 0.15), (x + width, top), (x, top)]) * size
            )
            over(wall, 0.8 * fill((size, size), box, blur=0.012 * size), rng.uniform(30, 190, 3).astype(np.float32))
            x += width * 1.05
        board = np.array([(0, top), (1, top), (1, top + 0.025), (0, top + 0.025)]) * size
        over(wall, fill((size, size), board, blur=0.01 * size), np.array([70, 52, 40], np.float32))
    elif kind == 3:  # a window's light
        x, w = rng.uniform(-0.1, 0.8), rng.uniform(0.2, 0.4)
        pane = np.array([(x, -0.1), (x + w, -0.1), (x + w, 0.55), (x, 0.55)]) * size
        over(wall, 0.75 * fill((size, size), pane, blur=0.03 * size), np.array([226, 232, 236], np.float32))
    return wall


def _street(rng: np.random.Generator, size: int) -> Array:
    """Houses with windows, a sky or a night with lights, all out of focus."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    night = rng.uniform() < 0.35
    sky = np.array([30, 34, 52] if night else rng.uniform((120, 150, 180), (200, 215, 235)), np.float32)
    picture = sky * (1.1 - 0.25 * at)[:, None, None] * np.ones((1, size, 1), np.float32)
    x = rng.uniform(-0.2, 0.0)
    while x < 1:
        width, top = rng.uniform(0.18, 0.42), rng.uniform(-0.05, 0.35)
        colour = rng.uniform(20, 60, 3) if night else rng.uniform(70, 190) + rng.uniform(-25, 25, 3)
        house = np.array([(x, top), (x + width, top), (x + width, 1), (x, 1)]) * size
        over(picture, fill((size, size), house, blur=0.008 * size), np.asarray(colour, np.float32))
        for row in np.arange(top + 0.05, 0.9, 0.12):
            for column in np.arange(x + 0.03, x + width - 0.05, 0.085):
                lit = rng.uniform() < (0.5 if night else 0.15)
                glass = np.array([235, 200, 130] if lit else [40, 48, 58], np.float32)
                pane = np.array(
                    [(column, row), (column + 0.045, row), (column + 0.045, row + 0.07), (column, row + 0.07)]
                )
                over(picture, 0.8 * fill((size, size), pane * size, blur=0.008 * size), glass)
        x += width + rng.uniform(0, 0.06)
    for _ in range(int(rng.integers(3, 12))):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.3, 0.95), rng.uniform(0.01, 0.035)
        ring = np.array([(1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7)])
        spot = fill((size, size), (spline(ring) * r + np.array([cx, cy])) * size, blur=0.006 * size)
        over(picture, spot * rng.uniform(0.2, 0.6), rng.uniform((180, 120, 80), (255, 240, 220)).astype(np.float32))
    return picture
