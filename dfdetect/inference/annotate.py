"""Copies of the judged files for people: the face framed by its verdict, and under the picture the score over time.

No verdict is told by colour alone: fake is a word, a whole frame and filled dots; real a word, corners and rings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from dfdetect.config.params import EngineParams
from dfdetect.datasets.tree import on_disk
from dfdetect.inference.prediction import Prediction
from dfdetect.inference.text_drawing import Colour, text_width, write_text
from dfdetect.inference.video_writer import FilmWriter
from dfdetect.io.tables import write_bytes
from dfdetect.media.frames import Frame, Rgb
from dfdetect.media.image import is_image
from dfdetect.media.video import Limits, process_frames
from dfdetect.runtime.executor import run

# Bright enough to be read on the dark panel, and to carry dark letters.
REAL, FAKE, INK = (94, 164, 235), (240, 128, 70), (240, 242, 245)
MUTED, RULE, PANEL = (168, 175, 184), (58, 63, 71), (24, 27, 31)
# Of the frame's shorter side: the panel below it, and the letters in it.
PANEL_RATIO, TEXT_RATIO = 0.3, 0.048
LEAST_PANEL_PX, LEAST_TEXT_PX = 112, 15
# A frame's box is drawn between the sampled frames around it, and this far beyond the first and the last (s).
REACH_S = 1.0
TIMEOUT_S = 1800.0
# Of a copy's name, before what is added to it (bytes).
LONGEST_STEM = 200


@dataclass(frozen=True)
class _Task:
    prediction: Prediction
    source: Path
    target: Path


def annotate_all(predictions: Sequence[Prediction], folder: Path, *, workers: int) -> list[Prediction]:
    """Write an annotated copy of every file that was scored: video as .mp4, image as .jpg.

    Args:
        predictions: as predict made them.
        folder: where the copies go; existing ones are replaced, the originals never.
        workers: processes.
    Returns:
        The predictions whose copy could not be written, with the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = _tasks(predictions, folder)
    engine = EngineParams.model_validate({"workers": workers})
    outcomes = run(_annotate, tasks, engine, label="annotating", timeout_s=TIMEOUT_S)
    return [
        replace(outcome.task.prediction, status=outcome.status, reason=outcome.reason)
        for outcome in outcomes
        if outcome.status != "ok"
    ]


def _tasks(predictions: Sequence[Prediction], folder: Path) -> list[_Task]:
    """Files of one name from several folders are numbered apart, and no copy takes the place of a judged file."""
    taken = {Path(on_disk(prediction.path)).resolve() for prediction in predictions}
    folder = folder.resolve()
    tasks = []
    for prediction in predictions:
        if prediction.score is None:
            continue
        source = Path(on_disk(prediction.path))
        suffix = ".jpg" if is_image(source) else ".mp4"
        stem = _short(source.stem)
        name, number = f"{stem}_annotated", 2
        while folder / f"{name}{suffix}" in taken:
            name, number = f"{stem}_annotated-{number}", number + 1
        taken.add(folder / f"{name}{suffix}")
        tasks.append(_Task(prediction, source, folder / f"{name}{suffix}"))
    return tasks


def _short(stem: str) -> str:
    """A file's stem that leaves room for what is added to it: names end at 255 bytes."""
    data = os.fsencode(stem)
    return stem if len(data) <= LONGEST_STEM else data[:LONGEST_STEM].decode("utf-8", errors="ignore")


def _annotate(task: _Task) -> None:
    """In a worker: write one copy."""
    painter = Painter(task.prediction)
    if is_image(task.source):
        (picture,), _ = process_frames(task.source, 1, lambda frames: [painter.paint(frame) for frame in frames])
        good, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        if not good:
            raise ValueError(f"{task.target} cannot be encoded")
        write_bytes(task.target, data.tobytes())
        return

    def film(frames: Iterator[Frame]) -> None:
        with FilmWriter(task.target, task.source) as writer:
            for frame in frames:
                writer.write(painter.paint(frame), frame.time_s or 0.0)

    limits = Limits()
    process_frames(task.source, limits.max_frames, film, limits=limits)


