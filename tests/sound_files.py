"""Media files with a known sound, written with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def tone(rate: int, seconds: float, hz: float = 440.0, level: float = 0.3) -> np.ndarray:
    """A sine [float32, shape=(N,)]."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write_sound(
    path: Path,
    channels: np.ndarray,
    rate: int,
    *,
    codec: str = "pcm_s16le",
    starts_s: tuple[float, ...] = (0.0,),
    video_start_s: float | None = None,
    container: str | None = None,
) -> Path:
    """Write one audio track, and a grey video track if `video_start_s` says when it begins.

    Args:
        path: its suffix names the container, unless `container` does.
        channels: [float32, shape=(C, N)], C 1 or 2.
        rate: of the samples (Hz).
        codec: an encoder's name.
        starts_s: when each equal piece of the samples begins; a hole lies between pieces that do not meet.
        video_start_s: when the video begins (s).
        container: libav's name of the format.
    """
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    with av.open(str(path), "w", format=container) as output:
        sound = output.add_stream(codec, rate=rate, layout=layout)
        picture = None
        if video_start_s is not None:
            picture = output.add_stream("libx264", rate=25)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            picture.max_b_frames = 0
            picture.codec_context.time_base = Fraction(1, 1000)
        for start_s, piece in zip(starts_s, np.array_split(channels, len(starts_s), axis=1), strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece, np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start_s * rate)
            size = sound.codec_context.frame_size or 1000
            resampler = av.AudioResampler(format=sound.codec_context.format, layout=layout, rate=rate, frame_size=size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(sound.encode(part))
        output.mux(sound.encode(None))
        if picture is not None and video_start_s is not None:
            for number in range(12):
                still = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
                still.time_base, still.pts = Fraction(1, 1000), round(1000 * video_start_s) + 40 * number
                output.mux(picture.encode(still))
            output.mux(picture.encode(None))
    return path
