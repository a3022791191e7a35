"""A head: skin, nose, brows, ears, hair, beard and glasses, painted once per clip, and the eyes and mouth that move.

The face is a height map (an ellipsoid with bumps for nose, cheeks, lips and chin) lit by a key and a fill light, with a
painted albedo.
"""

from __future__ import annotations

import numpy as np

from synthetic.hair import paint_beard, paint_hair
from synthetic.painting import Array, Layer, Window, band, bell, curve, ellipse, mirrored, noise, ramp, rgb, to_bytes
from synthetic.people import Face
from synthetic.scene import Shot

_GAPE = 0.30  # between the lips of the widest mouth, in face units
_EYE_STEPS, _MOUTH_STEPS = (6, 4, 4), (16, 2)  # eyes and mouths are rounded to these, and each is painted once
_EAR = ((0.93, -0.20), (1.06, -0.27), (1.15, -0.16), (1.12, 0.08), (1.05, 0.30), (0.94, 0.34), (0.9, 0.1))
_NOSTRIL = ((0.34, 0.055), (0.58, 0.03), (0.80, 0.06), (0.60, 0.085))  # in widths of the nose, from its tip
_NOSE_WING = ((0.95, -0.09), (1.16, 0.0), (1.06, 0.07), (0.78, 0.085))
_LID_CREASE = ((-1.0, -0.2), (-0.5, -1.35), (0.1, -1.65), (0.7, -1.25), (1.15, -0.2))  # in half widths of the eye
_GLASSES_RIM = ((-1.30, -1.5), (0.3, -1.75), (1.35, -1.35), (1.25, 1.1), (0.2, 2.2), (-1.05, 1.5), (-1.30, -1.5))


class Head:
    """A painted head.

    Args:
        face: whose it is.
        shot: the camera and the light.
        rng: draws the pores of the skin and the strands of hair.
    Attributes:
        still: the head without eyes and mouth.
        depth: 0 at the outline, about 1 at the nose; by it a turn of the head moves features [shape=(H, W)].
        jaw: 0 above the mouth, 1 at the chin [shape=(H, W)].
    """

    def __init__(self, face: Face, shot: Shot, rng: np.random.Generator) -> None:
        canvas = shot.canvas
        self.face, self.still = face, Layer(canvas)
        outline = _outline(face)
        self._shade, gloss, self.depth = _relief(face, shot)
        # Skin that turns away from the camera is darker.
        self._shade *= 0.80 + 0.20 * np.clip(2 * canvas.mask(outline, blur=0.13) - 1, 0, 1)
        self.jaw = ramp(canvas.y, face.mouth_y + 0.02, face.chin_y - 0.08) * bell(canvas.x, 0.0, 0.75)
        skin = rgb(face.skin)
        for side in (-1, 1):
            ear = curve(np.array(_EAR) * (side * face.width, 1))
            dim = skin * rgb([0.92, 0.82, 0.80]) * (0.45 + 0.55 * self._shade)[..., None]
            self.still.paint(ear, dim, solid=True)
            self.still.paint(ear * 0.55 + np.array([side * 0.46 * face.width, 0.01]), skin * 0.5, 0.4, blur=0.03)
        lit = _albedo(face, shot, rng) * self._shade[..., None] * shot.tint + 255 * gloss[..., None]
        self.still.paint(outline, lit, blur=0.011, solid=True)
        _paint_features(self.still, face, rng)
        paint_beard(self.still, face, self._shade, rng)
        paint_hair(self.still, face, shot.light_x, rng)
        self._picture = self.still.premultiplied()
        self._parts: dict[tuple[float, ...], tuple[Window, Array]] = {}

    def picture(self, mouth: Array, eyes: Array) -> Array:
        """The head with its eyes and its mouth.

        Args:
            mouth: opening, 0 closed .. 1 wide, and spread of the lips, -1 rounded .. 1 wide [shape=(2,)].
            eyes: blink, 0 open .. 1 closed, and gaze in x and y, -1..1 [shape=(3,)].
        Returns:
            Colours multiplied by opacity, and opacity, uint8 [shape=(H, W, 4)].
        """
        picture = self._picture.copy()
        eyes, mouth = np.rint(eyes * _EYE_STEPS) / _EYE_STEPS, np.rint(mouth * _MOUTH_STEPS) / _MOUTH_STEPS
        for side, state in ((-1, eyes), (1, eyes), (0, mouth)):
            window, part = self._part(side, *state.tolist())
            picture[window][..., :3] = part
        return picture

    def _part(self, side: int, *state: float) -> tuple[Window, Array]:
        """Where an eye (side -1 or 1) or the mouth (0) lies, and its picture."""
        if (side, *state) not in self._parts:
            centre = (side * self.face.eye_x, -0.05) if side else (0, self.face.mouth_y + 0.1)
            window, canvas = self.still.canvas.part([centre], (0.28, 0.2) if side else (0.48, 0.32))
            alpha, lit = self.still.alpha[window], 0.25 + 0.75 * np.clip(self._shade[window], 0.2, 1.25)[..., None]
            part = Layer(canvas, self.still.rgb[window] / lit)
            if side:
                _paint_eye(part, self.face, side, *state)
            else:
                _paint_mouth(part, self.face, *state)
            self._parts[side, *state] = window, to_bytes(part.rgb * lit * alpha[..., None])
        return self._parts[side, *state]


