"""One main face a video: which of the detected faces belong to the person whom the video shows.

Faces are joined into tracks, each one face that stays about where it is and goes on looking the same. A cut ends a
track, and so may a quick move. Tracks of one person are put together by dlib's descriptors of their best faces, which
cost 60 ms each: the heaviest tracks are compared, the most alike first, and the others go on where one ended in the
frame before. The heaviest person (by size, score and number of frames, over the whole video) is the main one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from dfdetect.faces.detectors import Detections, Floats, iou

# A face continues a track when its centre moved by fewer sides than this, its side changed by less than a factor, and
# it looks the same (see `Alike`).
MAX_MOVE = 0.8
MAX_GROWTH = 1.7
MAX_DESCRIBED = 6

Place = tuple[int, int]  # a frame, and a face in it
# Whether two faces look so much the same that they are one person's in about the same pose and light.
Alike = Callable[[Place, Place], bool]
# How unlike two faces are, whatever pose and light: under 1 for the same person.
Distance = Callable[[Place, Place], float]


@dataclass(eq=False)
class Track:
    """One face followed.

    Args:
        places: its detections in the order of the frames.
        before: the track that ends in the frame before, about where this one begins, with a face of other looks.
        box: the last detection's.
        weight: the larger, surer and more often it is seen, the more.
        best: the largest, surest detection.
    """

    places: list[Place] = field(default_factory=list)
    before: Track | None = None
    box: Floats = field(default_factory=lambda: np.zeros(4, np.float32))
    weight: float = 0.0
    best: Place = (0, 0)
    best_weight: float = -1.0

    def apart_from(self, others: Sequence[Track]) -> bool:
        """Whether it shares no frame with others: two faces in one frame are two people."""
        frames = {frame for frame, _ in self.places}
        return all(frames.isdisjoint(frame for frame, _ in other.places) for other in others)

    def add(self, place: Place, box: Floats, score: float) -> None:
        """Continue with a detection."""
        self.places.append(place)
        self.box = box
        weight = score * _side(box) ** 1.5  # between side and area: neither a passer-by nor a still picture wins
        self.weight += weight
        if weight > self.best_weight:
            self.best, self.best_weight = place, weight


def choose_main_face(found: Sequence[Detections], alike: Alike, distance: Distance) -> list[int | None]:
    """The main person's detection in each frame.

    Args:
        found: the faces of each sampled frame, in order of time.
    Returns:
        for each frame an index into its detections, or None where the main person is not seen.
    """
    chosen: list[int | None] = [None] * len(found)
    people = group(follow(found, alike), distance)
    if people:
        for track in max(people, key=lambda person: sum(track.weight for track in person)):
            for frame, face in track.places:
                chosen[frame] = face
    return chosen


def follow(found: Sequence[Detections], alike: Alike) -> list[Track]:
    """Join the faces of successive frames into tracks, the nearest pairs first; a track may skip frames.

    Returns:
        tracks in the order of their first frames; every detection is in exactly one.
    """
    tracks: list[Track] = []
    for number, faces in enumerate(found):
        free = list(range(len(faces)))  # faces without a track
        before: dict[int, Track] = {}
        pairs = sorted(
            (distance, t, f)
            for t, track in enumerate(tracks)
            for f in free
            if (distance := _distance(track.box, faces.boxes[f])) is not None
        )
        busy: set[int] = set()
        for _, t, f in pairs:
            if f in free and t not in busy and any(alike(place, (number, f)) for place in reversed(tracks[t].places)):
                free.remove(f)
                busy.add(t)
                tracks[t].add((number, f), faces.boxes[f], float(faces.scores[f]))
        for _, t, f in pairs:
            if f in free and t not in busy and f not in before and tracks[t].places[-1][0] == number - 1:
                busy.add(t)
                before[f] = tracks[t]
        for f in free:
            tracks.append(Track(before=before.get(f)))
            tracks[-1].add((number, f), faces.boxes[f], float(faces.scores[f]))
    return tracks


def group(tracks: Sequence[Track], distance: Distance) -> list[list[Track]]:
    """Put the tracks of one person together.

    Args:
        tracks: in the order of their first frames.
    """
    people = [[track] for track in sorted(tracks, key=lambda track: (-track.weight, track.places[0]))[:MAX_DESCRIBED]]

    def unlike(pair: tuple[list[Track], list[Track]]) -> float:
        return min(distance(one.best, other.best) for one, other in product(*pair))

    while pairs := [(a, b) for a, b in combinations(people, 2) if all(track.apart_from(b) for track in a)]:
        nearest = min(pairs, key=unlike)
        if unlike(nearest) >= 1:
            break
        nearest[0].extend(nearest[1])
        people = [person for person in people if person is not nearest[1]]
    owners = {track: person for person in people for track in person}
    for track in tracks:
        if track not in owners:
            person = owners.get(track.before) if track.before is not None else None
            if person is None or not track.apart_from(person):
                person = []
                people.append(person)
            person.append(track)
            owners[track] = person
    return people


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
