"""MTCNN: three small networks, each refining what the one before proposes.

The networks and their weights are facenet-pytorch's. What lies between them follows its `detect_face` step by step, in
NumPy and without torch, and gives the same boxes: there, too, a frame is shrunk by the plain mean of the pixels under
each result, which here comes from one table of sums a frame.

Source: Zhang et al. 2016 (arXiv 1604.02878); facenet_pytorch/models/utils/detect_face.py.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfdetect.faces.detectors import Detections, Floats, nms
from dfdetect.faces.networks import load_network
from dfdetect.media.frames import Rgb

PYRAMID_FACTOR = 0.709
PROPOSAL_SCORE, REFINED_SCORE, FINAL_SCORE = 0.6, 0.7, 0.7
STRIDE, CELL = 2, 12  # of the proposal network (px)

# The pyramid's levels for faces of less than about twice the smallest size are left for frames where the others show
# no face, or one of less than three times the smallest size: half of the work.
SMALL_LEVELS, CLEAR_FACES = 2, 3

Sums = NDArray[Any]  # what cv2.integral gives of an RGB frame [int32, shape=(H + 1, W + 1, 3)]
Ints = NDArray[Any]  # whole numbers


class Mtcnn:
    """See FaceDetector."""

    def __init__(
        self, pnet: str, rnet: str, onet: str, *, score_threshold: float, nms_threshold: float, device: str
    ) -> None:
        del nms_threshold  # its three stages have their own
        self._score_threshold = score_threshold
        self._pnet, self._rnet, self._onet = (load_network(name, device) for name in (pnet, rnet, onet))

    def detect(self, frame: Rgb, *, min_face_px: float) -> Detections:
        """See FaceDetector. Beside large faces small ones may be left out; `search` finds all."""
        sums = cv2.integral(frame)  # (H + 1, W + 1, 3)
        scales = pyramid(frame.shape[0], frame.shape[1], min_face_px)
        large = self._propose(sums, scales[SMALL_LEVELS:])
        found = self._complete(sums, large)
        if len(found) and found.sides.min() >= CLEAR_FACES * min_face_px:
            return found
        return self._complete(sums, np.concatenate([self._propose(sums, scales[:SMALL_LEVELS]), large]))

    def search(self, frame: Rgb, *, min_face_px: float) -> Detections:
        """As facenet-pytorch's MTCNN: all faces of `min_face_px` and more."""
        sums = cv2.integral(frame)
        return self._complete(sums, self._propose(sums, pyramid(frame.shape[0], frame.shape[1], min_face_px)))

    def _propose(self, sums: Sums, scales: list[float]) -> Floats:
        """What may be faces: box (4), score (1), corrections (4) [shape=(N, 9)]."""
        height, width = sums.shape[0] - 1, sums.shape[1] - 1
        found = [np.zeros((0, 9), np.float32)]
        for scale in scales:
            rows, columns = windows(0, height, int(height * scale + 1)), windows(0, width, int(width * scale + 1))
            shifts, scores = self._pnet(area_means(sums, rows, columns)[None])  # (1, 4, h, w), (1, 2, h, w)
            row, column = np.nonzero(scores[0, 1] >= PROPOSAL_SCORE)
            score = scores[0, 1, row, column]
            corner = np.stack([column, row], axis=1).astype(np.float32) * STRIDE
            cell = np.floor(np.concatenate([corner + 1, corner + CELL], axis=1) / np.float32(scale))
            kept = nms(cell, score, 0.5)
            found.append(np.column_stack([cell, score, shifts[0, :, row, column]])[kept])
        return np.concatenate(found)

    def _complete(self, sums: Sums, proposals: Floats) -> Detections:
        """The faces among the proposals."""
        proposals = proposals[nms(proposals[:, :4], proposals[:, 4], 0.7)]
        sides = np.tile(proposals[:, 2:4] - proposals[:, :2], 2)
        return self._finish(sums, self._refine(sums, squared(proposals[:, :4] + proposals[:, 5:] * sides)))

    def _refine(self, sums: Sums, boxes: Floats) -> Floats:
        """Square boxes of what the second network takes for faces [shape=(K, 4)]."""
        boxes, crops = cut(sums, boxes, 24)
        if not len(boxes):
            return boxes
        shifts, scores = self._rnet(crops)  # (N, 4), (N, 2)
        good = np.flatnonzero(scores[:, 1] > REFINED_SCORE)
        kept = good[nms(boxes[good], scores[good, 1], 0.7)]
        return squared(corrected(boxes[kept], shifts[kept]))

    def _finish(self, sums: Sums, boxes: Floats) -> Detections:
        boxes, crops = cut(sums, boxes, 48)
        if not len(boxes):
            return Detections.none()
        shifts, points, scores = self._onet(crops)  # (N, 4), (N, 10), (N, 2)
        good = scores[:, 1] > FINAL_SCORE
        boxes, shifts, points, score = boxes[good], shifts[good], points[good], scores[good, 1]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        # fractions of the box before its correction, five x then five y, to (N, 5, 2)
        keypoints = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        found = Detections(corrected(boxes, shifts), score, np.asarray(keypoints, np.float32))
        found = found.take(without_nested(found, 0.7))
        return found.take(found.scores >= self._score_threshold)


