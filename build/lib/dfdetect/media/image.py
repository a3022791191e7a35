"""Images: files in, encoded bytes in and out, and a perceptual hash.

Everywhere inside Python an image is RGB uint8 [shape=(H, W, 3)].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dfdetect.errors import MediaError
from dfdetect.media.frames import UPRIGHT, Orientation, Rgb

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

# EXIF orientation -> how its pixels are laid out for display.
_ORIENTATIONS = {tag: Orientation(tag >= 5, tag in (2, 3, 6, 7), tag in (3, 4, 7, 8)) for tag in range(1, 9)}

_HASH_SIDE = 8
_DCT_SIDE = 32


def is_image(path: Path) -> bool:
    """Is it an image file, by its suffix?"""
    return path.suffix.lower() in IMAGE_SUFFIXES


def image_size(path: Path) -> tuple[int, int, int]:
    """Width, height as displayed (px) and the EXIF rotation already applied to them (degree, clockwise).

    Raises:
        MediaError: it is no image that can be read.
    """
    try:
        with _quiet_pillow(), Image.open(path) as image:
            # Pillow would decode a whole PNG to look for tags behind the pixels.
            tags = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            orientation = _ORIENTATIONS.get(tags.get(ExifTags.Base.Orientation, 1), UPRIGHT)
            # Of TIFF alone, Pillow tells the displayed size.
            size = image.size if image.format == "TIFF" else orientation.size(*image.size)
            return *size, orientation.rotation_deg
    except Image.DecompressionBombError as error:
        raise MediaError(str(error), "too_large") from None
    except (OSError, SyntaxError, ValueError) as error:
        if path.is_file() and _ends_early(path.read_bytes(), None):
            raise MediaError("the image ends early", "truncated") from None
        if isinstance(error, UnidentifiedImageError):
            raise MediaError("it is no image, though its name says so") from None
        raise MediaError(f"it cannot be read as an image: {error}") from None


def read_image(path: Path, *, max_pixels: int) -> Rgb:
    """An image file as RGB, upright by its EXIF orientation; transparency and depth beyond 8 bits are dropped.

    Args:
        max_pixels: a larger image is refused before it is decoded.
    Raises:
        MediaError: it is no image (unreadable), ends early (truncated) or is too large (too_large).
    """
    return read_image_with(path, max_pixels=max_pixels)[0]


def read_image_with(path: Path, *, max_pixels: int) -> tuple[Rgb, str]:
    """`read_image`, and the library that read it: OpenCV, or Pillow where OpenCV cannot."""
    width, height, _ = image_size(path)
    if width * height > max_pixels:
        raise MediaError(f"{width}x{height} px is more than max_pixels = {max_pixels}", "too_large")
    data = path.read_bytes()
    # OpenCV leaves AVIF as it is stored.
    pixels: Any = None if data[4:8] == b"ftyp" else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if _ends_early(data, pixels):
        raise MediaError("the image ends early", "truncated")
    if pixels is not None:
        return np.asarray(pixels, np.uint8), "OpenCV"
    try:
        with _quiet_pillow(), Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8), "Pillow"
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if "truncated" in str(error):
            raise MediaError("the image ends early", "truncated") from None
        raise MediaError(f"it cannot be decoded as an image: {error}") from None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow warns of large images; max_pixels is what refuses them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _ends_early(data: bytes, pixels: Rgb | None) -> bool:
    """Is the image cut, whatever lies behind it? Decoders fill a missing rest with grey and stay silent.

    Args:
        data: the file.
        pixels: as OpenCV decodes it; None if it does not.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_ends_early(data, pixels)
    if data.startswith(b"\x89PNG"):
        at, kind = 8, b""
        while kind != b"IEND" and kind.isalpha() | (at == 8):  # what follows a cut chunk has no name of letters
            size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            at += 12 + size
        return kind != b"IEND"
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data.startswith((b"II*\0", b"MM\0*")):
        return len(data) <= int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big")
    return False