def _outline(face: Face) -> Array:
    """Outline of the face [shape=(K, 2)]."""
    w, j, c, low = face.width, face.width * face.jaw, face.width * face.chin_width, face.chin_y
    right = [(0.0, -1.34), (0.56 * w, -1.20), (0.90 * w, -0.74), (0.99 * w, -0.18), (0.95 * w, 0.28)]
    right += [(0.83 * j, 0.76), (0.60 * j, 0.72 * low + 0.16), (0.27 * c, 0.985 * low), (0.0, low)]
    return curve(mirrored(right))


def _relief(face: Face, shot: Shot) -> tuple[Array, Array, Array]:
    """Diffuse shading and highlights of the face's height map, and its smoother depth [shape=(H, W) each]."""
    canvas = shot.canvas
    x, y, ny, nw, mouth = np.abs(canvas.x), canvas.y, face.nose_y, face.nose_width, face.mouth_y
    skull = np.sqrt(np.maximum(0, 1 - (x / (1.12 * face.width)) ** 2 - ((y - 0.02) / 1.62) ** 2))
    ridge = ramp(y, -0.22, ny - 0.06) * ramp(y, ny + 0.09, ny - 0.02) * (0.35 + 0.65 * ramp(y, -0.2, ny))
    height = 0.85 * skull + face.nose_bridge * ridge * bell(x, 0, 0.085)
    # x, y, width, height of a bump on both sides of the face, and how high it stands.
    for bump_x, bump_y, width, tall, up in (
        (0, ny - 0.02, 0.10, 0.10, 0.13),
        (0, face.brow_y - 0.02, 0.6, 0.10, 0.05),
        (0, mouth, 0.34, 0.16, 0.07),
        (0, mouth + 0.20, 0.22, 0.06, -0.05),
        (0, face.chin_y - 0.17, 0.24, 0.12, 0.08),
        (0.85 * nw, ny + 0.015, 0.055, 0.055, 0.065),  # wings of the nose
        (0.54, 0.34, 0.20, 0.20, 0.085),  # cheeks
        (face.eye_x - 0.02, -0.01, 0.21, 0.115, -0.105),  # sockets
        (face.eye_x, -0.04, 0.15, 0.05, 0.035),  # eyeballs
        (nw + 0.19, 0.62, 0.05, 0.14, -0.03 * face.wrinkles),
    ):
        height += up * bell(x, bump_x, width) * bell(y, bump_y, tall)
    depth = 0.8 * skull + 0.30 * canvas.bump(0, ny, 0.18, 0.24) + 0.05 * canvas.bump(0, mouth, 0.3, 0.2)
    dy, dx = (np.clip(slope, -2.5, 2.5) for slope in np.gradient(height, np.float32(1 / canvas.unit)))
    length = np.sqrt(1 + dx * dx + dy * dy)

    def towards(x: float, y: float) -> Array:
        return np.maximum(0, (1 - dx * x - dy * y) / (length * np.float32(np.sqrt(x * x + y * y + 1))))

    key = towards(shot.light_x, shot.light_y)
    shade = shot.ambient + shot.key * key + shot.fill * towards(-1.4 * shot.light_x, 0.2)
    return shade, 0.055 * shot.key * key**16, depth


