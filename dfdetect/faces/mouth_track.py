"""Where the main face is at any time, from the frames in which the faces stage saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# Two sightings this many usual steps apart leave time for the face to have gone.
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
        candidates: five points each, likeliest first: on the way from the sighting before to the one after, then at the
            nearer and at the farther one, for a cut may lie between them [float64, shape=(3, 5, 2)].
        steady: the sightings around are near and alike, so that the first candidate can be believed unseen.
    """

    candidates: np.ndarray
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
        rows = sorted((place_of(i, time_s), points) for i, time_s, points in zip(*columns, strict=True) if points)
        points = np.array([points for _, points in rows], dtype=np.float64).reshape(-1, 5, 2)
        return cls(np.array([time_s for time_s, _ in rows], dtype=np.float64), points)

    def __len__(self) -> int:
        return len(self.times_s)

    def at(self, time_s: float) -> Guess:
        """Where the face may be at a time.

        Args:
            time_s: s since the first video frame; before the first or after the last sighting, that one stands.
        Raises:
            ValueError: the track has no sighting.
        """
        if not len(self):
            raise ValueError("a track without sightings")
        if len(self) == 1:
            return Guess(self.keypoints, steady=False)
        after = int(np.clip(np.searchsorted(self.times_s, time_s), 1, len(self) - 1))
        (t0, t1), (p0, p1) = self.times_s[after - 1 : after + 1], self.keypoints[after - 1 : after + 1]
        step_s = float(np.median(np.diff(self.times_s)))
        share = float(np.clip((time_s - t0) / max(t1 - t0, 1e-9), 0.0, 1.0))
        moved_px, eyes_px = np.linalg.norm(p1 - p0, axis=1).mean(), max(float(np.linalg.norm(p0[1] - p0[0])), 1.0)
        near = t1 - t0 <= _GAP_STEPS * step_s and t0 - step_s <= time_s <= t1 + step_s
        nearer, farther = (p0, p1) if share <= 0.5 else (p1, p0)
        candidates = np.stack([(1.0 - share) * p0 + share * p1, nearer, farther])
        return Guess(candidates, steady=bool(near and moved_px <= _STEADY_DISTANCE * eyes_px))
