"""One clip from its plan: film the scene frame by frame, forge what the plan says, encode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from stages.datasets.generator.anatomy import Identity
from stages.datasets.generator.encode import write_mp4
from stages.datasets.generator.features import MovingParts
from stages.datasets.generator.forgery import Forger, draw_traces, fit_donor
from stages.datasets.generator.head import ORIGIN, Head, draw_head
from stages.datasets.generator.motion import Motion, draw_motion
from stages.datasets.generator.paint import Array, smooth_noise
from stages.datasets.generator.plan import ClipPlan
from stages.datasets.generator.scene import LOOKS, Camera, draw_background, draw_body, draw_camera
from stages.datasets.generator.speech import Speech, synthesise

JAW = 0.13  # how far the chin drops at the widest mouth, in face units
_PIVOT = np.array([0.0, 1.3])  # the head turns about the neck, in face units
STRENGTH = {"studio": 1.0, "street": 0.9}  # of the forgeries' traces, by look
_FRACTIONS = 32  # steps of a pixel in OpenCV's fixed-point remap


@dataclass(frozen=True)
class Mouth:
    """Opening 0..1 and lip spread -1..1, one value a frame [shape=(T,)]."""

    opening: Array
    spread: Array


@dataclass(frozen=True)
class Clip:
    """A rendered clip and what is known of it.

    frames: RGB uint8, rendered as they are read. shown: the mouth that the frames show. face_box: x0, y0, x1, y1 of the
    face (brows to chin, ear to ear) in the first frame, in pixels.
    """

    frames: Iterator[Array]
    samples: Array
    sample_rate: int
    shown: Mouth
    face_box: tuple[float, float, float, float]


def render_clip(plan: ClipPlan, people: dict[int, Identity]) -> Clip:
    """Prepare one clip; its frames are drawn when they are iterated.

    Args:
        plan: which clip.
        people: the identities that the plan's indices mean, at least those that it names.
    """
    look = LOOKS[plan.look]
    person = people[plan.identity]
    rng = np.random.default_rng((*plan.take_seed, 1))
    camera, light = draw_camera(rng, look, plan.size)
    background = draw_background(rng, plan.look, camera.pixels)
    body = draw_body(rng, person.face, camera, light)
    head = draw_head(person.face, light, camera.unit, rng)
    motion = draw_motion(rng, plan.frames, plan.fps, liveliness=look.liveliness)
    spoken = _speak(plan, person, rng, look.sample_rate, vocoded=False)
    mouth = Mouth(spoken.opening, spoken.spread)
    heard = spoken
    forge_rng = np.random.default_rng(plan.forge_seed)
    if plan.voice_donor is not None:
        heard = _speak(plan, people[plan.voice_donor], forge_rng, look.sample_rate, vocoded=True)
    forged = _forged_head(plan, people, head, light, camera, forge_rng) if plan.visually_fake else None
    shown = _forged_mouth(plan, mouth, heard, person, forge_rng, look.sample_rate) if forged else mouth
    scene = Scene(camera, background, body, head, motion, mouth, noise_seed=(*plan.take_seed, 2), size=plan.size)
    frames = scene.film(forged, shown)
    return Clip(frames, heard.samples, look.sample_rate, shown, scene.face_box())


def write_clip(plan: ClipPlan, people: dict[int, Identity], path: Path) -> None:
    """Render one clip into an mp4 file."""
    clip = render_clip(plan, people)
    write_mp4(path, clip.frames, clip.samples, fps=plan.fps, size=plan.size, crf=plan.crf, sample_rate=clip.sample_rate)


def _speak(plan: ClipPlan, person: Identity, rng: np.random.Generator, sample_rate: int, *, vocoded: bool) -> Speech:
    return synthesise(person.voice, rng, frames=plan.frames, fps=plan.fps, sample_rate=sample_rate, vocoded=vocoded)


def _forged_head(
    plan, people, head: Head, light, camera: Camera, rng: np.random.Generator
) -> tuple[MovingParts, Forger]:
    """The head that is blended in: the donor's face in the target's place, or the target's own for a new mouth."""
    source = head
    if plan.face_donor is not None:
        face = fit_donor(people[plan.face_donor].face, head.face)
        source = draw_head(face, light, camera.unit, rng)
    traces = draw_traces(rng, plan.method, STRENGTH[plan.look])
    return MovingParts(source), Forger(source, head, plan.method, traces)


