"""Images: files in, encoded bytes in and out, and a perceptual hash.

Everywhere inside Python an image is RGB uint8 [shape=(H, W, 3)].
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from dfdetect.errors import MediaError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

Rgb = NDArray[np.uint8]

_ORIENTATION_TAG = 0x0112
# EXIF orientation -> degrees clockwise that display the image upright (mirrored kinds turn likewise).
_ORIENTATION_DEG = {1: 0, 2: 0, 3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                # Pillow would decode a whole PNG to look for tags behind the pixels.
                tags = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
                rotation_deg = _ORIENTATION_DEG.get(tags.get(_ORIENTATION_TAG, 1), 0)
    except Image.DecompressionBombError as error:
        raise MediaError(str(error), "too_large") from None
    except UnidentifiedImageError:
        raise MediaError("it is no image, though its name says so") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"it cannot be read as an image: {error}") from None
    return (height, width, rotation_deg) if rotation_deg in (90, 270) else (width, height, rotation_deg)


def read_image(path: Path, *, max_pixels: int) -> Rgb:
    """An image file as RGB, upright by its EXIF orientation; transparency and depth beyond 8 bits are dropped.

    Args:
        max_pixels: a larger image is refused before it is decoded.
    Raises:
        MediaError: it is no image (unreadable), ends early (truncated) or is too large (too_large).
    """
    width, height, _ = image_size(path)
    if width * height > max_pixels:
        raise MediaError(f"{width}x{height} px is more than max_pixels = {max_pixels}", "too_large")
    data = path.read_bytes()
    if _ends_early(data):
        raise MediaError("the image ends early", "truncated")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise MediaError("it cannot be decoded as an image")
    return np.asarray(pixels, np.uint8)


def _ends_early(data: bytes) -> bool:
    """JPEG and PNG say where they end; decoders fill a missing rest with grey and stay silent."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") < 0
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


def hamming(a: ArrayLike, b: ArrayLike) -> NDArray[np.uint8]:
    """Bits in which hashes differ, 0 to 64; the arguments broadcast.

    Args:
        a, b: 64-bit hashes.
    """
    return np.bitwise_count(np.asarray(a, np.uint64) ^ np.asarray(b, np.uint64))
