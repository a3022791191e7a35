"""Small real video files for tests, whose frames say which they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from dfdetect.media.video import Frame

BITS = 8


def numbered(index: int, width: int = 128, height: int = 96) -> np.ndarray:
    """A picture whose upper half holds the index in eight black or white bars; below, a colour ramp from left to right.

    Returns:
        RGB uint8 [shape=(H, W, 3)].
    """
    image = np.empty((height, width, 3), np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (index >> (BITS - 1 - bit) & 1)
    ramp = np.linspace(30, 220, width).astype(np.uint8)
    image[height // 2 :] = np.stack([ramp, 250 - ramp, np.full(width, 90, np.uint8)], axis=1)
    return image


def number_of(image: np.ndarray) -> int:
    """The index that a picture shows."""
    height, width = image.shape[:2]
    row = image[height // 4].astype(int).sum(axis=1) > 3 * 128
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return int("".join(str(int(row[x])) for x in middles), 2)


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    fps: int = 25,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    rotation_ccw_deg: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures as a video track.

    Args:
        times: of the frames, in units of 1/fps; None counts up from 0.
        rotation_ccw_deg: what the display matrix asks a player to turn the picture by.
        options: of the container.
    """
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if codec == "libx264":
            stream.options = {"preset": "veryfast", "crf": "12", "bf": "2", "g": "30"}
        if rotation_ccw_deg:
            stream.set_display_rotation(rotation_ccw_deg)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts = index if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(frames: Sequence[Frame]) -> list[int]:
    """The indices that frames show."""
    return [number_of(frame.rgb) for frame in frames]
