"""Copies of the scored files for people: the face framed by its label, and below the picture the score over time.

No label is told by colour only: fake is a word, a whole frame and filled dots; real a word, corners and rings.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfdetect.config.params import RuntimeParams
from dfdetect.datasets.tree import on_disk, stored
from dfdetect.errors import UserError
from dfdetect.inference.prediction import Prediction, format_scores
from dfdetect.inference.saved_model import SYNTHETIC_WARNING
from dfdetect.inference.text_drawing import Colour, draw_text, text_width
from dfdetect.inference.video_writer import VideoWriter
from dfdetect.io.tables import writing
from dfdetect.media.frames import Frame, Rgb
from dfdetect.media.image import is_image
from dfdetect.media.video import Limits, process_frames
from dfdetect.runtime.pool import LocalPool

# Bright enough to be read on the dark panel, and to carry dark letters.
REAL, FAKE, INK = (94, 164, 235), (240, 128, 70), (240, 242, 245)
MUTED, RULE, PANEL = (168, 175, 184), (58, 63, 71), (24, 27, 31)
# Of the frame's shorter side: the panel below it, and the letters in it.
PANEL_RATIO, TEXT_RATIO = 0.4, 0.048
LEAST_PANEL_PX, LEAST_TEXT_PX = 150, 15
# A frame's box is drawn between the sampled frames around it, and this far beyond the first and the last (s).
REACH_S = 1.0
TIMEOUT_S = 1800.0  # per copy
MAX_STEM_BYTES = 200  # of a copy's name, before what is added to it: file systems end names at 255


@dataclass(frozen=True)
class AnnotatedCopy:
    """Where the annotated copy of a file is; or None, and why there is none."""

    path: str | None
    reason: str | None = None


@dataclass(frozen=True)
class _Task:
    prediction: Prediction
    target: Path


def annotate(
    predictions: Iterable[Prediction], folder: Path, *, sources: Sequence[Path], workers: int
) -> Generator[tuple[Prediction, AnnotatedCopy], None, None]:
    """Write an annotated copy of every file with a score: video as .mp4, image as .jpg.

    A copy is written in a hidden folder and moved to its place when it is whole. Closing the iterator ends the workers.

    Args:
        predictions: of the files, in any order.
        folder: where the copies go; an existing file of the same name is replaced, unless it is one of the sources.
        sources: all files that are scored.
        workers: processes.
    Yields:
        each prediction in order, with what became of its copy.
    Raises:
        UserError: the folder cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".annotate-", dir=folder)
    names = _TargetNames(folder, sources)
    waiting = deque[tuple[_Task, Path, Any]]()
    with temporary:
        pool = LocalPool(max(1, min(workers, len(sources))), RuntimeParams.model_validate({}).memory_limit_mb)
        try:
            for number, prediction in enumerate(predictions):
                target = names.choose(Path(on_disk(prediction.path)))
                task = _Task(prediction, Path(temporary.name) / f"{number}{target.suffix}")
                scored = prediction.score is not None
                waiting.append((task, target, pool.submit(_write_copy, task, TIMEOUT_S) if scored else None))
                while len(waiting) > workers:
                    yield _settle(pool, *waiting.popleft())
            while waiting:
                yield _settle(pool, *waiting.popleft())
        except BaseException:
            pool.stop()
            raise
        pool.close()


def _settle(pool: LocalPool, task: _Task, target: Path, handle: Any) -> tuple[Prediction, AnnotatedCopy]:
    """Wait for a copy and move it to its place."""
    if handle is None:
        return task.prediction, AnnotatedCopy(None, "the file has no score")
    status, _, reason = pool.settle(handle)
    if status == "user_error":
        raise UserError(reason)
    if status == "ok":
        try:
            task.target.replace(target)
            return task.prediction, AnnotatedCopy(stored(str(target)))
        except OSError as error:  # a folder of that name, for example
            reason = f"{target} cannot be written: {error.strerror}"
    task.target.unlink(missing_ok=True)
    return task.prediction, AnnotatedCopy(None, reason)


