"""Shapes, sizes and options that the sources state."""

import pytest
import torch

from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector
from dfdetect.detectors.profile import profile, table


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str, **settings) -> Detector:
    torch.manual_seed(0)
    return registry.build(name, settings)


def record_shapes(detector: Detector, modules: list[str], batch: dict) -> tuple[dict, dict]:
    """Run once; output shapes, without the batch axis, of the named modules and of what forward returns."""
    shapes: dict[str, tuple] = {}

    def keep(key: str):
        def hook(_module, _inputs, output):
            shapes[key] = tuple(output.shape[1:])

        return hook

    handles = [detector.get_submodule(key).register_forward_hook(keep(key)) for key in modules]
    with torch.no_grad():
        output = detector.eval()(batch)
    for handle in handles:
        handle.remove()
    return shapes, {key: tuple(value.shape[1:]) for key, value in output.items()}


XCEPTION_AT_299 = {
    "conv1": (32, 149, 149),
    "conv2": (64, 147, 147),
    "block1": (128, 74, 74),
    "block2": (256, 37, 37),
    **{f"block{i}": (728, 19, 19) for i in range(3, 12)},
    "block12": (1024, 10, 10),
    "conv4": (2048, 10, 10),
}


def test_attention_network_at_299():
    detector = build("attention_network")
    decoder = {
        "decoder.up1": (256, 38, 38),
        "decoder.block1": (256, 38, 38),
        "decoder.up2": (128, 76, 76),
        "decoder.block2": (128, 76, 76),
        "decoder.up3": (64, 152, 152),
        "decoder.out": (3, 152, 152),
        "reasoning": (728, 19, 19),
        "fusion.down": (256, 19, 19),
        "fusion.frequency.3": (256, 19, 19),
        "fusion": (728, 19, 19),
    }
    expected = {**{f"backbone.{key}": shape for key, shape in XCEPTION_AT_299.items()}, **decoder}
    shapes, output = record_shapes(detector, list(expected), detector.example_batch(1))
    assert shapes == expected
    assert output == {
        "logits": (2,),
        "reconstruction": (3, 299, 299),
        "attention_map": (1, 19, 19),
        "pooled_embedding": (728,),
        "pooled_d2": (256,),
        "pooled_d4": (128,),
    }
    assert detector.fusion.frequency[3].filter.weight.shape == (256, 19, 10, 2)
    assert len(detector.fusion.blocks) == 4


def test_attention_network_at_full_fusion_width():
    detector = build("attention_network", image_size=64, fusion_width=728)
    assert isinstance(detector.fusion.down, torch.nn.Identity)
    assert detector.fusion.blocks[0].refine[0].weight.shape == (728, 728, 3, 3)


@pytest.mark.parametrize(("position", "place"), [("before_guide", 1), ("after_attention", 3)])
def test_place_of_the_fusion(position, place):
    small = registry.settings_class("attention_network").small
    detector = build("attention_network", **small, fusion_position=position).eval()
    order = []
    for name in ("reasoning", "fusion", "backbone.block8", "attention", "backbone.block9"):
        module = detector.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, _o, name=name: order.append(name))
    with torch.no_grad():
        detector(detector.example_batch(1))
    expected = ["reasoning", "backbone.block8", "attention", "backbone.block9"]
    expected.insert(place, "fusion")
    assert order == expected


@pytest.mark.parametrize(
    "settings",
    [{"fusion_blocks": 0}, {"fusion_blocks": 8}, {"fusion_position": "after_attention"}, {"shared_filter": True}],
)
def test_every_kind_of_fusion_trains(settings):
    detector = build("attention_network", **registry.settings_class("attention_network").small, **settings)
    batch = detector.example_batch(2)
    detector.loss(detector(batch), batch)["loss"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in detector.parameters())


