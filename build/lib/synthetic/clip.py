"""One clip from its plan: paint the scene, speak, forge what the plan says, and render frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from synthetic.forgery import Forger, fit_donor
from synthetic.head import Head
from synthetic.painting import Array
from synthetic.plan import FAKE_VIDEO, ClipPlan
from synthetic.scene import SAMPLE_RATES_HZ, Motion, Shot, paint_background, paint_body
from synthetic.speech import synthesise

_JAW = 0.13  # how far the chin drops at the widest mouth, in face units
_PIVOT = (0.0, 1.3)  # the head turns about the neck, in face units
_NOISE_REACH = 48  # the camera's noise is one picture, shifted at random by up to this many pixels


@dataclass(frozen=True)
class Clip:
    """A clip and what is known of it.

    frames: RGB uint8 [shape=(S, S, 3)] each, rendered as they are read. samples: int16 mono. mouth: opening 0..1 and
    spread -1..1 of the mouth that the frames show [shape=(T, 2)]. face_boxes: x0, y0, x1, y1 of the face (hairline to
    chin, ear to ear) in each frame, in pixels [shape=(T, 4)].
    """

    frames: Iterator[Array]
    samples: Array
    sample_rate: int
    mouth: Array
    face_boxes: Array


def render_clip(plan: ClipPlan) -> Clip:
    """Prepare one clip; its frames are rendered when they are iterated."""
    style, forgery, person = plan.source.style, plan.forgery, plan.person
    rng = np.random.default_rng((*plan.take_seed, 1))
    forge_rng = np.random.default_rng((*plan.take_seed, 3, *plan.method.encode()))
    speak = partial(synthesise, frames=plan.frames, fps=plan.source.fps, sample_rate=SAMPLE_RATES_HZ[style])
    take = _Take(plan, rng)
    samples, own = speak(person.voice, rng)
    mouth = said = own
    if plan.voice_donor:
        samples, said = speak(plan.voice_donor.voice, forge_rng, vocoded=True)
    forged, forger = take.head, None
    if "redraw" in forgery:
        # Over a replaced voice the new mouth follows that voice, some frames late or early; over the true voice it says
        # other words, so that picture and sound disagree.
        lag = int(forge_rng.integers(2, 5)) * (1 if forge_rng.uniform() < 0.7 else -1)
        new = np.roll(said, lag, axis=0) if plan.voice_donor else speak(person.voice, forge_rng)[1]
        padded = np.pad(new, ((1, 1), (0, 0)), mode="edge")
        mouth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    if plan.face_donor:
        forged = Head(fit_donor(plan.face_donor.face, person.face), take.shot, forge_rng)
    if plan.category in FAKE_VIDEO:
        forger = Forger(forged, take.head, forgery, take.shot.strength, forge_rng)
    frames = (take.frame(t, own[t], forged, forger, mouth[t]) for t in range(plan.frames))
    boxes = np.array([take.face_box(t) for t in range(plan.frames)])
    return Clip(frames, samples, SAMPLE_RATES_HZ[style], mouth, boxes)


class _Take:
    """One scene with one person, who moves in the same way whatever is forged."""

    def __init__(self, plan: ClipPlan, rng: np.random.Generator) -> None:
        style, face = plan.source.style, plan.person.face
        self.shot = Shot.random(rng, style, plan.source.size)
        self.canvas = self.shot.canvas
        self.side = self.canvas.shape[0]
        self.background = paint_background(rng, style, self.side)
        self.body = paint_body(rng, face, self.shot)
        self.head = Head(face, self.shot, rng)
        self.motion = Motion(rng, plan.frames, plan.source.fps, self.shot)
        own = np.random.default_rng((*plan.take_seed, 2))
        reach = self.side + _NOISE_REACH
        grey, tinted = (own.standard_normal((reach, reach, k), dtype=np.float32) for k in (1, 3))
        self._noise = np.rint((0.85 * grey + 0.5 * tinted) * self.shot.noise).astype(np.int16)
        self._noise_at = own.integers(0, _NOISE_REACH, (plan.frames, 2))

    def frame(self, t: int, mouth: Array, forged: Head, forger: Forger | None, shown: Array) -> Array:
        """Frame t with the person's own mouth, and over it what the forger makes of the forged head and its mouth."""
        motion, size = self.motion, self.shot.size
        frame = _shifted(self.background, motion.shake[t])
        sway = motion.shake[t] + 0.45 * self.canvas.unit * motion.shift[t]
        frame = _laid(frame, _shifted(self.body, sway))
        frame = _laid(frame, self._posed(self.head.picture(mouth, motion.eyes[t]), t, mouth[0]))
        frame = cv2.GaussianBlur(frame, (3, 3), self.shot.blur)
        tones = np.clip(np.rint(np.arange(256)[:, None] * motion.gain[t]), 0, 255).astype(np.uint8)[None]
        y, x = self._noise_at[t]
        frame = cv2.add(cv2.LUT(frame, tones), self._noise[y : y + self.side, x : x + self.side], dtype=cv2.CV_8U)
        if forger:  # its face has no camera's noise
            face = self._posed(forger.forge(forged.picture(shown, motion.eyes[t])), t, shown[0])
            colours, alpha = cv2.cvtColor(face, cv2.COLOR_RGBA2RGB), cv2.cvtColor(face[..., 3], cv2.COLOR_GRAY2RGB)
            face[..., :3] = cv2.multiply(cv2.LUT(colours, tones), alpha, scale=1 / 255)
            frame = _laid(frame, face)
        return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_LINEAR))

    def face_box(self, t: int) -> Array:
        """Ear to ear and hairline to chin in frame t: x0, y0, x1, y1 in pixels of the written frame."""
        face, pose = self.head.face, self._pose(t)
        corners = self.canvas.pixels([(-face.width, face.forehead_y), (face.width, face.chin_y)])
        return np.asarray((corners @ pose[:, :2].T + pose[:, 2]).ravel() * (self.shot.size / self.side))

    def _pose(self, t: int) -> Array:
        """Where the head's canvas lies in frame t: an affine map [shape=(2, 3)]."""
        motion, pivot = self.motion, self.canvas.pixels([_PIVOT])[0]
        pose = cv2.getRotationMatrix2D(pivot.tolist(), -np.degrees(motion.roll[t]), motion.scale[t])
        pose[:, 2] += self.canvas.unit * motion.shift[t] + motion.shake[t]
        return np.asarray(pose)

    def _posed(self, picture: Array, t: int, opening: float) -> Array:
        """A picture on the head's canvas as it lies in frame t: turned in depth, with the jaw dropped, then placed."""
        yaw, pitch = (self.canvas.unit * self.motion.turn[t]).astype(np.float32)
        drop = np.float32(self.canvas.unit * _JAW * opening)
        pixel = np.arange(self.side, dtype=np.float32)
        source = pixel - self.head.depth * yaw, pixel[:, None] - self.head.depth * pitch - self.head.jaw * drop
        pose, size = self._pose(t), (self.side, self.side)
        x, y = (cv2.warpAffine(at, pose, size, borderMode=cv2.BORDER_REPLICATE) for at in source)
        return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _shifted(picture: Array, by: Array) -> Array:
    """A picture moved by a fraction of a pixel, x and y."""
    if not by.any():
        return picture
    move = np.array([[1, 0, by[0]], [0, 1, by[1]]])
    return np.asarray(cv2.warpAffine(picture, move, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))


def _laid(frame: Array, layer: Array) -> Array:
    """A frame under a layer whose colours are multiplied by its opacity."""
    clear = cv2.cvtColor(cv2.bitwise_not(layer[..., 3]), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.add(cv2.multiply(frame, clear, scale=1 / 255), cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)))
