"""Opening media files that strangers made: containers of pictures and sound, and nothing that reads other files.

FFmpeg looks at a file's content, not at its name. Some of what it knows are lists that name other files or addresses
(concat scripts, playlists, session descriptions): a text called `clip.mp4` would be read as the files it names.
"""

from __future__ import annotations

import os
from pathlib import Path

import av
from av.container import InputContainer

# FFmpeg's names of demuxers that read one file alone: films, sound, and pictures under a film's name.
_FILMS = "asf,avi,dv,flv,gif,live_flv,matroska,mov,mpeg,mpegts,mxf,nut,ogg,rm,wtv"
_STREAMS = "av1,h261,h263,h264,hevc,ivf,m4v,mjpeg,mpegvideo,obu,vc1"
_SOUND = "aac,ac3,aiff,amr,au,caf,eac3,flac,mp3,w64,wav,wv"
_PICTURES = "bmp_pipe,image2,jpeg_pipe,png_pipe,tiff_pipe,webp_pipe"
FORMATS = ",".join((_FILMS, _STREAMS, _SOUND, _PICTURES))
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}

# The same for OpenCV's own FFmpeg, which asks the environment; and its complaints would fill the terminal: what matters
# of them is in the ledger.
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(f"{name};{value}" for name, value in OPTIONS.items())
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def open_container(path: str | Path) -> InputContainer:
    """Open a media file for reading.

    Raises:
        av.error.FFmpegError, OSError, ValueError: it cannot be opened, or is of a kind that is not read.
    """
    # `file:` keeps a name such as `a:b.mp4` from being taken for a protocol.
    return av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
