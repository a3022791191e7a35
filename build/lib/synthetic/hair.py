"""Hair, beards and stubble over a painted head."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthetic.painting import Array, Canvas, Layer, bell, curve, mirrored, noise, over, ramp, rgb
from synthetic.people import Face

_STRAIGHT = ((-0.62, 0.06, 0), (-0.25, -0.04, 0), (0.1, -0.02, 0), (0.4, -0.06, 0), (0.62, 0.06, 0))
_PARTED = ((-0.66, 0.22, 0), (-0.3, -0.12, 0.5), (0, -0.34, 1), (0.3, -0.12, 0.5), (0.66, 0.22, 0))
_COMBED_BACK = ((-0.62, 0.0, 0), (-0.3, -0.16, 0), (0, -0.18, 0), (0.3, -0.16, 0), (0.62, 0.0, 0))
_TO_THE_SIDE = ((-0.6, 0.10, 0), (0, -0.22, 1), (0.35, -0.02, 1), (0.68, 0.20, 0))

# Hairline (x, height above the forehead's line, how far the point follows the parting), size of the cap against the
# skull, how far its points stray, and y where the hair beside the face and behind the shoulders ends (0: none there).
_STYLES: dict[str, tuple[tuple[tuple[float, float, float], ...], float, float, float]] = {
    "short": (_STRAIGHT, 1.08, 0.018, 0),
    "side": (_TO_THE_SIDE, 1.08, 0.018, 0),
    "curly": (_STRAIGHT, 1.26, 0.050, 0),
    "back": (_COMBED_BACK, 1.05, 0.018, 0),
    "bun": (_COMBED_BACK, 1.04, 0.018, 0),
    "bob": (_PARTED, 1.13, 0.018, 0.95),
    "long": (_PARTED, 1.12, 0.018, 1.62),
    "bald": (_STRAIGHT, 1.0, 0.0, 0),
}
# Half outlines in widths of the face: the cap over the skull, a lock beside the face, the hair behind the shoulders.
# The last two end at y = 1, which becomes the style's length.
_CAP = ((0, -1.48), (0.55, -1.34), (0.95, -0.98), (1.10, -0.46), (1.06, 0.06))
_LOCK = ((0.84, -0.52), (0.90, 0.0), (0.86, 0.5), (0.90, 1), (1.26, 1), (1.33, 0.5), (1.22, -0.3), (1.02, -0.8))
_BEHIND = ((0, -1.2), (0.9, -0.9), (1.16, 0.0), (1.22, 0.7), (1.08, 1), (0.0, 1))
_BUN = ((-0.30, -1.50), (-0.34, -1.78), (0, -1.98), (0.34, -1.78), (0.30, -1.50))


def strands(canvas: Canvas, x: float, y: float, density: float, rng: np.random.Generator) -> Array:
    """Streaks that run away from the point (x, y), -1..1 [shape=(H, W)]; density: streaks in one face unit."""
    at = (canvas.x - x) / np.maximum(0.25, canvas.y - y) * (1.6 * density)
    tones = np.clip(rng.standard_normal(512) / 1.5, -1, 1)
    return np.interp(at, np.arange(-256, 256), tones).astype(np.float32)


def _colour(face: Face, canvas: Canvas, light_x: float, rng: np.random.Generator) -> Array:
    """Colour of lit hair everywhere on the canvas, float32 [shape=(H, W, 3)]."""
    x, y = canvas.x, canvas.y
    root = -1.0 if face.hair_style == "back" else -2.3
    fine, coarse = (strands(canvas, face.hair_part, root, density, rng) for density in (30.0, 9.0))
    gloss = canvas.bump(0.35 * light_x, -1.16, 0.5, 0.17)
    gloss = gloss + 0.6 * bell(y, 0.35, 0.4) * bell(np.abs(x), 1.15, 0.12)
    if face.hair_style == "curly":
        fine, coarse, gloss = noise(rng, canvas.shape, 3.5), noise(rng, canvas.shape, 8.0), 0.3 * gloss
    tone = np.clip(1.12 - 0.30 * x * x - 0.10 * np.maximum(0, -y - 1) ** 2 + 0.14 * light_x * x, 0.35, 1.3)
    tone = tone * (1 + 0.24 * fine + 0.20 * coarse)
    gloss = gloss * np.clip(0.55 + 0.5 * fine + 0.3 * coarse, 0, 1.4)
    hair = rgb(face.hair)
    return np.maximum(0, hair * tone[..., None] + gloss[..., None] * (0.55 * hair + 26)).astype(np.float32)


def paint_hair(head: Layer, face: Face, light_x: float, rng: np.random.Generator) -> None:
    """Paint the hair over a head, with its shadow on the forehead."""
    if face.hair_style == "bald":
        return
    (hairline, grow, rough, length), w = _STYLES[face.hair_style], face.width

    def jagged(line: ArrayLike, size: float, *, closed: bool = False) -> Array:
        """A curve whose points stray, as the tips of hair do."""
        smooth = curve(line, 10, closed=closed)
        return smooth + rng.uniform(-size, size, smooth.shape)

    grow *= 0.9 + 0.1 * face.hair_volume
    cap = np.array([*((-x, y) for x, y in _CAP[:0:-1]), *_CAP]) * (w * grow, grow)
    line = [(x + face.hair_part * share, face.forehead_y + y) for x, y, share in hairline]
    ends = [(0.9 * w + 0.06, 0.0), (0.9 * w - 0.01, -0.36)]
    inner = [*((-x, y) for x, y in ends), *line, *ends[::-1]]
    shapes = [np.concatenate([jagged(cap, 0.4 * rough), jagged(inner, rough)[::-1]])]
    if face.hair_style == "bun":
        shapes.append(curve(_BUN))
    if length:
        lock = np.array([(x, length if y == 1 else y) for x, y in _LOCK])
        shapes += [jagged(lock * (side * w, 1), 0.012, closed=True) for side in (-1, 1)]
    colour = _colour(face, head.canvas, light_x, rng)
    head.paint(shapes[0] + (0, 0.05), 0, 0.30, blur=0.05)
    for shape in shapes:
        head.paint(shape, colour, blur=0.020, solid=True)


def paint_hair_behind(body: Layer, face: Face, rng: np.random.Generator) -> None:
    """Paint the long hair that falls behind the neck and the shoulders."""
    if length := _STYLES[face.hair_style][3]:
        half = [(x * face.width, length if y == 1 else y) for x, y in _BEHIND]
        tone = 0.62 + 0.18 * strands(body.canvas, face.hair_part, -2.3, 26.0, rng)
        body.paint(curve(mirrored(half)), tone[..., None] * rgb(face.hair), blur=0.01, solid=True)


def paint_beard(head: Layer, face: Face, shade: Array, rng: np.random.Generator) -> None:
    """Paint stubble, a moustache or a full beard around the lips."""
    if face.beard == "none":
        return
    canvas = head.canvas
    x, y = np.abs(canvas.x) / face.width, canvas.y
    lower = ramp(y, face.nose_y + 0.18, face.nose_y + 0.36)
    sides = np.clip((x - 0.42) * 4, 0, 1) * ramp(y, 0.15, 0.42) * np.clip(lower + 0.9, 0, 1)
    cheeks = bell(y, 0.50, 0.22) * bell(np.abs(canvas.x), 0.42, 0.20)
    area = np.clip(np.maximum(lower * np.clip((0.72 - x) * 6, 0, 1), sides) - 0.8 * cheeks, 0, 1)
    moustache = np.clip(1.6 * canvas.bump(0, face.mouth_y - face.lip_up - 0.045, 0.24, 0.045), 0, 1)
    grain = 0.75 + 0.35 * strands(canvas, 0.0, -0.6, 34.0, rng) + 0.2 * noise(rng, canvas.shape, 2.0)
    mask = 0.86 * np.clip(grain, 0, 1) * (moustache if face.beard == "moustache" else np.maximum(area, moustache))
    if face.beard == "stubble":
        mask = 0.30 * np.maximum(area, 0.9 * moustache) * (0.5 + 0.5 * np.clip(grain, 0, 1.2))
    lips = canvas.bump(0, face.mouth_y + 0.02, 0.62 * face.mouth_half_width, 0.075)
    mask = mask * (1 - np.clip(1.3 * lips, 0, 1)) * head.alpha
    over(head.rgb, mask, rgb(face.hair) * (0.85 * np.minimum(1.2, shade + 0.15))[..., None])
