"""Which way is up: faces seen from the front tell, whatever the detector says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfdetect.faces.orientation import quarter_turns, turned
from dfdetect.media.frames import Frame, RgbPicture
from tests.drawn_faces import drawn_face

CASES = Path(__file__).parents[2].parent / "shared" / "cases"


def crops(turns: int, tilt_deg: float = 0.0) -> list[np.ndarray]:
    """Drawn faces turned clockwise."""
    return [
        np.ascontiguousarray(np.rot90(drawn_face(seed, tilt_deg=tilt_deg).image, -turns)) for seed in (0, 1, 4, 6, 9)
    ]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("tilt_deg", [0.0, 12.0])
def test_turned_faces_are_turned_back(turns: int, tilt_deg: float) -> None:
    assert quarter_turns(crops(turns, tilt_deg)) == -turns % 4


def test_one_upright_face_settles_it() -> None:
    """One crop is enough to leave a video as it is, but not to turn it."""
    lying, upright = crops(1), crops(0)
    assert quarter_turns([*lying, upright[0]]) == 0
    noise = [np.random.default_rng(seed).integers(0, 255, (160, 160, 3), dtype=np.uint8) for seed in range(4)]
    assert quarter_turns([*noise, lying[1]]) == 0
    assert quarter_turns([lying[1]]) == 3
    assert quarter_turns(noise) == quarter_turns([]) == 0


def test_a_turned_frame_is_turned_clockwise() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 255
    frame = turned(Frame(7, 0.5, RgbPicture(image)), 1)
    assert (frame.index, frame.time_s, frame.width, frame.height) == (7, 0.5, 2, 3)
    assert frame.rgb[0, 1].tolist() == [255] * 3  # upper left goes to upper right
