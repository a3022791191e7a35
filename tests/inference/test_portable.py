"""Operators put as matrix products give what torch's own give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.inference.portable import Portable

SIDES = st.integers(2, 20)


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES)
def test_fourier_transforms(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height * width))

    def spectrum(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(torch.fft.rfft2(x, norm="ortho"))

    def back(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft2(torch.view_as_complex(x), s=(height, width), norm="ortho")

    expected = spectrum(x)
    with Portable():
        torch.testing.assert_close(spectrum(x), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(back(spectrum(x)), x, atol=1e-5, rtol=1e-4)
        shifted = (
            torch.fft.fftshift(x, dim=-2),
            torch.fft.fftshift(torch.fft.fftfreq(height)),
            torch.fft.rfftfreq(width),
        )
    assert torch.equal(shifted[0], torch.fft.fftshift(x, dim=-2))
    torch.testing.assert_close(shifted[1], torch.fft.fftshift(torch.fft.fftfreq(height)))
    torch.testing.assert_close(shifted[2], torch.fft.rfftfreq(width))


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.integers(1, 20), st.integers(1, 20))
def test_pooling(height: int, width: int, rows: int, columns: int) -> None:
    x = torch.randn(2, 1, height, width, generator=torch.Generator().manual_seed(height + width))
    expected = F.adaptive_avg_pool2d(x, (rows, columns))
    with Portable():
        torch.testing.assert_close(F.adaptive_avg_pool2d(x, (rows, columns)), expected, atol=1e-5, rtol=1e-4)


def test_padding_and_reshaping_are_the_same() -> None:
    x = torch.randn(2, 3, 8, 9)
    kernel = torch.ones(3, 1, 3, 3) / 9

    def both(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(F.pad(x, (2, 1, 3, 4), mode="reflect"), (1, 1))
        return F.conv2d(padded, kernel, groups=3).flatten(0, 1).unflatten(0, (2, 3))

    expected = both(x)
    with Portable():
        torch.testing.assert_close(both(x), expected)


def test_another_normalisation_is_refused() -> None:
    with Portable(), pytest.raises(NotImplementedError, match="backward"):
        torch.fft.rfft2(torch.ones(4, 4), norm="backward")
