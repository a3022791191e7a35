"""Decoded sound on its way to one channel of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.audio.frame import AudioFrame

LOUDEST = 1e4  # full scales: a float sample beyond is no sound, and would make an infinite spectrogram
_DTYPES = {
    name: np.dtype(code)
    for name, code in (("u8", "u1"), ("s16", "i2"), ("s32", "i4"), ("s64", "i8"), ("flt", "f4"), ("dbl", "f8"))
}
_SAMPLES_A_BLOCK = 16384  # memory stays flat and the arrays in cache


class Block:
    """Samples of codec frames of one kind, gathered in a buffer that is used again: fresh memory for each costs more
    than the copying."""

    def __init__(self, kind: tuple[int, int, str], frame: AudioFrame) -> None:
        self.kind = kind
        self.rate_hz, self.channels, name = kind
        self.planar = frame.format.is_planar
        self.dtype: np.dtype[Any] = _DTYPES[name.removesuffix("p")]
        self.capacity = max(_SAMPLES_A_BLOCK, frame.samples)
        self.buffer = np.empty(
            (self.channels, self.capacity) if self.planar else (self.capacity, self.channels), self.dtype
        )
        self.count = 0

    def append(self, frame: AudioFrame) -> bool:
        """Copy the frame's samples; AudioFrame.to_ndarray costs three times this.

        Returns:
            whether all are sound: floats that are not, or infinitely loud, become zeros.
        """
        end = self.count + frame.samples
        if self.planar:
            for channel, plane in zip(self.buffer, frame.planes, strict=True):
                channel[self.count : end] = np.frombuffer(plane, self.dtype, frame.samples)  # type: ignore[call-overload]
        else:
            plane = frame.planes[0]
            packed = np.frombuffer(plane, self.dtype, frame.samples * self.channels)  # type: ignore[call-overload]
            self.buffer[self.count : end] = packed.reshape(-1, self.channels)
        copied = self.buffer[:, self.count : end] if self.planar else self.buffer[self.count : end]
        self.count = end
        if self.dtype.kind != "f":
            return True
        sound = np.abs(copied) <= LOUDEST  # false for what is not a number
        if sound.all():
            return True
        copied[~sound] = 0.0
        return False

    def mono(self) -> np.ndarray:
        """Take everything out: the mean of the channels, full scale 1.0 [float64, shape=(n,)]."""
        taken = self.buffer[:, : self.count].T if self.planar else self.buffer[: self.count]  # (n, channels)
        self.count = 0
        mono = taken.mean(axis=1, dtype=np.float64)
        if self.dtype.kind == "u":
            return (mono - 128.0) / 128.0
        return mono / 2.0 ** (8 * self.dtype.itemsize - 1) if self.dtype.kind == "i" else mono
