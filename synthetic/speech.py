"""Speech from a formant synthesiser: syllables with pitch, vowels, consonants and pauses, and the mouth that says them.

Harmonics of a gliding pitch are weighted by the resonances of a vocal tract (source-filter model, Fant 1960); noise
stands for consonants. The mouth follows the loudness of the finished sound, so that picture and sound agree.
"""

from __future__ import annotations

import numpy as np

from synthetic.painting import Array, noise
from synthetic.people import Voice

_CONTROL_HZ = 100  # steps a second of pitch, formants and loudness
# Vowels: first three formants in Hz of an average male tract (Peterson and Barney 1952), jaw opening and lip spread.
_VOWELS = np.array(
    [
        (270, 2290, 3010, 0.35, 0.9),  # i
        (530, 1840, 2480, 0.65, 0.4),  # E
        (660, 1720, 2410, 0.85, 0.3),  # ae
        (730, 1090, 2440, 1.00, 0.0),  # a
        (570, 840, 2410, 0.75, -0.6),  # O
        (300, 870, 2240, 0.30, -1.0),  # u
        (640, 1190, 2390, 0.75, 0.0),  # V
        (490, 1350, 1690, 0.55, -0.2),  # er
    ]
)
_BANDWIDTHS_HZ = (80.0, 110.0, 160.0, 220.0)
_TOP_HZ = 4600  # no harmonic above


def synthesise(
    voice: Voice, rng: np.random.Generator, *, frames: int, fps: float, sample_rate: int, vocoded: bool = False
) -> tuple[Array, Array]:
    """Speak for the length of a clip.

    Args:
        voice: who speaks.
        rng: draws what is said, the loudness and the ambient noise.
        frames, fps: length of the clip; the sound is exactly as long.
        sample_rate: in Hz.
        vocoded: hold pitch and timbre still for 12.5 ms at a time, as a frame-wise vocoder does.
    Returns:
        Samples, int16 mono [shape=(N,)], and the mouth that says them: opening 0..1 and lip spread -1..1 in each frame
        [shape=(T, 2)].
    """
    count = round(frames / fps * sample_rate)
    score = _random_score(voice, rng, int(np.ceil(frames / fps * _CONTROL_HZ)) + 2)
    steps = np.arange(len(score))
    hold = round(sample_rate * 0.0125) if vocoded else 1
    at = (np.arange(count) // hold * hold) * (_CONTROL_HZ / sample_rate)
    f0_hz, loud, hissing = (np.interp(at, steps, track) for track in score.T[:3])
    turn = np.exp(2j * np.pi * np.cumsum(f0_hz) / sample_rate)
    voiced, tone = np.zeros(count), np.ones(count, complex)
    for weight in _harmonics(voice, score):
        tone *= turn
        voiced += np.interp(at, steps, weight) * tone.imag
    air = rng.standard_normal(count)
    hiss = np.convolve(air, [1, -0.9])[:count] * hissing
    sound = voiced * loud + 0.35 * hiss + 0.5 * voice.breath * air * loud
    ambient = np.convolve(rng.standard_normal(count), [1, 0.9])[:count] * rng.uniform(0.0006, 0.003)
    sound = sound * rng.uniform(0.10, 0.22) / max(float(np.sqrt(np.mean(sound**2))), 1e-6) + ambient
    samples = np.clip(np.rint(sound * 32767), -32767, 32767).astype(np.int16)
    return samples, _mouth(samples, score, frames, fps, sample_rate)


def _random_score(voice: Voice, rng: np.random.Generator, steps: int) -> Array:
    """What is said: words of three to eight syllables with pauses between them.

    Returns:
        At every control step pitch in Hz, loudness of voice and of consonants, and as of the vowels three formants, jaw
        and lips [shape=(steps, 8)].
    """
    score = np.tile((0.0, 0.0, 0.0, 500.0, 1500.0, 2500.0, 0.0, 0.0), (steps, 1))
    at = int(rng.integers(0, 28))  # every clip starts with a pause of its own length
    syllables = int(rng.integers(3, 9))
    while at < steps - 4:
        length = max(11, int(_CONTROL_HZ / voice.rate * rng.uniform(0.7, 1.35)))
        onset = int(length * rng.uniform(0.18, 0.34))
        step = np.arange(length)
        loud = np.clip(np.minimum((step - onset + 1) / 4, (length - step) / 6), 0, 1) * rng.uniform(0.6, 1.0)
        score[at : at + length, 1] = loud[: steps - at]
        score[at : at + length, 3:] = _VOWELS[rng.integers(len(_VOWELS))]
        if rng.uniform() < 0.6:
            score[at : at + onset, 2] = rng.uniform(0.05, 0.45)
        at += length
        syllables -= 1
        if syllables == 0:
            at += int(rng.integers(18, 52))
            syllables = int(rng.integers(3, 9))
    for track, radius in zip(score.T[1:], (2, 1, 3, 3, 3, 5, 5), strict=True):  # tongue and jaw take time to move
        width = 2 * radius + 1
        track[:] = np.convolve(np.pad(track, radius, mode="edge"), np.full(width, 1 / width), "valid")
    swing = 1 + voice.f0_swing * noise(rng, (steps, 1), 22)[:, 0] + 0.006 * rng.standard_normal(steps)
    score[:, 0] = voice.f0_hz * np.linspace(1.08, 0.93, steps) * np.clip(swing, 0.7, 1.5)
    score[:, 3:6] *= voice.formants
    return score


def _harmonics(voice: Voice, score: Array) -> Array:
    """Loudness of each harmonic at each control step [shape=(K, S)]."""
    k = np.arange(1, int(min(42, 4300 / voice.f0_hz)) + 1)[:, None]
    f = score[:, 0] * k
    gain = 1 / (k * np.sqrt(1 + voice.tilt * k * 0.08))
    fourth = np.full(len(score), 3500.0 * voice.formants)
    for centre, width in zip([*score.T[3:6], fourth], _BANDWIDTHS_HZ, strict=True):
        ratio = f / centre
        gain = gain / np.sqrt((1 - ratio**2) ** 2 + (ratio * width / centre) ** 2)
    return np.minimum(gain, 30.0) * np.sqrt(k) * (f < _TOP_HZ)


def _mouth(samples: Array, score: Array, frames: int, fps: float, sample_rate: int) -> Array:
    """Mouth opening from the loudness within 30 ms of each frame's time, and lip spread from the vowel."""
    middle = (np.arange(frames) + 0.5) / fps
    energy = np.concatenate([[0], np.cumsum(samples.astype(np.int64) ** 2)])
    start, stop = (np.clip((middle + d) * sample_rate, 0, len(samples)).astype(int) for d in (-0.030, 0.030))
    loudness = np.sqrt((energy[stop] - energy[start]) / np.maximum(1, stop - start))
    relative = np.clip((loudness / max(float(np.quantile(loudness, 0.92)), 1.0) - 0.06) / 0.94, 0, 1.15)
    jaw, lips = score[np.clip(np.rint(middle * _CONTROL_HZ).astype(int), 0, len(score) - 1), 6:].T
    opening = np.clip(np.sqrt(relative) * (0.45 + 0.55 * jaw), 0, 1)
    return np.stack([opening, lips * np.clip(relative * 3, 0, 1)], axis=1)
