"""Writing a film: H.264 pictures at the source's own times, and the source's sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error

from dfdetect.errors import UserError
from dfdetect.media.decoders import opened
from dfdetect.media.frames import Rgb

# Fine enough for any frame rate, and what mp4 players expect.
TICKS = 90_000
CRF = 20  # visually all but lossless


class FilmWriter:
    """Write frames as mp4 with the sound of a source file.

    Args:
        path: of the film; it appears whole at the end of the `with` block, or not at all.
        source: whose sound goes along, where it has some that decodes.
    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self.source = path, source
        self._part = path.with_name(f".{path.name}.part")
        self._stream: Any = None
        self._last = -1

    def __enter__(self) -> FilmWriter:
        try:
            self._out = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        except (OSError, av.error.FFmpegError) as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}.") from None
        return self

    def write(self, picture: Rgb, time_s: float) -> None:
        """Append a frame.

        Args:
            picture: RGB with even sides [shape=(H, W, 3)]; every frame of one size.
            time_s: when it is shown, rising.
        """
        if self._stream is None:
            self._stream = self._out.add_stream("libx264", options={"crf": str(CRF), "preset": "veryfast"})
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICKS)
            self._sound = _Sound(self._out, self.source)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._last = max(self._last + 1, round(time_s * TICKS))  # a time that stands still would be refused
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._out.mux(self._stream.encode(frame))

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None and self._stream is not None:
                self._out.mux(self._stream.encode(None))
                self._sound.copy()
            self._out.close()
            if kind is None:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


class _Sound:
    """The source's first sound track as AAC, in time with the pictures; nothing where there is none."""

    def __init__(self, out: Any, source: Path) -> None:
        self.out, self.source, self.stream = out, source, None
        with opened(source) as container:
            track = container.streams.best("audio")
            if track is not None and track.codec_context is not None and track.codec_context.sample_rate:
                self.stream = out.add_stream("aac", rate=_aac_rate(track.codec_context.sample_rate))
                self.stream.layout = "mono" if track.codec_context.layout.nb_channels == 1 else "stereo"

    def copy(self) -> None:
        """Decode, encode, write; ends at what does not decode."""
        if self.stream is None:
            return
        resampler = av.AudioResampler("fltp", self.stream.layout, self.stream.rate)
        with opened(self.source) as container:
            start_s = _first_picture_s(container)
        with opened(self.source) as container:
            try:
                for frame in container.decode(audio=0):
                    if frame.pts is not None:
                        shifted = frame.pts - round(start_s / frame.time_base)
                        if shifted < 0:
                            continue  # before the first picture
                        frame.pts = shifted
                    for part in resampler.resample(frame):
                        self.out.mux(self.stream.encode(part))
            except av.error.FFmpegError:
                pass  # what decoded so far is kept
        for part in resampler.resample(None):
            self.out.mux(self.stream.encode(part))
        self.out.mux(self.stream.encode(None))


def _aac_rate(rate_hz: int) -> int:
    """A rate that AAC knows."""
    known = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
    return rate_hz if rate_hz in known else 48000


def _first_picture_s(container: Any) -> float:
    """The time of the first picture that decodes, in the container's clock."""
    try:
        frame = next(container.decode(video=0), None)
    except av.error.FFmpegError:
        return 0.0
    return 0.0 if frame is None or frame.time is None else float(frame.time)
