"""One clip from its plan: draw the scene, speak, forge what the plan says, film, encode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from synthetic.anatomy import Identity
from synthetic.body import draw_body
from synthetic.encode import write_mp4
from synthetic.film import Forged, Mouth, Scene
from synthetic.forgery import Forger, draw_traces, fit_donor
from synthetic.head import Head, Light, draw_head
from synthetic.motion import draw_motion
from synthetic.paint import Array
from synthetic.plan import ClipPlan
from synthetic.scene import LOOKS, draw_background, draw_camera
from synthetic.speech import Speech, synthesise


@dataclass(frozen=True)
class Clip:
    """A clip and what is known of it.

    frames: RGB uint8, drawn as they are read. samples: int16 mono. shown: the mouth that the frames show.
    face_boxes: x0, y0, x1, y1 of the face (hairline to chin, ear to ear) in each frame, in pixels [shape=(T, 4)].
    """

    frames: Iterator[Array]
    samples: Array
    sample_rate: int
    shown: Mouth
    face_boxes: Array


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
    heard = _speak(plan, person, rng)
    mouth = Mouth(heard.opening, heard.spread)
    forge_rng = np.random.default_rng(plan.forge_seed)
    if plan.voice_donor is not None:
        heard = _speak(plan, people[plan.voice_donor], forge_rng, vocoded=True)
    scene = Scene(camera, background, body, head, motion, mouth, noise_seed=(*plan.take_seed, 2), size=plan.size)
    forged = None
    if plan.visually_fake:
        shown = _forged_mouth(plan, mouth, heard, person, forge_rng)
        forged = _forge(plan, people, head, light, shown, forge_rng)
    return Clip(
        frames=scene.film(forged),
        samples=heard.samples,
        sample_rate=look.sample_rate,
        shown=forged.mouth if forged else mouth,
        face_boxes=np.array([scene.face_box(t) for t in range(plan.frames)]),
    )


def write_clip(plan: ClipPlan, people: dict[int, Identity], path: Path) -> None:
    """Render one clip into an mp4 file."""
    clip = render_clip(plan, people)
    samples = clip.samples if plan.sound else None
    write_mp4(path, clip.frames, samples, fps=plan.fps, size=plan.size, crf=plan.crf, sample_rate=clip.sample_rate)


def write_crops(plan: ClipPlan, people: dict[int, Identity], folder: Path, *, count: int, size: int) -> None:
    """Render one clip and keep square crops of the face, evenly spread, as PNG files 000.png ..."""
    clip = render_clip(plan, people)
    folder.mkdir(parents=True, exist_ok=True)
    count = min(count, plan.frames)
    chosen = {int((k + 0.5) * plan.frames / count): f"{k:03d}.png" for k in range(count)}
    for index, frame in enumerate(clip.frames):
        if index not in chosen:
            continue
        x0, y0, x1, y1 = clip.face_boxes[index]
        side = min(round(1.3 * max(x1 - x0, y1 - y0)), plan.size)
        left = int(np.clip(round((x0 + x1 - side) / 2), 0, plan.size - side))
        top = int(np.clip(round((y0 + y1 - side) / 2), 0, plan.size - side))
        crop = frame[top : top + side, left : left + side]
        picture = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR_EXACT)
        _, code = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        (folder / chosen[index]).write_bytes(code.tobytes())


def _speak(plan: ClipPlan, person: Identity, rng: np.random.Generator, *, vocoded: bool = False) -> Speech:
    rate = LOOKS[plan.look].sample_rate
    return synthesise(person.voice, rng, frames=plan.frames, fps=plan.fps, sample_rate=rate, vocoded=vocoded)


def _forge(
    plan: ClipPlan, people: dict[int, Identity], head: Head, light: Light, shown: Mouth, rng: np.random.Generator
) -> Forged:
    """The head that is blended in: the donor's face in the target's place, or the target's own for a new mouth."""
    source = None
    if plan.face_donor is not None:
        face = fit_donor(people[plan.face_donor].face, head.face)
        source = draw_head(face, light, head.canvas.unit, rng)
    traces = draw_traces(rng, plan.forgery, LOOKS[plan.look].strength)
    return Forged(source, Forger(source or head, head, plan.forgery, traces), shown)


def _forged_mouth(plan: ClipPlan, mouth: Mouth, heard: Speech, person: Identity, rng: np.random.Generator) -> Mouth:
    """The mouth of a forged picture.

    A swap keeps the target's mouth. A re-drawn mouth over a replaced voice follows that voice, smoothed and some frames
    late or early; over the true voice it says other words, so that picture and sound disagree.
    """
    if not plan.forgery.redraw:
        return mouth
    if plan.audibly_fake:
        lag = int(rng.integers(2, 5)) * (1 if rng.uniform() < 0.7 else -1)
        return Mouth(np.roll(_smooth(heard.opening), lag), np.roll(_smooth(heard.spread), lag))
    other = _speak(plan, person, rng)
    return Mouth(_smooth(other.opening), _smooth(other.spread))


def _smooth(track: Array) -> Array:
    padded = np.concatenate([track[:1], track, track[-1:]])
    return cast(Array, (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)
