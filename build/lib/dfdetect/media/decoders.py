"""Decoders behind one interface: FFmpeg in this process (PyAV), FFmpeg's own program for files of which PyAV reads
nothing, and one for a folder of frames.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av.error
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfdetect.errors import MediaError
from dfdetect.media.containers import FinalMediaError, opened, opened_by_program
from dfdetect.media.frames import UPRIGHT, DecodedPicture, Frame, Orientation, RgbPicture
from dfdetect.media.image import is_image, read_image_with
from dfdetect.media.tracks import ENCRYPTED, Clock, is_encrypted, read_packets, video_stream

MAX_PIXELS = 65_000_000  # photos of phones have 50 or 64 million, 8K video has 33 million
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

    def read_by(self, reader: str) -> Decoded:
        """The same, with the name of a reader that is not the usual one."""
        note = f"read by {reader}, since the usual decoder cannot"
        return replace(self, reason=note if self.reason is None else f"{self.reason}; {note}")


@dataclass
class Counts:
    """Counted while decoding."""

    frames: int = 0
    corrupt: bool = False  # an error, or a frame marked corrupt: what is made up for damage may depend on the threads
    last_time_s: float | None = None


class Source:
    """One file through one decoder."""

    name: str

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

    def frames(self, counts: Counts, threads: int, indices: frozenset[int] | None) -> Iterator[Frame]:
        """Decode from the start to the end, counting in `counts`; yield the frames of these indices (None: all).

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

    def verdict(self, counts: Counts) -> Decoded:
        """Is the file whole?

        Frames that the container declares in vain count only when the time they would fill is missing too: an edit list
        leaves frames out on purpose.
        """
        declared = self.declared or 0
        few = counts.frames < WHOLE_SHARE * declared if declared else None
        short = None
        if self.duration_s and counts.last_time_s is not None:
            covered_s = counts.last_time_s + (1.0 / self.fps if self.fps else 0.0)
            short = covered_s < WHOLE_SHARE * self.duration_s
        if counts.frames < WHOLE_SHARE * (self.packets or 0):
            return Decoded(counts.frames, "truncated", f"{self.packets} frames are stored, {counts.frames} decode")
        if few and short is not False:
            return Decoded(counts.frames, "truncated", f"{declared} frames are declared, {counts.frames} decode")
        if short and few is not False:
            said = f"{self.duration_s:.2f} s are declared, {covered_s:.2f} s decode"
            return Decoded(counts.frames, "truncated", said)
        return Decoded(counts.frames)


class PyAvSource(Source):
    """FFmpeg in this process, through PyAV."""

    name = "PyAV"

    def guess(self) -> int:
        """The number of stored packets: cheap to count, and nearly always the number of frames."""
        with opened(self.path) as container:
            stream = video_stream(container)
            self.declared = declared_frames(stream)
            self.duration_s = track_duration_s(container, stream)
            self.check(stream.codec_context.width, stream.codec_context.height)
            count = 0
            for packet in read_packets(container, [stream], []):
                count += packet.size > 0 and not packet.is_discard
                self.check(0, 0, count)
        self.packets = count
        return count

    def frames(self, counts: Counts, threads: int, indices: frozenset[int] | None) -> Iterator[Frame]:
        """See Source."""
        with self._opened() as container:
            stream = video_stream(container)
            self.fps = frame_rate(stream)
            self.check(stream.codec_context.width, stream.codec_context.height)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            stream.codec_context.copy_opaque = True
            clock = Clock(stream)
            zero_s: float | None = None
            for frame in _decode(container, stream, counts, clock):
                self.check(frame.width, frame.height, counts.frames + 1)
                index = counts.frames
                time_s = index / self.fps if self.fps else None
                if (own_s := frame.time) is not None:
                    joined_s = clock.joined_s(frame, own_s)
                    zero_s = joined_s if zero_s is None else zero_s
                    time_s = joined_s - zero_s
                if time_s is not None:
                    time_s = max(round(time_s, 6), counts.last_time_s or 0.0)  # broken ones may still fall a little
                counts.frames += 1
                counts.last_time_s = time_s
                if indices is None or index in indices:
                    yield Frame(index, time_s, DecodedPicture(frame, orientation_of(frame, stream)))

    def _opened(self) -> AbstractContextManager[InputContainer]:
        return opened(self.path)


