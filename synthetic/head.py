"""The still parts of a head, drawn once a clip: shaded skin, nose, brows, ears, hair, beard, glasses.

The face is a height map (an ellipsoid with bumps for nose, cheeks, lips and chin) lit by a key and a fill light, with a
painted albedo. Eyes and mouth move, so features.py draws them over this picture frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic.anatomy import Face
from synthetic.hair import paint_beard, paint_hair
from synthetic.paint import Array, bell, cloud, fill, mirror, over, ramp, spline, stroke, to_bytes

ORIGIN = (1.75, 2.15)  # of face coordinates in the canvas, in face units
EXTENT = (3.5, 3.95)  # the canvas' width and height, in face units


@dataclass(frozen=True)
class Light:
    """x, y: where the key light stands (-1..1, y up is negative); key, fill, ambient: strengths; tint: its colour."""

    x: float
    y: float
    key: float
    fill: float
    ambient: float
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class Canvas:
    """Face coordinates over the head's picture. unit: pixels in one face unit."""

    unit: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round(EXTENT[1] * self.unit), round(EXTENT[0] * self.unit)

    def axes(self) -> tuple[Array, Array]:
        """x of every column and y of every row, in face units, float32."""
        rows, columns = self.shape
        x = (np.arange(columns) + 0.5) / self.unit - ORIGIN[0]
        y = (np.arange(rows) + 0.5) / self.unit - ORIGIN[1]
        return x.astype(np.float32), y.astype(np.float32)

    def pixels(self, points: Array) -> Array:
        """Face units to pixels [shape=(K, 2)]."""
        return (np.asarray(points, np.float64) + np.array(ORIGIN)) * self.unit


@dataclass(frozen=True)
class Head:
    """A drawn head: what the frame loop needs of it, all on one canvas.

    rgba: colours multiplied by alpha, uint8 [shape=(H, W, 4)]. depth: 0 at the outline, about 1 at the nose, float32.
    jaw: 0 above the mouth, 1 at the chin, float32. shade: the lights' effect on skin, float32. glasses: alpha of the
    frame, which lies over the moving eyes, or None.
    """

    face: Face
    canvas: Canvas
    rgba: Array
    depth: Array
    jaw: Array
    shade: Array
    glasses: Array | None


def outline(face: Face, grow: float = 1.0) -> Array:
    """Outline of the face in face units, from the top of the skull round by the right side [shape=(K, 2)]."""
    w, j, c = face.width * grow, face.width * face.jaw * grow, face.chin_width * grow
    low = face.chin_y * (1 + (grow - 1) * 0.6)
    right = [
        (0.0, -1.34 * grow),
        (0.56 * w, -1.20 * grow),
        (0.90 * w, -0.74 * grow),
        (0.99 * w, -0.18),
        (0.95 * w, 0.28),
        (0.83 * j, 0.76),
        (0.60 * j, 0.72 * low + 0.16),
        (0.27 * c, 0.985 * low),
        (0.0, low),
    ]
    return spline(mirror(np.array(right)))


def draw_head(face: Face, light: Light, unit: float, rng: np.random.Generator) -> Head:
    """Draw one identity under one light.

    Args:
        face: the identity's geometry and colours.
        light: the clip's lights.
        unit: pixels in one face unit (half a face's width).
        rng: of skin pores and strands of hair.
    """
    canvas = Canvas(unit)
    x, y = canvas.axes()
    points = canvas.pixels(outline(face))
    mask = fill(canvas.shape, points, blur=0.007 * unit + 0.3)
    height, depth = _height(face, x, y)
    shade, gloss = _light(height, light, unit)
    skin = _albedo(face, x, y, canvas, rng)
    edge = np.clip(cv2.GaussianBlur(to_bytes(mask * 255), (0, 0), 0.13 * unit).astype(np.float32) / 255 * 2 - 1, 0, 1)
    shade = shade * (0.80 + 0.20 * edge)  # skin turning away from the camera is darker
    picture = np.zeros((*canvas.shape, 3), np.float32)
    alpha = np.zeros(canvas.shape, np.float32)
    _paint_ears(picture, alpha, face, canvas, shade)
    lit = skin * shade[..., None] * np.asarray(light.tint, np.float32) + gloss[..., None] * np.float32(255)
    over(picture, mask, lit)
    alpha = np.maximum(alpha, mask)
    _paint_nose(picture, face, canvas)
    _paint_lids(picture, face, canvas)
    _paint_brows(picture, face, canvas, rng)
    paint_beard(picture, face, x, y, shade, rng)
    alpha = paint_hair(picture, alpha, face, canvas, x, y, light.x, rng)
    glasses = _paint_glasses(picture, face, canvas) if face.glasses else None
    rgba = np.concatenate([to_bytes(picture * alpha[..., None]), to_bytes(alpha * 255)[..., None]], axis=2)
    side = bell(x, 0.0, 0.75)[None, :]
    jaw = ramp(y, face.mouth_y + 0.02, face.chin_y - 0.08)[:, None] * side
    return Head(face, canvas, rgba, depth, np.ascontiguousarray(jaw), shade, glasses)