def _forged_mouth(
    plan: ClipPlan, mouth: Mouth, heard: Speech, person: Identity, rng: np.random.Generator, sample_rate: int
) -> Mouth:
    """The mouth of a forged picture.

    A swap keeps the target's mouth. A re-drawn mouth over a replaced voice follows that voice, smoothed and some frames
    late or early; over the true voice it says other words, so that picture and sound disagree.
    """
    if "wav2lip" not in plan.method:
        return mouth
    if plan.audibly_fake:
        lag = int(rng.integers(2, 5)) * (1 if rng.uniform() < 0.7 else -1)
        return Mouth(np.roll(_smooth(heard.opening), lag), np.roll(_smooth(heard.spread), lag))
    other = _speak(plan, person, rng, sample_rate, vocoded=False)
    return Mouth(_smooth(other.opening), _smooth(other.spread))


def _smooth(track: Array) -> Array:
    padded = np.concatenate([track[:1], track, track[-1:]])
    return cast(Array, (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


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
        self.camera, self.background, self.body, self.head = camera, background, body, head
        self.motion, self.mouth, self.size = motion, mouth, size
        rng = np.random.default_rng(noise_seed)
        self._shifts = rng.integers(0, 48, (len(motion.x), 2))
        side = camera.pixels + 48
        grey = rng.standard_normal((side, side, 1), dtype=np.float32)
        tinted = rng.standard_normal((side, side, 3), dtype=np.float32)
        self._noise = np.rint((0.85 * grey + 0.5 * tinted) * np.float32(camera.noise)).astype(np.int16)
        self._shake = [smooth_noise(rng, len(motion.x), 6) * camera.shake for _ in range(2)]

    def film(self, forged: tuple[MovingParts, Forger] | None, shown: Mouth) -> Iterator[Array]:
        """Yield the clip's frames, RGB uint8 [shape=(size, size, 3)]."""
        own = MovingParts(self.head)
        for t in range(len(self.motion.x)):
            frame = self._stage(t)
            texture = own.texture(self.mouth.opening[t], self.mouth.spread[t], self.motion.blink[t], self._gaze(t))
            place = self._place(t)
            window, index, fraction = self._map(t, place, self.mouth.opening[t])
            layer = cv2.remap(texture, index, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            _lay(frame, window, layer)
            picture = self._expose(frame, t)
            if forged is not None:
                parts, forger = forged
                if shown is not self.mouth:
                    window, index, fraction = self._map(t, place, shown.opening[t])
                face = parts.texture(shown.opening[t], shown.spread[t], self.motion.blink[t], self._gaze(t))
                layer = cv2.remap(forger.forge(face), index, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
                _blend(picture, window, layer, self._gains(t))
            if picture.shape[0] != self.size:
                picture = cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_LINEAR_EXACT)
            yield picture

    def _gaze(self, t: int) -> tuple[float, float]:
        return float(self.motion.gaze_x[t]), float(self.motion.gaze_y[t])

    def _gains(self, t: int) -> Array:
        gain, warm = self.motion.gain[t], self.motion.warmth[t]
        return np.array([gain + warm, gain, gain - warm], np.float32)

    def _stage(self, t: int) -> Array:
        """Background and body behind the head."""
        frame = self.background.copy()
        drift = [float(self._shake[k][t]) for k in range(2)]
        if self.camera.shake:
            frame = _shift(frame, drift[0], drift[1], cv2.BORDER_REPLICATE)
        x = 0.45 * self.motion.x[t] * self.camera.unit + drift[0]
        y = 0.45 * self.motion.y[t] * self.camera.unit + drift[1]
        _lay(frame, (slice(0, frame.shape[0]), slice(0, frame.shape[1])), _shift(self.body, x, y, cv2.BORDER_REPLICATE))
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

    def _map(self, t: int, place: tuple[Array, Array], opening: float) -> tuple[tuple[slice, slice], Array, Array]:
        """The frame's window that the head fills, and where each of its pixels comes from, in fixed point."""
        turn, offset = place
        rows, columns = self.head.canvas.shape
        window = self._window(turn, offset)
        u = (np.arange(window[1].start, window[1].stop) + 0.5).astype(np.float32)[None, :]
        v = (np.arange(window[0].start, window[0].stop) + 0.5).astype(np.float32)[:, None]
        x = np.float32(turn[0, 0]) * u + np.float32(turn[0, 1]) * v + np.float32(offset[0] - 0.5)
        y = np.float32(turn[1, 0]) * u + np.float32(turn[1, 1]) * v + np.float32(offset[1] - 0.5)
        at = np.clip(y, 0, rows - 1).astype(np.int32) * columns + np.clip(x, 0, columns - 1).astype(np.int32)
        depth, jaw = self.head.depth.ravel()[at], self.head.jaw.ravel()[at]
        unit = self.camera.unit
        x -= depth * np.float32(self.motion.yaw[t] * unit)
        y -= depth * np.float32(self.motion.pitch[t] * unit) + jaw * np.float32(opening * JAW * unit)
        fixed_x = np.rint(x * _FRACTIONS).astype(np.int32)
        fixed_y = np.rint(y * _FRACTIONS).astype(np.int32)
        index = np.stack([fixed_x >> 5, fixed_y >> 5], axis=2).astype(np.int16)
        fraction = ((fixed_y & 31) * _FRACTIONS + (fixed_x & 31)).astype(np.uint16)
        return window, index, fraction

    def _window(self, turn: Array, offset: Array) -> tuple[slice, slice]:
        rows, columns = self.head.canvas.shape
        corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float64) - offset
        det = turn[0, 0] * turn[1, 1] - turn[0, 1] * turn[1, 0]
        xs = (turn[1, 1] * corners[:, 0] - turn[0, 1] * corners[:, 1]) / det
        ys = (turn[0, 0] * corners[:, 1] - turn[1, 0] * corners[:, 0]) / det
        limit = self.camera.pixels
        x0, x1 = (int(np.clip(v, 0, limit)) for v in (xs.min(), xs.max() + 1))
        y0, y1 = (int(np.clip(v, 0, limit)) for v in (ys.min(), ys.max() + 1))
        return slice(y0, y1), slice(x0, x1)

    def _expose(self, frame: Array, t: int) -> Array:
        """Lens blur, exposure, sensor noise."""
        if self.camera.blur > 0:
            frame = cv2.GaussianBlur(frame, (3, 3), self.camera.blur)
        y, x = self._shifts[t]
        noise = self._noise[y : y + frame.shape[0], x : x + frame.shape[1]]
        filmed = frame.astype(np.float32) * self._gains(t) + noise
        return np.clip(filmed, 0, 255).astype(np.uint8)

    def face_box(self) -> tuple[float, float, float, float]:
        """Ear to ear and brows to chin in the first frame, in pixels of the written frame."""
        turn, offset = self._place(0)
        face, canvas = self.head.face, self.head.canvas
        x0, y0 = canvas.pixels(np.array([(-face.width, face.forehead_y)]))[0] - offset
        x1, y1 = canvas.pixels(np.array([(face.width, face.chin_y)]))[0] - offset
        scale = self.size / self.camera.pixels / float(turn[0, 0])
        return x0 * scale, y0 * scale, x1 * scale, y1 * scale


def _shift(picture: Array, x: float, y: float, border: int) -> Array:
    """Move a picture by a fraction of a pixel, in fixed point."""
    rows, columns = picture.shape[:2]
    fixed_x = np.arange(columns) * _FRACTIONS - round(x * _FRACTIONS)
    fixed_y = np.arange(rows) * _FRACTIONS - round(y * _FRACTIONS)
    index = np.empty((rows, columns, 2), np.int16)
    index[..., 0], index[..., 1] = (fixed_x >> 5)[None, :], (fixed_y >> 5)[:, None]
    fraction = ((fixed_y & 31)[:, None] * _FRACTIONS + (fixed_x & 31)[None, :]).astype(np.uint16)
    return cast(Array, cv2.remap(picture, index, fraction, cv2.INTER_LINEAR, borderMode=border))


def _lay(frame: Array, window: tuple[slice, slice], layer: Array) -> None:
    """Lay a picture with multiplied alpha over the frame, in place."""
    under = frame[window].astype(np.uint16)
    keep = np.uint16(255) - layer[..., 3:].astype(np.uint16)
    frame[window] = np.minimum(255, (under * keep + 127) // 255 + layer[..., :3]).astype(np.uint8)


def _blend(frame: Array, window: tuple[slice, slice], layer: Array, gains: Array) -> None:
    """Blend a forged face over the filmed frame, in place, under the frame's light."""
    under = frame[window].astype(np.float32)
    alpha = layer[..., 3:].astype(np.float32) * np.float32(1 / 255)
    face = layer[..., :3].astype(np.float32) * gains
    frame[window] = np.clip(under + alpha * (face - under), 0, 255).astype(np.uint8)
