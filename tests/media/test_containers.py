"""What names other files is no video: not even when they are there, and nothing is asked for over a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest

from dfdetect.errors import MediaError
from dfdetect.media.audio import decode_audio
from dfdetect.media.containers import FORMATS
from dfdetect.media.decoders import Counts, Limits, ProgramSource
from dfdetect.media.image import encode
from dfdetect.media.video import probe, sample_frames
from tests.media.video_files import numbered, write_video

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="1"><BaseURL>{}</BaseURL><SegmentBase/></Representation></AdaptationSet></Period></MPD>'
)
SESSION = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
SCRIPTS = {
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "playlist": PLAYLIST,
    "dash": DASH,
    "session": SESSION,
}


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
        server.shutdown()


def through_the_program(path: Path) -> None:
    list(ProgramSource(path, Limits()).frames(Counts(), 1, None))


READERS: dict[str, Callable[[Path], object]] = {
    "probe": probe,
    "frames": lambda path: sample_frames(path, 2),
    "program": through_the_program,
    "audio": lambda path: decode_audio(path, 16000),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("where", ["beside.mp4", "beside.ts", "http"])
@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_under_a_films_name_is_refused(
    kind: str, where: str, reader: str, asked: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, paths = asked
    if where != "http":
        write_video(tmp_path / where, [numbered(i) for i in range(3)])
    path = tmp_path / "clip.mp4"
    path.write_text(SCRIPTS[kind].replace("{}", f"{address}/video.mp4" if where == "http" else where))
    with pytest.raises(MediaError):
        READERS[reader](path)
    assert not paths


def test_ffmpeg_itself_would_read_the_other_file(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    write_video(tmp_path / "beside.mp4", [numbered(i) for i in range(3)])
    path = tmp_path / "clip.mp4"
    path.write_text(SCRIPTS["concat"].format("beside.mp4"))
    with av.open(str(path)) as container:
        assert container.format.name == "concat"
        assert len(list(container.decode(video=0))) == 3


def test_every_format_named_is_one_that_is_known() -> None:
    known = {name for listed in av.formats_available for name in listed.split(",")}
    assert not set(FORMATS.split(",")) - known
    assert not set(FORMATS.split(",")) & {"concat", "hls", "dash", "sdp", "rtsp", "lavfi", "image2pipe", "tedcaptions"}


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.ts", "mpeg2video"), ("a.flv", "libx264")])
def test_other_containers_are_read_by_both_decoders(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, [numbered(i) for i in range(5)], codec=codec)
    assert len(sample_frames(path, 5).frames) == 5
    assert len(list(ProgramSource(path, Limits()).frames(Counts(), 1, None))) == 5


@pytest.mark.parametrize("reader", READERS)
def test_an_images_name_is_no_pattern_of_other_names(tmp_path: Path, reader: str) -> None:
    (tmp_path / "a1.jpg").write_bytes(encode(numbered(1)))
    path = tmp_path / "a%d.jpg"
    path.write_text("no image")
    with pytest.raises(MediaError):
        READERS[reader](path)