def _jpeg_ends_early(data: bytes, pixels: Rgb | None) -> bool:
    """No end after the first scan; or, where what follows may hide it, FFmpeg's decoder misses some of the scans."""
    at, frame = 2, 0  # of the first scan, and its frame's kind: 0xc2 is progressive
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b""):
        frame = data[at + 1] if 0xC0 <= data[at + 1] <= 0xC3 else frame
        padded = data[at + 1] == 0xFF
        at += 1 if padded else 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    end = data.find(b"\xff\xd9", at)
    if end < 0 or data.find(b"\xff\xd8", at, end) >= 0:  # or another image begins
        return True
    # What libjpeg puts where data are missing; an orientation moves it to any of the corners.
    grey = pixels is not None and (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 128).all(axis=1).any()
    if frame != 0xC2 and not grey and not data[end + 2 :].strip(b"\0"):
        return False
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(data[: end + 2]))
    except av.error.InvalidDataError:
        return True
    except av.error.FFmpegError:  # a kind of JPEG that it does not know
        return False
    return False


def encode(image: Rgb, *, kind: str = "jpeg", quality: int = 95) -> bytes:
    """Encode for storage.

    Args:
        image: RGB [shape=(H, W, 3)] or grey [shape=(H, W)].
        kind: `jpeg` (colour at full resolution, 4:4:4) or `png` (lossless).
        quality: of JPEG, 1 to 100.
    Raises:
        ValueError: the kind is unknown or the image is not 8 bit.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"an image is uint8 with 2 or 3 axes, not {image.dtype} {image.shape}")
    pixels: Any = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if kind == "jpeg":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        done, data = cv2.imencode(".jpg", pixels, options)
    elif kind == "png":
        # Level and strategy are named so that a library's new defaults do not change stored bytes.
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
        done, data = cv2.imencode(".png", pixels, options)
    else:
        raise ValueError(f"unknown image kind {kind!r}: jpeg or png")
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as {kind}")
    return bytes(data)


def decode(data: bytes) -> Rgb:
    """Encoded bytes to RGB [shape=(H, W, 3)].

    Raises:
        ValueError: they are no image.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if pixels is None:
        raise ValueError(f"{len(data)} bytes that are no image")
    return np.asarray(pixels, np.uint8)


def decode_grey(data: bytes) -> NDArray[np.uint8]:
    """Encoded bytes to grey [shape=(H, W)].

    Raises:
        ValueError: they are no image.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if pixels is None:
        raise ValueError(f"{len(data)} bytes that are no image")
    return np.asarray(pixels, np.uint8)


def _cosines() -> NDArray[np.int64]:
    """Rows 1 to 8 of the 32-point DCT-II, in units of 2**-14."""
    rows = [
        [round(math.cos(math.pi * k * (2 * n + 1) / (2 * _DCT_SIDE)) * (1 << 14)) for n in range(_DCT_SIDE)]
        for k in range(1, _HASH_SIDE + 1)
    ]
    return np.array(rows, np.int64)


_COSINES = _cosines()


def phash(image: Rgb) -> int:
    """64-bit perceptual hash: near images have hashes that differ in few bits.

    The image is made grey, shrunk to 32x32 and transformed (DCT-II); bit i, counted from the highest, says whether the
    i-th of the 8x8 lowest non-constant coefficients lies above their median. The transform is in integers, so that the
    hash is the same on every processor.

    Args:
        image: RGB [shape=(H, W, 3)].
    Source: pHash's DCT hash (Zauner 2010); without its 7x7 mean filter, which area shrinking replaces.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_DCT_SIDE, _DCT_SIDE), interpolation=cv2.INTER_AREA).astype(np.int64)
    coefficients = (_COSINES @ small @ _COSINES.T).ravel()  # (64,)
    above = 2 * coefficients > sum(np.sort(coefficients)[31:33].tolist())
    return int.from_bytes(np.packbits(above).tobytes(), "big")
