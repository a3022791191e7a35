"""The score of one file, as JSON, as a row of CSV and as a line for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from dfdetect.inference.saved_model import SavedModelInfo

CSV_COLUMNS = (
    "path",
    "score",
    "label",
    "threshold",
    "detector",
    "model_sha256",
    "trained_on",
    "frames",
    "faces_seen",
    "status",
    "reason",
)


@dataclass(frozen=True)
class FrameScore:
    """One frame that was scored.

    Fields:
        frame_index: 0 is the first that decodes. time_s: s since it; None where the frames have no times.
        score: probability of fake.
        box: the face, x0 y0 x1 y1 in px of the frame; None where the picture is a face crop already.
    """

    frame_index: int
    time_s: float | None
    score: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Prediction:
    """The score of one file, or the reason why there is none.

    Fields:
        path: of the file, as it was named.
        info: the detector's detector.json, which says what it was trained on.
        threshold: fake from this score on.
        score: probability of fake (of an anomaly detector, its calibrated score); None when it could not be scored.
        frames: the frames that were scored.
        faces_seen: face detections over all sampled frames, other people's included; None without a score.
        status: ok; truncated where only a part of the file decodes and was scored; else why there is no score.
        reason: the status in words; None if it is ok.
    """

    path: str
    info: SavedModelInfo
    threshold: float
    score: float | None = None
    frames: list[FrameScore] = field(default_factory=list)
    faces_seen: int | None = None
    status: str = "ok"
    reason: str | None = None

    @property
    def label(self) -> str | None:
        """`real` or `fake`; None without a score."""
        if self.score is None:
            return None
        return "fake" if self.score >= self.threshold else "real"

    def to_dict(self) -> dict[str, Any]:
        """What a line of JSON holds."""
        return {
            "path": self.path,
            "score": self.score,
            "label": self.label,
            "threshold": self.threshold,
            "detector": self.info.detector,
            "model_sha256": self.info.model_sha256,
            "trained_on": [data.model_dump(mode="json") for data in self.info.trained_on],
            "frames": [asdict(frame) for frame in self.frames],
            "faces_seen": self.faces_seen,
            "status": self.status,
            "reason": self.reason,
        }

    def to_csv_row(self) -> dict[str, Any]:
        """A row of CSV_COLUMNS; `frames` is how many were scored."""
        return {**self.to_dict(), "trained_on": self.info.trained_on_text, "frames": len(self.frames)}

    def to_text(self) -> str:
        """A line for people."""
        if self.score is None:
            return f"{self.path}  not scored  {self.reason}"
        score, threshold = format_scores(self.score, self.threshold)
        frames = f"{len(self.frames)} frame{'s' * (len(self.frames) != 1)}"
        notes = f"threshold {threshold}, trained on {self.info.trained_on_text}"
        truncated = "" if self.reason is None else f"  {self.reason}"
        return f"{self.path}  {self.label}  {score}  {frames}  {notes}{truncated}"


def to_json_line(record: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"


def format_scores(score: float, threshold: float) -> tuple[str, str]:
    """A score and its threshold with two decimals, or with as many as it takes to tell them apart."""
    for digits in range(2, 18):
        texts = f"{score:.{digits}f}", f"{threshold:.{digits}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{score:.2f}", f"{threshold:.2f}"