def test_encoder_is_given_the_normalisation_of_its_weights():
    image = torch.rand(2, 3, 64, 64)
    for encoder, mean, std in (
        ("xception", [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
        ("efficientnet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ):
        small = registry.settings_class("attention_network").small
        detector = build("attention_network", **small, encoder=encoder, efficientnet="efficientnet_b0").eval()
        assert detector.mean == detector.std == (0.5, 0.5, 0.5)  # the reconstruction's range is [-1, 1]
        seen = []
        first = detector.backbone.conv1 if encoder == "xception" else detector.backbone.conv_stem
        first.register_forward_hook(lambda _m, inputs, _o, seen=seen: seen.append(inputs[0]))
        with torch.no_grad():
            detector({"image": image * 2 - 1})
        expected = (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
        torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("efficientnet_b4", {}),
        ("multibranch", {}),
        ("attention_network", {"encoder": "efficientnet", "graph_width": 32}),
    ],
)
def test_b4_is_the_tensorflow_variant(name, settings):
    detector = build(name, image_size=64, **settings)
    assert detector.backbone.bn1.eps == 1e-3  # timm's own efficientnet_b4 has 1e-5
    assert type(detector.backbone.conv_stem).__name__ == "Conv2dSame"  # TensorFlow's asymmetric padding
    if name != "attention_network":
        assert detector.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("size", [64, 100, 128, 299])
def test_attention_network_with_efficientnet_at_any_size(size):
    detector = build("attention_network", encoder="efficientnet", efficientnet="efficientnet_b0", image_size=size)
    shapes, output = record_shapes(detector, ["reasoning"], detector.example_batch(1))
    side = -(-size // 16)
    assert shapes["reasoning"][1:] == (side, side)
    assert output["reconstruction"] == (3, size, size)


@pytest.mark.parametrize("drop_rate", [0.0, 0.5])
def test_attention_network_options(drop_rate):
    detector = build(
        "attention_network", image_size=64, drop_rate=drop_rate, num_classes=1, fusion_separable=True, flood_level=0.0
    )
    batch = detector.example_batch(2)
    parts = detector.loss(detector(batch), batch)
    total = parts["classification"] + 0.1 * parts["reconstruction"] + 0.1 * parts["metric"]
    torch.testing.assert_close(parts["loss"], total)
    assert detector.dropout.p == drop_rate


def test_noise_hits_half_of_the_samples_in_training_only():
    detector = build("attention_network", **{**registry.settings_class("attention_network").small, "noise_std": 0.05})
    image = torch.zeros(400, 3, 8, 8)
    noise = detector.train().add_noise(image)
    hit = noise.flatten(1).abs().sum(1) > 0
    assert 0.4 < hit.float().mean() < 0.6
    assert noise[hit].std().item() == pytest.approx(0.05, rel=0.05)
    assert detector.add_noise(torch.ones(50, 3, 8, 8)).max() <= 1.0
    assert torch.equal(detector.eval().add_noise(image), image)


def test_image_of_another_size_is_refused():
    detector = build("attention_network", **registry.settings_class("attention_network").small)
    with pytest.raises(ValueError, match="built for 64x64, got"):
        detector({"image": torch.zeros(1, 3, 96, 96)})


def test_addnet_at_299():
    detector = build("addnet")
    modules = [f"backbone.{key}" for key in XCEPTION_AT_299]
    shapes, output = record_shapes(detector, modules, detector.example_batch(1))
    assert shapes == {f"backbone.{key}": shape for key, shape in XCEPTION_AT_299.items()}
    assert output == {"logits": (2,)}
    assert detector.fc.weight.shape == (2, 2048)


def test_addnet_applies_the_mask_where_asked():
    settings = registry.settings_class("addnet").small
    positions = ["input", "stem", "block1", "block2", "block3", "middle", "block12"]
    for chosen in ([], ["block1", "block2", "block3", "middle", "block12"], positions):
        detector = build("addnet", **settings, add_positions=chosen).eval()
        seen = []
        detector.add.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(tuple(out.shape[1:])))
        batch = detector.example_batch(1)
        with torch.no_grad():
            with_mask = detector(batch)["logits"]
            without = detector({**batch, "mask": torch.ones_like(batch["mask"])})["logits"]
        assert len(seen) == 2 * len(chosen)
        assert torch.equal(with_mask, without) == (chosen == [])
    assert seen[:7] == [(3, 64, 64), (64, 29, 29), (128, 15, 15), (256, 8, 8), (728, 4, 4), (728, 4, 4), (1024, 2, 2)]


def test_addnet_bandpass_filters_before_the_backbone_and_reports_its_widths():
    detector = build("addnet_bandpass", **registry.settings_class("addnet_bandpass").small).eval()
    report = detector.epoch_report()
    assert set(report) == {"sigma_low", "delta", "sigma_high"}
    assert report["sigma_high"] == pytest.approx(report["sigma_low"] + report["delta"])
    batch = detector.example_batch(1)
    with torch.no_grad():
        brighter = {**batch, "image": batch["image"] + 0.3}  # the mean is outside every band
        torch.testing.assert_close(detector(brighter)["logits"], detector(batch)["logits"], rtol=1e-3, atol=1e-4)
    assert detector.pictures(batch, {})["band"].shape == (1, 3, 64, 64)


def test_multibranch_at_224():
    detector = build("multibranch")
    expected = {
        "backbone.blocks.1": (32, 56, 56),
        "backbone.blocks.2": (56, 28, 28),
        "backbone.blocks.4": (160, 14, 14),
        "backbone.blocks.6": (448, 7, 7),
        "backbone.bn2": (1792, 7, 7),
        "scales.0": (64, 56, 56),
        "scales.1": (128, 28, 28),
        "scales.2": (256, 14, 14),
        "scales.3": (512, 7, 7),
        "frequency": (256, 14, 8),
        "edges": (128, 28, 28),
        "attention": (3136,),
        "fc": (2,),
    }
    shapes, output = record_shapes(detector, list(expected), detector.example_batch(1))
    assert shapes == expected
    assert output == {"logits": (2,)}
    assert detector.fc.in_features == 1792 + (64 + 128 + 256 + 512) + 256 + 128


def test_av_transformer_shapes():
    detector = build("av_transformer")
    expected = {
        "visual_project": (16, 256),
        "visual_stack": (16, 256),
        "audio_project": (8, 256),
        "audio_stack": (8, 256),
        "fuse": (16, 256),
        "density.stack": (16, 512),
        "density.mean": (16, 256),
    }
    batch = detector.example_batch(1)
    assert batch["mouths"].shape == (1, 16, 3, 112, 112)
    assert batch["mels"].shape[:3] == (1, 8, 80)
    shapes, output = record_shapes(detector, list(expected), batch)
    assert shapes == expected
    assert output == {"log_prob": (), "step_log_prob": (16,), "sync": (16, 256), "sync_logits": (5,)}
    assert len(detector.visual_stack.layers) == len(detector.audio_stack.layers) == 4
    assert len(detector.density.stack.layers) == 6


@pytest.mark.parametrize(
    ("name", "settings", "parameters", "gmacs"),
    [
        ("attention_network", {}, 28.5, 13.05),  # Xception 20.8 M; of the rest the fusion blocks 4.7 M
        ("attention_network", {"fusion_blocks": 0}, 23.8, 11.22),  # RECCE
        ("addnet", {}, 20.8, 8.4),
        ("addnet_bandpass", {}, 20.8, 8.4),
        ("xception", {}, 20.8, 8.4),
        ("efficientnet_b4", {}, 17.6, 2.86),
        ("efficientnet_lite0", {}, 3.4, 0.39),
        ("multibranch", {}, 19.6, 1.78),  # the source: about 19 M
        ("av_transformer", {}, 37.1, 2.35),  # the source: about 52 M; the detector's docstring says where they part
        ("av_transformer", {"temporal": "mamba"}, 21.4, 2.12),  # the source: about 45 M
    ],
)
def test_sizes(name, settings, parameters, gmacs):
    detector = build(name, **settings)
    size = profile(detector)
    assert size.parameters / 1e6 == pytest.approx(parameters, abs=0.06)
    assert size.gmacs == pytest.approx(gmacs, rel=0.05)
    assert detector.training
    assert set(size.inputs) == detector.inputs


def test_table():
    size = profile(build("xception", image_size=64))
    counted = profile(build("addnet", image_size=64))
    assert size.gmacs == counted.gmacs  # the mask adds no product of matrices
    assert "| `xception` | image 3x299x299 | 20.8 |" in table(("xception",))