def _decode(container: InputContainer, stream: VideoStream, counts: Counts, clock: Clock) -> Iterator[VideoFrame]:
    """All frames that decode; a packet that does not is passed over, as FFmpeg's own program does."""
    errors: list[str] = []
    encrypted = is_encrypted(stream)
    for packet in read_packets(container, [stream], errors):
        if encrypted or (packet.is_keyframe and is_encrypted(packet)):
            raise FinalMediaError(ENCRYPTED)
        clock.mark(packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            counts.corrupt = True
            continue
        for frame in frames:
            counts.corrupt |= frame.is_corrupt
            yield frame
    counts.corrupt |= bool(errors)


class ProgramSource(PyAvSource):
    """FFmpeg's own program: newer than PyAV's FFmpeg, with more decoders; it puts the tiles of an image together."""

    name = "FFmpeg's program"

    def guess(self) -> int:
        """There is no telling before the program has decoded the file."""
        return 0

    def _opened(self) -> AbstractContextManager[InputContainer]:
        return opened_by_program(self.path, max_pixels=self.limits.max_pixels)


class FolderSource(Source):
    """A folder of frames, as DeepfakeBench keeps videos: images in the order of their names' bytes, without times."""

    def guess(self) -> int:
        """The number of images."""
        self.packets = len(folder_frames(self.path))
        self.check(0, 0, self.packets)
        return self.packets

    def frames(self, counts: Counts, threads: int, indices: frozenset[int] | None) -> Iterator[Frame]:
        """See Source. An image that cannot be read is passed over, as a damaged packet is."""
        del threads
        self.by_pillow = 0
        for name in folder_frames(self.path):
            try:
                pixels, reader = read_image_with(self.path / name, max_pixels=self.limits.max_pixels)
            except MediaError as error:
                if error.status == "too_large":
                    raise
                continue
            except OSError:
                continue
            index = counts.frames
            counts.frames += 1
            self.by_pillow += reader == "Pillow"
            if indices is None or index in indices:
                yield Frame(index, None, RgbPicture(pixels))

    def verdict(self, counts: Counts) -> Decoded:
        """See Source."""
        decoded = super().verdict(counts)
        return decoded.read_by(f"Pillow ({self.by_pillow} frames)") if self.by_pillow else decoded


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


DECODERS: tuple[type[Source], ...] = (PyAvSource, ProgramSource)


def declared_frames(stream: VideoStream) -> int | None:
    """The container's own count; None where it gives none."""
    return stream.frames if stream.frames > 0 else None


def frame_rate(stream: VideoStream) -> float | None:
    """Average frame rate (1/s); None where unknown or absurd."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate < 1000:
            return round(float(rate), 6)
    return None


def track_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Duration of the video track (s), of the file where the track has none and is alone."""
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0 and len(container.streams) == 1:
        return container.duration / 1e6
    return None


# By the quarter turns counterclockwise that display a frame upright.
_TURNS = (UPRIGHT, Orientation(True, False, True), Orientation(False, True, True), Orientation(True, True, False))


def orientation_of(frame: VideoFrame, stream: VideoStream) -> Orientation:
    """What the display matrix asks of a player; of a turn between quarters, the nearest quarter."""
    matrix = None
    try:
        if "png" not in stream.codec_context.name:  # PyAV would free the name of its colour profile twice, and crash
            side_data: Any = frame.side_data  # PyAV's stubs call it a dictionary of motion vectors
            matrix = next((bytes(data) for data in side_data if data.type == SideDataType.DISPLAYMATRIX), None)
    except ValueError:
        pass  # it holds a kind that PyAV does not know, such as EXIF
    if matrix is None or len(matrix) < 20:
        return _TURNS[round(frame.rotation / 90) % 4]
    to_x, to_y, _, from_y_to_x, from_y_to_y = struct.unpack("=5i", matrix[:20])  # x' = a x + c y, y' = b x + d y
    if abs(to_y) + abs(from_y_to_x) > abs(to_x) + abs(from_y_to_y):
        return Orientation(True, from_y_to_x < 0, to_y < 0)
    return Orientation(False, to_x < 0, from_y_to_y < 0)
