"""Layers of the image detectors against plain references."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.detectors.layers.cmf import CrossModalityFusion, FusionStack
from dfdetect.detectors.layers.decoder import ReconstructionDecoder
from dfdetect.detectors.layers.encoders import efficientnet_map_size, xception_map_size
from dfdetect.detectors.layers.frequency import FrequencyBlock, FrequencyFilter
from dfdetect.detectors.layers.graph_reasoning import GraphReasoning
from dfdetect.detectors.layers.guided_attention import GuidedAttention
from dfdetect.detectors.layers.masked_xception import ADDBlock
from dfdetect.detectors.layers.sharpen import SharpenSoft
from dfdetect.detectors.layers.spectrum_edges import LogSpectrum, SobelLaplacian


def reference_graph_reasoning(layer: GraphReasoning, encoder_map, d2, d4):
    """RECCE's definition, position by position and sample by sample."""
    a = layer.embed(encoder_map)  # (B, w, h, w)
    B, _, height, width = a.shape
    aggregates = []
    for near, decoder_map in ((layer.near2, d2), (layer.near4, d4)):
        r = near.ratio
        b = near.embed(decoder_map)
        u = torch.cat([near.weigh_encoder.weight, near.weigh_decoder.weight], dim=1).flatten()  # of [a ; b]
        gate = 1 - near.gate(encoder_map).sigmoid()
        out = torch.empty_like(a)
        for n in range(B):
            for y in range(height):
                for x in range(width):
                    patch = b[n, :, r * y : r * y + r, r * x : r * x + r].flatten(1)  # (w, r * r)
                    pairs = torch.cat([a[n, :, y, x, None].expand_as(patch), patch])  # (2 w, r * r)
                    weights = F.softmax(F.relu(u @ pairs), dim=0)
                    out[n, :, y, x] = (patch @ weights) * gate[n, :, y, x]
        aggregates.append(out)
    return layer.project(torch.cat([*aggregates, a], dim=1).sigmoid())


def test_graph_reasoning_equals_a_loop_over_positions():
    torch.manual_seed(0)
    layer = GraphReasoning(20, d2_channels=12, d4_channels=6, width=8).eval()
    inputs = torch.randn(2, 20, 5, 4), torch.randn(2, 12, 10, 8) * 3, torch.randn(2, 6, 20, 16) * 3
    with torch.no_grad():
        expected = reference_graph_reasoning(layer, *inputs)
        torch.testing.assert_close(layer(*inputs), expected, rtol=1e-4, atol=1e-6)
        # The weights matter: with the decoder maps shuffled inside one patch nothing changes, across patches it does.
        flipped = inputs[1].view(2, 12, 5, 2, 4, 2).flip(3, 5).reshape(2, 12, 10, 8)
        torch.testing.assert_close(layer(inputs[0], flipped, inputs[2]), expected, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(layer(inputs[0], inputs[1].roll(2, 2), inputs[2]), expected, atol=1e-4)


def test_cmf_equals_explicit_softmax_attention():
    torch.manual_seed(1)
    C, h, w = 12, 5, 6
    block = CrossModalityFusion(C).eval()
    spatial, frequency = torch.randn(3, C, h, w), torch.randn(3, C, h, w)
    with torch.no_grad():
        q = block.query(spatial).flatten(2).transpose(1, 2)  # (B, hw, C)
        k = block.key(frequency).flatten(2).transpose(1, 2)
        v = block.value(frequency).flatten(2).transpose(1, 2)
        z = torch.softmax(q @ k.transpose(1, 2) / C**0.5, dim=-1) @ v
        s = spatial + block.out(z.transpose(1, 2).reshape(3, C, h, w))
        torch.testing.assert_close(block(spatial, frequency), s + block.refine(s), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_fusion_stack_filters_anew_in_each_block_or_once(shared):
    torch.manual_seed(2)
    stack = FusionStack(8, 8, 4, 5, shared_filter=shared).eval()
    maps = torch.randn(2, 8, 5, 5)
    assert len(stack.blocks) == 4
    assert len(stack.frequency) == (1 if shared else 4)
    with torch.no_grad():
        x, frequency = maps, stack.frequency[0](maps)
        for i, block in enumerate(stack.blocks):
            x = block(x, frequency if shared else stack.frequency[i](x))
        torch.testing.assert_close(stack(maps), x)


def test_fusion_stack_of_another_width_or_of_no_blocks():
    torch.manual_seed(2)
    maps = torch.randn(2, 8, 5, 5)
    stack = FusionStack(8, 4, 2, 5, separable=True).eval()
    with torch.no_grad():
        assert stack.frequency[0].filter.weight.shape == (4, 5, 3, 2)
        stack.up[1].weight.zero_()
        torch.testing.assert_close(stack(maps), maps)  # a residual goes around the reduced blocks
        none = FusionStack(8, 4, 0, 5)
        assert torch.equal(none(maps), maps)
    assert not list(none.parameters())


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 12), st.integers(1, 4), st.integers(0, 1000))
def test_frequency_filter_equals_numpy(size, channels, seed):
    torch.manual_seed(seed)
    layer = FrequencyFilter(channels, size)
    x = torch.randn(2, channels, size, size)
    weight = layer.weight.detach().numpy().astype(np.float64)
    spectrum = np.fft.rfft2(x.numpy().astype(np.float64), norm="ortho") * (weight[..., 0] + 1j * weight[..., 1])
    expected = np.fft.irfft2(spectrum, s=(size, size), norm="ortho")
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-5)


