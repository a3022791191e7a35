"""Where the subject's face is at any time, from the frames in which the faces stage saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# Two sightings this many usual steps apart leave room for the subject to have gone.
_GAP_STEPS = 2.5
# The five points may move this far between two sightings, in eye distances, for the way between them to be known.
_STEADY_DISTANCE = 0.5


def place_of(frame_index: int, time_s: float | None) -> float:
    """Where a frame stands in its video: its time (s), or its number where the frames have no times."""
    return float(frame_index) if time_s is None else time_s


@dataclass(frozen=True)
class Guess:
    """Where a face may be at one time.

    Attributes:
        candidates: five points each, likeliest first: between the sightings before and after, then at the nearer one,
            then at the farther one, for a cut may lie between them [tuple of float64, shape=(5, 2)].
        steady: the sightings around are near and alike, so that the first candidate can be believed unseen.
    """

    candidates: tuple[np.ndarray, ...]
    steady: bool


@dataclass(frozen=True)
class Track:
    """Sightings of one face in the order of time.

    Attributes:
        times_s: s since the first video frame; frame numbers where there are no times [shape=(K,)].
        keypoints: left eye, right eye, nose, mouth corners in source px [shape=(K, 5, 2)].
    """

    times_s: np.ndarray
    keypoints: np.ndarray

    @classmethod
    def from_faces(cls, faces: pa.Table) -> Track:
        """The rows of the faces table that have keypoints."""
        columns = (faces.column(name).to_pylist() for name in ("frame_index", "time_s", "keypoints"))
        rows = [
            (place_of(index, time_s), points)
            for index, time_s, points in zip(*columns, strict=True)
            if points is not None
        ]
        rows.sort(key=lambda row: row[0])
        times_s = np.array([time_s for time_s, _ in rows], dtype=np.float64)
        return cls(times_s, np.array([points for _, points in rows], dtype=np.float64).reshape(-1, 5, 2))

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def step_s(self) -> float:
        """The usual time between two sightings (s); 0 with fewer than two."""
        return float(np.median(np.diff(self.times_s))) if len(self) > 1 else 0.0

    def at(self, time_s: float) -> Guess:
        """Where the face may be at a time.

        Args:
            time_s: s since the first video frame; before the first or after the last sighting, that one stands.
        Raises:
            ValueError: the track has no sighting.
        """
        if not len(self):
            raise ValueError("a track without sightings")
        after = int(np.searchsorted(self.times_s, time_s))
        if after in (0, len(self)):
            edge = min(after, len(self) - 1)
            inner = min(max(edge, 1), len(self) - 1)  # the edge's neighbour lies across this step
            near = bool(abs(time_s - self.times_s[edge]) <= self.step_s)
            return Guess((self.keypoints[edge],), near and self._alike(inner))
        t0, t1 = self.times_s[after - 1 : after + 1]
        p0, p1 = self.keypoints[after - 1 : after + 1]
        share = (time_s - t0) / (t1 - t0)
        nearer, farther = (p0, p1) if share <= 0.5 else (p1, p0)
        steady = t1 - t0 <= _GAP_STEPS * self.step_s and self._alike(after)
        return Guess(((1.0 - share) * p0 + share * p1, nearer, farther), steady)

    def _alike(self, number: int) -> bool:
        """Whether the face moved little from the sighting before `number` to it."""
        p0, p1 = self.keypoints[max(number - 1, 0)], self.keypoints[number]
        moved_px = np.linalg.norm(p1 - p0, axis=1).mean()
        return bool(moved_px <= _STEADY_DISTANCE * max(float(np.linalg.norm(p0[1] - p0[0])), 1.0))
