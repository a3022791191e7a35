"""The learned bandpass layer and its NumPy counterpart, against the analytic difference of Gaussians."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.detectors import bandpass_image
from dfdetect.detectors.bandpass_image import filter_image, gaussian_response, to_picture
from dfdetect.detectors.layers.bandpass import BandpassLayer
from dfdetect.errors import UserError

SIZE = 96


def wave(frequency: float, angle: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.cos(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.8, 2.0), st.floats(0.5, 2.5), st.floats(0.02, 0.35), st.floats(0.0, 1.5))
def test_layer_has_the_analytic_response(sigma_low, delta, frequency, angle):
    layer = BandpassLayer(31, sigma_low, delta)
    x = wave(frequency, angle)
    y = layer(torch.from_numpy(x).float()[None, None])[0, 0].detach().numpy()
    expected = gaussian_response(np.array(frequency), sigma_low) - gaussian_response(
        np.array(frequency), sigma_low + delta
    )
    inner = slice(16, -16)  # away from the borders a wave only changes its height
    np.testing.assert_allclose(y[inner, inner], expected * x[inner, inner], atol=6e-3)


@settings(max_examples=10, deadline=None)
@given(st.floats(1.0, 2.0), st.floats(0.5, 2.5), st.integers(0, 100))
def test_image_utility_equals_the_layer(sigma_low, delta, seed):
    image = np.random.default_rng(seed).random((64, 80, 3))
    y = BandpassLayer(31, sigma_low, delta)(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    y = y[0].permute(1, 2, 0).detach().numpy()
    utility = filter_image(image, sigma_low, sigma_low + delta)
    np.testing.assert_allclose(utility, y, atol=0.004)


@pytest.mark.parametrize("sigma_low", [0.3, 0.5, 1.0])
def test_layer_has_the_response_of_its_sampled_kernels(sigma_low):
    layer = BandpassLayer(31, sigma_low, 2.0)
    narrow, wide = layer.kernels().detach().double().numpy()
    frequency = np.fft.fftfreq(SIZE)
    offsets = np.arange(-15, 16)

    def response(taps):
        line = (taps * np.cos(2 * np.pi * frequency[:, None] * offsets)).sum(1)
        return np.outer(line, line)

    impulse = torch.zeros(1, 1, SIZE, SIZE)
    impulse[0, 0, SIZE // 2, SIZE // 2] = 1.0
    spectrum = np.abs(np.fft.fft2(layer(impulse)[0, 0].detach().numpy()))
    np.testing.assert_allclose(spectrum, np.abs(response(narrow) - response(wide)), atol=1e-5)


def test_layer_removes_the_mean_exactly_and_is_linear():
    layer = BandpassLayer(31, 0.7, 2.0)
    assert layer(torch.full((1, 3, 40, 40), 0.8)).abs().max() < 1e-6
    a, b = torch.randn(1, 3, 40, 40), torch.randn(1, 3, 40, 40)
    torch.testing.assert_close(layer(a + 2 * b), layer(a) + 2 * layer(b), rtol=1e-4, atol=1e-5)


def test_channels_are_filtered_apart():
    x = torch.zeros(1, 3, 40, 40)
    x[0, 1, 20, 20] = 1.0
    y = BandpassLayer(31, 0.7, 2.0)(x)
    assert y[0, 1].abs().max() > 0.1
    assert y[0, [0, 2]].abs().max() == 0.0


def test_widths_start_where_asked_stay_positive_and_are_learned():
    layer = BandpassLayer(31, 0.5, 2.5)
    assert layer.sigma_low.item() == pytest.approx(0.5, abs=1e-5)
    assert layer.sigma_high.item() == pytest.approx(3.0, abs=1e-5)
    target = BandpassLayer(31, 1.2, 1.5)
    x = torch.randn(4, 3, 48, 48)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        (layer(x) - target(x).detach()).square().mean().backward()
        optimizer.step()
    assert layer.sigma_low.item() == pytest.approx(1.2, abs=0.05)
    assert layer.delta.item() == pytest.approx(1.5, abs=0.1)
    with torch.no_grad():
        layer.raw_sigma_low.fill_(-1e4), layer.raw_delta.fill_(-1e4)
    assert 0 < layer.sigma_low < layer.sigma_high
    assert torch.isfinite(layer(x)).all()


@pytest.mark.parametrize("arguments", [(30,), (1,), (31, 0.0), (31, 0.5, -1.0)])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must be|both must"):
        BandpassLayer(*arguments)


def test_utility_keeps_the_finest_detail_at_width_0_and_checks_the_order_of_widths():
    checkers = (np.indices((16, 16)).sum(0) % 2)[..., None] * 2.0 - 1.0  # the highest frequency there is
    np.testing.assert_allclose(filter_image(checkers, 0.0, 2.0), checkers, atol=1e-6)
    with pytest.raises(ValueError, match="sigma_low"):
        filter_image(checkers, 2.0, 2.0)


def test_pictures():
    picture = to_picture(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[128, 255], [0, 128]]
    assert (to_picture(np.zeros((4, 4))) == 128).all()


def test_command_writes_a_picture_and_needs_no_torch(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), image)
    code = "import sys; from dfdetect.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, "bandpass", str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    subprocess.run(command, check=True, timeout=60)
    written = cv2.imread(str(tmp_path / "out.png"))
    assert np.array_equal(written, to_picture(filter_image(image, 0.79, 4.76)))


def test_command_names_what_is_missing(tmp_path):
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UserError, match=r"none\.png is missing"):
        bandpass_image.main([str(tmp_path / "none.png"), str(tmp_path / "out.png")])
    with pytest.raises(UserError, match=r"out\.xyz cannot be written"):
        bandpass_image.main([str(tmp_path / "in.png"), str(tmp_path / "out.xyz")])
