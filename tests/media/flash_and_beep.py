"""Videos with one flash and one beep at the same moment, and what is seen and heard of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import ffmpeg
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from dfdetect.media.audio import decode_audio
from dfdetect.media.video import sample_frames


def write(
    path: Path, *, at_s: float = 2.0, seconds: float = 4.0, fps: int = 25, hum: float = 0.0, **options: object
) -> Path:
    """A black clip that is white for 0.2 s, and quiet but for a beep of 0.1 s.

    Args:
        at_s: when both begin.
        hum: level of a tone that sounds all the time.
        options: FFmpeg's, of the output.
    """
    white = f"drawbox=c=white:t=fill:enable='between(t,{at_s - 1e-6},{at_s + 0.19})'"
    beep = f"if(between(t,{at_s},{at_s + 0.1}),0.5*sin(2*PI*1000*t),{hum}*sin(2*PI*300*t))"
    video = ffmpeg.input(f"color=black:s=64x48:r={fps}:d={seconds},{white}", f="lavfi")
    audio = ffmpeg.input(f"aevalsrc='{beep}':s=44100:d={seconds}", f="lavfi")
    run(ffmpeg.output(video, audio, str(path), **{"bf": 2, "g": 250, **options}))
    return path


def run(command: ffmpeg.nodes.OutputStream) -> None:
    """Run the bundled FFmpeg; its complaints are in the error."""
    try:
        command.global_args("-v", "error").run(cmd=get_ffmpeg_exe(), quiet=True, overwrite_output=True)
    except ffmpeg.Error as error:
        raise AssertionError(error.stderr.decode(errors="replace")[-2000:]) from None


def remux(source: Path, path: Path, edit: Callable[[av.Packet], bool]) -> Path:
    """Copy the packets that `edit` returns true of; it may change their timestamps."""
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        streams = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.dts is not None and edit(packet):
                packet.stream = streams[packet.stream.index]
                after.mux(packet)
    return path


def flashes_s(path: Path) -> list[float]:
    """When the frames turn white, on their own times, which must never fall."""
    frames = sample_frames(path, 100_000).frames
    times_s = np.array([frame.time_s for frame in frames])
    assert (np.diff(times_s) >= 0).all()
    white = np.array([frame.rgb.mean() > 128 for frame in frames])
    return times_s[np.flatnonzero(white & ~np.append(False, white[:-1]))].tolist()


def beeps_s(path: Path, rate: int = 16000) -> list[float]:
    """When the beeps begin, on the clock of the frames."""
    track = decode_audio(path, rate)
    step = rate // 1000
    pieces = track.samples[: len(track.samples) // step * step].reshape(-1, step)
    loud = np.sqrt((pieces**2).mean(axis=1)) > 0.2
    starts = np.flatnonzero(loud & ~np.append(False, loud[:-1]))
    apart = np.append(True, np.diff(starts) > 300)
    return (track.start_s + starts[apart] / 1000).tolist()