def pyramid(height: int, width: int, min_face_px: float) -> list[float]:
    """Scales at which a face of `min_face_px` and larger ones fill the proposal network's 12 px."""
    scale = CELL / max(CELL, min_face_px)
    scales = []
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
    return scales


def windows(low: int | Ints, high: int | Ints, count: int) -> tuple[Ints, Ints]:
    """First and last pixel (exclusive) under each of `count` results, as in PyTorch's interpolation "area".

    Args:
        low, high: the range of pixels that is resized, first and last (exclusive) [shape=() or (N,)].
        count: results.
    Returns:
        two arrays [shape=(count,) or (N, count)].
    """
    start, size = np.asarray(low)[..., None], (np.asarray(high) - low)[..., None]
    steps = np.arange(count + 1)
    return start + steps[:-1] * size // count, start - (-steps[1:] * size // count)


def area_means(sums: Sums, rows: tuple[Ints, Ints], columns: tuple[Ints, Ints]) -> Floats:
    """Means over the rectangles that windows of rows and of columns make.

    Args:
        sums: cv2.integral of an RGB frame [shape=(H + 1, W + 1, 3)].
        rows, columns: from `windows` [shape=(..., h) and (..., w) each].
    Returns:
        [shape=(..., h, w, 3)].
    """
    width, flat = sums.shape[1], sums.reshape(-1, 3)
    top, bottom = rows[0][..., :, None], rows[1][..., :, None]
    left, right = columns[0][..., None, :], columns[1][..., None, :]
    total = flat.take(bottom * width + right, axis=0) - flat.take(bottom * width + left, axis=0)
    total -= flat.take(top * width + right, axis=0)
    total += flat.take(top * width + left, axis=0)
    return total.astype(np.float32) / ((bottom - top) * (right - left))[..., None].astype(np.float32)


def cut(sums: Sums, boxes: Floats, side: int) -> tuple[Floats, Floats]:
    """The part of each box that lies in the frame, resized to a square; boxes outside are left out.

    Args:
        sums: cv2.integral of an RGB frame [shape=(H + 1, W + 1, 3)].
        boxes: x0, y0, x1, y1, pixels counted from 1 as in the original [shape=(N, 4)].
        side: of the crops (px).
    Returns:
        the boxes that remain [shape=(K, 4)] and their crops [shape=(K, side, side, 3)].
    """
    low = np.maximum(np.trunc(boxes[:, :2]).astype(np.int64), 1) - 1
    high = np.minimum(np.trunc(boxes[:, 2:]).astype(np.int64), (sums.shape[1] - 1, sums.shape[0] - 1))
    inside = (high > low).all(axis=1)
    boxes, low, high = boxes[inside], low[inside], high[inside]
    return boxes, area_means(sums, windows(low[:, 1], high[:, 1], side), windows(low[:, 0], high[:, 0], side))


def squared(boxes: Floats) -> Floats:
    """Boxes made square around their centres, by the longer side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True, initial=0)
    low = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return np.concatenate([low, low + longer], axis=1).astype(np.float32)


def corrected(boxes: Floats, shifts: Floats) -> Floats:
    """Boxes moved by the networks' corrections, which are fractions of the box's sides."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return np.asarray(boxes + shifts * sides, np.float32)


def without_nested(found: Detections, threshold: float) -> NDArray[np.intp]:
    """Non-maximum suppression that measures the overlap against the smaller box, so that no face lies in another.

    Returns:
        indices of what stays, best first [shape=(K,)].
    """
    order, kept = np.argsort(-found.scores, kind="stable"), []
    low, high = found.boxes[:, :2], found.boxes[:, 2:] + 1
    areas = np.prod(high - low, axis=1)
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(high[best], high[order]) - np.maximum(low[best], low[order])
        overlap = np.prod(np.maximum(sides, 0), axis=1)
        order = order[overlap <= threshold * np.minimum(areas[best], areas[order])]
    return np.array(kept, np.intp)
