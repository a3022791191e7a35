"""Rendered clips as files: mp4 with H.264 and AAC, or folders of face crops."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from synthetic.clip import render_clip
from synthetic.plan import ClipPlan

# One thread, and no rate control that looks ahead: a file's bytes follow from its frames.
_X264 = (
    "threads=1:lookahead-threads=1:sliced-threads=0:mbtree=0:rc-lookahead=0:sync-lookahead=0:bframes=2:b-adapt=0:psy=0"
)
_AUDIO_BITRATE = 64_000
_CROP_SIZE = 256


def write_clip(plan: ClipPlan, path: Path, crops: int = 0) -> None:
    """Render one clip into an mp4 file, which is whole once it has its name, or into a folder of that many crops."""
    if crops:
        _write_crops(plan, path, crops)
        return
    partial = path.with_name(f".{path.name}.partial")
    _write_mp4(plan, partial)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def _write_mp4(plan: ClipPlan, path: Path) -> None:
    """H.264 (yuv420p) and, unless the clip is silent, AAC; the same bytes on every run."""
    clip, source = render_clip(plan), plan.source
    # max_interleave_delta 0: packets of the sound, which is encoded first, wait for those of the picture.
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "max_interleave_delta": "0"}) as file:
        coding = {"preset": "superfast", "crf": str(source.crf), "x264-params": _X264}
        video = file.add_stream("libx264", rate=Fraction(source.fps).limit_denominator(1001), options=coding)
        video.width, video.height, video.pix_fmt = source.size, source.size, "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.flags |= int(av.codec.context.Flags.bitexact)
        if plan.has_sound:
            audio = file.add_stream("aac", rate=clip.sample_rate, layout="mono", options={"aac_coder": "fast"})
            audio.bit_rate = _AUDIO_BITRATE
            audio.codec_context.flags |= int(av.codec.context.Flags.bitexact)
            sound = av.AudioFrame.from_ndarray(clip.samples[None], format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = clip.sample_rate, 0, Fraction(1, clip.sample_rate)
            file.mux([*audio.encode(sound), *audio.encode(None)])
        for frame in clip.frames:
            planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        file.mux(video.encode(None))


def _write_crops(plan: ClipPlan, folder: Path, count: int) -> None:
    """Square crops of the face, evenly spread over the clip, as PNG files 000.png ..."""
    clip, size = render_clip(plan), plan.source.size
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [int((k + 0.5) * plan.frames / count) for k in range(min(count, plan.frames))]
    for index, frame in enumerate(clip.frames):
        if index in chosen:
            x0, y0, x1, y1 = clip.face_boxes[index]
            side = min(round(1.3 * max(x1 - x0, y1 - y0)), size)
            left, top = (int(np.clip((a + b - side) / 2, 0, size - side)) for a, b in ((x0, x1), (y0, y1)))
            crop = cv2.resize(frame[top : top + side, left : left + side], (_CROP_SIZE, _CROP_SIZE))
            cv2.imwrite(str(folder / f"{chosen.index(index):03d}.png"), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
