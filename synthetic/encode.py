"""Frames and samples to an mp4 file: H.264 (yuv420p) and AAC, the same bytes on every run.

One thread, no encoder version or date in the file, no rate control that rounds by processor type (macroblock-tree uses
approximate reciprocals, which differ between makers).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np

from synthetic.paint import Array

if TYPE_CHECKING:
    import numpy.typing as npt

_X264 = (
    "threads=1:lookahead-threads=1:sliced-threads=0:mbtree=0:rc-lookahead=0:sync-lookahead=0:bframes=2:b-adapt=0:psy=0"
)
AUDIO_BITRATE = 64_000


def write_mp4(
    path: Path, frames: Iterable[Array], samples: Array | None, *, fps: float, size: int, crf: int, sample_rate: int
) -> None:
    """Write one clip.

    Args:
        path: the file; its folder exists. Written beside it first, then moved into place.
        frames: RGB uint8 [shape=(size, size, 3)] each.
        samples: int16 mono [shape=(N,)], or None for a file without sound.
        fps: frames a second.
        size: side of the frames in pixels, even.
        crf: H.264 constant rate factor.
        sample_rate: of the sound, in Hz.
    """
    partial = path.with_name(f".{path.name}.partial")
    with av.open(str(partial), "w", format="mp4", options={"fflags": "+bitexact"}) as box:
        rate = Fraction(fps).limit_denominator(1001)
        video = box.add_stream(
            "libx264", rate=rate, options={"preset": "superfast", "crf": str(crf), "x264-params": _X264}
        )
        video.width, video.height, video.pix_fmt = size, size, "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.time_base = 1 / rate
        video.codec_context.flags |= int(av.codec.context.Flags.bitexact)
        sound = _Sound(box, samples, sample_rate) if samples is not None else None
        for index, picture in enumerate(frames):
            planes = cast("npt.NDArray[np.uint8]", cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            box.mux(video.encode(frame))
            if sound is not None:
                sound.write((index + 1) / fps)
        box.mux(video.encode(None))
        if sound is not None:
            sound.close()
    with partial.open("rb") as file:
        os.fsync(file.fileno())  # a film under its own name is whole, whatever happens
    partial.replace(path)


class _Sound:
    """The AAC track: written along with the frames, so that the file is interleaved."""

    def __init__(self, box: av.container.OutputContainer, samples: Array, sample_rate: int) -> None:
        self._box, self._samples, self._rate, self._at = box, samples, sample_rate, 0
        self._stream = box.add_stream("aac", rate=sample_rate, options={"aac_coder": "fast"})
        self._stream.layout = "mono"
        self._stream.bit_rate = AUDIO_BITRATE
        self._stream.codec_context.flags |= int(av.codec.context.Flags.bitexact)

    def write(self, until_s: float) -> None:
        """Encode the whole AAC frames (1024 samples) that end before a time."""
        stop = min(len(self._samples), round(until_s * self._rate))
        while stop - self._at >= 1024:
            self._encode(self._samples[self._at : self._at + 1024])

    def close(self) -> None:
        """Encode the rest."""
        while self._at < len(self._samples):
            self._encode(self._samples[self._at : self._at + 1024])
        self._box.mux(self._stream.encode(None))

    def _encode(self, part: Array) -> None:
        floats = part[None, :].astype(np.float32) / np.float32(32768)
        frame = av.AudioFrame.from_ndarray(floats, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._at, Fraction(1, self._rate)
        self._box.mux(self._stream.encode(frame))
        self._at += len(part)
