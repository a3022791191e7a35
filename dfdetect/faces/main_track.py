"""One subject a video: which of the faces found belongs to the person whom the video shows.

Faces are joined into tracks, each one person or picture that stays in its place through one shot. The heaviest track
(by size, score and number of frames, over the whole video) is the subject. Two faces in one frame are two people, so
tracks that share a frame with the subject are its rivals. Another track, as after a cut, is added only if it shares no
frame with the subject, is not where a rival is, and shows the subject's face and no rival's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from dfdetect.faces.detectors import Detections, Floats, iou
from dfdetect.media.frames import Rgb

# A face continues a track when its centre moved by fewer sides than this and its side changed by less than a factor.
MAX_MOVE = 0.8
MAX_GROWTH = 1.7
# Tracks that are compared with the subject, and rivals that these are compared with, the heaviest first: describing a
# face costs up to a third of a second.
MAX_COMPARED, MAX_RIVALS = 6, 2
# A track that overlaps a rival's place by this much is the rival, seen again.
SAME_PLACE_IOU = 0.5
# A cut changes more than this share of the pixels' colours (in 8x8x8 bins). Low, since a track that is broken without
# need is joined again, and one that is not broken at a cut may go on with another person.
CUT_SHARE = 0.1

# (frame, index of a face in it) of two tracks' best faces -> their distance: under 1 for the same person.
Distance = Callable[[tuple[int, int], tuple[int, int]], float]


@dataclass
class Track:
    """One face followed: the frames it is seen in, and which of their detections it is."""

    frames: list[int] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)
    first_box: Floats = field(default_factory=lambda: np.zeros(4, np.float32))
    box: Floats = field(default_factory=lambda: np.zeros(4, np.float32))  # the last one
    shot: int = 0
    weight: float = 0.0
    best: tuple[int, int] = (0, 0)  # frame and face of the largest, surest detection
    best_weight: float = -1.0

    def add(self, frame: int, face: int, box: Floats, score: float) -> None:
        """Continue with a detection."""
        if not self.frames:
            self.first_box = box
        self.frames.append(frame)
        self.faces.append(face)
        self.box = box
        weight = score * _side(box) ** 1.5  # between side and area: neither a passer-by nor a still picture wins
        self.weight += weight
        if weight > self.best_weight:
            self.best, self.best_weight = (frame, face), weight


def choose_subject(
    found: Sequence[Detections], cuts: Sequence[bool] | None = None, distance: Distance | None = None
) -> list[int | None]:
    """The subject's detection in each frame.

    Args:
        found: the faces of each sampled frame, in order of time.
        cuts: True where a frame begins another shot: no track crosses that; None: one shot.
        distance: compares two faces; None: no two tracks are one person.
    Returns:
        for each frame an index into its detections, or None where the subject is not seen.
    """
    tracks = follow(found, cuts if cuts is not None else [False] * len(found))
    chosen: list[int | None] = [None] * len(found)
    if not tracks:
        return chosen
    subject, *others = sorted(tracks, key=lambda track: (-track.weight, track.frames[0], tuple(track.box.tolist())))
    parts = [subject, *_further_parts(subject, others, distance)] if distance is not None else [subject]
    for track in parts:
        for frame, face in zip(track.frames, track.faces, strict=True):
            chosen[frame] = face
    return chosen


def _further_parts(subject: Track, others: list[Track], distance: Distance) -> list[Track]:
    """The other tracks, the heaviest first, that show the subject."""
    seen = set(subject.frames)
    rivals = [track for track in others if not seen.isdisjoint(track.frames)]
    parts: list[Track] = []
    compared = 0
    for track in others:
        if compared >= MAX_COMPARED:
            break
        if not seen.isdisjoint(track.frames) or any(_same_place(track, rival) for rival in rivals):
            continue
        compared += 1
        unlike = distance(subject.best, track.best)
        nearest = _same_place(subject, track) or all(
            unlike < distance(rival.best, track.best) for rival in rivals[:MAX_RIVALS]
        )
        if unlike < 1 and nearest:
            parts.append(track)
            seen.update(track.frames)
    return parts


def _same_place(a: Track, b: Track) -> bool:
    """Does one go on where the other ends?"""
    earlier, later = (a, b) if a.frames[0] < b.frames[0] else (b, a)
    return float(iou(later.first_box, np.stack([earlier.box, earlier.first_box])).max()) > SAME_PLACE_IOU


def find_cuts(thumbnails: Sequence[Rgb]) -> list[bool]:
    """Where another shot begins, by the share of pixels whose colour has no counterpart in the frame before.

    Args:
        thumbnails: the sampled frames, shrunk [shape=(H, W, 3) each].
    Returns:
        one flag a frame; the first is False.
    """
    counts = []
    for image in thumbnails:
        bins = (image >> 5).astype(np.int64) @ np.array([64, 8, 1])
        counts.append(np.bincount(bins.ravel(), minlength=512) / bins.size)
    changes = [float(np.abs(a - b).sum() / 2) for a, b in pairwise(counts)]
    return [False] * min(1, len(counts)) + [change > CUT_SHARE for change in changes]


def follow(found: Sequence[Detections], cuts: Sequence[bool]) -> list[Track]:
    """Join the faces of successive frames into tracks, the nearest pairs first; a track may skip frames.

    Args:
        found, cuts: as in choose_subject.
    Returns:
        tracks in the order of their first frames; every detection is in exactly one.
    """
    tracks: list[Track] = []
    shot = 0
    for number, faces in enumerate(found):
        shot += bool(cuts[number])
        current = [track for track in tracks if track.shot == shot]
        pairs = sorted(
            (distance, t, f)
            for t, track in enumerate(current)
            for f in range(len(faces))
            if (distance := _distance(track.box, faces.boxes[f])) is not None
        )
        taken_tracks: set[int] = set()
        taken_faces: set[int] = set()
        for _, t, f in pairs:
            if t not in taken_tracks and f not in taken_faces:
                taken_tracks.add(t)
                taken_faces.add(f)
                current[t].add(number, f, faces.boxes[f], float(faces.scores[f]))
        for f in range(len(faces)):
            if f not in taken_faces:
                track = Track(shot=shot)
                track.add(number, f, faces.boxes[f], float(faces.scores[f]))
                tracks.append(track)
    return tracks


def _side(box: Floats) -> float:
    """Square root of the area (px)."""
    return float(np.sqrt(max(0.0, float(box[2] - box[0])) * max(0.0, float(box[3] - box[1]))))


def _distance(a: Floats, b: Floats) -> float | None:
    """0 for the same box, more the less they agree; None if one cannot be the other moved."""
    side_a, side_b = max(_side(a), 1e-6), max(_side(b), 1e-6)
    growth = max(side_a / side_b, side_b / side_a)
    move = float(np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2))) / ((side_a + side_b) / 2)
    if growth > MAX_GROWTH or move > MAX_MOVE:
        return None
    return 1.0 - float(iou(a, b[None])[0]) + move
