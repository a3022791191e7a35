"""Corruptions of images as videos meet them in circulation: each kind at a given strength, on a video's crops."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Corrupt = Callable[[list[Rgb], float], list[Rgb]]


class Corruption(NamedTuple):
    """One kind: how crops of one video (RGB, of one size) change, and whether attention masks move along."""

    apply: Corrupt
    moves: bool = False


def _each(change: Callable[[Rgb, float], Rgb], crops: list[Rgb], strength: float) -> list[Rgb]:
    return [change(crop, strength) for crop in crops]


def jpeg(crop: Rgb, quality: float) -> Rgb:
    """JPEG with 4:2:0 chroma, as cameras and web sites write it; 100 is the best quality."""
    good, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not good:
        raise ValueError("a crop cannot be encoded as JPEG")
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def h264(crops: list[Rgb], crf: float) -> list[Rgb]:
    """A video's crops as one H.264 video of 25 frames per second, and back; 0 is the best quality, 51 the worst."""
    height, width = crops[0].shape[:2]
    padded = [np.pad(crop, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") for crop in crops]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        options = {"crf": str(int(crf)), "preset": "medium", "threads": "1"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = padded[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, crop in enumerate(padded):
            # Converted here: left to the encoder, the conversion gave other pixels in 2 of 100 runs.
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(crop), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as back:
        found = [frame.to_ndarray(format="rgb24")[:height, :width].copy() for frame in back.decode(video=0)]
    if len(found) != len(crops):
        raise ValueError(f"{len(crops)} crops were encoded and {len(found)} came back")
    return [np.ascontiguousarray(crop, np.uint8) for crop in found]


def blur(crop: Rgb, sigma_px: float) -> Rgb:
    """Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), np.uint8)


def noise(crop: Rgb, deviation: float) -> Rgb:
    """White Gaussian noise, drawn from the crop's own bytes: the same crop gets the same noise."""
    seed = int(np.frombuffer(crop.tobytes()[: crop.size // 8 * 8], np.uint64).sum(dtype=np.uint64))
    drawn = np.random.default_rng(seed).normal(0.0, deviation, crop.shape)
    return _pixels(crop + drawn)


def downscale(crop: Rgb, factor: float) -> Rgb:
    """Shrink by area averaging and enlarge again by bilinear interpolation."""
    height, width = crop.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = cv2.resize(crop, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def brightness(crop: Rgb, factor: float) -> Rgb:
    """Every value times a factor."""
    return _pixels(crop.astype(np.float64) * factor)


def contrast(crop: Rgb, factor: float) -> Rgb:
    """Distances from the crop's mean grey times a factor."""
    mean = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).mean()
    return _pixels((crop - mean) * factor + mean)


def shift(crop: Rgb, fraction: float) -> Rgb:
    """The face off the centre: moved right and down by a fraction of the side, the border repeated."""
    height, width = crop.shape[:2]
    move = np.array([[1, 0, round(fraction * width)], [0, 1, round(fraction * height)]], np.float64)
    moved = cv2.warpAffine(crop, move, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _pixels(values: NDArray[np.float64]) -> Rgb:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    "jpeg": Corruption(partial(_each, jpeg)),
    "h264": Corruption(h264),
    "blur": Corruption(partial(_each, blur)),
    "noise": Corruption(partial(_each, noise)),
    "downscale": Corruption(partial(_each, downscale)),
    "brightness": Corruption(partial(_each, brightness)),
    "contrast": Corruption(partial(_each, contrast)),
    "shift": Corruption(partial(_each, shift), moves=True),
}
