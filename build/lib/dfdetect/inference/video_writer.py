"""Write H.264 video whose frames have times of their own, with the sound of the file that they come from.

PyAV rather than ffmpeg-python: raw frames on FFmpeg's pipe carry no times, and a phone's frames are not evenly spaced.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from dfdetect.media.audio import AudioError, decode_audio
from dfdetect.media.frames import Rgb

TICKS_PER_S = 90_000  # fine enough for any frame rate, and what mp4 players expect
CRF = 20  # visually all but lossless
AUDIO_RATE_HZ = 48_000


class VideoWriter:
    """Write frames as mp4 with the sound of a source file, in mono, where it has some that decodes.

    Args:
        path: of the video.
        source: the file whose sound goes along; its time 0 is that of the first frame.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self.source = path, source
        self._video: Any = None
        self._audio: Any = None
        self._tick, self._step, self._offset = -1, 1, 0
        self._samples, self._next_sample, self._first_sample = np.zeros(0, np.float32), 0, 0

    def __enter__(self) -> VideoWriter:
        self._container = av.open(str(self.path), "w", format="mp4", options={"movflags": "+faststart"})
        return self

    def write(self, picture: Rgb, time_s: float) -> None:
        """Append a frame.

        Args:
            picture: RGB with even sides [shape=(H, W, 3)]; every frame of one size.
            time_s: when it is shown, from 0 on; where it falls, a second recording begins.
        """
        if self._video is None:
            self._add_streams(picture.shape[1], picture.shape[0])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        tick = round(time_s * TICKS_PER_S) + self._offset
        if tick < self._tick:  # two recordings in one file: the second goes on where the first ends, as its sound does
            self._offset += self._tick + self._step - tick
            tick = self._tick + self._step
        tick = max(tick, self._tick + 1)  # equal times would be refused
        self._tick, self._step = tick, tick - self._tick
        frame.pts, frame.time_base = tick, Fraction(1, TICKS_PER_S)
        self._container.mux(self._video.encode(frame))
        self._write_audio(tick * AUDIO_RATE_HZ // TICKS_PER_S)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None and self._video is not None:
            self._write_audio(self._first_sample + len(self._samples))
            for stream in filter(None, (self._video, self._audio)):
                self._container.mux(stream.encode(None))
        self._container.close()

    def _add_streams(self, width: int, height: int) -> None:
        """All streams, before the first packet is written: later ones would not be in the header."""
        self._video = self._container.add_stream("libx264", options={"crf": str(CRF), "preset": "veryfast"})
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = Fraction(1, TICKS_PER_S)
        try:
            track = decode_audio(self.source, AUDIO_RATE_HZ)
        except AudioError:
            return
        self._first_sample = round(track.start_s * AUDIO_RATE_HZ)
        before = max(0, -self._first_sample)  # before the first frame
        self._samples = track.samples[before:].astype(np.float32)
        self._next_sample = self._first_sample = max(0, self._first_sample)
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE_HZ, layout="mono")

    def _write_audio(self, end: int) -> None:
        """Append the sound up to a sample, counted from time 0."""
        part = self._samples[self._next_sample - self._first_sample : max(0, end - self._first_sample)]
        if len(part):
            frame = av.AudioFrame.from_ndarray(part[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE_HZ, self._next_sample, Fraction(1, AUDIO_RATE_HZ)
            self._container.mux(self._audio.encode(frame))
            self._next_sample += len(part)
