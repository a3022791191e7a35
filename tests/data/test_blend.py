"""Self-blended images."""

from __future__ import annotations

import numpy as np
import pytest

from dfdetect.data.blend import blend_mask, self_blend


def face(size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A picture with texture everywhere, and 68 points on an ellipse and inside it."""
    image = np.random.default_rng(1).integers(40, 210, (size, size, 3)).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    radius = np.linspace(0.3, 0.1, 68)[:, None] * size
    return image, size / 2 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_differs_inside_the_mask_alone(seed: int) -> None:
    image, points = face()
    forged, weights = self_blend(image, points, np.random.default_rng(seed))
    assert forged.shape == image.shape
    assert forged.dtype == np.uint8
    outside = weights == 0
    np.testing.assert_array_equal(forged[outside], image[outside])
    assert outside.mean() > 0.2
    inside = weights > 0.2
    assert inside.any()
    assert (forged[inside] != image[inside]).mean() > 0.5


def test_mask_is_soft_and_lies_around_the_landmarks() -> None:
    _, points = face()
    for seed in range(10):
        mask = blend_mask((96, 96), points, np.random.default_rng(seed))
        assert mask.min() == 0.0
        assert mask.max() == pytest.approx(1.0)
        assert ((mask > 0.05) & (mask < 0.95)).mean() > 0.02
        y, x = np.average(np.mgrid[0:96, 0:96], axis=(1, 2), weights=np.stack([mask, mask])[0])
        assert abs(y - 48) < 15
        assert abs(x - 48) < 15


def test_the_seed_decides() -> None:
    image, points = face()
    one, two, other = (self_blend(image, points, np.random.default_rng(seed))[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