def test_frequency_filter_stays_in_float32_under_autocast():
    layer = FrequencyFilter(4, 6)
    x = torch.randn(1, 4, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, layer(x))
    with pytest.raises(ValueError, match="built for 6x6"):
        layer(torch.randn(1, 4, 7, 7))


def test_frequency_block_has_a_residual():
    torch.manual_seed(0)
    block = FrequencyBlock(8, 5).eval()
    x = torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        assert not torch.allclose(block(x), x)
        block.ffn[-1].weight.zero_(), block.ffn[-1].bias.zero_()
        torch.testing.assert_close(block(x), x)


def test_guided_attention_equation():
    torch.manual_seed(3)
    layer = GuidedAttention(6).eval()
    image, rebuilt, features = torch.rand(2, 3, 20, 20), torch.rand(2, 3, 20, 20), torch.randn(2, 6, 5, 5)
    with torch.no_grad():
        out, m = layer(image, rebuilt, features)
        assert m.shape == (2, 1, 5, 5)
        assert ((m > 0) & (m < 1)).all()
        torch.testing.assert_close(out, m * layer.transform(features) + features)
        _, perfect = layer(image, image, features)
        torch.testing.assert_close(perfect, torch.full_like(perfect, 0.5))  # no residual: sigmoid(0) everywhere


def test_decoder_shapes():
    decoder = ReconstructionDecoder(40).eval()
    with torch.no_grad():
        d2, d4, picture = decoder(torch.randn(1, 40, 3, 3))
    assert (d2.shape, d4.shape, picture.shape) == ((1, 256, 6, 6), (1, 128, 12, 12), (1, 3, 24, 24))
    assert picture.abs().max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_add_block_equals_pooling_by_hand(height, width, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((1, 1, 13, 11))
    features = rng.standard_normal((1, 3, height, width))
    pooled = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            rows = slice(y * 13 // height, -(-(y + 1) * 13 // height))
            columns = slice(x * 11 // width, -(-(x + 1) * 11 // width))
            pooled[y, x] = mask[0, 0, rows, columns].mean()
    out = ADDBlock()(torch.from_numpy(features), torch.from_numpy(mask)).numpy()
    np.testing.assert_allclose(out, features * pooled, rtol=1e-9)


def test_add_block_with_a_mask_of_ones_changes_nothing():
    features = torch.randn(2, 4, 7, 7)
    torch.testing.assert_close(ADDBlock()(features, torch.ones(2, 1, 50, 50)), features)


def test_log_spectrum_equals_numpy():
    x = torch.rand(2, 3, 12, 10)
    out = LogSpectrum()(x).numpy()
    spectrum = np.log1p(np.abs(np.fft.rfft2(x.numpy(), norm="ortho")))
    np.testing.assert_allclose(out[:, :3], np.fft.fftshift(spectrum, axes=-2), atol=1e-5)
    assert out.shape == (2, 4, 12, 6)
    assert out[0, 3].min() == 0.0
    assert np.unravel_index(out[0, 3].argmin(), (12, 6)) == (6, 0)  # frequency 0 lies in the vertical middle


def test_sobel_and_laplacian_of_a_ramp_and_a_parabola():
    ramp = torch.arange(8.0).repeat(8, 1)  # grows by 1 a pixel to the right
    out = SobelLaplacian()(torch.stack([ramp, 2 * ramp.T, ramp**2])[None])[0, :, 2:-2, 2:-2]
    torch.testing.assert_close(out[0], torch.ones(4, 4), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[1], torch.full((4, 4), 2.0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[3], torch.zeros(4, 4))
    torch.testing.assert_close(out[5], torch.full((4, 4), 2.0 / 4.0))  # second derivative 2, kernel divided by 4


def picture(seed: int = 0) -> np.ndarray:
    """Fine texture, RGB in [0, 1]."""
    return np.random.default_rng(seed).random((64, 64, 3)).astype(np.float32)


def as_batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def test_softness_is_opencvs_variance_of_the_laplacian():
    for sigma in (0.5, 1.0, 3.0):
        image = cv2.GaussianBlur(picture(), (0, 0), sigma)
        grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
        expected = cv2.Laplacian(grey, cv2.CV_32F, ksize=1)[1:-1, 1:-1].var()
        assert SharpenSoft(0.1, 1.0).softness(as_batch(image)).item() == pytest.approx(expected, rel=1e-3)


def test_only_soft_pictures_are_sharpened():
    sharp, soft = picture(), cv2.GaussianBlur(picture(), (0, 0), 3.0)
    layer = SharpenSoft(0.0015, 1.0)
    out = layer(as_batch(sharp, soft))
    torch.testing.assert_close(out[0], as_batch(sharp)[0], rtol=0, atol=0)
    taps = cv2.getGaussianKernel(5, 0, cv2.CV_32F)  # OpenCV's 5 taps for sigma 0 are the binomial ones
    smooth = cv2.sepFilter2D(soft, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(out[1].permute(1, 2, 0), np.clip(2 * soft - smooth, 0, 1), atol=1e-5)
    assert layer.softness(out)[1] > layer.softness(as_batch(soft))[0]


def test_nothing_is_sharpened_below_zero():
    soft = as_batch(cv2.GaussianBlur(picture(), (0, 0), 3.0))
    torch.testing.assert_close(SharpenSoft(0.0, 1.0)(soft), soft, rtol=0, atol=0)


@pytest.mark.parametrize(("size", "xception", "efficientnet"), [(64, 4, 4), (128, 8, 8), (224, 14, 14), (299, 19, 19)])
def test_map_sizes(size, xception, efficientnet):
    assert xception_map_size(size) == xception
    assert efficientnet_map_size(size) == efficientnet
