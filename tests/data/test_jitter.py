"""The fast colour jitter means what albumentations' means."""

from __future__ import annotations

import itertools

import albumentations
import cv2
import numpy as np
import pytest

from dfdetect.data.jitter import ColorJitter, shift_hue

RANGES = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.05, "p": 1.0}


def picture() -> np.ndarray:
    """Smooth colours without extremes, so that nothing clips."""
    coarse = np.random.default_rng(0).integers(70, 170, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_equals_albumentations_in_any_order(order: tuple[int, ...]) -> None:
    ours, theirs = ColorJitter(**RANGES), albumentations.ColorJitter(**RANGES)
    factors = {"brightness": 1.08, "contrast": 0.91, "saturation": 1.1, "hue": 0.043, "order": list(order)}
    found = ours.apply(picture(), **factors).astype(float)
    exact = theirs.apply((picture() / 255).astype(np.float32), **factors) * 255  # in floats it does not round
    assert np.abs(found - exact).max() <= 6  # hue and saturation of 8 bits
    eight_bits = theirs.apply(picture(), **factors).astype(float)
    assert np.abs(found - exact).mean() < min(0.8, np.abs(eight_bits - exact).mean())
    assert np.abs(found - picture()).mean() > 3  # it does something


def test_same_seed_same_draws() -> None:
    ours = albumentations.Compose([ColorJitter(**RANGES)])
    theirs = albumentations.Compose([albumentations.ColorJitter(**RANGES)])
    for seed in range(5):
        ours.set_random_seed(seed)
        theirs.set_random_seed(seed)
        exact = theirs(image=(picture() / 255).astype(np.float32))["image"] * 255
        assert np.abs(ours(image=picture())["image"] - exact).mean() < 0.8


def test_hue_turns_the_circle() -> None:
    red = np.full((4, 4, 3), (200, 20, 20), np.uint8)
    green = shift_hue(red, 1 / 3)
    assert np.abs(green.astype(int) - (20, 200, 20)).max() <= 4
    assert np.abs(shift_hue(green, -1 / 3).astype(int) - red).max() <= 6
    np.testing.assert_array_equal(shift_hue(red, 0.0), red)


def test_nothing_to_do_gives_the_picture_itself() -> None:
    same = ColorJitter(**RANGES).apply(picture(), 1.0, 1.0, 1.0, 0.0, [3, 1, 0, 2])
    np.testing.assert_array_equal(same, picture())
