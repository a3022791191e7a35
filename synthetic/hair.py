"""Hair, beards and stubble over a drawn head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synthetic.anatomy import Face
from synthetic.paint import Array, bell, cloud, fill, over, ramp, spline

if TYPE_CHECKING:
    from synthetic.head import Canvas

LONG_STYLES = ("long", "bob")  # these fall behind the shoulders too: scene.py draws that part


def strands(x: Array, y: Array, centre: tuple[float, float], rng: np.random.Generator, density: float) -> Array:
    """Streaks that run away from a point, about -1..1 [shape=(len(y), len(x))]; density: streaks in one face unit."""
    away = np.maximum(0.25, y[:, None] - np.float32(centre[1]))
    at = (x[None, :] - np.float32(centre[0])) / away * np.float32(density * 1.6) + np.float32(256)
    table = rng.standard_normal(512).astype(np.float32)
    index = np.clip(at, 0, 510).astype(np.int32)
    part = np.clip(at - index, 0, 1)
    return np.clip(table[index] * (1 - part) + table[index + 1] * part, -1.5, 1.5) / np.float32(1.5)


def lit_hair(face: Face, x: Array, y: Array, light_x: float, rng: np.random.Generator) -> Array:
    """Colour of hair everywhere on the canvas, float32 [shape=(H, W, 3)]."""
    centre = (face.hair_part, -2.3 if face.hair_style != "back" else -1.0)
    fine = strands(x, y, centre, rng, 30.0)
    coarse = strands(x, y, centre, rng, 9.0)
    xx, yy = x[None, :], y[:, None]
    band = bell(y, -1.16, 0.17)[:, None] * bell(x, 0.35 * light_x, 0.5)[None, :]
    band = band + 0.6 * bell(y, 0.35, 0.4)[:, None] * (bell(x, -1.15, 0.12) + bell(x, 1.15, 0.12))[None, :]
    round_ = np.clip(1.12 - 0.30 * xx * xx - 0.10 * np.maximum(0, -yy - 1) ** 2 + 0.14 * light_x * xx, 0.35, 1.3)
    tone = round_ * (1 + 0.24 * fine + 0.20 * coarse)
    if face.hair_style == "curly":
        tone = round_ * (1 + 0.30 * cloud(rng, len(y), len(x), 3.5) + 0.12 * cloud(rng, len(y), len(x), 8.0))
        band = band * np.float32(0.3)
    gloss = band * np.clip(0.55 + 0.5 * fine + 0.3 * coarse, 0, 1.4)
    colour = np.asarray(face.hair, np.float32)
    shine = colour * np.float32(0.55) + np.float32(26)
    return np.maximum(0, colour * tone[..., None] + gloss[..., None] * shine).astype(np.float32)


def _cap(face: Face, rng: np.random.Generator) -> tuple[Array, Array]:
    """Outer line of the hair over the skull and its hairline over the forehead, left to right [shape=(K, 2)] each."""
    v, w, f = face.hair_volume, face.width, face.forehead_y
    style = face.hair_style
    grow = {"curly": 1.26, "bun": 1.04, "back": 1.05, "long": 1.12, "bob": 1.13}.get(style, 1.08) * (0.9 + 0.1 * v)
    outer = np.array(
        [
            (-1.06, 0.02),
            (-1.10, -0.5),
            (-0.95, -1.02),
            (-0.55, -1.38),
            (0, -1.52),
            (0.55, -1.38),
            (0.95, -1.02),
            (1.10, -0.5),
            (1.06, 0.02),
        ]
    )
    outer = outer * np.array([w * grow, grow]) + np.array([0.0, 0.04])
    if style == "curly":
        line = spline(outer, 6, closed=False)
        outer = line * (1 + rng.uniform(-0.035, 0.05, (len(line), 1)))
    part = face.hair_part
    temple = 0.90 * w
    if style == "side":
        middle = [(-0.6, f + 0.10 + 0.2 * part), (part, f - 0.22), (part + 0.35, f - 0.02), (0.68, f + 0.20)]
    elif style in ("long", "bob"):
        middle = [
            (-0.66, f + 0.22),
            (-0.3 + part * 0.5, f - 0.12),
            (part, f - 0.34),
            (0.3 + part * 0.5, f - 0.12),
            (0.66, f + 0.22),
        ]
    elif style in ("bun", "back"):
        middle = [(-0.62, f + 0.0), (-0.3, f - 0.16), (0, f - 0.18), (0.3, f - 0.16), (0.62, f + 0.0)]
    else:
        middle = [(-0.62, f + 0.06), (-0.25, f - 0.04), (0.1, f - 0.02), (0.4, f - 0.06), (0.62, f + 0.06)]
    inner = np.array(
        [(-temple - 0.06, 0.0), (-temple + 0.01, -0.36), *middle, (temple - 0.01, -0.36), (temple + 0.06, 0.0)]
    )
    return outer, inner


def _jagged(line: Array, rng: np.random.Generator, size: float) -> Array:
    """Tips of hair: a spline whose points are shaken."""
    curve = spline(line, 10, closed=False)
    return curve + rng.uniform(-size, size, curve.shape)


def paint_hair(
    picture: Array,
    alpha: Array,
    face: Face,
    canvas: Canvas,
    x: Array,
    y: Array,
    light_x: float,
    rng: np.random.Generator,
) -> Array:
    """Paint the hair in place and return the head's alpha with it."""
    if face.hair_style == "bald":
        shadow = ramp(y, face.forehead_y + 0.1, face.forehead_y - 0.3)[:, None] * alpha
        over(picture, 0.16 * shadow, np.asarray(face.hair, np.float32))
        return alpha
    colour = lit_hair(face, x, y, light_x, rng)
    outer, inner = _cap(face, rng)
    rough = 0.05 if face.hair_style == "curly" else 0.018
    cap = np.concatenate([_jagged(outer, rng, rough * 0.4), _jagged(inner, rng, rough)[::-1]])
    shapes = [cap]
    if face.hair_style == "bun":
        ring = np.array([(-0.30, -1.50), (-0.34, -1.78), (0, -1.98), (0.34, -1.78), (0.30, -1.50)])
        shapes.append(spline(ring))
    if face.hair_style in LONG_STYLES:
        end = 1.62 if face.hair_style == "long" else 0.95 + 0.15 * face.hair_part
        for side in (-1, 1):
            lock = np.array(
                [
                    (0.84, -0.52),
                    (0.90, 0.0),
                    (0.86, 0.5),
                    (0.90, end),
                    (1.26, end),
                    (1.33, 0.5),
                    (1.22, -0.3),
                    (1.02, -0.8),
                ]
            )
            shapes.append(_jagged(np.concatenate([lock, lock[:1]]) * np.array([side * face.width, 1.0]), rng, 0.012))
    mask = np.zeros(canvas.shape, np.float32)
    for shape in shapes:
        mask = np.maximum(mask, fill(canvas.shape, canvas.pixels(shape), blur=0.016 * canvas.unit + 0.3))
    # The hair's shadow on the forehead, then the hair.
    dropped = np.concatenate([cap[:, :1], cap[:, 1:] + 0.05], axis=1)
    shadow = fill(canvas.shape, canvas.pixels(dropped), blur=0.05 * canvas.unit)
    picture *= (1 - 0.30 * shadow)[..., None]
    over(picture, mask, colour)
    return np.maximum(alpha, mask)


