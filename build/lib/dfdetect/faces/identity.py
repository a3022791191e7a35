"""Do two faces show the same person? By their looks, and where these leave a doubt by dlib's descriptors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfdetect.faces.detectors import Floats
from dfdetect.faces.landmarks import fit_similarity
from dfdetect.io import pretrained as weights
from dfdetect.media.frames import Rgb

WEIGHTS = "dlib-face-resnet"
# Descriptors of one person lie nearer than this. Measured with the alignment below on six speakers and their videos:
# one person at most 0.51, two people at least 0.58.
SAME_PERSON = 0.55
SIDE = 150  # px, what the network takes
# Where both eyes, the nose and the mouth corners lie in dlib's aligned faces: the mean over real faces of where the
# keypoints of this project's face detectors fall in them.
_UPRIGHT = np.array([[47.5, 45.5], [101.0, 45.5], [74.3, 77.0], [53.5, 106.5], [98.5, 106.5]])
# Crops of one person in successive sampled frames correlate by more in 95 % of cases, those of 15 people with one
# another in 1 %. (Grey, 32 px a side, without what is smooth over 6 px, shifted by up to 3 px.)
SAME_LOOKS = 0.78
LOOKS_PX, SMOOTH_PX, SHIFT_PX = 32, 6, 3


def looks(crop: Rgb) -> Floats:
    """What `alike` compares, of a face crop [shape=(32, 32)]."""
    grey = cv2.cvtColor(cv2.resize(crop, (LOOKS_PX, LOOKS_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SMOOTH_PX), np.float32)


def alike(a: Floats, b: Floats) -> bool:
    """Whether two crops look so much the same that they show one face, in about the same pose and light."""
    inner = b[SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    return float(cv2.matchTemplate(a, inner, cv2.TM_CCOEFF_NORMED).max()) > SAME_LOOKS


def align(image: Rgb, keypoints: Floats) -> Rgb:
    """Turn, scale and shift a face to where the network expects it.

    Args:
        image: RGB [shape=(H, W, 3)].
        keypoints: left eye, right eye, nose, mouth corners in px [shape=(5, 2)].
    Returns:
        RGB [shape=(150, 150, 3)].
    """
    matrix = fit_similarity(keypoints.astype(np.float64), _UPRIGHT)
    return np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


def describe(image: Rgb, keypoints: Floats) -> NDArray[np.float64]:
    """A face as a point in a space where nearness means the same person [shape=(128,)].

    Args:
        image, keypoints: as in align.
    Source: dlib's face recognition ResNet (Davis King, 2017).
    """
    return np.asarray(_model(weights.locate(WEIGHTS)).compute_face_descriptor(align(image, keypoints)))


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """How unlike two described faces are: under 1 for the same person."""
    return float(np.linalg.norm(a - b)) / SAME_PERSON


@cache
def _model(path: Path) -> Any:
    import dlib

    return dlib.face_recognition_model_v1(str(path))
