"""Video files: what they say they are, and frames of what they really hold.

Declared frame counts lie and seeking yields garbage frames in some codecs, so a video is decoded from its start to its
end, each time, and frames are chosen by their place among those that really decode. An image file is a video of one
frame, a folder of images one of as many. Non-square pixels are not stretched and interlaced fields are not parted, as
in OpenCV.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from av.container import InputContainer

from dfdetect.errors import MediaError
from dfdetect.media.containers import FinalMediaError, check_file, opened, opened_by_program
from dfdetect.media.decoders import (
    DECODERS,
    MAX_PIXELS,
    Counts,
    Decoded,
    FolderSource,
    Limits,
    Source,
    declared_frames,
    folder_frames,
    frame_rate,
    orientation_of,
    track_duration_s,
)
from dfdetect.media.frames import UPRIGHT, Frame, RgbPicture
from dfdetect.media.image import image_size, is_image, read_image_with
from dfdetect.media.tracks import Tracks, find_start, video_stream

__all__ = [
    "Decoded",
    "Frame",
    "Limits",
    "Sample",
    "VideoInfo",
    "centres",
    "frames_at_times",
    "probe",
    "process_frames",
    "sample_frames",
]

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of itself; None where it does not.

    Args:
        duration_s: of the video track, else of the file (s).
        fps: average frame rate (1/s).
        width, height: as displayed (px).
        rotation_deg: clockwise, to be applied for display; already applied to width and height.
        declared_frames: as the container says; may lie.
        has_audio: there is an audio track.
        audio_start_s: start of the audio track relative to the first video frame (s).
    """

    duration_s: float | None
    fps: float | None
    width: int
    height: int
    rotation_deg: int
    declared_frames: int | None
    has_audio: bool
    audio_start_s: float | None


@dataclass(frozen=True)
class Sample:
    """Frames chosen from a video, and what became of decoding it."""

    frames: list[Frame]
    decoded: Decoded


def probe(path: Path) -> VideoInfo:
    """What a video or image file says of itself, or a folder of frames; no more than the first frame is decoded.

    Args:
        path: of the file or folder. A folder is as large as its first image, and has neither times nor audio.
    Raises:
        MediaError: it is missing, empty, encrypted, no media, or has no video track.
    """
    if os.path.isdir(path):
        names = folder_frames(path)
        width, height, rotation_deg = image_size(path / names[0])
        return VideoInfo(None, None, width, height, rotation_deg, len(names), False, None)
    check_file(path)
    readers = [_probe_image, _probe_with_pyav, _probe_with_program]
    return _first_success(readers if is_image(path) else readers[1:], lambda read: read(path))


def _probe_image(path: Path) -> VideoInfo:
    width, height, rotation_deg = image_size(path)
    return VideoInfo(None, None, width, height, rotation_deg, 1, False, None)


def _probe_with_pyav(path: Path) -> VideoInfo:
    with opened(path) as container:
        return _probe(container, find_start(container))


def _probe_with_program(path: Path) -> VideoInfo:
    with opened(path) as container:
        tracks = find_start(container)
    with opened_by_program(path, max_pixels=MAX_PIXELS) as container:
        return _probe(container, tracks)


def _probe(container: InputContainer, tracks: Tracks) -> VideoInfo:
    stream = video_stream(container)
    duration_s = track_duration_s(container, stream)
    if duration_s is None and container.duration is not None and container.duration > 0:
        duration_s = container.duration / 1e6
    orientation = UPRIGHT if tracks.frame is None else orientation_of(tracks.frame, stream)
    width, height = orientation.size(stream.codec_context.width, stream.codec_context.height)
    if min(width, height) <= 0:
        raise MediaError("its video track gives no frame size")
    return VideoInfo(
        duration_s=duration_s,
        fps=frame_rate(stream),
        width=width,
        height=height,
        rotation_deg=orientation.rotation_deg,
        declared_frames=declared_frames(stream),
        has_audio=tracks.has_audio,
        audio_start_s=tracks.audio_s,
    )


def centres(total: int, count: int) -> list[int]:
    """The frames at the centres of `count` equal parts of `total` frames, each once, in order.

    Args:
        total: frames there are, >= 0.
        count: how many frames, >= 1.
    Returns:
        min(total, count) indices from 0 to total - 1.
    """
    if total <= count:
        return list(range(total))
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]


def sample_frames(path: Path, count: int, *, limits: Limits | None = None) -> Sample:
    """Frames at the centres of `count` equal parts of the frames that really decode.

    Args:
        path: a video or image file, or a folder of frames.
        count: how many frames, >= 1; a shorter video gives all it has.
        limits: what is refused, and threads.
    Raises:
        MediaError: nothing decodes (unreadable), or a limit is passed (too_large, too_long).
    """
    frames, decoded = process_frames(path, count, list, limits=limits)
    return Sample(frames, decoded)


