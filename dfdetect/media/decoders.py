"""Two decoders behind one interface: FFmpeg in this process (PyAV), and OpenCV for files of which PyAV reads nothing.
A third reads a folder of frames.

PyAV and OpenCV decode a 1080p clip in the same time (measured: 1.3 s and 1.4 s a thread for 10 s of H.264); PyAV comes
first because it hands out timestamps, the display matrix and damaged packets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av.error
import cv2
from av.stream import Disposition

from dfdetect.errors import MediaError
from dfdetect.media.containers import open_container
from dfdetect.media.frames import DecodedPicture, Frame, RgbPicture
from dfdetect.media.image import is_image, read_image

MAX_PIXELS = 50_000_000
MAX_FRAMES = 100_000
# Fewer decoded frames than this share of those declared is a truncated file.
WHOLE_SHARE = 0.9


@dataclass(frozen=True)
class Limits:
    """What is refused before it costs memory or days, and the threads of the decoder (which never change a byte)."""

    max_pixels: int = MAX_PIXELS
    max_frames: int = MAX_FRAMES
    threads: int = 1


@dataclass
class Decoded:
    """What became of decoding a file to its end.

    Args:
        frames: how many decoded.
        status: ok, or truncated.
        reason: what is missing, in words; None if nothing.
    """

    frames: int = 0
    status: str = "ok"
    reason: str | None = None


@dataclass
class Tally:
    """Counted while decoding."""

    frames: int = 0
    doubtful: bool = False  # an error, or a frame marked corrupt: what is made up for damage may depend on the threads
    last_time_s: float | None = None


class Source:
    """One file through one decoder."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.declared: int | None = None  # frames, as the container says
        self.duration_s: float | None = None  # of the video track, as the container says
        self.packets: int | None = None  # that should each give a frame
        self.fps: float | None = None

    def guess(self) -> int:
        """How many frames may decode; 0 when there is no telling.

        Raises:
            MediaError: the file cannot be opened, or passes a limit.
        """
        raise NotImplementedError

    def frames(self, tally: Tally, threads: int, wanted: frozenset[int] | None) -> Iterator[Frame]:
        """Decode from the start to the end, counting in `tally`; yield the wanted frames (None: all).

        Raises:
            MediaError: the file cannot be opened, or passes a limit.
        """
        raise NotImplementedError

    def check(self, width: int, height: int, frames: int = 0) -> None:
        """Stop at the limits."""
        if width * height > self.limits.max_pixels:
            raise MediaError(f"{width}x{height} px is more than max_pixels = {self.limits.max_pixels}", "too_large")
        if frames > self.limits.max_frames:
            raise MediaError(f"it has more than max_frames = {self.limits.max_frames} frames", "too_long")

    def verdict(self, tally: Tally) -> Decoded:
        """Is the file whole?

        Frames that the container declares in vain count only when the time they would fill is missing too: an edit list
        leaves frames out on purpose.
        """
        declared = self.declared or 0
        few = tally.frames < WHOLE_SHARE * declared if declared else None
        short = None
        if self.duration_s and tally.last_time_s is not None:
            covered_s = tally.last_time_s + (1.0 / self.fps if self.fps else 0.0)
            short = covered_s < WHOLE_SHARE * self.duration_s
        if tally.frames < WHOLE_SHARE * (self.packets or 0):
            return Decoded(tally.frames, "truncated", f"{self.packets} frames are stored, {tally.frames} decode")
        if few and short is not False:
            return Decoded(tally.frames, "truncated", f"{declared} frames are declared, {tally.frames} decode")
        if short and few is not False:
            said = f"{self.duration_s:.2f} s are declared, {covered_s:.2f} s decode"
            return Decoded(tally.frames, "truncated", said)
        return Decoded(tally.frames)


class PyAvSource(Source):
    """FFmpeg through PyAV."""

    def guess(self) -> int:
        """The number of stored packets: cheap to count, and nearly always the number of frames."""
        with opened(self.path) as container:
            stream = video_stream(container)
            self.declared = declared_frames(stream)
            self.fps = frame_rate(stream)
            self.duration_s = track_duration_s(container, stream)
            self.check(stream.codec_context.width, stream.codec_context.height)
            count = 0
            try:
                for packet in container.demux(stream):
                    count += packet.size > 0 and not packet.is_discard
                    self.check(0, 0, count)
            except av.error.FFmpegError:
                pass  # the rest of the file cannot be read; what can is counted
        self.packets = count
        return count

    def frames(self, tally: Tally, threads: int, wanted: frozenset[int] | None) -> Iterator[Frame]:
        """See Source."""
        with opened(self.path) as container:
            stream = video_stream(container)
            self.fps = frame_rate(stream)
            self.check(stream.codec_context.width, stream.codec_context.height)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            first: int | None = None
            for frame in _decode(container, stream, tally):
                self.check(frame.width, frame.height, tally.frames + 1)
                index, time_s = tally.frames, None
                pts, base = frame.pts, frame.time_base
                if pts is not None and base is not None:
                    first = pts if first is None else first
                    time_s = (pts - first) * base.numerator / base.denominator
                elif self.fps:
                    time_s = index / self.fps
                tally.frames += 1
                tally.last_time_s = time_s
                if wanted is None or index in wanted:
                    yield Frame(index, time_s, DecodedPicture(frame, quarter_turns(frame)))


