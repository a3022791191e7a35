"""Small whole media files that mutations start from: a drawn face that talks, in each container and codec."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from tests.drawn_faces import drawn_face
from tests.media.video_files import write_video
from tests.pipeline.awkward_files import join
from tests.sound_files import tone, write_sound

SIDE, FRAMES = 128, 6
# No random ids and no names of encoders: the bytes are the same at every call.
EXACT = {"fflags": "+bitexact"}
# name -> (video codec, pixel format, sound codec or None)
CLIP_FILES = {
    "h264.mp4": ("libx264", "yuv420p", "aac"),
    "h264.mkv": ("libx264", "yuv420p", "flac"),
    "mjpeg.mov": ("mjpeg", "yuvj420p", "pcm_s16le"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "vp8.webm": ("libvpx", "yuv420p", None),
    "mpeg4.avi": ("mpeg4", "yuv420p", None),
    "mpeg2.ts": ("mpeg2video", "yuv420p", None),
}


def make_seeds() -> dict[str, bytes]:
    """Name -> content: videos, two WAV files (whole numbers and floats), and images."""
    pictures = [drawn_face(1, size=SIDE, opening=0.1 + 0.1 * (i % 4)).image for i in range(FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        made = {name: _video(Path(folder), name, pictures) for name in CLIP_FILES}
        voice = tone(16000, 0.25)[None]
        for name, codec in (("s16.wav", "pcm_s16le"), ("f32.wav", "pcm_f32le")):
            made[name] = write_sound(Path(folder, name), voice, 16000, codec=codec).read_bytes()
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tif"):
        options = [cv2.IMWRITE_WEBP_QUALITY, 80] if suffix == ".webp" else []
        made[f"face{suffix}"] = bytes(cv2.imencode(suffix, np.ascontiguousarray(pictures[0][..., ::-1]), options)[1])
    return made


def _video(folder: Path, name: str, pictures: list[np.ndarray]) -> bytes:
    codec, pix_fmt, sound = CLIP_FILES[name]
    video = write_video(
        folder / f"mute.{'mp4' if codec == 'libx264' else name}", pictures, codec=codec, pix_fmt=pix_fmt, options=EXACT
    )
    if sound is None:
        return video.read_bytes()
    voice = write_sound(folder / "voice.mkv", tone(48000, 0.25)[None], 48000, codec=sound)
    return join(folder / name, video, voice, EXACT).read_bytes()
