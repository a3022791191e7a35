"""What surrounds a head: background, shoulders and clothes, drawn once a clip; and the camera that films it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.datasets.generator.anatomy import Face
from stages.datasets.generator.hair import LONG_STYLES, strands
from stages.datasets.generator.head import Light
from stages.datasets.generator.paint import Array, bell, cloud, fill, mirror, over, ramp, spline, to_bytes


@dataclass(frozen=True)
class Camera:
    """pixels: side of the filmed square frame before the final resize; noise: deviation in grey levels; blur: in pixels;
    unit: pixels of one face unit; centre: where the eyes' middle rests, x and y in pixels; shake: hand-held drift in pixels.
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


LOOKS: dict[str, Look] = {
    "studio": Look(
        16000, (1.6, 3.4), (0.3, 0.6), (0.205, 0.235), 0.0, 1.0, (0.62, 0.82), (0.26, 0.38), 0.8, (-0.05, 0.05)
    ),
    "street": Look(
        44100, (2.2, 5.0), (0.4, 0.8), (0.190, 0.225), 1.0, 1.4, (0.50, 0.95), (0.18, 0.42), 1.2, (-0.12, 0.06)
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


def draw_body(rng: np.random.Generator, face: Face, camera: Camera, light: Light) -> Array:
    """Neck, shoulders, clothes and hair behind them; colours multiplied by alpha, uint8 [shape=(P, P, 4)]."""
    size = camera.pixels
    shape = (size, size)
    x = ((np.arange(size) + 0.5 - camera.centre[0]) / camera.unit).astype(np.float32)
    y = ((np.arange(size) + 0.5 - camera.centre[1]) / camera.unit).astype(np.float32)

    def place(points: Array) -> Array:
        return np.asarray(points, np.float64) * camera.unit + np.array(camera.centre)

    picture = np.zeros((*shape, 3), np.float32)
    alpha = np.zeros(shape, np.float32)

    def lay(mask: Array, colour: Array) -> None:
        over(picture, mask, colour)
        np.maximum(alpha, mask, out=alpha)

    side = np.clip(0.86 + 0.16 * light.x * x[None, :] - 0.05 * x[None, :] ** 2, 0.45, 1.15) * (
        light.key * 0.75 + light.ambient
    )
    if face.hair_style in LONG_STYLES:
        end = 1.9 if face.hair_style == "long" else 1.0
        back = mirror(
            np.array([(0, -1.2), (0.9, -0.9), (1.16, 0.0), (1.22, 0.9), (1.08, end), (0.0, end)])
            * np.array([face.width, 1])
        )
        tone = 0.62 + 0.18 * strands(x, y, (face.hair_part, -2.3), rng, 26.0)
        lay(fill(shape, place(spline(back)), blur=0.7), np.asarray(face.hair, np.float32) * tone[..., None])
    skin = np.asarray(face.skin, np.float32) * np.asarray(light.tint, np.float32)
    girth = 0.46 if face.women else 0.58
    neck = mirror(
        np.array([(0, 0.5), (girth, 0.6), (girth * 0.98, 1.35), (girth * 1.25, 1.78), (girth * 1.9, 2.0), (0, 2.9)])
    )
    under = 1 - 0.48 * ramp(y, face.chin_y + 0.55, face.chin_y - 0.05)[:, None]
    column = np.clip(1.05 - 0.55 * (x[None, :] / girth) ** 2, 0.55, 1.1)
    lay(
        fill(shape, place(spline(neck)), blur=0.7),
        skin * (under * np.maximum(column, 0.8 * (y[:, None] > 1.6)) * side)[..., None],
    )
    _dress(rng, face, picture, alpha, place, x, y, side)
    return np.concatenate([to_bytes(picture * alpha[..., None]), to_bytes(alpha * 255)[..., None]], axis=2)


def _dress(
    rng: np.random.Generator, face: Face, picture: Array, alpha: Array, place, x: Array, y: Array, side: Array
) -> None:
    """Shoulders in a shirt, a jumper or a jacket."""
    shape = alpha.shape
    broad = 1.95 if face.women else 2.25
    kind = ("round", "vee", "jacket", "collar")[int(rng.integers(4))]
    dip = 2.35 if kind in ("vee", "jacket") else 2.08
    right = np.array(
        [
            (0, dip),
            (0.38, 1.88),
            (0.60, 1.74),
            (1.2, 1.92),
            (broad * 0.9, 2.22),
            (broad, 2.8),
            (broad * 1.05, 4.2),
            (0, 4.2),
        ]
    )
    mask = fill(shape, place(spline(mirror(right))), blur=0.8)
    colour = (rng.uniform(25, 215) + rng.uniform(-40, 40, 3)).astype(np.float32)
    folds = 1 + 0.07 * cloud(rng, *shape, 0.10 * shape[0]) + 0.02 * rng.standard_normal(shape).astype(np.float32)
    if rng.uniform() < 0.2:
        stripe = np.floor((x[None, :] if rng.uniform() < 0.5 else y[:, None] * np.ones_like(x[None, :])) * 5)
        folds = folds * (1 - 0.18 * (stripe % 2))
    over(picture, mask, np.clip(colour, 12, 235) * (folds * side)[..., None])
    np.maximum(alpha, mask, out=alpha)
    edge = spline(mirror(right)[[-2, -1, 0, 1, 2]], closed=False)
    seam = np.zeros(shape, np.uint8)
    cv2.polylines(seam, [np.rint(place(edge) * 16).astype(np.int32)], False, 255, 2, cv2.LINE_AA, 4)
    over(picture, seam.astype(np.float32) / 255 * 0.35 * mask, np.clip(colour, 12, 235) * np.float32(0.45))
    if kind in ("jacket", "collar"):
        shirt = rng.uniform(190, 245, 3).astype(np.float32) if kind == "jacket" else np.clip(colour * 1.25 + 12, 0, 245)
        for s in (-1, 1):
            flap = np.array([(0.02, 2.45), (0.34, 1.80), (0.60, 1.72), (0.66, 1.98), (0.36, 2.30)]) * np.array([s, 1.0])
            over(picture, fill(shape, place(flap), blur=0.6), shirt * side[..., None])
        if kind == "jacket":
            tie = np.array([(-0.10, 2.36), (0.10, 2.36), (0.16, 3.4), (-0.16, 3.4)])
            over(
                picture, fill(shape, place(tie), blur=0.7), rng.uniform(20, 150, 3).astype(np.float32) * side[..., None]
            )