def _height(face: Face, x: Array, y: Array) -> tuple[Array, Array]:
    """Height map for shading and the smoother depth that a turn of the head moves features by."""
    xx, yy = x[None, :] / np.float32(face.width), y[:, None]
    skull = np.sqrt(np.maximum(0, 1 - (xx / np.float32(1.12)) ** 2 - ((yy - np.float32(0.02)) / np.float32(1.62)) ** 2))

    def bump(cx: float, cy: float, sx: float, sy: float) -> Array:
        return bell(y, cy, sy)[:, None] * bell(x, cx, sx)[None, :]

    ny, nw = face.nose_y, face.nose_width
    along = (ramp(y, -0.22, ny - 0.06) * ramp(y, ny + 0.09, ny - 0.02))[:, None]
    height = skull * np.float32(0.85)
    height += (along * (0.35 + 0.65 * ramp(y, -0.2, ny)[:, None])) * bell(x, 0, 0.085)[None, :] * face.nose_bridge
    height += 0.13 * bump(0, ny - 0.02, 0.10, 0.10)
    height += 0.05 * bump(0, face.brow_y - 0.02, 0.6, 0.10)
    height += 0.07 * bump(0, face.mouth_y, 0.34, 0.16)
    height -= 0.05 * bump(0, face.mouth_y + 0.20, 0.22, 0.06)
    height += 0.08 * bump(0, face.chin_y - 0.17, 0.24, 0.12)
    for side in (-1, 1):
        height += 0.065 * bump(side * nw * 0.85, ny + 0.015, 0.055, 0.055)
        height += 0.085 * bump(side * 0.54, 0.34, 0.20, 0.20)
        height -= 0.105 * bump(side * (face.eye_x - 0.02), -0.01, 0.21, 0.115)
        height += 0.035 * bump(side * face.eye_x, -0.04, 0.15, 0.05)
        height -= 0.03 * face.wrinkles * bump(side * (nw + 0.19), 0.62, 0.05, 0.14)
    depth = skull * 0.8 + 0.30 * bump(0, ny, 0.18, 0.24) + 0.05 * bump(0, face.mouth_y, 0.3, 0.2)
    return height.astype(np.float32), depth.astype(np.float32)


