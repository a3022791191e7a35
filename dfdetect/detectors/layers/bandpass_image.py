"""Bandpass of one picture in the frequency domain, with NumPy and OpenCV: to look at what a band holds.

    python -m dfdetect.detectors.layers.bandpass_image face.png band.png --sigma-low 0.5 --sigma-high 3

The filter is that of layers/bandpass.py, applied as a product of spectra instead of a convolution. No torch.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dfdetect.arguments import parser
from dfdetect.errors import UserError, run_cli


def gaussian_response(frequencies: np.ndarray, sigma: float) -> np.ndarray:
    """Frequency response of a Gaussian blur: exp(-2 pi^2 sigma^2 f^2).

    Args:
        frequencies: cycles per pixel, any shape.
        sigma: width (px), >= 0.
    """
    return np.exp(-2.0 * (np.pi * sigma * frequencies) ** 2)


def bandpass_response(height: int, width: int, sigma_low: float, sigma_high: float) -> np.ndarray:
    """Response of G(sigma_low) - G(sigma_high) on the grid of `np.fft.rfft2` [shape=(height, width // 2 + 1)].

    Args:
        height, width: the picture's size (px).
        sigma_low, sigma_high: widths of the two blurs (px), 0 <= sigma_low < sigma_high.
    Raises:
        ValueError: the widths are not in that order.
    """
    if not 0.0 <= sigma_low < sigma_high:
        raise ValueError(f"sigma_low {sigma_low} and sigma_high {sigma_high}: need 0 <= sigma_low < sigma_high.")
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    return gaussian_response(radius, sigma_low) - gaussian_response(radius, sigma_high)


def filter_image(image: np.ndarray, sigma_low: float, sigma_high: float) -> np.ndarray:
    """Keep the band between two blurs.

    Args:
        image: any numbers [shape=(H, W) or (H, W, C)]; borders are mirrored by 4 sigma_high, as far as H and W allow.
        sigma_low, sigma_high: widths of the two blurs (px), 0 <= sigma_low < sigma_high.
    Returns:
        float64 of the same shape, about 0 on average.
    """
    height, width = image.shape[:2]
    border = min(int(np.ceil(4.0 * sigma_high)), height - 1, width - 1)
    padded = np.pad(
        image.astype(np.float64), [(border, border), (border, border), *[(0, 0)] * (image.ndim - 2)], "reflect"
    )
    response = bandpass_response(padded.shape[0], padded.shape[1], sigma_low, sigma_high)
    response = response.reshape(response.shape + (1,) * (image.ndim - 2))
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * response
    filtered = np.fft.irfft2(spectrum, s=padded.shape[:2], axes=(0, 1))
    return filtered[border : border + height, border : border + width]


def to_picture(filtered: np.ndarray) -> np.ndarray:
    """Signed values as a viewable uint8 picture: 0 is mid-grey, the 99.5th percentile of |value| black or white."""
    reach = float(np.quantile(np.abs(filtered), 0.995)) or 1.0
    return np.clip(np.rint(127.5 + 127.5 * filtered / reach), 0, 255).astype(np.uint8)


def save_picture(path: Path, filtered: np.ndarray) -> None:
    """Write a filtered RGB or grey image as a picture; the format follows the suffix.

    Raises:
        UserError: the file cannot be written.
    """
    picture = to_picture(filtered)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    try:
        written = cv2.imwrite(str(path), picture)
    except cv2.error:
        written = False
    if not written:
        raise UserError(f"{path} cannot be written: is the folder there, and does the name end in .png or .jpg?")


def main() -> None:
    """Read a picture, filter it, save the band."""
    arguments = parser("dfdetect.detectors.layers.bandpass_image", __doc__)
    arguments.add_argument("image", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--sigma-low", type=float, default=0.5, help="px; smaller keeps finer detail")
    arguments.add_argument("--sigma-high", type=float, default=3.0, help="px; larger keeps coarser detail")
    options = arguments.parse_args()
    if not 0.0 <= options.sigma_low < options.sigma_high:
        raise UserError(f"--sigma-low {options.sigma_low} must be below --sigma-high {options.sigma_high}, and >= 0.")
    image = cv2.imread(str(options.image), cv2.IMREAD_COLOR_RGB) if options.image.is_file() else None
    if image is None:
        raise UserError(f"{options.image} is missing or no picture.")
    save_picture(options.out, filter_image(image, options.sigma_low, options.sigma_high))


if __name__ == "__main__":
    run_cli(main)
