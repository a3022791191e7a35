"""Transforms by name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from dfdetect.config.recipe import TransformStep
from dfdetect.data.transforms import Augmentation
from dfdetect.errors import UserError

HALF = (0.5, 0.5, 0.5)


def make(*steps: tuple[str, dict[str, Any]], size: int = 48) -> Augmentation:
    listed = [TransformStep(name=name, params=params) for name, params in steps]
    return Augmentation(listed, size, where="recipes.full.transforms", mean=HALF, std=HALF)


def picture(size: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size]
    return np.stack([x * 4 % 256, y * 4 % 256, (x + y) % 256], axis=2).astype(np.uint8)


def test_a_list_of_albumentations_names() -> None:
    made = make(
        ("Resize", {"height": 48, "width": 48}),
        ("HorizontalFlip", {"p": 0.5}),
        ("ColorJitter", {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.05}),
        ("GaussianBlur", {"blur_limit": [3, 7], "p": 0.2}),
        ("GaussNoise", {"std_range": [0.01, 0.03], "p": 0.2}),
        ("Rotate", {"limit": 15}),
        ("RandomResizedCrop", {"size": [48, 48], "scale": [0.8, 1.0]}),
        ("Normalize", {"mean": list(HALF), "std": list(HALF)}),
    )
    image, mask = made.seeded(1)(picture(), None)
    assert image.shape == (48, 48, 3)
    assert image.dtype == np.uint8
    assert mask is None


def test_unknown_names_and_parameters_list_what_exists() -> None:
    with pytest.raises(
        UserError, match=r"recipes\.full\.transforms: .*HorizontalFlp.*mean HorizontalFlip.*GaussianBlur"
    ):
        make(("HorizontalFlp", {}))
    with pytest.raises(UserError, match=r"GaussianBlur has no parameter kernel; it has blur_limit, sigma_limit, p"):
        make(("GaussianBlur", {"kernel": 3}))
    with pytest.raises(UserError, match=r"HorizontalFlip with \{'p': 3\}"):
        make(("HorizontalFlip", {"p": 3}))
    with pytest.raises(UserError, match=r"GaussNoise has no parameter var_limit; it has std_range, mean_range"):
        make(("GaussNoise", {"var_limit": [10, 50]}))
    with pytest.raises(UserError, match=r"there is no transform 'GaussianNoise'\. Did you mean GaussNoise"):
        make(("GaussianNoise", {}))
    with pytest.raises(UserError, match=r"there is no transform 'Compose'"):
        make(("Compose", {}))


def test_contradictions_with_the_detector_are_named() -> None:
    with pytest.raises(UserError, match=r"Resize to \[64\], but the detector takes 48 px"):
        make(("Resize", {"height": 64, "width": 64}))
    with pytest.raises(UserError, match=r"the detector normalises with mean \[0.5"):
        make(("Normalize", {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}))
    with pytest.raises(UserError, match=r"must leave pictures of 48 px, not of \[\(30, 30\)\]"):
        make(("RandomResizedCrop", {"size": [30, 30]}))
    with pytest.raises(UserError, match=r"8-bit pictures, not float32"):
        make(("ToFloat", {}))


def test_mask_moves_with_the_picture() -> None:
    made = make(("HorizontalFlip", {"p": 1.0}), ("Rotate", {"limit": [20, 20], "p": 1.0}))
    image = np.zeros((48, 48, 3), np.uint8)
    cv2.circle(image, (12, 20), 6, (255, 255, 255), -1)
    moved, mask = made.seeded(0)(image, image[..., 0].copy())
    assert mask is not None
    np.testing.assert_allclose(moved[..., 0].astype(int), mask.astype(int), atol=1)
    assert mask.sum() > 0
    assert (mask != image[..., 0]).any()


def test_seed_decides() -> None:
    made = make(("HorizontalFlip", {}), ("ColorJitter", {}), ("GaussianBlur", {}))
    one = [made.seeded(5)(picture(), None)[0] for _ in range(3)]
    two = [pickle.loads(pickle.dumps(made)).seeded(5)(picture(), None)[0] for _ in range(3)]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    others = [made.seeded(seed)(picture(), None)[0] for seed in range(6)]
    assert any((other != one[0]).any() for other in others)


def test_evaluation_imports_no_albumentations() -> None:
    code = (
        "import sys; from dfdetect.data import av, batches, crops, images, index, sampler, transforms;"
        "bad = {'albumentations', 'librosa', 'dlib', 'dvc', 'matplotlib', 'lightning'} & set(sys.modules);"
        "print(bad or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"