def process_frames(
    path: Path, count: int, consume: Callable[[Iterator[Frame]], T], *, limits: Limits | None = None
) -> tuple[T, Decoded]:
    """Hand the frames that sample_frames chooses to `consume` one by one, so that they need not all be in memory.

    A file's true number of frames is known only at its end. Where it differs from the number of its packets, `consume`
    is called again with the right frames, and its former result dropped.

    Args:
        consume: called with an iterator over the chosen frames; must not depend on earlier calls.
    Returns:
        what the last call returned, and what became of decoding.
    Raises:
        MediaError: as in sample_frames.
    """
    return _with_decoders(path, limits or Limits(), consume, lambda source: _settle(source, count, consume))


def frames_at_times(path: Path, times_s: Sequence[float], *, limits: Limits | None = None) -> Sample:
    """The frame nearest to each time, in one pass from the start.

    Args:
        times_s: s since the first frame, ascending; a time past the end takes the last frame.
        limits: what is refused, and threads.
    Returns:
        one frame a time (a frame may stand for several).
    Raises:
        ValueError: the times descend.
        MediaError: as in sample_frames; or there are neither timestamps nor a frame rate (no_times).
    """
    if any(later < earlier for earlier, later in pairwise(times_s)):
        raise ValueError("times_s must ascend")

    def nearest(frames: Iterator[Frame]) -> list[Frame]:
        return _nearest(frames, times_s)

    def once(source: Source) -> tuple[list[Frame], Decoded]:
        source.guess()
        chosen, counts = _attempt(source, nearest, None)
        return chosen, source.verdict(counts)

    frames, decoded = _with_decoders(path, limits or Limits(), nearest, once)
    return Sample(frames, decoded)


def _with_decoders(
    path: Path,
    limits: Limits,
    consume: Callable[[Iterator[Frame]], T],
    decode: Callable[[Source], tuple[T, Decoded]],
) -> tuple[T, Decoded]:
    """A folder is read by its images; a file by the first decoder that reads anything of it, which is named if it is
    not the usual one."""
    if os.path.isdir(path):
        return decode(FolderSource(path, limits))
    check_file(path)

    def read(decoder: type[Source] | None) -> tuple[T, Decoded]:
        if decoder is not None:
            result, decoded = decode(decoder(path, limits))
            return result, decoded if decoder is usual else decoded.read_by(decoder.name)
        pixels, reader = read_image_with(path, max_pixels=limits.max_pixels)
        result = consume(iter([Frame(0, 0.0, RgbPicture(pixels))]))
        return result, Decoded(1) if reader == "OpenCV" else Decoded(1).read_by(reader)

    decoders = [None, *DECODERS] if is_image(path) else list(DECODERS)
    usual = decoders[0]
    return _first_success(decoders, read)


def _first_success(readers: Iterable[R], read: Callable[[R], T]) -> T:
    """What the first reader gives that can read the file; the first one's error if none can, or a limit's at once."""
    trouble: MediaError | None = None
    for reader in readers:
        try:
            return read(reader)
        except MediaError as error:
            if error.status != "unreadable" or isinstance(error, FinalMediaError):
                raise
            trouble = trouble or error
    raise trouble or MediaError("there is no decoder")


def _settle(source: Source, count: int, consume: Callable[[Iterator[Frame]], T]) -> tuple[T, Decoded]:
    """Decode with a guessed number of frames, again with the true one."""
    guess = source.guess()
    for _ in range(3):
        picks = centres(guess, count)
        result, counts = _attempt(source, consume, frozenset(picks))
        if centres(counts.frames, count) == picks:
            return result, source.verdict(counts)
        guess = counts.frames
    raise MediaError("each pass over it decodes another number of frames")


def _attempt(
    source: Source, consume: Callable[[Iterator[Frame]], T], indices: frozenset[int] | None
) -> tuple[T, Counts]:
    """One pass over the file: `consume` gets the frames of these indices (None: all); all are decoded and counted.

    A corrupt file is decoded anew by one thread: what a decoder makes up for damage may depend on its threads.
    """
    counts = Counts()
    for threads in dict.fromkeys((source.limits.threads, 1)):
        counts = Counts()
        frames = source.frames(counts, threads, indices)
        result = consume(frames)
        for _ in frames:
            pass
        if not counts.corrupt:
            break
    if counts.frames == 0:
        claim = "" if source.declared is None else f"; {source.declared} are declared"
        raise MediaError(f"no frame decodes{claim}")
    return result, counts


def _nearest(frames: Iterable[Frame], times_s: Sequence[float]) -> list[Frame]:
    chosen: list[Frame] = []
    before: Frame | None = None
    before_s = 0.0
    for frame in frames:
        if frame.time_s is None:
            raise MediaError("it has neither timestamps nor a frame rate", "no_times")
        while len(chosen) < len(times_s) and frame.time_s >= times_s[len(chosen)]:
            wanted_s = times_s[len(chosen)]
            earlier = before is not None and wanted_s - before_s <= frame.time_s - wanted_s
            chosen.append(before if earlier and before is not None else frame)
        before, before_s = frame, frame.time_s
    if before is not None:
        chosen += [before] * (len(times_s) - len(chosen))
    return chosen