def paint_beard(picture: Array, face: Face, x: Array, y: Array, shade: Array, rng: np.random.Generator) -> None:
    """Paint stubble, a moustache or a full beard in place, around the lips."""
    if face.beard == "none":
        return
    xx = np.abs(x)[None, :] / np.float32(face.width)
    lower = ramp(y, face.nose_y + 0.18, face.nose_y + 0.36)[:, None] * np.ones_like(xx)
    side = np.clip((xx - 0.42) * 4, 0, 1) * ramp(y, 0.15, 0.42)[:, None]
    area = np.maximum(lower * np.clip((0.72 - xx) * 6, 0, 1), side * np.clip(lower + 0.9, 0, 1))
    cheek = bell(y, 0.50, 0.22)[:, None] * (bell(x, -0.42, 0.20) + bell(x, 0.42, 0.20))[None, :]
    area = np.clip(area - 0.8 * cheek, 0, 1)
    moustache = bell(y, face.mouth_y - face.lip_up - 0.045, 0.045)[:, None] * bell(x, 0, 0.24)[None, :]
    moustache = np.clip(1.6 * moustache, 0, 1)
    grain = np.clip(0.75 + 0.35 * strands(x, y, (0.0, -0.6), rng, 34.0) + 0.2 * cloud(rng, len(y), len(x), 2.0), 0, 1.2)
    if face.beard == "stubble":
        mask = 0.30 * np.maximum(area, moustache * 0.9) * (0.5 + 0.5 * grain)
    elif face.beard == "moustache":
        mask = 0.86 * moustache * np.minimum(grain, 1)
    else:
        mask = 0.86 * np.maximum(area, moustache) * np.minimum(grain, 1)
    lips = bell(y, face.mouth_y + 0.02, 0.075)[:, None] * bell(x, 0, face.mouth_half_width * 0.62)[None, :]
    mask = mask * (1 - np.clip(1.3 * lips, 0, 1))
    colour = np.asarray(face.hair, np.float32) * np.float32(0.85) * np.minimum(1.2, shade + 0.15)[..., None]
    over(picture, np.clip(mask, 0, 1), colour)