def _albedo(face: Face, shot: Shot, rng: np.random.Generator) -> Array:
    """Skin colour without light: redder cheeks, nose and chin, blotches, pores, freckles."""
    canvas, shape, unit = shot.canvas, shot.canvas.shape, shot.canvas.unit
    x, y = np.abs(canvas.x), canvas.y
    red = 0.9 * face.cheek * bell(y, 0.42, 0.26) * bell(x, 0.55, 0.24) + 0.10 * noise(rng, shape, 0.22 * unit)
    red += 0.55 * canvas.bump(0, face.nose_y, 0.16, 0.14) + 0.30 * canvas.bump(0, face.chin_y - 0.12, 0.2, 0.12)
    tone = 1 + 0.018 * noise(rng, shape, 0.12 * unit) + 0.013 * noise(rng, shape, 2.0)
    tone += 0.0065 * rng.standard_normal(shape, dtype=np.float32)
    tone -= 0.09 * face.wrinkles * bell(y, 0.10, 0.10) * bell(x, face.eye_x, 0.2)
    tone -= 0.16 * face.freckles * np.clip(noise(rng, shape, 2.2) - 1.3, 0, 1) * canvas.bump(0, 0.34, 0.62, 0.2)
    return rgb(face.skin) * (tone[..., None] + red[..., None] * rgb([0.035, -0.085, -0.075]))


def _paint_features(layer: Layer, face: Face, rng: np.random.Generator) -> None:
    """Nose, creases of the lids, brows and glasses."""
    nw, w, up = face.nose_width, face.eye_half_width, face.eye_up
    dark = rgb(face.skin) * rgb([0.30, 0.20, 0.19])
    brow = np.minimum(rgb(face.hair) * 0.75 + 6, rgb(face.skin) * 0.62)
    t = np.linspace(0, 1, 9)  # along a brow, from the nose to the temple
    arch = face.brow_y - face.brow_arch * (1 - (t * 2 - 1.15) ** 2) - face.brow_tilt * (t - 0.5) * 2
    thick = face.brow_thick * (1.0 - 0.72 * t * t)
    hairs = np.clip(0.85 + 0.2 * noise(rng, layer.canvas.shape, 1.5), 0, 1)
    layer.paint(ellipse(0, face.nose_y + 0.10, 0.85 * nw, 0.035), 0, 0.20, blur=0.04)
    rims = [curve([(-0.15, -0.08), (0.0, -0.12), (0.15, -0.08)], closed=False)]
    for side in (-1, 1):
        tip, eye = np.array([0, face.nose_y]), np.array([side * face.eye_x, -0.005])
        layer.paint(curve(np.array(_NOSTRIL) * (side * nw, 1) + tip), dark, 0.75, blur=0.014)
        wing = curve(np.array(_NOSE_WING) * (side * nw, 1) + tip, closed=False)
        layer.paint(wing, dark, 0.42, blur=0.024, width=0.028)
        crease = curve(np.array(_LID_CREASE) * (side * w, up) + eye, closed=False)
        layer.paint(crease, 0, 0.38, blur=0.012, width=0.022)
        layer.paint(ellipse(eye[0], eye[1], 1.25 * w, 1.9 * up), 0, 0.12, blur=0.06)
        x = side * (face.eye_x - 0.245 + 0.53 * t)
        layer.paint(band(x, arch - thick / 2, arch + thick / 2), brow, hairs, blur=0.016)
        rims.append(curve(np.array(_GLASSES_RIM) * (side * 1.05 * w, 0.115) + eye + (0, 0.025)))
        rims.append(np.array([(side * (face.eye_x + 0.27), -0.08), (side * 0.98 * face.width, -0.12)]))
    for rim in rims if face.glasses else []:
        layer.paint(rim, (38.0, 34.0, 34.0), 0.88, blur=0.005, width=0.038)


