"""Layers against numbers that their public definitions gave, so that no later change drifts from them.

Inputs and weights are drawn by NumPy's RandomState, whose streams never change. The numbers were computed once, by the
code of the repositories and commits that each test names.
"""

import zlib

import numpy as np
import pytest
import torch

from dfdetect.detectors import registry
from dfdetect.detectors.layers.bandpass import BandpassLayer
from dfdetect.detectors.layers.cmf import CrossModalityFusion
from dfdetect.detectors.layers.frequency import FrequencyFilter
from dfdetect.detectors.layers.graph_reasoning import GraphReasoning
from dfdetect.detectors.layers.guided_attention import GuidedAttention
from dfdetect.detectors.layers.masked_xception import ADDBlock


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def fill(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    state = {key: value for key, value in module.state_dict().items() if "num_batches" not in key}
    assert set(state) == set(weights)
    for key, value in state.items():
        value.copy_(weights[key].reshape(value.shape))


def check(y: torch.Tensor, some: list[float], total: float, *, rtol: float = 1e-9) -> None:
    """Eight values, evenly spaced, and the sum of all magnitudes."""
    flat = y.detach().double().flatten()
    np.testing.assert_allclose(flat[:: len(flat) // 8][:8], some, rtol=rtol, atol=max(rtol, 1e-8))
    assert flat.abs().sum().item() == pytest.approx(total, rel=rtol)


@torch.no_grad()
def test_graph_reasoning():
    # VISION-SJTU/RECCE 58cabeb7a0fef31a202334ff0b8f2a285e69d393, model/common.py, GraphReasoning
    layer = GraphReasoning(6, 5, 3, 4).double().eval()
    pairs2, pairs4 = numbers(8, 1, 8), numbers(9, 1, 8)  # their weights of [encoder ; decoder] in one row
    fill(
        layer,
        {
            "embed.0.weight": numbers(0, 4, 6),
            "embed.2.weight": numbers(1, 4, 4),
            "near2.gate.weight": numbers(2, 4, 6),
            "near4.gate.weight": numbers(3, 4, 6),
            "near2.embed.0.weight": numbers(4, 4, 5),
            "near2.embed.2.weight": numbers(5, 4, 4),
            "near4.embed.0.weight": numbers(6, 4, 3),
            "near4.embed.2.weight": numbers(7, 4, 4),
            "near2.weigh_encoder.weight": pairs2[:, :4],
            "near2.weigh_decoder.weight": pairs2[:, 4:],
            "near4.weigh_encoder.weight": pairs4[:, :4],
            "near4.weigh_decoder.weight": pairs4[:, 4:],
            "project.0.weight": numbers(10, 6, 12),
            "project.2.weight": numbers(11, 6, 6),
        },
    )
    y = layer(numbers(100, 2, 6, 3, 2), numbers(101, 2, 5, 6, 4), numbers(102, 2, 3, 12, 8))
    some = [2.40609941, -2.85065757, 3.44340852, 2.07124932, 0.91692434, -0.1318271, 2.53635759, 2.80598522]
    check(y, some, 133.11683379)


@torch.no_grad()
def test_guided_attention():
    # VISION-SJTU/RECCE 58cabeb7a0fef31a202334ff0b8f2a285e69d393, model/common.py, GuidedAttention
    layer = GuidedAttention(6).double().eval()
    fill(
        layer,
        {
            "gate.0.weight": numbers(0, 3, 3, 3, 3),
            "gate.2.weight": numbers(1, 1, 3),
            "transform.0.weight": numbers(2, 6, 6),
            "transform.1.weight": numbers(3, 6),
            "transform.1.bias": numbers(4, 6),
            "transform.1.running_mean": numbers(5, 6),
            "transform.1.running_var": numbers(6, 6).abs() + 0.5,
        },
    )
    y, _ = layer(numbers(100, 2, 3, 9, 9), numbers(101, 2, 3, 9, 9), numbers(102, 2, 6, 4, 4))
    some = [1.6680683, 0.88403489, 2.31295225, 0.09884339, -0.01351578, -0.40337339, -1.50557002, 0.18333853]
    check(y, some, 286.6246686)


@torch.no_grad()
def test_frequency_filter():
    # wangjk666/M2TR-Multi-modal-Multi-scale-Transformers-for-Deepfake-Detection
    # 6471c0fbcd84ecb5231ba4a4713fa749eab2ec07, M2TR/models/m2tr.py, GlobalFilter; ours computes in float32
    layer = FrequencyFilter(4, 6)
    fill(layer, {"weight": numbers(0, 6, 4, 4, 2).permute(2, 0, 1, 3)})
    some = [0.06107308, -0.32169632, 3.59808699, 0.85463364, -0.70761658, -0.73395425, -1.77224979, -2.81260834]
    check(layer(numbers(100, 2, 4, 6, 6)), some, 348.14852364, rtol=2e-6)


@torch.no_grad()
def test_cross_modality_fusion():
    # wangjk666/M2TR-Multi-modal-Multi-scale-Transformers-for-Deepfake-Detection
    # 6471c0fbcd84ecb5231ba4a4713fa749eab2ec07, M2TR/models/m2tr.py, CMA_Block. Its key bias (seed 3) cancels in the
    # softmax, and the bias before its batch norm (seed 7) is one with the running mean. It has no 3x3 convolution.
    block = CrossModalityFusion(4).double().eval()
    refine = {key: value for key, value in block.state_dict().items() if key.startswith("refine.") and "num" not in key}
    fill(
        block,
        {
            "query.weight": numbers(0, 4, 4),
            "query.bias": numbers(1, 4),
            "key.weight": numbers(2, 4, 4),
            "value.weight": numbers(4, 4, 4),
            "value.bias": numbers(5, 4),
            "out.0.weight": numbers(6, 4, 4),
            "out.1.weight": numbers(8, 4),
            "out.1.bias": numbers(9, 4),
            "out.1.running_mean": numbers(10, 4) - numbers(7, 4),
            "out.1.running_var": numbers(11, 4).abs() + 0.5,
            **refine,
        },
    )
    block.refine[1].weight.zero_(), block.refine[1].bias.zero_()
    some = [-1.77485792, -0.85051417, -4.23685445, 1.10557876, -0.89264651, 1.56354761, -5.47154559, 2.82354542]
    check(block(numbers(100, 2, 4, 3, 5), numbers(101, 2, 4, 3, 5)), some, 257.84133079)


@torch.no_grad()
def test_bandpass_layer():
    # tasso-canellas/addnet 077fb713967a67592d57f5f5bc81aaca0808b183, addnet_bandpass.py, BandpassLayer(31, 0.8, 4.0),
    # which adds 1e-5 to both widths; computed in float32
    y = BandpassLayer(31, 0.80001, 4.00001)(numbers(100, 1, 3, 20, 17).float())
    some = [-0.0430681, 0.2644746, 0.25292021, -0.21481457, 0.56640804, -0.58141196, 0.58825499, 0.28895798]
    check(y, some, 282.75891113, rtol=5e-6)


def test_add_block():
    # tasso-canellas/addnet 077fb713967a67592d57f5f5bc81aaca0808b183, addnet_bandpass.py, ADDBlock
    y = ADDBlock()(numbers(100, 2, 3, 4, 5), numbers(101, 2, 1, 13, 11))
    some = [0.16462316, 0.00268971, 0.02167102, -0.35968489, 0.26231216, -0.15976359, -0.02204994, 0.02218082]
    check(y, some, 20.30053156)


def drawn(name: str, shape: torch.Size) -> torch.Tensor:
    values = torch.from_numpy(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape)))
    if name.endswith("running_var"):
        return values.abs() + 0.5
    if values.ndim > 1:
        return values * (0.5 / values[0].numel()) ** 0.5
    return 1 + 0.1 * values if name.endswith("weight") else 0.1 * values


@torch.no_grad()
def test_without_fusion_the_attention_network_is_recce():
    # VISION-SJTU/RECCE 58cabeb7a0fef31a202334ff0b8f2a285e69d393, model/network/Recce.py, the same weights by name
    detector = registry.build("attention_network", {"image_size": 64, "fusion_blocks": 0}).double().eval()
    weights = {key: value for key, value in detector.state_dict().items() if "num_batches" not in key}
    fill(detector, {key: drawn(key, value.shape) for key, value in weights.items()})
    output = detector({"image": torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, (2, 3, 64, 64)))})
    logits = [[-0.02148833528970788, 0.027460156165996064], [-0.020652109225635408, 0.027583187090311254]]
    np.testing.assert_allclose(output["logits"], logits, rtol=1e-9)
    rebuilt = output["reconstruction"].flatten()
    some = [0.033574446412033346, 0.0031662415506885644, -0.03590629577146252, -0.03840598728776276]
    np.testing.assert_allclose(rebuilt[::2501][:4], some, rtol=1e-9)
    assert rebuilt.abs().mean().item() == pytest.approx(0.03899049576981795, rel=1e-9)