def _decode(container: Any, stream: Any, tally: Tally) -> Iterator[Any]:
    """All frames that decode; a packet that does not is passed over, as FFmpeg's own program does."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
        except av.error.FFmpegError:
            tally.doubtful = True
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            tally.doubtful = True
            continue
        for frame in frames:
            tally.doubtful |= frame.is_corrupt
            yield frame


class OpenCvSource(Source):
    """FFmpeg as OpenCV brings it: another build, with its own way of opening files."""

    def guess(self) -> int:
        """What the container declares."""
        with self._captured(1) as capture:
            declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.declared = int(declared) if 0 < declared <= self.limits.max_frames else None
        return self.declared or 0

    def frames(self, tally: Tally, threads: int, wanted: frozenset[int] | None) -> Iterator[Frame]:
        """See Source."""
        with self._captured(threads) as capture:
            rate = capture.get(cv2.CAP_PROP_FPS)
            self.fps = rate if 0 < rate < 1000 else None
            start_s: float | None = None
            while capture.grab():
                self.check(0, 0, tally.frames + 1)
                index, now_s = tally.frames, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                start_s = now_s if start_s is None else start_s
                tally.frames += 1
                tally.last_time_s = round(now_s - start_s, 6)
                if wanted is None or index in wanted:
                    done, pixels = capture.retrieve()
                    if not done:
                        raise MediaError(f"frame {index} decodes and cannot be converted")
                    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                    yield Frame(index, tally.last_time_s, RgbPicture(rgb))  # type: ignore[arg-type]

    @contextmanager
    def _captured(self, threads: int) -> Iterator[cv2.VideoCapture]:
        try:
            capture = cv2.VideoCapture(f"file:{self.path}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        except cv2.error as error:
            raise MediaError(f"OpenCV cannot open it: {error.err}") from None
        try:
            if not capture.isOpened():
                raise MediaError("neither PyAV nor OpenCV can open it")
            self.check(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
            yield capture
        finally:
            capture.release()


class FolderSource(Source):
    """A folder of frames, as DeepfakeBench keeps videos: images in the order of their names' bytes, without times."""

    def guess(self) -> int:
        """The number of images."""
        self.packets = len(folder_frames(self.path))
        self.check(0, 0, self.packets)
        return self.packets

    def frames(self, tally: Tally, threads: int, wanted: frozenset[int] | None) -> Iterator[Frame]:
        """See Source. An image that cannot be read is passed over, as a damaged packet is."""
        del threads
        for name in folder_frames(self.path):
            try:
                pixels = read_image(self.path / name, max_pixels=self.limits.max_pixels)
            except MediaError as error:
                if error.status == "too_large":
                    raise
                continue
            except OSError:
                continue
            index = tally.frames
            tally.frames += 1
            if wanted is None or index in wanted:
                yield Frame(index, None, RgbPicture(pixels))


def _frame_order(name: str) -> tuple[list[str | int], str]:
    """998, 999, 1000: numbers by their value, what is between them by its letters."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def folder_frames(folder: Path) -> list[str]:
    """The images of a folder of frames, in the order of their names, numbers by their value; hidden files are none.

    Raises:
        MediaError: the folder cannot be read, or holds none.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise MediaError(f"the folder cannot be read: {error.strerror}") from None
    frames = sorted((n for n in names if is_image(Path(n)) and not n.startswith(".")), key=_frame_order)
    if not frames:
        raise MediaError("the folder holds no images")
    return frames


DECODERS: tuple[type[Source], ...] = (PyAvSource, OpenCvSource)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A PyAV container for reading, closed at the end.

    Raises:
        MediaError: it cannot be opened.
    """
    try:
        container = open_container(path)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"it cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    with container:
        yield container


def video_stream(container: Any) -> Any:
    """The main video track; a cover picture is none.

    Raises:
        MediaError: there is none, or no decoder for it.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError("it has no video track")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise MediaError("its video codec is unknown")
    return stream


def declared_frames(stream: Any) -> int | None:
    """The container's own count; None where it gives none."""
    return stream.frames if stream.frames > 0 else None


def frame_rate(stream: Any) -> float | None:
    """Average frame rate (1/s); None where unknown or absurd."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate < 1000:
            return round(float(rate), 6)
    return None


def track_duration_s(container: Any, stream: Any) -> float | None:
    """Duration of the video track (s), of the file where the track has none and is alone."""
    if stream.duration is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0 and len(container.streams) == 1:
        return container.duration / 1e6
    return None


def quarter_turns(frame: Any) -> int:
    """Quarter turns counterclockwise that display a frame upright, 0 to 3; 0 for a matrix that makes no sense."""
    degrees = frame.rotation
    return round(degrees / 90) % 4 if -360 <= degrees <= 360 else 0
