"""Speech from a formant synthesiser: syllables with pitch, vowels, consonants and pauses, and the mouth that says them.

Harmonics of a gliding pitch are weighted by the resonances of a vocal tract (source-filter model, Fant 1960); noise
stands for consonants. The mouth follows the loudness of the finished sound, so that picture and sound agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from synthetic.anatomy import Voice
from synthetic.paint import Array, quantise, smooth_noise

CONTROL_HZ = 100  # steps a second of pitch, formants and loudness
# First three formants in Hz of an average male tract (Peterson and Barney 1952), jaw opening and lip spread.
_VOWELS: tuple[tuple[float, float, float, float, float], ...] = (
    (270, 2290, 3010, 0.35, 0.9),  # i
    (390, 1990, 2550, 0.45, 0.6),  # I
    (530, 1840, 2480, 0.65, 0.4),  # E
    (660, 1720, 2410, 0.85, 0.3),  # ae
    (730, 1090, 2440, 1.00, 0.0),  # a
    (570, 840, 2410, 0.75, -0.6),  # O
    (440, 1020, 2240, 0.50, -0.7),  # U
    (300, 870, 2240, 0.30, -1.0),  # u
    (640, 1190, 2390, 0.75, 0.0),  # V
    (490, 1350, 1690, 0.55, -0.2),  # er
)
_BANDWIDTHS = (80.0, 110.0, 160.0, 220.0)


@dataclass(frozen=True)
class Speech:
    """samples: int16 mono [shape=(N,)]; opening: mouth 0..1 and spread: lips -1..1, one value a frame [shape=(T,)]."""

    samples: Array
    opening: Array
    spread: Array


def synthesise(
    voice: Voice, rng: np.random.Generator, *, frames: int, fps: float, sample_rate: int, vocoded: bool = False
) -> Speech:
    """Speak for the length of a clip.

    Args:
        voice: who speaks.
        rng: draws what is said, the loudness and the room.
        frames, fps: length of the clip; the sound is exactly as long.
        sample_rate: in Hz.
        vocoded: hold pitch and timbre still for 12.5 ms at a time, as a frame-wise vocoder does.
    """
    seconds = frames / fps
    steps = int(np.ceil(seconds * CONTROL_HZ)) + 2
    score = _score(voice, rng, steps)
    count = round(seconds * sample_rate)
    hold = round(sample_rate * 0.0125) if vocoded else 1
    at = (np.arange(count) // hold * hold) * (CONTROL_HZ / sample_rate)
    index = at.astype(np.int64)
    part = (at - index).astype(np.float32)
    voiced = _voiced(voice, score, index, part, sample_rate)
    noise = rng.standard_normal(count).astype(np.float32)
    hiss = noise.copy()
    hiss[1:] -= 0.9 * noise[:-1]
    breath = noise * np.float32(voice.breath) * _at(score["loud"], index, part)
    sound = voiced + 0.35 * hiss * _at(score["hiss"], index, part) + 0.5 * breath
    level = rng.uniform(0.10, 0.22)
    power = np.sqrt(np.cumsum(sound.astype(np.float64) ** 2)[-1] / count)
    room = rng.standard_normal(count).astype(np.float32)
    room[1:] += room[:-1]
    sound = sound * np.float32(level / max(power, 1e-6)) + room * np.float32(rng.uniform(0.0006, 0.003))
    samples = np.clip(np.rint(quantise(sound).astype(np.float64) * 32767), -32767, 32767).astype(np.int16)
    opening, spread = _mouth(samples, score, frames, fps, sample_rate)
    return Speech(samples, opening, spread)


def _at(track: Array, index: Array, part: Array) -> Array:
    """A control track at every sample, by linear interpolation."""
    values = track.astype(np.float32)
    return cast(Array, values[index] * (1 - part) + values[index + 1] * part)


def _score(voice: Voice, rng: np.random.Generator, steps: int) -> dict[str, Array]:
    """Pitch, loudness, noise, formants, jaw and lips at every control step."""
    loud, hiss, jaw, lips = (np.zeros(steps) for _ in range(4))
    formants = np.tile(np.array([500.0, 1500.0, 2500.0]), (steps, 1))
    at = int(rng.integers(0, 28))  # every clip starts with a pause of its own length
    left = int(rng.integers(3, 9))
    while at < steps - 4:
        f1, f2, f3, open_, wide = _VOWELS[int(rng.integers(len(_VOWELS)))]
        length = max(11, int(CONTROL_HZ / voice.rate * rng.uniform(0.7, 1.35)))
        onset = int(length * rng.uniform(0.18, 0.34))
        stop = min(steps, at + length)
        shape = np.minimum(1, np.minimum((np.arange(length) - onset + 1) / 4, (length - np.arange(length)) / 6))
        loud[at:stop] = (np.clip(shape, 0, 1) * rng.uniform(0.6, 1.0))[: stop - at]
        if rng.uniform() < 0.6:
            hiss[at : min(steps, at + onset)] = rng.uniform(0.05, 0.45)
        jaw[at:stop], lips[at:stop] = open_, wide
        formants[at:stop] = (f1, f2, f3)
        at = stop
        left -= 1
        if left == 0:
            at += int(rng.integers(18, 52))
            left = int(rng.integers(3, 9))
    drop = np.linspace(1.08, 0.93, steps)
    swing = np.clip(1 + voice.f0_swing * smooth_noise(rng, steps, 22) + 0.006 * rng.standard_normal(steps), 0.7, 1.5)
    tracks = {"f0": voice.f0_hz * drop * swing, "loud": _soft(loud, 2), "hiss": _soft(hiss, 1)}
    tracks["jaw"], tracks["lips"] = _soft(jaw, 5), _soft(lips, 5)
    for k in range(3):
        tracks[f"F{k + 1}"] = _soft(formants[:, k], 3) * voice.formants
    return tracks


def _soft(track: Array, radius: int) -> Array:
    """Moving average over 2 * radius + 1 steps."""
    padded = np.concatenate([np.repeat(track[:1], radius), track, np.repeat(track[-1:], radius)])
    total = np.zeros_like(track)
    for k in range(2 * radius + 1):
        total = total + padded[k : k + len(track)]
    return total / (2 * radius + 1)


def _voiced(voice: Voice, score: dict[str, Array], index: Array, part: Array, sample_rate: int) -> Array:
    """Sum of harmonics; sin(k a) follows from sin((k-1) a) and sin((k-2) a), which needs one sine in all."""
    cycles = np.cumsum(_at(score["f0"], index, part).astype(np.float64) / sample_rate)
    angle = 2 * np.pi * (cycles - np.floor(cycles))
    sine = quantise(np.sin(angle) * 16) / 16
    twice = 2 * (quantise(np.cos(angle) * 16) / 16)
    count = int(min(42, 4300 / voice.f0_hz))
    weights = _weights(voice, score, count)
    before, now = np.zeros_like(sine), sine
    total = np.zeros_like(sine)
    for k in range(count):
        total += _at(weights[k], index, part) * now
        before, now = now, twice * now - before
    return total * _at(score["loud"], index, part)


def _weights(voice: Voice, score: dict[str, Array], count: int) -> Array:
    """Loudness of each harmonic at each control step [shape=(count, steps)]."""
    k = np.arange(1, count + 1)[:, None]
    f = score["f0"][None, :] * k
    gain = 1.0 / (k * np.sqrt(1 + voice.tilt * k * 0.08))
    centres = [score["F1"], score["F2"], score["F3"], np.full_like(score["F1"], 3500.0 * voice.formants)]
    for centre, width in zip(centres, _BANDWIDTHS, strict=True):
        ratio = f / centre[None, :]
        damping = ratio * width / centre[None, :]
        gain = gain / np.sqrt((1 - ratio * ratio) ** 2 + damping * damping)
    return cast(Array, np.minimum(gain, 30.0) * np.sqrt(k) * (f < 4600))


def _mouth(samples: Array, score: dict[str, Array], frames: int, fps: float, sample_rate: int) -> tuple[Array, Array]:
    """Mouth opening from the sound's loudness about each frame's time, and lip spread from the vowel."""
    energy = np.concatenate([[0], np.cumsum((samples.astype(np.int64)) ** 2)])
    centre = (np.arange(frames) + 0.5) / fps * sample_rate
    reach = 0.030 * sample_rate
    low = np.clip(centre - reach, 0, len(samples) - 1).astype(np.int64)
    high = np.clip(centre + reach, 1, len(samples)).astype(np.int64)
    loudness = np.sqrt((energy[high] - energy[low]) / np.maximum(1, high - low))
    top = np.sort(loudness)[int(0.92 * (frames - 1))]
    relative = np.clip((loudness / max(top, 1.0) - 0.06) / 0.94, 0, 1.15)
    step = np.clip(np.rint((np.arange(frames) + 0.5) / fps * CONTROL_HZ).astype(int), 0, len(score["jaw"]) - 1)
    opening = np.sqrt(relative) * (0.45 + 0.55 * score["jaw"][step])
    return np.clip(opening, 0, 1), score["lips"][step] * np.clip(relative * 3, 0, 1)
