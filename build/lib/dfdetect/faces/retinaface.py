"""RetinaFace with a ResNet-50 or a MobileNet-0.25 backbone.

Source: Deng et al. 2020 (arXiv 1905.00641); networks and decoding of the package retinaface-pytorch.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from dfdetect.faces.detectors import Detections, FaceDetectorSettings, Floats, iou, nms
from dfdetect.faces.networks import load_network
from dfdetect.media.frames import Box, Rgb

STEPS = (8, 16, 32)
MIN_SIZES = ((16, 32), (64, 128), (256, 512))
# A frame is searched at a quarter of its size first, a sixteenth of the work. If every face there has a longer side of
# CLEAR_PX or more, only the faces' surroundings are searched at full size: on real clips the boxes then have an IoU of
# more than 0.95 with those of the whole frame in 99 % of cases. (Boxes from the quarter alone: 0.84 at the median.)
SHRINK, CLEAR_PX, COARSE_SCORE = 4, 20, 0.15
AROUND_PX = 64
STRIDE = 32  # the network's largest
SAME_FACE_IOU = 0.3  # of a face at a quarter of the size and at full size
MAX_SHARE = 0.8  # of the frame, beyond which the whole of it is searched
TOLERANCE = 0.8  # a face of the smallest size may get a box that is smaller by this factor


class RetinaFace:
    """See FaceDetector."""

    def __init__(self, settings: FaceDetectorSettings, weights: str) -> None:
        self._score_threshold, self._nms_threshold = settings.score_threshold, settings.nms_threshold
        self._network = load_network(weights, settings.device)

    def detect(self, frame: Rgb, *, min_face_px: float) -> Detections:
        """See FaceDetector. Beside large faces very small ones may be left out; `search` finds all."""
        regions = self._regions(frame)
        if not regions:
            return self.search(frame, min_face_px=min_face_px)
        parts = [self._search_region(frame, region, face) for region, face in regions]
        found = Detections(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.keypoints for part in parts]),
        )
        found = found.take(nms(found.boxes, found.scores, self._nms_threshold))
        return found.take(found.sides >= TOLERANCE * min_face_px)

    def search(self, frame: Rgb, *, min_face_px: float) -> Detections:
        """As retinaface-pytorch's model: the faces that the whole frame shows."""
        found = self._search(frame, self._score_threshold)
        return found.take(found.sides >= TOLERANCE * min_face_px)

    def _search(self, image: Rgb, score_threshold: float) -> Detections:
        height, width = image.shape[:2]
        scores, boxes, points = self._network(image, anchors(height, width), np.array(score_threshold, np.float32))
        found = Detections(boxes, scores, points.reshape(-1, 5, 2)).mapped(np.array([width, height], np.float32))
        return found.take(nms(found.boxes, found.scores, self._nms_threshold))

    def _regions(self, frame: Rgb) -> list[tuple[Box, Floats]]:
        """Where to look at full size, and the face that was seen there; nothing: the whole frame is to be searched."""
        height, width = frame.shape[:2]
        if min(height, width) < SHRINK * STRIDE:
            return []
        size = (width // SHRINK, height // SHRINK)
        found = self._search(np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8), COARSE_SCORE)
        if not len(found) or found.sides.min() < CLEAR_PX:
            return []
        found = found.mapped(np.array([width / size[0], height / size[1]], np.float32))
        low = np.maximum((found.boxes[:, :2] - AROUND_PX) // STRIDE * STRIDE, 0).astype(int)
        high = np.minimum(-((-found.boxes[:, 2:] - AROUND_PX) // STRIDE) * STRIDE, (width, height)).astype(int)
        if np.prod(high - low, axis=1).sum() > MAX_SHARE * height * width:
            return []
        return [((*a, *b), box) for a, b, box in zip(low.tolist(), high.tolist(), found.boxes, strict=True)]

    def _search_region(self, frame: Rgb, region: Box, face: Floats) -> Detections:
        """The one face of a region that was seen at a quarter of the size, if it is seen again."""
        x0, y0, x1, y1 = region
        found = self._search(np.ascontiguousarray(frame[y0:y1, x0:x1]), self._score_threshold)
        found = found.mapped(np.ones(2, np.float32), np.array([x0, y0], np.float32))
        overlaps = iou(face, found.boxes)
        best = np.argsort(-overlaps, kind="stable")[:1]
        return found.take(best[overlaps[best] > SAME_FACE_IOU])


@lru_cache(maxsize=64)
def anchors(height: int, width: int) -> Floats:
    """Centre x, y, width and height of every anchor, in fractions of the frame's sides [shape=(A, 4)].

    Equal to the package's `priorbox`, which needs torch and takes 50 ms at 640 x 360.
    """
    parts = []
    for step, sizes in zip(STEPS, MIN_SIZES, strict=True):
        rows, columns = np.arange(-(-height // step)), np.arange(-(-width // step))
        y, x, size = np.meshgrid(rows, columns, sizes, indexing="ij")
        place = [(x + 0.5) * step / width, (y + 0.5) * step / height, size / width, size / height]
        parts.append(np.stack(place, axis=-1).reshape(-1, 4))
    return np.concatenate(parts).astype(np.float32)