def _paint_eye(part: Layer, face: Face, side: int, blink: float, gaze_x: float, gaze_y: float) -> None:
    """White, iris, lids and lashes of one eye; t runs from its inner to its outer corner."""
    t = np.linspace(-1, 1, 21)
    dome = 1 - t * t
    x = side * (face.eye_x + face.eye_half_width * t)
    low = face.eye_low * dome * (1 + 0.18 * t) - face.eye_tilt * t
    lid = -face.eye_up * dome**0.75 * (1 - 0.10 * t) - face.eye_tilt * t
    top = lid + (low - lid) * 0.96 * blink
    inside = part.canvas.mask(band(x, top, low))
    skin, dark, iris = rgb(face.skin), np.minimum(rgb(face.hair) * 0.4 + 8, 60), np.minimum(rgb(face.iris) * 1.1, 255)
    part.paint(band(x, top, low), (230.0, 221.0, 217.0))
    look = side * face.eye_x + 0.05 * gaze_x, 0.022 * gaze_y - 0.014
    for radius, colour in ((0.097, 0.55 * iris), (0.079, iris), (0.043, rgb([14, 11, 11]))):
        part.paint(ellipse(*look, radius, radius), colour, inside, blur=0.006)
    part.paint(ellipse(look[0] - 0.034, look[1] - 0.036, 0.021, 0.021), 252, 0.92 * inside)
    part.paint(band(x, top - 0.02, top + 0.03), 0, 0.48 * inside, blur=0.014)  # the lid's shadow on the eye
    part.paint(band(x, lid, top), skin * rgb([0.86, 0.78, 0.76]), 0.8 * blink, blur=0.008)
    part.paint(band(x, low - 0.004, low + 0.014), skin * 0.36, 0.30, blur=0.004)
    thick = (0.024 if face.gender == "women" else 0.017) * (0.55 + 0.45 * t)
    part.paint(band(x, top - thick, top + 0.012), dark, 0.92, blur=0.004)


def _paint_mouth(part: Layer, face: Face, opened: float, wide: float) -> None:
    """Lips, teeth and tongue; t runs from corner to corner."""
    t = np.linspace(-1, 1, 41)
    dome, middle = 1 - t * t, 20
    x = t * face.mouth_half_width * (1 + 0.13 * wide - 0.08 * opened)
    gape = opened * _GAPE * (1 - 0.25 * max(0.0, wide))
    pout = 1 + 0.18 * max(0.0, -wide) - 0.12 * max(0.0, wide)
    bow = 1 - 0.30 * bell(x, 0, 0.045) + 0.12 * bell(np.abs(x), 0.09, 0.06)
    rise = face.mouth_y - 0.035 * (t * t - 0.4) * (0.6 * wide + 0.2)
    upper = rise - 0.22 * gape * dome - 0.024 * (dome - dome * dome)
    lower = rise + 0.78 * gape * dome * np.sqrt(dome + 0.15)
    top = upper - face.lip_up * pout * bow * dome
    bottom = lower + face.lip_low * pout * (1 - t**4) * np.sqrt(dome)
    gap, low = lower - upper, lower[middle]
    lip, skin = rgb(face.lip), rgb(face.skin) * rgb([0.62, 0.48, 0.46])
    for corner in (x[0], x[-1]):
        part.paint(ellipse(corner, rise[0], 0.03, 0.02), skin, 0.5, blur=0.02)
    part.paint(band(x, bottom + 0.02, bottom + 0.06), skin, 0.28, blur=0.025)
    part.paint(band(x, top, upper), 0.87 * lip, blur=0.012)
    part.paint(band(x, lower, bottom), 1.02 * lip, blur=0.012)
    part.paint(ellipse(0, low + 0.42 * face.lip_low, 0.14, 0.2 * face.lip_low), lip + 40, 0.7, blur=0.02)
    part.paint(band(x, upper - 0.011, upper + 0.011), 0.36 * lip, 0.8, blur=0.006)
    hole = part.canvas.mask(band(x, upper, lower), blur=0.004)
    part.paint(band(x, upper, lower), (58.0, 20.0, 22.0), blur=0.004)
    part.paint(ellipse(0, low, 0.2, 0.35 * gap[middle]), (168.0, 78.0, 80.0), 0.8 * hole, blur=0.02)
    teeth, shown = np.abs(x) < 0.27, float(np.clip((gap[middle] - 0.02) * 30, 0, 0.92))
    edge = upper + np.minimum(0.075, 0.55 * gap) * (1 - (x / 0.3) ** 2)
    part.paint(band(x[teeth], upper[teeth] - 0.02, edge[teeth]), (200.0, 193.0, 181.0), shown * hole, blur=0.006)
