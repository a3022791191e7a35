"""What every registered detector must do. A new detector is tested by being registered: nothing here names one."""

import pytest
import torch
from safetensors.torch import load, save

from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build_small(name: str, seed: int = 0, **settings) -> Detector:
    torch.manual_seed(seed)
    return registry.build(name, {**registry.settings_class(name).small, **settings})


def step(detector: Detector, batch: dict, progress: float = 0.5) -> tuple[dict, dict]:
    output = detector(batch)
    parts = detector.loss(output, batch, progress=progress)
    parts["loss"].backward()
    return output, parts


@pytest.mark.parametrize("name", registry.names())
class TestEveryDetector:
    def test_interface(self, name):
        detector = build_small(name)
        assert detector.name == name
        assert detector.inputs <= {"image", "mask", "mouths", "mels"}
        assert detector.target in {"visual_label", "label"}
        assert detector.trains_on in {"both", "real"}
        assert len(detector.mean) == len(detector.std) == 3
        assert detector.image_size == registry.settings_class(name).small["image_size"]
        groups = detector.parameter_groups()
        assert set(groups) == {"backbone", "head"}
        assert all(groups.values())
        grouped = [id(p) for group in groups.values() for p in group]
        assert sorted(grouped) == sorted(id(p) for p in detector.parameters() if p.requires_grad)
        assert all(isinstance(value, float) for value in detector.epoch_report().values())

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_forward_and_backward(self, name, batch_size, training):
        detector = build_small(name).train(training)
        batch = detector.example_batch(batch_size)
        output, parts = step(detector, batch)
        assert all(part.ndim == 0 and torch.isfinite(part) for part in parts.values())
        assert len(parts) >= 2  # the total and at least one named part
        score = detector.score(output)
        assert score.shape == (batch_size,)
        assert torch.isfinite(score).all()
        if detector.trains_on == "both":
            assert output["logits"].shape[0] == batch_size
            assert ((score >= 0) & (score <= 1)).all()
        else:
            assert output["log_prob"].shape == (batch_size,)
        for key, parameter in detector.named_parameters():
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            if training and batch_size == 2:
                assert parameter.grad.abs().sum() > 0, key

    def test_one_logit(self, name):
        if "num_classes" not in registry.settings_class(name).model_fields:
            pytest.skip(f"{name} is no classifier")
        detector = build_small(name, num_classes=1)
        output, parts = step(detector, detector.example_batch(2))
        assert output["logits"].shape == (2, 1)
        assert torch.isfinite(parts["loss"])
        torch.testing.assert_close(detector.score(output), output["logits"][:, 0].sigmoid())

    def test_batch_of_one_class(self, name):
        detector = build_small(name)
        batch = detector.example_batch(2)
        output = detector(batch)
        for label in (0, 1):
            parts = detector.loss(output, {**batch, "label": torch.full((2,), label)})
            assert all(torch.isfinite(part) for part in parts.values())
            found = torch.autograd.grad(
                parts["loss"], list(detector.parameters()), retain_graph=True, allow_unused=True
            )
            gradients = [g for g in found if g is not None]
            assert gradients
            assert all(torch.isfinite(g).all() for g in gradients)
            if detector.trains_on == "real" and label == 1:
                assert parts["loss"].item() == 0.0
                assert all(g.abs().sum() == 0 for g in gradients)  # fakes teach an anomaly detector nothing

    def test_scores_need_no_label(self, name):
        detector = build_small(name).eval()
        batch = detector.example_batch(2)
        with torch.inference_mode():
            with_label = detector.score(detector(batch))
            del batch["label"]
            assert torch.equal(detector.score(detector(batch)), with_label)

    def test_overfits_one_batch(self, name):
        detector = build_small(name)
        batch = detector.example_batch(4)
        optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            _, parts = step(detector, batch)
            optimizer.step()
            losses.append(parts["loss"].item())
            if losses[-1] < losses[0] / 2:
                break
        assert losses[-1] < losses[0] / 2, losses

    def test_state_survives_safetensors(self, name):
        detector = build_small(name)
        batch = detector.example_batch(2)
        detector(batch)  # moves the running statistics off their defaults
        other = build_small(name, seed=1)
        other.load_state_dict(load(save(detector.state_dict())))
        detector.eval(), other.eval()
        with torch.inference_mode():
            first, second = detector(batch), other(batch)
        assert set(first) == set(second)
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_deterministic_under_a_seed(self, name):
        results = []
        for _ in range(2):
            detector = build_small(name)  # in training mode: noise and dropout are drawn
            output, parts = step(detector, detector.example_batch(1))
            results.append({**output, **parts, "gradient": next(detector.parameters()).grad})
        assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())

    def test_gradient_checkpointing_changes_nothing(self, name):
        results = []
        for enabled in (False, True):
            detector = build_small(name)
            detector.set_gradient_checkpointing(enabled)
            torch.manual_seed(3)
            _, parts = step(detector, detector.example_batch(2))
            gradients = {key: p.grad for key, p in detector.named_parameters()}
            results.append((parts["loss"], gradients, dict(detector.named_buffers())))
        (loss, gradients, buffers), (loss2, gradients2, buffers2) = results
        assert torch.equal(loss, loss2)
        for key, gradient in gradients.items():
            torch.testing.assert_close(gradients2[key], gradient, rtol=1e-3, atol=1e-6, msg=key)
        for key, buffer in buffers.items():  # running statistics are updated once, not twice
            assert torch.equal(buffers2[key], buffer), key

    def test_channels_last_and_bfloat16(self, name):
        detector = build_small(name).eval()
        batch = detector.example_batch(1)
        with torch.no_grad():
            expected = detector.score(detector(batch))
            detector.to(memory_format=torch.channels_last)
            torch.testing.assert_close(detector.score(detector(batch)), expected, rtol=1e-3, atol=1e-3)
        detector.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = detector(batch)
            parts = detector.loss(output, batch)
        parts["loss"].backward()
        assert all(part.dtype == torch.float32 and torch.isfinite(part) for part in parts.values())
        assert all(torch.isfinite(p.grad).all() for p in detector.parameters())

    def test_pictures_are_in_range(self, name):
        detector = build_small(name).eval()
        batch = detector.example_batch(2)
        with torch.inference_mode():
            pictures = detector.pictures(batch, detector(batch))
        for key, picture in pictures.items():
            assert picture.ndim == 4, key
            assert picture.shape[0] == 2, key
            assert picture.shape[1] in (1, 3), key
            assert picture.min() >= 0, key
            assert picture.max() <= 1, key

    @pytest.mark.slow
    def test_traces_without_a_graph_break(self, name):
        detector = build_small(name)
        batch = detector.example_batch(2)
        torch.manual_seed(5)
        expected = detector.loss(detector(batch), batch)["loss"]
        torch._dynamo.reset()
        compiled = torch.compile(build_small(name), backend="eager", fullgraph=True)
        torch.manual_seed(5)
        torch.testing.assert_close(detector.loss(compiled(batch), batch)["loss"], expected, rtol=1e-4, atol=1e-4)
