"""Small real media files, encoded once a process."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np


@cache
def mp4(seed: int = 0, *, sound: bool = False) -> bytes:
    """A 64x48 clip of 10 frames at 25 fps; another seed gives other bytes."""
    random = np.random.default_rng(seed)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=16000) if sound else None
        for _ in range(10):
            picture = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None:
            noise = random.integers(-9000, 9000, (1, 6400)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            frame.sample_rate = 16000
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return buffer.getvalue()
