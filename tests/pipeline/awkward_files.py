"""A folder of clips that go wrong, or might, in one way each; most show a drawn face."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from tests.drawn_faces import drawn_face
from tests.media.video_files import write_video
from tests.sound_files import tone, write_sound

SIDE = 160


@dataclass(frozen=True)
class Awkward:
    """What must become of a file.

    picture, sound: its status in the faces and the mels stage; no sound's where there is no byte to read. reason: how
    that of the picture begins.
    """

    picture: str
    sound: str | None
    reason: str | None = None


WHOLE, MUTE = Awkward("ok", "ok"), Awkward("ok", "no_audio")
ODD_NAMES = (
    *('it\'s "quoted" & $HOME.mp4', "two\nlines.mp4", "-i.mp4", "pipe:0.mp4", "latin-\udcff.mp4", "ü%20 .mp4"),
    *(
        "$(touch ran).mp4",
        "`touch ran`;touch ran.mp4",
        "%03d [a]*?.mp4",
        "concat:plain.mp4|plain.mp4",
        251 * "x" + ".mp4",
    ),
)


def make_awkward_files(root: Path) -> dict[str, Awkward]:
    """Fill real/ and fake/ under `root`; returns what must become of each path (as the file system has it)."""
    for name in ("real", "fake", "parts"):
        (root / name).mkdir(parents=True)
    made = _sound_ones(root / "real", root / "parts") | _damaged_ones(root / "fake", root / "parts")
    shutil.rmtree(root / "parts")
    (root / "fake/folder.mp4").mkdir()  # no file, and no file's row
    return made


def _faces(seed: int, number: int = 8, side: int = SIDE) -> list[np.ndarray]:
    return [drawn_face(seed, size=side, opening=0.1 + 0.1 * (i % 4)).image for i in range(number)]


def _sound_ones(real: Path, parts: Path) -> dict[str, Awkward]:
    """Files that are to be used: codecs, containers, sizes, times and names that are legal and rare."""
    voice = {
        codec: write_sound(parts / f"{codec}.mkv", tone(48000, 0.4)[None], 48000, codec=codec)
        for codec in ("aac", "libopus")
    }
    plain = join(real / "plain.mp4", write_video(parts / "plain.mp4", _faces(1)), voice["aac"])
    made = {"real/plain.mp4": WHOLE}
    join(real / "SHOUTED.MP4", write_video(parts / "shouted.mp4", _faces(2)), voice["aac"])
    write_video(real / "mute.mkv", _faces(3), codec="libvpx-vp9")
    write_video(real / "odd size.webm", _faces(4, side=SIDE + 1), codec="libvpx-vp9")
    write_video(real / "ten bits.mp4", _faces(6), pix_fmt="yuv420p10le")
    lying = [np.ascontiguousarray(np.rot90(picture)) for picture in _faces(7)]
    write_video(real / "rotated.mov", lying, rotation_ccw_deg=-90)
    write_video(real / "uneven.mp4", _faces(8), times=[0, 1, 5, 6, 7, 20, 21, 40])
    write_video(real / "one frame.mp4", _faces(9, 1))
    cv2.imwrite(str(real / "photo.jpg"), _faces(10, 1)[0][..., ::-1])
    mute = ("mute.mkv", "odd size.webm", "ten bits.mp4", "rotated.mov", "uneven.mp4", "one frame.mp4", "photo.jpg")
    made |= {"real/SHOUTED.MP4": WHOLE} | {f"real/{name}": MUTE for name in mute}
    live = write_video(parts / "live.webm", _faces(11), codec="libvpx")
    join(real / "no duration.webm", live, voice["libopus"], {"live": "1"})
    made["real/no duration.webm"] = WHOLE
    if "libsvtav1" in av.codecs_available:
        write_video(real / "av1.mkv", _faces(5), codec="libsvtav1")
        made["real/av1.mkv"] = MUTE
    for number, name in enumerate(ODD_NAMES):  # each with an empty box of its own size: equal files are another matter
        box = (8 + number).to_bytes(4, "big") + b"free" + bytes(number)
        (real / name).write_bytes(plain.read_bytes() + box)
        made[f"real/{name}"] = WHOLE
    return made


def _damaged_ones(fake: Path, parts: Path) -> dict[str, Awkward]:
    """Files that are no videos, or in part."""
    voice = write_sound(parts / "voice.mkv", tone(48000, 0.4)[None], 48000, codec="aac")
    index_last = join(parts / "last.mp4", write_video(parts / "picture.mp4", _faces(12)), voice).read_bytes()
    (fake / "cut off.mp4").write_bytes(index_last[: len(index_last) // 2])
    long = write_video(parts / "long.mp4", _faces(13, 40), options={"movflags": "faststart"}).read_bytes()
    (fake / "cut short.mp4").write_bytes(long[: len(long) * 2 // 3])
    (fake / "empty.mp4").write_bytes(b"")
    (fake / "text.mp4").write_text("This is no video.\n" * 50)
    write_sound(fake / "voice alone.mp4", tone(48000, 0.4)[None], 48000, codec="aac")
    write_video(fake / "nobody.mp4", [np.full((SIDE, SIDE, 3), 90, np.uint8)] * 4)
    os.symlink(parts / "nowhere.mp4", fake / "gone.mp4")
    cannot = "it cannot be opened: "
    return {
        "fake/cut off.mp4": Awkward("unreadable", "unreadable", cannot),
        "fake/cut short.mp4": Awkward("truncated", "no_audio", "40 frames are declared, "),
        "fake/empty.mp4": Awkward("unreadable", "unreadable", "the file is empty"),
        "fake/text.mp4": Awkward("unreadable", "unreadable", cannot),
        "fake/voice alone.mp4": Awkward("unreadable", "ok", "it has no video track"),
        "fake/nobody.mp4": Awkward("no_face", "no_audio", "no face was found"),
        "fake/gone.mp4": Awkward("unreadable", None, "the file cannot be read"),
    }


def join(path: Path, video: Path, sound: Path, options: dict[str, str] | None = None) -> Path:
    """Put a video's track and a sound's into one file, as they are."""
    with av.open(str(path), "w", options=options or {}) as output, av.open(str(video)) as v, av.open(str(sound)) as s:
        tracks = [
            (v, output.add_stream_from_template(v.streams[0])),
            (s, output.add_stream_from_template(s.streams[0])),
        ]
        for container, track in tracks:
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = track
                    output.mux(packet)
    return path
