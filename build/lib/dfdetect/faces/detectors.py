"""Face detectors by name, and what they return. Importing this module loads no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dfdetect.errors import UserError
from dfdetect.media.frames import Rgb

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """The faces of one frame, best score first.

    Args:
        boxes: x0, y0, x1, y1 in px of the frame that was searched; may leave it a little [shape=(N, 4)].
        scores: 0 to 1 [shape=(N,)].
        keypoints: x, y of left eye, right eye (as seen), nose, left and right mouth corner [shape=(N, 5, 2)].
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    @property
    def sides(self) -> Floats:
        """The longer side of each box (px) [shape=(N,)]."""
        return np.asarray(np.max(self.boxes[:, 2:] - self.boxes[:, :2], axis=1, initial=0), np.float32)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """Some of the faces, by index or mask."""
        return Detections(self.boxes[rows], self.scores[rows], self.keypoints[rows])

    def mapped(self, scale: Floats, shift: Floats | None = None) -> Detections:
        """Coordinates times `scale`, then plus `shift`, each given for x and y [shape=(2,)]."""
        shift = np.zeros(2, np.float32) if shift is None else shift
        boxes = self.boxes * np.tile(scale, 2) + np.tile(shift, 2)
        return Detections(boxes.astype(np.float32), self.scores, (self.keypoints * scale + shift).astype(np.float32))


class FaceDetector(Protocol):
    """Detects the faces of a frame."""

    def detect(self, frame: Rgb, *, min_face_px: float) -> Detections:
        """The faces in a frame whose box has a longer side of about `min_face_px` or more, in px of that frame."""
        ...


@dataclass(frozen=True)
class FaceDetectorSettings:
    """What a face detector is built with.

    Args:
        score_threshold: faces with a lower score are left out.
        nms_threshold: RetinaFace: of two boxes with a larger IoU, the one with the lower score is dropped.
        device: cpu, cuda, or auto.
    """

    score_threshold: float
    nms_threshold: float
    device: str = "auto"


# Module and class of each, and the weights that it loads (names in dfdetect.io.pretrained).
FACE_DETECTORS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "retinaface-resnet50": ("dfdetect.faces.retinaface", "RetinaFace", ("retinaface-resnet50",)),
    "retinaface-mobilenet0.25": ("dfdetect.faces.retinaface", "RetinaFace", ("retinaface-mobilenet0.25",)),
    "mtcnn": ("dfdetect.faces.mtcnn", "Mtcnn", ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")),
}


def face_detector_entry(name: str) -> tuple[str, str, tuple[str, ...]]:
    """The entry of FACE_DETECTORS.

    Raises:
        UserError: there is none; lists what there is.
    """
    if name not in FACE_DETECTORS:
        raise UserError(
            f"The face detector {name!r} (faces.face_detector) is unknown; choose {', '.join(FACE_DETECTORS)}."
        )
    return FACE_DETECTORS[name]


@cache
def build_face_detector(name: str, settings: FaceDetectorSettings) -> FaceDetector:
    """A face detector with its networks loaded; built once a process.

    Raises:
        UserError: the name is unknown, its weights are nowhere, or the device is not there.
    """
    module, class_name, weights = face_detector_entry(name)
    detector: FaceDetector = getattr(importlib.import_module(module), class_name)(settings, *weights)
    return detector


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box [shape=(4,)] with each of others [shape=(N, 4)]: 0 to 1 [shape=(N,)]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - overlap
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float32)


def nms(boxes: Floats, scores: Floats, threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression by OpenCV: torchvision's would bring torch along.

    Args:
        boxes: x0, y0, x1, y1 [shape=(N, 4)].
        scores: > 0 [shape=(N,)].
        threshold: a box whose IoU with a better one is larger is dropped.
    Returns:
        indices of what stays, best first [shape=(K,)].
    """
    if not len(boxes):
        return np.zeros(0, np.intp)
    rectangles = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    return np.asarray(cv2.dnn.NMSBoxes(rectangles, scores, 0.0, threshold), np.intp).ravel()  # type: ignore[arg-type]