class Painter:
    """Draws one prediction onto its frames.

    Args:
        prediction: with at least one frame.
    """

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.frames = sorted(prediction.frames, key=lambda frame: frame.frame_index)
        self._panel: Rgb | None = None

    def paint(self, frame: Frame) -> Rgb:
        """The frame with the face's box, and a panel below it.

        Args:
            frame: of the file that was judged.
        Returns:
            RGB [shape=(H + panel, W, 3)], both sides even.
        """
        picture = np.ascontiguousarray(frame.rgb).copy()
        box, score = self.at(frame)
        if box is not None and score is not None:
            self._draw_box(picture, box, score)
        panel = self.panel(frame.width, frame.height).copy()
        self._draw_now(panel, frame)
        whole = np.concatenate([picture, panel])
        return np.pad(whole, ((0, whole.shape[0] % 2), (0, whole.shape[1] % 2), (0, 0)), mode="edge")

    def at(self, frame: Frame) -> tuple[tuple[float, ...] | None, float | None]:
        """Where the face is in a frame, and its score: between two judged frames in proportion, else as the nearest."""
        index = [judged.frame_index for judged in self.frames]
        after = int(np.searchsorted(index, frame.index))
        if after < len(index) and index[after] == frame.index:
            return self.frames[after].box, self.frames[after].score
        if 0 < after < len(index):
            low, high = self.frames[after - 1], self.frames[after]
            share = (frame.index - low.frame_index) / (high.frame_index - low.frame_index)
            score = low.score + share * (high.score - low.score)
            if low.box is None or high.box is None:
                return None, score
            return tuple(a + share * (b - a) for a, b in zip(low.box, high.box, strict=True)), score
        nearest = self.frames[min(after, len(index) - 1)]
        away_s = abs((frame.time_s or 0.0) - (nearest.time_s or 0.0))
        return (nearest.box, nearest.score) if away_s <= REACH_S else (None, None)

    def _fake(self, score: float) -> bool:
        return score >= self.prediction.threshold

    def _colour(self, score: float) -> Colour:
        return FAKE if self._fake(score) else REAL

    def _draw_box(self, picture: Rgb, box: Sequence[float], score: float) -> None:
        x0, y0, x1, y1 = (round(value) for value in box)
        line, colour = 2 * _line_px(picture), self._colour(score)
        if self._fake(score):
            cv2.rectangle(picture, (x0, y0), (x1, y1), colour, line, cv2.LINE_AA)
        else:
            reach = max(1, min(x1 - x0, y1 - y0) // 4)
            for x, inward in ((x0, reach), (x1, -reach)):
                for y, down in ((y0, reach), (y1, -reach)):
                    cv2.line(picture, (x, y), (x + inward, y), colour, line, cv2.LINE_AA)
                    cv2.line(picture, (x, y), (x, y + down), colour, line, cv2.LINE_AA)
        size = _text_px(*picture.shape[:2])
        text = f"{'fake' if self._fake(score) else 'real'} {score:.2f}"
        above = y0 - line - round(1.35 * size)
        write_text(picture, text, (x0 - line // 2, y1 + line if above < 0 else above), size, PANEL, behind=colour)

    def panel(self, width: int, height: int) -> Rgb:
        """What stands below every frame: the verdict, and the score over time with its threshold.

        Args:
            width, height: of the frame (px).
        """
        if self._panel is not None and self._panel.shape[1] == width:
            return self._panel
        size = _text_px(height, width)
        panel = np.empty((max(LEAST_PANEL_PX, round(min(height, width) * PANEL_RATIO)), width, 3), np.uint8)
        panel[:] = PANEL
        score, threshold = self.prediction.score or 0.0, self.prediction.threshold
        pad = size // 2
        used = pad + write_text(panel, (self.prediction.label or "").upper(), (pad, pad), size, self._colour(score))
        for note in (f"score {score:.2f}", f"fake from {threshold:.2f}", self.prediction.detector):
            if used + 2 * pad + text_width(note, size) <= width - pad:
                used += 2 * pad + write_text(panel, note, (used + 2 * pad, pad), size, MUTED)
        self._draw_timeline(panel)
        self._panel = panel
        return panel

    def _frame_area(self, panel: Rgb) -> tuple[int, int, int, int]:
        """Where the timeline is: x0, y0, x1, y1 (px), right of its labels and above the moment's."""
        height, width = panel.shape[:2]
        size = self._label_px(panel)
        return round(2.8 * size), height // 4 + size // 2, width - size, height - 2 * size

    def _label_px(self, panel: Rgb) -> int:
        return max(11, panel.shape[0] // 10)

    def _place(self, panel: Rgb, time_s: float, score: float) -> tuple[int, int]:
        x0, y0, x1, y1 = self._frame_area(panel)
        first, last = self._span()
        share = 0.5 if last <= first else (time_s - first) / (last - first)
        return round(x0 + min(max(share, 0.0), 1.0) * (x1 - x0)), round(y1 - score * (y1 - y0))

    def _span(self) -> tuple[float, float]:
        times = [frame.time_s or 0.0 for frame in self.frames]
        step = (times[-1] - times[0]) / max(1, len(times) - 1)
        return times[0] - step / 2, times[-1] + step / 2

    def _draw_timeline(self, panel: Rgb) -> None:
        if len(self.frames) < 2:
            self._draw_meter(panel)
            return
        x0, y0, x1, y1 = self._frame_area(panel)
        line, size = _line_px(panel, 60), self._label_px(panel)
        for y, text in ((y0, "fake"), (y1, "real")):
            cv2.line(panel, (x0, y), (x1, y), RULE, line)
            write_text(panel, text, (x0 - size // 3, y - round(0.7 * size)), size, MUTED, right=True)
        level = self._place(panel, 0.0, self.prediction.threshold)[1]
        for x in range(x0, x1, 10 * line):
            cv2.line(panel, (x, level), (min(x + 4 * line, x1), level), MUTED, line)
        for first, second in pairwise(self.frames):
            start = self._place(panel, first.time_s or 0.0, first.score)
            end = self._place(panel, second.time_s or 0.0, second.score)
            cv2.line(panel, start, end, self._colour((first.score + second.score) / 2), line, cv2.LINE_AA)
        for frame in self.frames:
            place, colour = self._place(panel, frame.time_s or 0.0, frame.score), self._colour(frame.score)
            cv2.circle(panel, place, 3 * line, colour, -1, cv2.LINE_AA)
            if not self._fake(frame.score):
                cv2.circle(panel, place, 2 * line, PANEL, -1, cv2.LINE_AA)

    def _draw_meter(self, panel: Rgb) -> None:
        """Of a single picture: a bar as long as its score, with a mark at the threshold."""
        _, y0, x1, y1 = self._frame_area(panel)
        x0, line, size = panel.shape[1] - x1, _line_px(panel, 60), self._label_px(panel)
        score = self.prediction.score or 0.0
        cv2.rectangle(panel, (x0, y0), (x1, y1), RULE, -1)
        cv2.rectangle(panel, (x0, y0), (round(x0 + score * (x1 - x0)), y1), self._colour(score), -1)
        mark = round(x0 + self.prediction.threshold * (x1 - x0))
        cv2.line(panel, (mark, y0 - 3 * line), (mark, y1 + 3 * line), INK, 2 * line)
        write_text(panel, "real", (x0, y1 + size // 4), size, MUTED)
        write_text(panel, "fake", (x1, y1 + size // 4), size, MUTED, right=True)

    def _draw_now(self, panel: Rgb, frame: Frame) -> None:
        """The moment on the timeline, with its time and frame number."""
        if len(self.frames) < 2:
            return
        _, y0, _, y1 = self._frame_area(panel)
        line, size, time_s = _line_px(panel, 60), self._label_px(panel), frame.time_s or 0.0
        x = self._place(panel, time_s, 0.0)[0]
        cv2.line(panel, (x, y0), (x, y1 + size // 3), INK, line)
        text = f"{time_s:.2f} s, frame {frame.index}"
        write_text(panel, text, (x - text_width(text, size) // 2, y1 + size // 2), size, INK)


def _line_px(picture: Rgb, parts: int = 360) -> int:
    """Width of a thin line: one of so many parts of the shorter side."""
    return max(1, round(min(picture.shape[:2]) / parts))


def _text_px(height: int, width: int) -> int:
    return max(LEAST_TEXT_PX, math.ceil(min(height, width) * TEXT_RATIO))
