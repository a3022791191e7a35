"""Opening media files that strangers made: containers of video, audio and images, and nothing that reads other files.

FFmpeg looks at a file's content, not at its name. Some of what it knows are lists that name other files or addresses
(concat scripts, playlists, session descriptions): a text called `clip.mp4` would be read as the files it names.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from dfdetect.errors import MediaError

# FFmpeg's names of demuxers that read one file alone: video, audio, and images under a video's name.
_VIDEO = "asf,avi,dv,flv,gif,live_flv,matroska,mov,mpeg,mpegts,mxf,nut,ogg,rm,wtv"
_STREAMS = "av1,avs2,avs3,h261,h263,h264,hevc,ivf,m4v,mjpeg,mpegvideo,obu,vc1,vvc"
_AUDIO = "aac,ac3,aiff,amr,au,caf,eac3,flac,mp3,w64,wav,wv"
_IMAGES = "bmp_pipe,image2,jpeg_pipe,png_pipe,tiff_pipe,webp_pipe"
FORMATS = ",".join((_VIDEO, _STREAMS, _AUDIO, _IMAGES))
# pattern_type: the name `a%d.jpg` is one file and not a series of them.
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "pattern_type": "none"}
PROGRAM_TIME_LIMIT_S = 600  # processor time of FFmpeg's program, which outlives a worker that is stopped


class FinalMediaError(MediaError):
    """What no other decoder would change: there is no video track, or it is encrypted."""


def open_container(path: str | Path, **options: str) -> InputContainer:
    """Open a media file for reading.

    Args:
        path: of the file.
        options: of the demuxer, beyond ours.
    Raises:
        av.error.FFmpegError, OSError, ValueError: it cannot be opened, or is of a kind that is not read.
    """
    # `file:` keeps a name such as `a:b.mp4` from being taken for a protocol.
    return av.open(f"file:{path}", options=OPTIONS | options, metadata_errors="replace")


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A PyAV container for reading, closed at the end.

    Raises:
        MediaError: the file is missing, empty, or cannot be opened.
        FinalMediaError: it is a scrambled transport stream.
    """
    check_file(path)
    try:
        container = open_container(path)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"it cannot be opened: {words(error)}") from None
    with container:
        if container.format.name == "mpegts" and _is_scrambled(path):
            raise FinalMediaError("it is encrypted (a scrambled transport stream): decrypt it first")
        yield container


def _is_scrambled(path: Path) -> bool:
    """Do most packets of a transport stream say so (ISO/IEC 13818-1, 2.4.3.2: the fourth byte's highest bits)?"""
    with path.open("rb") as file:
        data = file.read(1 << 18)
    size, sync = (192, 4) if data[196:197] == b"G" == data[4:5] else (188, 0)
    controls = np.frombuffer(data[: len(data) // size * size], np.uint8).reshape(-1, size)[:, sync + 3] >> 6
    return bool((controls > 1).sum() > len(controls) / 2)


@contextmanager
def opened_by_program(path: Path, *, max_pixels: int) -> Iterator[InputContainer]:
    """A PyAV container of what FFmpeg's own program makes of a file's video: upright RGB frames with their times.

    The program is a newer FFmpeg than PyAV's, with more decoders, and puts the tiles of an image together.

    Args:
        path: a media file.
        max_pixels: a larger frame is not decoded.
    Raises:
        MediaError: the program finds no frame.
    """
    import ffmpeg  # both are needed for odd files only
    from imageio_ffmpeg import get_ffmpeg_exe

    check_file(path)
    # The file is handed over open: the program knows no name, and may open nothing else.
    source = ffmpeg.input("fd:", protocol_whitelist="fd", format_whitelist=FORMATS, max_pixels=max_pixels, threads=1)
    raw = source.output("pipe:", format="nut", vcodec="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", an=None)
    command = raw.global_args("-v", "quiet", "-timelimit", str(PROGRAM_TIME_LIMIT_S)).compile(get_ffmpeg_exe())
    # Not run_async: some decoders write to the error stream whatever FFmpeg is told.
    with (
        path.open("rb") as file,
        subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
    ):
        try:
            try:
                container = av.open(process.stdout, "r", format="nut")
            except av.error.FFmpegError:
                raise MediaError("FFmpeg's program finds no frame in it") from None
            with container:
                yield container
        finally:
            process.kill()


def check_file(path: Path) -> None:
    """Is there a file with something in it?

    Raises:
        MediaError: there is not.
    """
    try:
        if not path.is_file():
            raise MediaError("the file is missing" if not path.exists() else "it is no file")
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError("the file is empty")
    except OSError as error:
        raise MediaError(f"the file cannot be read: {error.strerror}") from None


def words(error: BaseException) -> str:
    """A library's error in words, without the path, which differs between machines."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
