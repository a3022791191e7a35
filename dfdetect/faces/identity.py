"""Do two faces show the same person? Asked only where a video's faces fall into several tracks."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfdetect.faces.detectors import Floats
from dfdetect.io import pretrained as weights
from dfdetect.media.frames import Rgb

WEIGHTS = "dlib-face-resnet"
# Descriptors of one person lie nearer than this. Measured with the alignment below on six speakers and their videos:
# one person at most 0.51, two people at least 0.58.
SAME_PERSON = 0.55
SIDE = 150  # px, what the network takes
# Where both eyes, the nose and the mouth corners lie in dlib's aligned faces: the mean over real faces of where the
# keypoints of this project's finders fall in them.
_UPRIGHT = np.array([[47.5, 45.5], [101.0, 45.5], [74.3, 77.0], [53.5, 106.5], [98.5, 106.5]])


def align(image: Rgb, keypoints: Floats) -> Rgb:
    """Turn, scale and shift a face to where the network expects it.

    Args:
        image: RGB [shape=(H, W, 3)].
        keypoints: left eye, right eye, nose, mouth corners in px [shape=(5, 2)].
    Returns:
        RGB [shape=(150, 150, 3)].
    """
    points = keypoints.astype(np.float64)
    source, target = points.mean(0), _UPRIGHT.mean(0)
    a, b = (points - source) @ (1, 1j), (_UPRIGHT - target) @ (1, 1j)  # as complex numbers, b = factor * a
    factor = np.vdot(a, b) / max(float(np.vdot(a, a).real), 1e-9)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.column_stack([turn, target - turn @ source])
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
