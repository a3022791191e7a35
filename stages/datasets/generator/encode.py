"""Frames and samples to an mp4 file: H.264 (yuv420p) and AAC, the same bytes on every run.

One thread, no encoder version or date in the file, no rate control that rounds by processor type (macroblock-tree uses
approximate reciprocals, which differ between makers).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np

from stages.datasets.generator.paint import Array

if TYPE_CHECKING:
    import numpy.typing as npt

_X264 = (
    "threads=1:lookahead-threads=1:sliced-threads=0:mbtree=0:rc-lookahead=0:sync-lookahead=0:bframes=2:b-adapt=0:psy=0"
)
AUDIO_BITRATE = 64_000


def write_mp4(
    path: Path, frames: Iterable[Array], samples: Array, *, fps: float, size: int, crf: int, sample_rate: int
) -> None:
    """Write one clip.

    Args:
        path: the file; its folder exists. Written beside it first, then moved into place.
        frames: RGB uint8 [shape=(size, size, 3)] each.
        samples: int16 mono [shape=(N,)].
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
        audio = box.add_stream("aac", rate=sample_rate, options={"aac_coder": "fast"})
        audio.layout = "mono"
        audio.bit_rate = AUDIO_BITRATE
        audio.codec_context.flags |= int(av.codec.context.Flags.bitexact)
        written = 0
        for index, picture in enumerate(frames):
            planes = cast("npt.NDArray[np.uint8]", cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            for packet in video.encode(frame):
                box.mux(packet)
            until = min(len(samples), round((index + 1) / fps * sample_rate))
            written = _add_sound(box, audio, samples, written, until, sample_rate)
        for packet in video.encode(None):
            box.mux(packet)
        _add_sound(box, audio, samples, written, len(samples), sample_rate)
        for packet in audio.encode(None):
            box.mux(packet)
    partial.replace(path)


def _add_sound(
    box: av.container.OutputContainer, stream: av.AudioStream, samples: Array, start: int, stop: int, sample_rate: int
) -> int:
    """Encode samples[start:stop] in whole AAC frames of 1024, the rest at the end; returns how far it came."""
    while start < stop and (stop - start >= 1024 or stop == len(samples)):
        chunk = np.ascontiguousarray(samples[start : min(start + 1024, stop)])[None, :]
        floats = chunk.astype(np.float32) / np.float32(32768)
        frame = av.AudioFrame.from_ndarray(floats, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        for packet in stream.encode(frame):
            box.mux(packet)
        start += chunk.shape[1]
    return start
