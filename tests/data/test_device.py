"""Augmentation on the device means what albumentations means."""

from __future__ import annotations

from typing import Any

import albumentations
import cv2
import numpy as np
import pytest
import torch

from dfdetect.config.recipe import TransformStep
from dfdetect.data.device import DeviceAugmentation
from dfdetect.errors import UserError

HALF = (0.5, 0.5, 0.5)
SIZE = 40


def make(*steps: tuple[str, dict[str, Any]]) -> DeviceAugmentation:
    listed = [TransformStep(name=name, params=params) for name, params in steps]
    return DeviceAugmentation(listed, SIZE, where="recipes.large_gpu.transforms", mean=HALF, std=HALF)


def pictures(count: int) -> np.ndarray:
    """Smooth colours without extremes, uint8 [shape=(N, SIZE, SIZE, 3)]."""
    random = np.random.default_rng(0)
    coarse = random.integers(70, 170, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for one in coarse])


def batch(count: int) -> dict[str, torch.Tensor]:
    images = torch.from_numpy(pictures(count)).permute(0, 3, 1, 2)
    return {"image": images, "mask": images[:, :1].clone(), "label": torch.zeros(count, dtype=torch.int64)}


def back(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_equals_albumentations(name: str) -> None:
    factor = 0.17 if name == "hue" else 1.21
    params = {"brightness": [1, 1], "contrast": [1, 1], "saturation": [1, 1], "hue": [0, 0], name: [factor, factor]}
    given = batch(4)
    found = back(make(("ColorJitter", {**params, "p": 1.0}))(given, np.random.default_rng(0))["image"])
    theirs = albumentations.ColorJitter(**{key: tuple(value) for key, value in params.items()}, p=1.0)
    for one, crop in zip(found, back(given["image"]), strict=True):
        exact = theirs(image=(crop / 255).astype(np.float32))["image"] * 255
        assert np.abs(one - exact).max() < 0.7
        assert np.abs(one - crop).mean() > 1


@pytest.mark.parametrize(("sigma", "taps"), [(0.5, 3), (1.3, 4), (3.0, 7), (1.7, 0)])
def test_blur_equals_albumentations(sigma: float, taps: int) -> None:
    params = {"blur_limit": (taps, taps), "sigma_limit": (sigma, sigma), "p": 1.0}
    given = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (1, 3, SIZE, SIZE), dtype=np.uint8))
    found = back(make(("GaussianBlur", params))({"image": given}, np.random.default_rng(0))["image"])
    exact = albumentations.GaussianBlur(**params)(image=back(given)[0].astype(np.float32) / 255)["image"] * 255
    np.testing.assert_allclose(found[0], exact, atol=0.01)
    assert np.abs(found[0] - back(given)[0]).mean() > 0.5


def test_flips_and_turns_are_exact_and_masks_move_along() -> None:
    for name, axis in (("HorizontalFlip", 3), ("VerticalFlip", 2)):
        given = batch(3)
        found = make((name, {"p": 1.0}))(given, np.random.default_rng(0))
        assert torch.allclose(found["image"], given["image"].float().flip(axis), atol=1e-4)
        assert torch.equal(found["mask"], given["mask"].flip(axis))
    given = batch(64)
    found = make(("RandomRotate90", {"p": 1.0}))(given, np.random.default_rng(0))
    turns = [
        next(k for k in range(4) if np.allclose(np.rot90(before, k), after, atol=1e-3))
        for before, after in zip(back(given["image"].float()), back(found["image"]), strict=True)
    ]
    assert set(turns) == {0, 1, 2, 3}
    assert torch.allclose(found["mask"].float(), found["image"][:, :1], atol=1e-3)


def test_each_picture_has_its_own_share_of_chances() -> None:
    given = batch(400)
    found = make(("GaussianBlur", {"blur_limit": [3, 7], "p": 0.2}))(given, np.random.default_rng(3))
    changed = ((found["image"] - given["image"].float()).abs() > 0.01).flatten(1).any(dim=1).float().mean().item()
    assert 0.13 < changed < 0.27
    assert torch.equal(found["mask"], given["mask"])
    defaults = make(("ColorJitter", {"brightness": 0.1}))(given, np.random.default_rng(3))
    changed = ((defaults["image"] - given["image"].float()).abs() > 0.01).flatten(1).any(dim=1).float().mean().item()
    assert 0.4 < changed < 0.6  # p is a half, as in albumentations


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ColorJitter", {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.05, "p": 1.0}),
        ("RandomBrightnessContrast", {"p": 1.0}),
        ("GaussianBlur", {"blur_limit": [3, 7], "p": 1.0}),
        ("GaussNoise", {"std_range": [0.0124, 0.0277], "p": 1.0}),
    ],
)
def test_draws_spread_as_albumentations(name: str, params: dict[str, Any]) -> None:
    from dfdetect.data.transforms import build_step

    given = batch(600)
    ours = back(make((name, params))(given, np.random.default_rng(4))["image"])
    step = albumentations.Compose([build_step(TransformStep(name=name, params=params), "x")], seed=4)
    theirs = np.stack([step(image=picture)["image"] for picture in back(given["image"])])
    start = back(given["image"]).astype(float)

    def figures(after: np.ndarray) -> np.ndarray:
        change = after - start
        sizes = np.abs(change).mean(axis=(1, 2, 3))
        return np.array([sizes.mean(), *np.quantile(sizes, [0.1, 0.5, 0.9]), change.std()])

    np.testing.assert_allclose(figures(ours), figures(theirs.astype(float)), rtol=0.15, atol=0.4)
    assert np.abs(ours - start).mean() > 0.5


def test_the_seed_decides() -> None:
    made = make(("HorizontalFlip", {}), ("ColorJitter", {}), ("GaussianBlur", {}), ("GaussNoise", {}))
    one, two, other = (made(batch(4), np.random.default_rng(seed))["image"] for seed in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 255


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match=r"recipes\.large_gpu\.transforms: gpu_transforms has no Rotate; it has Horiz"):
        make(("HorizontalFlip", {}), ("Rotate", {"limit": 3}), ("CLAHE", {}))
    with pytest.raises(UserError, match=r"GaussianBlur with gpu_transforms: kernel: .*it has p, blur_limit"):
        make(("GaussianBlur", {"kernel": 3}))
    with pytest.raises(UserError, match=r"p: Input should be less than or equal to 1"):
        make(("HorizontalFlip", {"p": 3}))
    with pytest.raises(UserError, match=r"must not be larger"):
        make(("ColorJitter", {"hue": [0.2, 0.1]}))
    with pytest.raises(UserError, match=r"hue: .*must lie in \[-0\.5, 0\.5\]"):
        make(("ColorJitter", {"hue": 0.7}))
    with pytest.raises(UserError, match=r"brightness: .*must not be negative"):
        make(("ColorJitter", {"brightness": [-1, 1]}))
    with pytest.raises(UserError, match=r"Resize to \[64\]"):
        make(("Resize", {"height": 64, "width": 64}))
