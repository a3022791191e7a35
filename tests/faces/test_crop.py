"""Square crops: their place, and their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.faces.crop import crop_box
from dfdetect.media.frames import Frame, RgbPicture

SIZE = st.integers(2, 3000)


@given(SIZE, SIZE, st.data(), st.floats(0, 2))
def test_the_square_lies_in_the_frame(width: int, height: int, data: st.DataObject, margin: float) -> None:
    x0, y0 = data.draw(st.floats(-50, width)), data.draw(st.floats(-50, height))
    x1, y1 = x0 + data.draw(st.floats(0, 1.5 * width)), y0 + data.draw(st.floats(0, 1.5 * height))
    left, top, right, bottom = crop_box(np.array([x0, y0, x1, y1], np.float32), width, height, margin_ratio=margin)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == bottom - top
    assert not any(corner % 2 for corner in (left, top, right, bottom))
    wanted = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    assert right - left <= max(2, wanted + 2)
    if 2 <= wanted <= min(width, height) - 4:
        assert abs(right - left - wanted) <= 1.01
        for low, high, a, b, size in ((left, right, x0, x1, width), (top, bottom, y0, y1, height)):
            if (a + b - wanted) / 2 > 3 and (a + b + wanted) / 2 < size - 3:  # the border does not push it
                assert abs((low + high) / 2 - (a + b) / 2) <= 1.6


def test_the_margin_is_a_share_of_the_longer_side() -> None:
    assert crop_box(np.array([400, 300, 480, 400], np.float32), 1920, 1080, margin_ratio=0.3) == (360, 270, 520, 430)


def test_at_the_border_the_square_moves_and_then_shrinks() -> None:
    assert crop_box(np.array([0, 0, 100, 100], np.float32), 640, 360, margin_ratio=0.5) == (0, 0, 200, 200)
    assert crop_box(np.array([540, 100, 640, 300], np.float32), 640, 360, margin_ratio=0.5) == (280, 0, 640, 360)
    assert crop_box(np.array([0, 0, 1, 1], np.float32), 1, 1, margin_ratio=0.3) == (0, 0, 1, 1)


@pytest.mark.parametrize("side", [40, 200, 317, 400])
def test_a_crop_shows_what_is_in_the_square(side: int) -> None:
    rng = np.random.default_rng(side)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8), (0, 0), 6)
    crop = Frame(0, 0.0, RgbPicture(picture)).resized((20, 30, 20 + side, 30 + side), 317, 317)
    assert crop.shape == (317, 317, 3)
    back = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if side < 317 else cv2.INTER_CUBIC)
    assert np.abs(back.astype(int) - picture[30 : 30 + side, 20 : 20 + side]).mean() < 2
