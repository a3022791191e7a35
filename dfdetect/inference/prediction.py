"""What is said of one file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

CSV_COLUMNS = ("path", "score", "label", "threshold", "detector", "frames", "status", "reason")


@dataclass(frozen=True)
class FrameScore:
    """One frame that was judged.

    Fields:
        frame_index: 0 is the first that decodes. time_s: s since it.
        score: probability of fake.
        box: the face, x0 y0 x1 y1 in px of the frame; None where the picture is a face crop already.
    """

    frame_index: int
    time_s: float | None
    score: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Prediction:
    """A verdict, or the reason why there is none.

    Fields:
        path: of the file, as it was named.
        score: probability of fake (of an anomaly detector, its calibrated score); None when it could not be judged.
        threshold: fake from this score on.
        detector: its registered name.
        frames: what was looked at.
        status: ok, or why there is no score; reason says it in words.
    """

    path: str
    threshold: float
    detector: str
    score: float | None = None
    frames: list[FrameScore] = field(default_factory=list)
    status: str = "ok"
    reason: str | None = None

    @property
    def label(self) -> str | None:
        """`real` or `fake`; None without a score."""
        if self.score is None:
            return None
        return "fake" if self.score >= self.threshold else "real"

    @property
    def probabilities(self) -> dict[str, float] | None:
        """Of `real` and `fake`; they add up to 1."""
        return None if self.score is None else {"real": 1.0 - self.score, "fake": self.score}

    @property
    def confidence(self) -> float | None:
        """The probability of the label; under 0.5 where the threshold is far from 0.5 and the score between them."""
        return None if self.score is None else self.score if self.label == "fake" else 1.0 - self.score

    def as_dict(self) -> dict[str, Any]:
        """What the JSON line holds."""
        return {
            "path": self.path,
            "score": self.score,
            "label": self.label,
            "threshold": self.threshold,
            "detector": self.detector,
            "frames": [
                {
                    "frame_index": frame.frame_index,
                    "time_s": frame.time_s,
                    "score": frame.score,
                    "box": None if frame.box is None else list(frame.box),
                }
                for frame in self.frames
            ],
            "status": self.status,
            "reason": self.reason,
        }

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.as_dict(), allow_nan=False, ensure_ascii=False)


def as_csv(predictions: Iterable[Prediction]) -> str:
    """A table with one row a file; `frames` is how many were judged."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for found in predictions:
        writer.writerow({**found.as_dict(), "frames": len(found.frames)})
    return text.getvalue()
