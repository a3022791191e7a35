"""The shared loss terms against plain references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.detectors.base import classification
from dfdetect.detectors.losses import AdaptiveFocalLoss, flooding, metric_learning, real_reconstruction

LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=9)


def pair_loop(embedding: np.ndarray, label: list[int]) -> float:
    """The metric-learning loss by its definition, pair by pair."""
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    same, mixed = [], []
    for i in range(len(label)):
        for j in range(len(label)):
            similarity = (unit[i] @ unit[j] + 1) / 2
            if label[i] == 0 and label[j] == 0 and i != j:
                same.append(similarity)
            if label[i] == 0 and label[j] == 1:
                mixed.append(similarity)
    total = (1 - np.mean(same) if same else 0.0) + (np.mean(mixed) if mixed else 0.0)
    return max(0.0, total)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 1000))
def test_metric_learning_equals_a_loop_over_pairs(label, seed):
    embedding = np.random.default_rng(seed).standard_normal((len(label), 5))
    loss = metric_learning(torch.from_numpy(embedding), torch.tensor(label))
    assert loss.item() == pytest.approx(pair_loop(embedding, label), abs=1e-5)


def test_metric_learning_extremes():
    real, fake = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])
    label = torch.tensor([0, 0, 1])
    assert metric_learning(torch.stack([real, real * 3, fake]), label).item() == pytest.approx(0.0, abs=1e-6)
    assert metric_learning(torch.stack([real, fake, real]), label).item() == pytest.approx(1.5)


def test_metric_learning_leaves_forgeries_free_of_each_other():
    embedding = torch.randn(4, 6, requires_grad=True)
    metric_learning(embedding, torch.tensor([1, 1, 1, 1])).backward()
    assert embedding.grad.abs().sum() == 0


@settings(max_examples=40, deadline=None)
@given(LABELS, st.integers(0, 1000))
def test_reconstruction_counts_reals_alone(label, seed):
    torch.manual_seed(seed)
    image, rebuilt = torch.randn(len(label), 3, 6, 6), torch.randn(len(label), 3, 6, 6, requires_grad=True)
    loss = real_reconstruction(rebuilt, image, torch.tensor(label))
    errors = [(rebuilt[i] - image[i]).abs().mean().item() for i in range(len(label)) if label[i] == 0]
    assert loss.item() == pytest.approx(np.mean(errors) if errors else 0.0, abs=1e-5)
    loss.backward()
    for i, value in enumerate(label):
        assert (rebuilt.grad[i].abs().sum() > 0) == (value == 0)


@given(st.floats(0.0, 3.0), st.floats(0.0, 0.5))
def test_flooding(value, level):
    loss = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    flooded = flooding(loss, level)
    assert flooded.item() == pytest.approx(abs(value - level) + level)
    assert flooded.item() >= level
    flooded.backward()
    if value != level:
        assert loss.grad.item() == (1.0 if value > level else -1.0)  # below the level the loss is pushed up again


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-8, 8), st.integers(0, 1)), min_size=1, max_size=6))
def test_one_and_two_logits_agree(samples):
    z = torch.tensor([s[0] for s in samples], dtype=torch.float32)
    label = torch.tensor([s[1] for s in samples])
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    torch.testing.assert_close(classification(z[:, None], label), classification(two, label), rtol=1e-5, atol=1e-6)
    focal = AdaptiveFocalLoss().eval()
    torch.testing.assert_close(focal(z[:, None], label, 1.0), focal(two, label, 1.0), rtol=1e-4, atol=1e-6)


def test_focal_equals_its_formula():
    focal = AdaptiveFocalLoss(gamma=2.0, gamma_ramp=0.0).eval()
    focal.counts.copy_(torch.tensor([30.0, 10.0]))  # three reals a fake: alpha 2/3 and 2
    logits, label = torch.tensor([[0.3, -0.2], [1.0, 2.0]]), torch.tensor([0, 1])
    p = [math.exp(0.3) / (math.exp(0.3) + math.exp(-0.2)), math.exp(2.0) / (math.exp(1.0) + math.exp(2.0))]
    expected = np.mean([-(2 / 3) * (1 - p[0]) ** 2 * math.log(p[0]), -2.0 * (1 - p[1]) ** 2 * math.log(p[1])])
    assert focal(logits, label, 0.0).item() == pytest.approx(expected, rel=1e-5)


def test_focal_begins_as_cross_entropy_and_sharpens():
    focal = AdaptiveFocalLoss(gamma=2.0, gamma_ramp=0.5).eval()
    logits, label = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    losses = [focal(logits, label, progress).item() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert losses[0] == pytest.approx(classification(logits, label).item(), rel=1e-4)
    assert losses[0] > losses[1] > losses[2] == losses[3]


def test_focal_weights_follow_the_classes_seen_in_training_only():
    focal = AdaptiveFocalLoss(decay=0.9)
    logits, label = torch.zeros(8, 2), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    for _ in range(60):
        focal(logits, label, 0.0)
    real, fake = focal.alpha().tolist()
    assert real == pytest.approx(8 / 12, rel=0.02)
    assert fake == pytest.approx(8 / 4, rel=0.02)
    focal.eval()
    focal(logits, 1 - label, 0.0)
    assert focal.alpha().tolist() == [real, fake]
    focal.train()
    for _ in range(500):  # one class alone for long: still finite
        assert torch.isfinite(focal(logits, torch.zeros(8, dtype=torch.long), 1.0))


def test_focal_gradient_is_finite_for_a_sample_that_is_certain():
    focal = AdaptiveFocalLoss()
    logits = torch.tensor([[60.0, -60.0]], requires_grad=True)
    focal(logits, torch.tensor([0]), 0.1).backward()
    assert torch.isfinite(logits.grad).all()