def _light(height: Array, light: Light, unit: float) -> tuple[Array, Array]:
    """Diffuse shading and highlights of a height map (heights in face units)."""
    dy = np.zeros_like(height)
    dx = np.zeros_like(height)
    dy[1:-1] = (height[2:] - height[:-2]) * np.float32(0.5 * unit)
    dx[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * np.float32(0.5 * unit)
    dx, dy = np.clip(dx, -2.5, 2.5), np.clip(dy, -2.5, 2.5)
    scale = 1 / np.sqrt(1 + dx * dx + dy * dy)

    def towards(lx: float, ly: float) -> Array:
        norm = np.float32(1 / np.sqrt(lx * lx + ly * ly + 1))
        return np.maximum(0, (-dx * np.float32(lx) - dy * np.float32(ly) + 1) * scale * norm)

    key = towards(light.x, light.y)
    shade = light.ambient + light.key * key + light.fill * towards(-1.4 * light.x, 0.2)
    gloss = key * key
    gloss = gloss * gloss
    gloss = gloss * gloss
    return shade.astype(np.float32), (gloss * gloss * np.float32(0.055 * light.key)).astype(np.float32)


def _albedo(face: Face, x: Array, y: Array, canvas: Canvas, rng: np.random.Generator) -> Array:
    """Skin colour without light: redder cheeks, nose and eyelids, blotches, pores, freckles."""
    rows, columns = canvas.shape
    red = 0.9 * face.cheek * (bell(y, 0.42, 0.26)[:, None] * (bell(x, -0.55, 0.24) + bell(x, 0.55, 0.24))[None, :])
    red += 0.55 * bell(y, face.nose_y, 0.14)[:, None] * bell(x, 0, 0.16)[None, :]
    red += 0.30 * bell(y, face.chin_y - 0.12, 0.12)[:, None] * bell(x, 0, 0.2)[None, :]
    red += 0.10 * cloud(rng, rows, columns, 0.22 * canvas.unit)
    socket = bell(y, 0.10, 0.10)[:, None] * (bell(x, -face.eye_x, 0.2) + bell(x, face.eye_x, 0.2))[None, :]
    tone = 1 + 0.018 * cloud(rng, rows, columns, 0.12 * canvas.unit)
    pores = cloud(rng, rows, columns, 2.0) + 0.5 * rng.standard_normal((rows, columns)).astype(np.float32)
    tone += pores * np.float32(0.013)
    tone -= 0.09 * face.wrinkles * socket
    if face.freckles:
        spots = np.maximum(0, cloud(rng, rows, columns, 2.2) - 1.3)
        where = bell(y, 0.34, 0.2)[:, None] * bell(x, 0, 0.62)[None, :]
        tone -= 0.16 * face.freckles * np.minimum(spots, 1) * where
    skin = np.asarray(face.skin, np.float32)
    flush = np.array([0.035, -0.085, -0.075], np.float32)
    return (skin * (tone[..., None] + red[..., None] * flush)).astype(np.float32)


def _paint_ears(picture: Array, alpha: Array, face: Face, canvas: Canvas, shade: Array) -> None:
    skin = np.asarray(face.skin, np.float32)
    for side in (-1, 1):
        ear = np.array(
            [(0.93, -0.20), (1.06, -0.27), (1.15, -0.16), (1.12, 0.08), (1.05, 0.30), (0.94, 0.34), (0.9, 0.1)]
        )
        shape = spline(ear * np.array([side * face.width, 1.0]))
        mask = fill(canvas.shape, canvas.pixels(shape), blur=0.5)
        inner = shape * 0.55 + np.array([side * face.width * 1.03, 0.02]) * 0.45
        dark = fill(canvas.shape, canvas.pixels(inner), blur=0.03 * canvas.unit)
        over(picture, mask, skin * np.array([0.92, 0.82, 0.80], np.float32))
        picture -= (mask * dark)[..., None] * skin * np.float32(0.22)
        np.maximum(alpha, mask, out=alpha)
    picture *= np.minimum(1, 0.45 + 0.55 * shade)[..., None]


def _paint_nose(picture: Array, face: Face, canvas: Canvas) -> None:
    ny, nw = face.nose_y, face.nose_width
    dark = np.asarray(face.skin, np.float32) * np.array([0.30, 0.20, 0.19], np.float32)
    for side in (-1, 1):
        hole = np.array([(0.34, 0.055), (0.58, 0.03), (0.80, 0.06), (0.60, 0.085)]) * np.array([side * nw, 1.0])
        mask = fill(canvas.shape, canvas.pixels(spline(hole + np.array([0.0, ny]))), blur=0.014 * canvas.unit)
        over(picture, mask * 0.75, dark)
        wing = np.array([(0.95, -0.09), (1.16, 0.0), (1.06, 0.07), (0.78, 0.085)]) * np.array([side * nw, 1.0])
        line = spline(wing + np.array([0.0, ny]), closed=False)
        over(picture, stroke(canvas.shape, canvas.pixels(line), 0.028 * canvas.unit, 0.024 * canvas.unit) * 0.42, dark)
    under = fill(canvas.shape, canvas.pixels(_ellipse(0, ny + 0.10, nw * 0.85, 0.035)), blur=0.04 * canvas.unit)
    picture *= (1 - 0.20 * under)[..., None]


def _ellipse(cx: float, cy: float, rx: float, ry: float) -> Array:
    """Ellipse outline by a rational parametrisation, so that no sine is needed [shape=(16, 2)]."""
    t = np.linspace(0, 1, 5)[:-1]
    quarter = np.stack([(1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)], axis=1)
    turns = [
        quarter @ np.array(m, np.float64)
        for m in ([[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]])
    ]
    return np.concatenate(turns) * np.array([rx, ry]) + np.array([cx, cy])


def _paint_lids(picture: Array, face: Face, canvas: Canvas) -> None:
    """The crease above each eye and the soft shadow of the socket."""
    for side in (-1, 1):
        w, up = face.eye_half_width, face.eye_up
        crease = np.array([(-1.0, -0.2), (-0.5, -1.35), (0.1, -1.65), (0.7, -1.25), (1.15, -0.2)]) * np.array([w, up])
        crease = crease * np.array([side, 1.0]) + np.array([side * face.eye_x, -0.005])
        mask = stroke(
            canvas.shape, canvas.pixels(spline(crease, closed=False)), 0.022 * canvas.unit, 0.012 * canvas.unit
        )
        picture *= (1 - 0.38 * mask)[..., None]
        hollow = _ellipse(side * face.eye_x, -0.01, w * 1.25, up * 1.9)
        mask = fill(canvas.shape, canvas.pixels(hollow), blur=0.06 * canvas.unit)
        picture *= 1 - mask[..., None] * np.array([0.10, 0.13, 0.12], np.float32)


def _paint_brows(picture: Array, face: Face, canvas: Canvas, rng: np.random.Generator) -> None:
    """Hairs along an arch, thick at the nose and thin at the temple."""
    colour = np.minimum(np.asarray(face.hair, np.float32) * 0.75 + 6, np.asarray(face.skin, np.float32) * 0.62)
    mask = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        t = np.linspace(0, 1, 9)
        arch = face.brow_y - face.brow_arch * (1 - (t * 2 - 1.15) ** 2) - face.brow_tilt * (t - 0.5) * 2
        thick = face.brow_thick * (1.0 - 0.72 * t * t)
        at_x = side * (face.eye_x - 0.245 + 0.53 * t)
        body = np.concatenate([np.stack([at_x, arch - thick / 2], 1), np.stack([at_x, arch + thick / 2], 1)[::-1]])
        mask = np.maximum(mask, 0.62 * fill(canvas.shape, canvas.pixels(body), blur=0.020 * canvas.unit))
        for k in rng.integers(0, 8, 26):
            base = np.array([at_x[k], arch[k] + thick[k] * rng.uniform(-0.1, 0.55)])
            tip = base + np.array(
                [side * rng.uniform(0.03, 0.09), -thick[k] * rng.uniform(0.5, 1.0) * (1 - 0.8 * t[k])]
            )
            hair = stroke(canvas.shape, canvas.pixels(np.stack([base, tip])), 0.8, 0.0)
            mask = np.maximum(mask, 0.78 * hair)
    over(picture, mask, colour)


def _paint_glasses(picture: Array, face: Face, canvas: Canvas) -> Array:
    """Thin frames; returns their alpha, to be laid over the moving eyes too."""
    alpha = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        rim = np.array([(-1.30, -1.5), (0.3, -1.75), (1.35, -1.35), (1.25, 1.1), (0.2, 2.2), (-1.05, 1.5)])
        rim = rim * np.array([side * face.eye_half_width * 1.05, 0.115]) + np.array([side * face.eye_x, 0.02])
        ring = spline(rim)
        closed = np.concatenate([ring, ring[:1]])
        alpha = np.maximum(alpha, stroke(canvas.shape, canvas.pixels(closed), 0.036 * canvas.unit, 0.4))
        arm = np.array([(face.eye_x + 0.27, -0.08), (face.width * 0.98, -0.12)]) * np.array([side, 1.0])
        alpha = np.maximum(alpha, stroke(canvas.shape, canvas.pixels(arm), 0.04 * canvas.unit, 0.4))
    bridge = np.array([(-0.15, -0.08), (0.0, -0.12), (0.15, -0.08)])
    alpha = np.maximum(
        alpha, stroke(canvas.shape, canvas.pixels(spline(bridge, closed=False)), 0.036 * canvas.unit, 0.4)
    )
    alpha *= np.float32(0.88)
    over(picture, alpha, GLASSES_RGB)
    return alpha


GLASSES_RGB = (38.0, 34.0, 34.0)