class _TargetNames:
    """Names of copies: files of one name from several folders are numbered, and no copy replaces a source."""

    def __init__(self, folder: Path, sources: Iterable[Path]) -> None:
        self.folder = folder
        self.taken = {source.resolve() for source in sources}

    def choose(self, source: Path) -> Path:
        """The path of a source's copy, each once."""
        stem, suffix = _shortened(source.stem), ".jpg" if is_image(source) else ".mp4"
        target, number = self.folder / f"{stem}_annotated{suffix}", 2
        while target.resolve() in self.taken:
            target, number = self.folder / f"{stem}_annotated-{number}{suffix}", number + 1
        self.taken.add(target.resolve())
        return target


def _shortened(stem: str) -> str:
    data = os.fsencode(stem)
    return stem if len(data) <= MAX_STEM_BYTES else data[:MAX_STEM_BYTES].decode("utf-8", errors="ignore")


def _write_copy(task: _Task) -> None:
    """In a worker: write one copy."""
    painter, source = Painter(task.prediction), Path(on_disk(task.prediction.path))
    if is_image(source):
        (picture,), _ = process_frames(source, 1, lambda frames: [painter.paint(frame) for frame in frames])
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
        if not cv2.imwrite(str(task.target), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality):
            raise OSError("the picture cannot be written")
        return

    def write_video(frames: Iterator[Frame]) -> None:
        with VideoWriter(task.target, source) as writer:
            for frame in frames:
                writer.write(painter.paint(frame), frame.time_s or 0.0)

    limits = Limits()
    process_frames(source, limits.max_frames, write_video, limits=limits)


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
            frame: of the file that was scored.
        Returns:
            RGB [shape=(H + panel, W, 3)], both sides even.
        """
        picture = np.ascontiguousarray(frame.rgb).copy()
        box, score = self.box_and_score(frame)
        if box is not None and score is not None:
            self._draw_box(picture, box, score)
        panel = self.panel(frame.width, frame.height).copy()
        self._draw_now(panel, frame)
        whole = np.concatenate([picture, panel])
        return np.pad(whole, ((0, whole.shape[0] % 2), (0, whole.shape[1] % 2), (0, 0)), mode="edge")

    def box_and_score(self, frame: Frame) -> tuple[tuple[float, ...] | None, float | None]:
        """Where the face is in a frame, and its score: interpolated between two scored frames, else the nearest's."""
        index = [scored.frame_index for scored in self.frames]
        after = int(np.searchsorted(index, frame.index))
        if after < len(index) and index[after] == frame.index:
            return self.frames[after].box, self.frames[after].score
        if 0 < after < len(index):
            low, high = self.frames[after - 1], self.frames[after]
            fraction = (frame.index - low.frame_index) / (high.frame_index - low.frame_index)
            score = low.score + fraction * (high.score - low.score)
            if low.box is None or high.box is None:
                return None, score
            return tuple(a + fraction * (b - a) for a, b in zip(low.box, high.box, strict=True)), score
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
        text = f"{'fake' if self._fake(score) else 'real'} {format_scores(score, self.prediction.threshold)[0]}"
        above = y0 - line - round(1.35 * size)
        draw_text(picture, text, (x0 - line // 2, y1 + line if above < 0 else above), size, PANEL, background=colour)

    def panel(self, width: int, height: int) -> Rgb:
        """What stands below every frame: the label, what the detector was trained on, and the score over time.

        Args:
            width, height: of the frame (px).
        """
        if self._panel is not None and self._panel.shape[1] == width:
            return self._panel
        size = _text_px(height, width)
        panel = np.empty((max(LEAST_PANEL_PX, round(min(height, width) * PANEL_RATIO)), width, 3), np.uint8)
        panel[:] = PANEL
        score, threshold = format_scores(self.prediction.score or 0.0, self.prediction.threshold)
        info, small = self.prediction.info, self._label_px(panel)
        y = pad = size // 2
        if info.synthetic:
            draw_text(panel, SYNTHETIC_WARNING, (pad, y), small, INK)
            y += 3 * small // 2
        colour = self._colour(self.prediction.score or 0.0)
        used = pad + draw_text(panel, (self.prediction.label or "").upper(), (pad, y), size, colour)
        for note in (f"score {score}", f"fake from {threshold}"):
            if used + pad + text_width(note, size) <= width - pad:
                used += pad + draw_text(panel, note, (used + pad, y), size, MUTED)
        text = f"{info.detector}, trained on {info.trained_on_text}"
        draw_text(panel, text, (pad, y + 3 * size // 2), small, MUTED)
        self._draw_timeline(panel)
        self._panel = panel
        return panel

    def _frame_area(self, panel: Rgb) -> tuple[int, int, int, int]:
        """Where the timeline is: x0, y0, x1, y1 (px), right of its labels and above the moment's."""
        height, width = panel.shape[:2]
        size = self._label_px(panel)
        top = round((0.53 if self.prediction.info.synthetic else 0.41) * height)  # below the lines of text
        return round(2.8 * size), top, width - size, height - 2 * size

    def _label_px(self, panel: Rgb) -> int:
        return max(11, panel.shape[0] // 12)

    def _point(self, panel: Rgb, time_s: float, score: float) -> tuple[int, int]:
        x0, y0, x1, y1 = self._frame_area(panel)
        first, last = self._span()
        fraction = 0.5 if last <= first else (time_s - first) / (last - first)
        return round(x0 + min(max(fraction, 0.0), 1.0) * (x1 - x0)), round(y1 - score * (y1 - y0))

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
            draw_text(panel, text, (x0 - size // 3, y - round(0.7 * size)), size, MUTED, align_right=True)
        level = self._point(panel, 0.0, self.prediction.threshold)[1]
        for x in range(x0, x1, 10 * line):
            cv2.line(panel, (x, level), (min(x + 4 * line, x1), level), MUTED, line)
        for first, second in pairwise(self.frames):
            start = self._point(panel, first.time_s or 0.0, first.score)
            end = self._point(panel, second.time_s or 0.0, second.score)
            cv2.line(panel, start, end, self._colour((first.score + second.score) / 2), line, cv2.LINE_AA)
        for frame in self.frames:
            point, colour = self._point(panel, frame.time_s or 0.0, frame.score), self._colour(frame.score)
            cv2.circle(panel, point, 3 * line, colour, -1, cv2.LINE_AA)
            if not self._fake(frame.score):
                cv2.circle(panel, point, 2 * line, PANEL, -1, cv2.LINE_AA)

    def _draw_meter(self, panel: Rgb) -> None:
        """Of a single picture: a bar as long as its score, with a mark at the threshold."""
        _, y0, x1, y1 = self._frame_area(panel)
        x0, line, size = panel.shape[1] - x1, _line_px(panel, 60), self._label_px(panel)
        score = self.prediction.score or 0.0
        cv2.rectangle(panel, (x0, y0), (x1, y1), RULE, -1)
        cv2.rectangle(panel, (x0, y0), (round(x0 + score * (x1 - x0)), y1), self._colour(score), -1)
        mark = round(x0 + self.prediction.threshold * (x1 - x0))
        cv2.line(panel, (mark, y0 - 3 * line), (mark, y1 + 3 * line), INK, 2 * line)
        draw_text(panel, "real", (x0, y1 + size // 4), size, MUTED)
        draw_text(panel, "fake", (x1, y1 + size // 4), size, MUTED, align_right=True)

    def _draw_now(self, panel: Rgb, frame: Frame) -> None:
        """The moment on the timeline, with its time and frame number."""
        if len(self.frames) < 2:
            return
        _, y0, _, y1 = self._frame_area(panel)
        line, size, time_s = _line_px(panel, 60), self._label_px(panel), frame.time_s or 0.0
        x = self._point(panel, time_s, 0.0)[0]
        cv2.line(panel, (x, y0), (x, y1 + size // 3), INK, line)
        text = f"{time_s:.2f} s, frame {frame.index}"
        draw_text(panel, text, (x - text_width(text, size) // 2, y1 + size // 2), size, INK)


def _line_px(picture: Rgb, parts: int = 360) -> int:
    """Width of a thin line: one of so many parts of the shorter side."""
    return max(1, round(min(picture.shape[:2]) / parts))


def _text_px(height: int, width: int) -> int:
    return max(LEAST_TEXT_PX, math.ceil(min(height, width) * TEXT_RATIO))
