"""Optimizers and schedules of a recipe."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from dfdetect.config.recipe import Recipe
from dfdetect.detectors import registry
from dfdetect.training.optim import gradient_norm, make_optimizer, make_schedule, rate_at
from tests.training import tiny  # noqa: F401  # registers the detector


def rates(**recipe: Any) -> list[float]:
    """The learning rate of each of 40 steps, 10 an epoch."""
    made = Recipe(epochs=4, lr=1.0, **recipe)
    optimizer = make_optimizer(registry.build("tiny", {}), made)
    schedule = make_schedule(optimizer, made, 10)
    found = []
    for _ in range(40):
        found.append(optimizer.param_groups[-1]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_constant() -> None:
    assert rates(lr_scheduler="constant") == [1.0] * 40


def test_step() -> None:
    assert rates(lr_scheduler="step", step_epochs=2, step_gamma=0.1) == pytest.approx([1.0] * 20 + [0.1] * 20)


def test_cosine_falls_to_nothing() -> None:
    found = rates(lr_scheduler="cosine")
    assert found[0] == 1.0
    assert found[20] == pytest.approx(0.5)
    assert found[39] == pytest.approx(0.5 * (1 + math.cos(math.pi * 39 / 40)))
    assert all(a > b for a, b in itertools.pairwise(found))


def test_warmup_rises_to_the_rate() -> None:
    found = rates(lr_scheduler="cosine", warmup_epochs=1)
    assert found[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert found[10] == 1.0
    assert found[39] < 0.01


def test_groups_and_kinds() -> None:
    detector = registry.build("tiny", {})
    made = make_optimizer(
        detector, Recipe(lr=0.1, backbone_lr=0.01, optimizer="adam", weight_decay=0.5, betas=(0.8, 0.9))
    )
    assert type(made) is torch.optim.Adam
    assert {group["name"]: group["lr"] for group in made.param_groups} == {"backbone": 0.01, "head": 0.1}
    assert all(group["weight_decay"] == 0.5 and group["betas"] == (0.8, 0.9) for group in made.param_groups)
    assert sum(len(group["params"]) for group in made.param_groups) == len(list(detector.parameters()))
    assert type(make_optimizer(detector, Recipe())) is torch.optim.AdamW


def test_fused_steps_aside_where_it_would_see_scaled_gradients() -> None:
    detector = registry.build("tiny", {})
    assert make_optimizer(detector, Recipe()).defaults["fused"]
    assert not make_optimizer(detector, Recipe(precision="16-mixed")).defaults["fused"]


def test_clipping() -> None:
    detector = registry.build("tiny", {})
    for parameter in detector.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    count = sum(parameter.numel() for parameter in detector.parameters())
    norm = 3.0 * math.sqrt(count)
    assert gradient_norm(detector, None).item() == pytest.approx(norm, rel=1e-5)
    assert gradient_norm(detector, 1.0).item() == pytest.approx(norm, rel=1e-5)
    assert gradient_norm(detector, None).item() == pytest.approx(1.0, rel=1e-3)


def test_factor_counts_accumulated_steps() -> None:
    factor = rate_at(Recipe(epochs=2, lr_scheduler="cosine"), 3)
    assert factor(0) == 1.0
    assert factor(6) == pytest.approx(0.0)
