"""Optimizer and learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dfdetect.config.recipe import Recipe
from dfdetect.detectors.base import Detector


def make_optimizer(detector: Detector, recipe: Recipe) -> Optimizer:
    """Adam or AdamW over the detector's `backbone` and `head` groups; fused where that is allowed.

    With 16-bit mixed precision a fused optimizer unscales the gradients itself, too late for measuring and clipping
    them: PyTorch then chooses another kind.
    """
    rates = {"backbone": recipe.lr if recipe.backbone_lr is None else recipe.backbone_lr, "head": recipe.lr}
    groups = [
        {"params": parameters, "lr": rates[name], "name": name}
        for name, parameters in detector.parameter_groups().items()
        if parameters
    ]
    kind = AdamW if recipe.optimizer == "adamw" else Adam
    fused = None if recipe.precision == "16-mixed" else True
    return kind(groups, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=fused)


def rate_at(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor on the learning rate as a function of the optimizer step, counted from 0.

    Args:
        recipe: schedule, warm-up and epochs.
        steps_per_epoch: optimizer steps of one epoch.
    """
    total = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if recipe.lr_scheduler == "step":
            return float(recipe.step_gamma ** (step // (recipe.step_epochs * steps_per_epoch)))
        if recipe.lr_scheduler == "cosine":
            done = (step - warmup) / max(1, total - warmup)
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        return 1.0

    return factor


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> LambdaLR:
    """The recipe's schedule, to be stepped after each optimizer step."""
    return LambdaLR(optimizer, rate_at(recipe, steps_per_epoch))


def gradient_norm(detector: Detector, clip: float | None) -> torch.Tensor:
    """The norm of all gradients; they are scaled down to `clip` where it is larger."""
    return torch.nn.utils.clip_grad_norm_(detector.parameters(), math.inf if clip is None else clip)
