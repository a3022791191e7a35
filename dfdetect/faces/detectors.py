"""Face finders by name, and what they return. Importing this module loads no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dfdetect.errors import UserError
from dfdetect.io import pretrained as weights
from dfdetect.media.frames import Rgb

Floats = NDArray[np.float32]

# A frame's best boxes that suppression looks at, and the pairs of boxes that it compares at once.
MAX_BOXES, MAX_PAIRS = 1000, 1_000_000


@dataclass(frozen=True)
class Detections:
    """The faces of one frame, best score first.

    Args:
        boxes: x0, y0, x1, y1 in px of the frame that was searched; may leave it a little [shape=(N, 4)].
        scores: 0 to 1 [shape=(N,)].
        keypoints: x, y of left eye, right eye (as seen), nose, left and right mouth corner [shape=(N, 5, 2)].
        thorough: faces of all sizes were looked for; else the frame showed large ones, and smaller ones may be missing.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats
    thorough: bool = True

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """Some of the faces, by index or mask."""
        return Detections(self.boxes[rows], self.scores[rows], self.keypoints[rows], self.thorough)

    def scaled(self, factor: Floats) -> Detections:
        """In px of a frame that is larger by a factor in x and y [shape=(2,)]."""
        return replace(self, boxes=self.boxes * np.tile(factor, 2), keypoints=self.keypoints * factor)


class Finder(Protocol):
    """Finds the faces of frames."""

    batch_size: int

    def find(self, frames: Sequence[Rgb], *, thorough: bool = False) -> list[Detections]:
        """One Detections a frame, in px of the frame given; frames may differ in size.

        Args:
            thorough: look for faces of all sizes in every frame; else large ones come first, at a fraction of the
                work, and a frame in which these leave no doubt is not searched further.
        """
        ...


@dataclass(frozen=True)
class FinderSettings:
    """What a finder is built with.

    Args:
        score_threshold: faces under it are left out.
        min_face_ratio: smallest face, as a fraction of the frame's longer side.
        nms_threshold: of two boxes that overlap more, the weaker is dropped.
        device: cpu, cuda, or auto.
    """

    score_threshold: float
    min_face_ratio: float
    nms_threshold: float
    device: str = "auto"


@dataclass(frozen=True)
class FinderEntry:
    """Where a finder's class is, and the weights that it loads (names in dfdetect.io.pretrained)."""

    module: str
    class_name: str
    weights: tuple[str, ...]


FINDERS: dict[str, FinderEntry] = {
    "retinaface-resnet50": FinderEntry("dfdetect.faces.retinaface", "ResNet50Finder", ("retinaface-resnet50",)),
    "retinaface-mobilenet0.25": FinderEntry(
        "dfdetect.faces.retinaface", "MobileNetFinder", ("retinaface-mobilenet0.25",)
    ),
    "mtcnn": FinderEntry("dfdetect.faces.mtcnn", "MtcnnFinder", ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")),
}


def finder_entry(name: str) -> FinderEntry:
    """The entry of a name.

    Raises:
        UserError: it is unknown; lists what exists.
    """
    if name not in FINDERS:
        raise UserError(
            f"The face detector {name!r} is unknown (face_detector of faces or a dataset); choose {', '.join(FINDERS)}."
        )
    return FINDERS[name]


@cache
def build_finder(name: str, settings: FinderSettings) -> Finder:
    """A finder with its weights loaded; built once a process.

    Raises:
        UserError: the name is unknown, its weights are nowhere, or the device is not there.
    """
    entry = finder_entry(name)
    kind = getattr(importlib.import_module(entry.module), entry.class_name)
    finder: Finder = kind(settings, *(weights.load_state(weights.locate(each)) for each in entry.weights))
    return finder


def by_size(frames: Sequence[Rgb], batch_size: int, find: Callable[[list[Rgb]], list[Detections]]) -> list[Detections]:
    """Call `find` with batches of frames of equal size, in order; one Detections a frame."""
    found: list[Detections] = [Detections.none()] * len(frames)
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, frame in enumerate(frames):
        groups.setdefault(frame.shape, []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), batch_size):
            part = indices[start : start + batch_size]
            for index, detections in zip(part, find([frames[i] for i in part]), strict=True):
                found[index] = detections
    return found


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box with each of others.

    Args:
        box: x0, y0, x1, y1 [shape=(4,)].
        boxes: likewise [shape=(N, 4)].
    Returns:
        0 to 1 [shape=(N,)].
    """
    overlap = _overlap(box, boxes)
    union = _area(box[None])[0] + _area(boxes) - overlap
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float32)


def suppress(boxes: Floats, scores: Floats, limit: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """`suppress_each` of the boxes of one frame."""
    return suppress_each(boxes, scores, np.zeros(len(boxes), np.intp), limit, of_smaller=of_smaller)


def suppress_each(
    boxes: Floats, scores: Floats, owner: NDArray[np.intp], limit: float, *, of_smaller: bool = False
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression within each frame, of many frames at once.

    Not torchvision's, whose import alone takes as long as torch's; a frame leaves a few hundred boxes at most.

    Args:
        boxes: x0, y0, x1, y1 [shape=(N, 4)]; of a frame's more than MAX_BOXES, the best are looked at.
        scores: [shape=(N,)].
        owner: the frame of each [shape=(N,)].
        limit: a box that overlaps a better one by more is dropped.
        of_smaller: measure the overlap against the smaller box instead of the union.
    Returns:
        indices of what stays, frame by frame, best first [shape=(K,)].
    """
    order = np.lexsort((-scores, owner))
    _, starts, counts = np.unique(owner[order], return_index=True, return_counts=True)
    kept = [np.zeros(0, np.intp)]
    first = 0
    while first < len(starts):
        most = min(MAX_BOXES, int(counts[first:].max()))
        last = first + max(1, MAX_PAIRS // most**2)
        rank = np.arange(most)
        there = rank < counts[first:last, None]  # (frames, most)
        rows = order[np.where(there, starts[first:last, None] + rank, 0)]
        kept.append(rows[_unbeaten(boxes[rows], there, limit, of_smaller=of_smaller)])
        first = last
    return np.concatenate(kept)


def _unbeaten(boxes: Floats, alive: NDArray[np.bool_], limit: float, *, of_smaller: bool) -> NDArray[np.bool_]:
    """Which of each frame's boxes no better one that stays overlaps by more than the limit.

    Args:
        boxes: best first [shape=(F, N, 4)].
        alive: those that are looked at [shape=(F, N)].
    """
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])  # (F, N, N, 2)
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = np.maximum(high - low, 0)
    overlap = sides[..., 0] * sides[..., 1]
    areas = _area(boxes)
    one, other = areas[:, :, None], areas[:, None]
    base = np.minimum(one, other) if of_smaller else one + other - overlap
    beats = np.triu(overlap > limit * np.maximum(base, 1e-9), 1)  # row, the better box, and column
    for row in np.flatnonzero(beats.any(axis=(0, 2))):
        alive = alive & ~(beats[:, row] & alive[:, row, None])
    return alive


def _area(boxes: Floats) -> Floats:
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def _overlap(box: Floats, boxes: Floats) -> Floats:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=1), np.float32)
