"""`dfdetect bandpass IMAGE OUT`: the band of an image between two Gaussian blurs, to see what a bandpass layer keeps.

The filter is that of layers/bandpass.py, applied as a product of spectra instead of a convolution. Imports no torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dfdetect.errors import UserError


def gaussian_response(frequencies: np.ndarray, sigma: float) -> np.ndarray:
    """Frequency response of a Gaussian blur, exp(-2 pi^2 sigma^2 f^2), at frequencies f in cycles per pixel."""
    return np.exp(-2.0 * (np.pi * sigma * frequencies) ** 2)


def filter_image(image: np.ndarray, sigma_low: float, sigma_high: float) -> np.ndarray:
    """Keep the band between two blurs.

    Args:
        image: any numbers [shape=(H, W, C)]; borders are mirrored by 4 sigma_high, as far as H and W allow.
        sigma_low, sigma_high: widths of the two blurs (px), 0 <= sigma_low < sigma_high.
    Returns:
        float64 of the same shape, about 0 on average.
    Raises:
        ValueError: the widths are not in that order.
    """
    if not 0.0 <= sigma_low < sigma_high:
        raise ValueError(f"sigma_low {sigma_low} and sigma_high {sigma_high}: need 0 <= sigma_low < sigma_high.")
    height, width = image.shape[:2]
    border = min(int(np.ceil(4.0 * sigma_high)), height - 1, width - 1)
    padded = np.pad(image.astype(np.float64), [(border, border), (border, border), (0, 0)], "reflect")
    rows, columns = padded.shape[:2]
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])  # cycles per pixel
    response = gaussian_response(radius, sigma_low) - gaussian_response(radius, sigma_high)
    filtered = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * response[..., None], s=(rows, columns), axes=(0, 1))
    return filtered[border : border + height, border : border + width]


def to_picture(filtered: np.ndarray) -> np.ndarray:
    """Signed values as a viewable uint8 image: 0 is mid-grey, the 99.5th percentile of |value| black or white."""
    reach = float(np.quantile(np.abs(filtered), 0.995)) or 1.0
    return np.clip(np.rint(127.5 + 127.5 * filtered / reach), 0, 255).astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read an image, filter it, save its band."""
    parser = argparse.ArgumentParser(
        prog="dfdetect bandpass", description="Save the band of an image between two Gaussian blurs."
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sigma-low", type=float, default=0.79, help="px; smaller keeps finer detail (default: 0.79)")
    parser.add_argument(
        "--sigma-high", type=float, default=4.76, help="px; larger keeps coarser detail (default: 4.76)"
    )
    options = parser.parse_args(arguments)
    if not 0.0 <= options.sigma_low < options.sigma_high:
        raise UserError(f"--sigma-low {options.sigma_low} must be below --sigma-high {options.sigma_high}, and >= 0.")
    image = cv2.imread(str(options.image), cv2.IMREAD_COLOR) if options.image.is_file() else None
    if image is None:
        raise UserError(f"{options.image} is missing or is not an image.")
    picture = to_picture(filter_image(image, options.sigma_low, options.sigma_high))
    try:
        written = cv2.imwrite(str(options.out), picture)
    except cv2.error:
        written = False
    if not written:
        raise UserError(f"{options.out} cannot be written: does the folder exist, and does it end in .png or .jpg?")
