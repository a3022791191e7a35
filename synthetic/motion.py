"""How a head moves: pose, blinks, gaze, light and camera, one value a frame. Mouths come from speech.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic.paint import Array, smooth_noise


@dataclass(frozen=True)
class Motion:
    """Each field holds one value a frame, float64 [shape=(T,)].

    x, y: shift of the head in face units; roll: sine of its tilt; scale: nearness; yaw, pitch: shift of the nose
    against the outline in face units; blink: 0 open .. 1 closed; gaze_x, gaze_y: -1..1; gain: exposure; warmth: red
    against blue.
    """

    x: Array
    y: Array
    roll: Array
    scale: Array
    yaw: Array
    pitch: Array
    blink: Array
    gaze_x: Array
    gaze_y: Array
    gain: Array
    warmth: Array


def draw_motion(rng: np.random.Generator, frames: int, fps: float, *, liveliness: float) -> Motion:
    """Draw one clip's motion; liveliness scales the pose (1: a calm speaker)."""

    def wander(period_s: float, size: float) -> Array:
        return smooth_noise(rng, frames, max(2.0, period_s * fps)) * size * liveliness

    turn = wander(0.9, 0.075) + rng.uniform(-0.10, 0.10)
    gaze_x, gaze_y = _glances(rng, frames, fps)
    return Motion(
        x=wander(1.1, 0.055) + 0.35 * turn,
        y=wander(0.7, 0.035),
        roll=wander(1.2, 0.035) + rng.uniform(-0.03, 0.03),
        scale=1 + wander(1.4, 0.012),
        yaw=np.clip(turn, -0.24, 0.24),
        pitch=np.clip(wander(0.8, 0.045) + rng.uniform(-0.05, 0.05), -0.14, 0.14),
        blink=_blinks(rng, frames, fps),
        gaze_x=np.clip(gaze_x - 2.0 * turn, -1, 1),
        gaze_y=gaze_y,
        gain=1 + smooth_noise(rng, frames, 0.8 * fps) * 0.012 + np.linspace(-1, 1, frames) * rng.uniform(-0.03, 0.03),
        warmth=smooth_noise(rng, frames, 1.5 * fps) * 0.006,
    )


def _blinks(rng: np.random.Generator, frames: int, fps: float) -> Array:
    """Blinks of about a quarter of a second, every two seconds or so."""
    closed = np.zeros(frames)
    at = rng.uniform(0.2, 1.8)
    time = np.arange(frames) / fps
    while at < frames / fps:
        half_s = rng.uniform(0.10, 0.15)
        lid = np.clip(1 - np.abs(time - at) / half_s, 0, 1)
        closed = np.maximum(closed, np.clip(1.5 * lid, 0, 1))
        at += rng.uniform(1.0, 3.2)
    return closed


def _glances(rng: np.random.Generator, frames: int, fps: float) -> tuple[Array, Array]:
    """Gaze that rests and jumps."""
    x, y = np.zeros(frames), np.zeros(frames)
    start = 0
    while start < frames:
        stop = min(frames, start + max(3, int(rng.uniform(0.3, 1.3) * fps)))
        x[start:stop] = rng.uniform(-0.7, 0.7)
        y[start:stop] = rng.uniform(-0.5, 0.5)
        start = stop
    return x, y
