"""Video: probing and sampling real files, sound ones and awkward ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.errors import MediaError
from dfdetect.media import video
from dfdetect.media.decoders import Counts, ProgramSource, PyAvSource, Source
from dfdetect.media.frames import Frame, RgbPicture, shrunk_size
from dfdetect.media.image import encode
from dfdetect.media.video import Decoded, Limits, centres, frames_at_times, probe, process_frames, sample_frames
from tests.media.flash_and_beep import write
from tests.media.video_files import numbered, numbers, write_video
from tests.sound_files import tone, write_sound

MEDIA = Path(__file__).parents[2].parent / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")

# What each awkward file ends as: its status, and how many frames decode or a word of the reason.
AWKWARD: dict[str, tuple[str, int | str]] = {
    "moviepy_bitmap.mp4": ("ok", 5),
    "moviepy_fire2.mp4": ("ok", 25),
    "moviepy_no_duration.webm": ("ok", 74),
    "moviepy_zero_byte_result.webm": ("unreadable", "empty"),
    "mp4parse_afconvert-aac-0.5s.mp4": ("unreadable", "no video track"),
    "mp4parse_chunk_out_of_range.mp4": ("unreadable", "cannot be opened"),
    "mp4parse_no_timescale.mp4": ("ok", 170),
    "mp4parse_video_rotation_90.mp4": ("ok", 1),
    "mp4parse_zero_empty_stsc.mp4": ("unreadable", "1040 are declared"),
    "streamio_broken.mp4": ("unreadable", "cannot be opened"),
    "streamio_file_with_data_streams.mp4": ("ok", 309),
    "streamio_ios9.mov": ("ok", 14),
    "torchcodec_av1_video.mkv": ("ok", 125),
    "torchcodec_h264_10bits.mp4": ("ok", 30),
    "torchcodec_h265_10bits.mp4": ("ok", 30),
    "torchcodec_nasa_13013.mp4": ("ok", 390),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "a clip: 90%.mp4"  # a name that a careless opener takes for a protocol
    return write_video(path, [numbered(i) for i in range(90)], options={"movflags": "faststart"})


@given(st.integers(1, 5000), st.integers(1, 200))
def test_centres_lie_in_their_parts(total: int, count: int) -> None:
    picks = centres(total, count)
    assert len(picks) == min(total, count)
    assert all(later > earlier for earlier, later in pairwise(picks))
    assert picks[0] >= 0
    assert picks[-1] < total
    if total > count:
        for part, pick in enumerate(picks):
            low, high = part * total / count, (part + 1) * total / count
            assert abs(pick + 0.5 - (low + high) / 2) <= 0.5


def test_sampled_frames_are_the_ones_at_the_centres(clip: Path) -> None:
    sample = sample_frames(clip, 22)
    assert sample.decoded == Decoded(90)
    assert [frame.index for frame in sample.frames] == centres(90, 22)
    assert numbers(sample.frames) == centres(90, 22)
    assert [frame.time_s for frame in sample.frames] == pytest.approx([index / 25 for index in centres(90, 22)])


def test_a_short_video_gives_all_its_frames(tmp_path: Path) -> None:
    sample = sample_frames(write_video(tmp_path / "v.mp4", [numbered(i) for i in range(3)]), 22)
    assert numbers(sample.frames) == [0, 1, 2]


def test_times_come_from_the_stream(tmp_path: Path) -> None:
    times = [10, 11, 13, 20, 21, 40]
    path = write_video(tmp_path / "v.mkv", [numbered(i) for i in range(6)], times=times)
    assert [f.time_s for f in sample_frames(path, 6).frames] == pytest.approx([(t - 10) / 25 for t in times], abs=2e-3)


class _Lying(Source):
    """A source of 50 frames that says it has another number."""

    def __init__(self, said: int, counts: Iterator[int]) -> None:
        super().__init__(Path("x"), Limits())
        self.said, self.counts = said, counts

    def guess(self) -> int:
        return self.said

    def frames(self, counts: Counts, threads: int, indices: frozenset[int] | None) -> Iterator[Frame]:
        assert threads == 1
        for index in range(next(self.counts)):
            counts.frames += 1
            if indices is None or index in indices:
                yield Frame(index, None, RgbPicture(np.zeros((2, 2, 3), np.uint8)))


@given(st.integers(0, 300), st.integers(1, 60))
def test_a_wrong_count_is_put_right(said: int, count: int) -> None:
    calls: list[list[int]] = []

    def consume(frames: Iterator[Frame]) -> list[int]:
        calls.append([frame.index for frame in frames])
        return calls[-1]

    result, decoded = video._settle(_Lying(said, iter([50, 50, 50])), count, consume)
    assert result == centres(50, count)
    assert decoded.frames == 50
    assert len(calls) <= 2


def test_a_file_that_changes_its_mind_is_refused() -> None:
    with pytest.raises(MediaError, match="another number"):
        video._settle(_Lying(10, iter([20, 30, 40, 50])), 5, list)


def test_frames_not_consumed_are_still_counted(clip: Path) -> None:
    first, decoded = process_frames(clip, 22, lambda frames: next(frames).index)
    assert first == 2
    assert decoded.frames == 90


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    picture = numbered(0b10110001)
    path = write_video(tmp_path / "v.mp4", [picture] * 3, rotation_ccw_deg=degrees)
    frame = sample_frames(path, 1).frames[0]
    upright = np.rot90(picture, degrees // 90)
    assert (frame.height, frame.width) == upright.shape[:2]
    assert np.abs(frame.rgb.astype(int) - upright).mean() < 6
    info = probe(path)
    assert (info.width, info.height) == (frame.width, frame.height)
    assert info.rotation_deg == -degrees % 360
    small = frame.shrunk(64)
    assert small.shape[:2] == tuple(n // 2 for n in upright.shape[:2])
    assert np.abs(small.astype(int) - frame.rgb.reshape(*small.shape[:1], 2, -1, 2, 3).mean(axis=(1, 3))).mean() < 4
    box = (6, 10, 60, 50)
    assert np.array_equal(frame.patch(box), frame.rgb[10:50, 6:60])
    enlarged = frame.resized(box, 108, 80)
    assert np.abs(enlarged[::2, ::2].astype(int) - frame.patch(box)).mean() < 8


@pytest.mark.parametrize(
    ("pix_fmt", "width", "height"),
    [("yuv420p", 128, 96), ("yuv444p", 128, 96), ("yuv420p10le", 128, 96), ("yuv422p", 130, 98), ("yuv444p", 127, 95)],
)
def test_pixel_formats(tmp_path: Path, pix_fmt: str, width: int, height: int) -> None:
    picture = numbered(0b01100101, width, height)
    path = write_video(tmp_path / "v.mp4", [picture] * 3, pix_fmt=pix_fmt)
    frame = sample_frames(path, 1).frames[0]
    assert np.abs(frame.rgb.astype(int) - picture).mean() < 5
    boxes = [(0, 0, 1, 1), (3, 5, 20, 41), (width - 7, height - 9, width, height), (0, 0, width, height)]
    for x0, y0, x1, y1 in boxes:
        assert np.array_equal(frame.patch((x0, y0, x1, y1)), frame.rgb[y0:y1, x0:x1])
    assert frame.resized((2, 4, 64, 80), 30, 40).shape == (40, 30, 3)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_patch_has_the_bytes_of_the_whole(clip: Path, data: st.DataObject) -> None:
    frame = sample_frames(clip, 1).frames[0]
    x0, y0 = data.draw(st.integers(0, 127)), data.draw(st.integers(0, 95))
    x1, y1 = data.draw(st.integers(x0 + 1, 128)), data.draw(st.integers(y0 + 1, 96))
    assert np.array_equal(frame.patch((x0, y0, x1, y1)), frame.rgb[y0:y1, x0:x1])


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 129, 5), (5, 5, 4, 9)])
def test_a_patch_outside_is_refused(clip: Path, box: tuple[int, int, int, int]) -> None:
    frame = sample_frames(clip, 1).frames[0]
    with pytest.raises(ValueError, match="leaves the frame"):
        frame.patch(box)
    with pytest.raises(ValueError, match="leaves the frame"):
        frame.resized(box, 4, 4)


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 4000))
def test_shrunk_size(width: int, height: int, long_side: int) -> None:
    w, h = shrunk_size(width, height, long_side)
    assert max(w, h) == min(max(width, height), long_side)
    assert min(w, h) >= 1
    assert abs(h * width - w * height) <= max(width, height) * 0.5 + 1 or min(w, h) == 1


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_byte(clip: Path, threads: int) -> None:
    one, more = sample_frames(clip, 12), sample_frames(clip, 12, limits=Limits(threads=threads))
    assert one.decoded == more.decoded
    for a, b in zip(one.frames, more.frames, strict=True):
        assert (a.index, a.time_s) == (b.index, b.time_s)
        assert np.array_equal(a.rgb, b.rgb)


def test_a_file_cut_short_is_truncated_and_still_used(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    sample = sample_frames(path, 22)
    assert sample.decoded.status == "truncated"
    assert sample.decoded.reason is not None
    assert "90 frames are declared" in sample.decoded.reason
    assert 20 < sample.decoded.frames < 75
    assert numbers(sample.frames[:-1]) == centres(sample.decoded.frames, 22)[:-1]  # the last one may be half there


def test_a_damaged_middle_is_passed_over_the_same_way_with_any_threads(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\x55" * 2000
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(data))
    one, more = sample_frames(path, 22), sample_frames(path, 22, limits=Limits(threads=3))
    assert one.decoded == more.decoded
    assert [f.index for f in one.frames] == [f.index for f in more.frames]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(one.frames, more.frames, strict=True))


def test_limits_are_refused(clip: Path) -> None:
    with pytest.raises(MediaError, match="max_pixels") as large:
        sample_frames(clip, 5, limits=Limits(max_pixels=128 * 96 - 1))
    assert large.value.status == "too_large"
    with pytest.raises(MediaError, match="max_frames") as long:
        sample_frames(clip, 5, limits=Limits(max_frames=89))
    assert long.value.status == "too_long"
    assert sample_frames(clip, 5, limits=Limits(max_pixels=128 * 96, max_frames=90)).decoded.frames == 90


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.floats(-1, 5), max_size=12))
def test_frames_at_times_are_the_nearest(clip: Path, times: list[float]) -> None:
    times = sorted(times)
    sample = frames_at_times(clip, times)
    at = np.arange(90) / 25
    assert len(sample.frames) == len(times)
    for time_s, frame in zip(times, sample.frames, strict=True):
        assert frame.time_s is not None
        assert abs(frame.time_s - time_s) == pytest.approx(np.abs(at - time_s).min(), abs=1e-9)
    assert sample.decoded.frames == 90


def test_times_must_ascend(clip: Path) -> None:
    with pytest.raises(ValueError, match="ascend"):
        frames_at_times(clip, [1.0, 0.5])


def test_probe_of_a_video(clip: Path) -> None:
    info = probe(clip)
    assert (info.width, info.height, info.rotation_deg, info.declared_frames) == (128, 96, 0, 90)
    assert info.fps == 25
    assert info.duration_s == pytest.approx(3.6, abs=0.05)
    assert (info.has_audio, info.audio_start_s) == (False, None)


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "A.PNG"
    path.write_bytes(encode(numbered(77), kind="png"))
    sample = sample_frames(path, 22)
    assert [(f.index, f.time_s) for f in sample.frames] == [(0, 0.0)]
    assert np.array_equal(sample.frames[0].rgb, numbered(77))
    info = probe(path)
    assert (info.width, info.height, info.declared_frames, info.fps, info.has_audio) == (128, 96, 1, None, False)
    assert [f.index for f in frames_at_times(path, [0.0, 2.0]).frames] == [0, 0]
    with pytest.raises(MediaError, match="max_pixels"):
        sample_frames(path, 1, limits=Limits(max_pixels=100))


def test_what_is_no_video(tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.mp4", tmp_path / "text.mp4", tmp_path / "folder.mp4"
    empty.touch()
    text.write_text("no video at all\n" * 100)
    folder.mkdir()
    sound = tmp_path / "sound.wav"
    write_sound(sound, tone(16000, 0.5)[None], 16000)
    cases = [
        (empty, "empty"),
        (text, "cannot be opened"),
        (folder, "holds no images"),
        (tmp_path / "none.mp4", "missing"),
    ]
    for path, reason in [*cases, (sound, "no video track")]:
        for look in (probe, lambda path: sample_frames(path, 3), lambda path: frames_at_times(path, [0.0])):
            with pytest.raises(MediaError, match=reason) as caught:
                look(path)
            assert caught.value.status == "unreadable"


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered(1), format="rgb24").reformat(format="yuvj420p")
        picture.pts = 0
        container.mux(cover.encode(picture))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        samples.rate, samples.pts = 16000, 0
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with pytest.raises(MediaError, match="no video track"):
        probe(path)


def test_the_second_decoder_reads_the_same_frames(clip: Path, tmp_path: Path) -> None:
    for path in (clip, write_video(tmp_path / "turned.mp4", [numbered(i) for i in range(30)], rotation_ccw_deg=-90)):
        first = sample_frames(path, 7)
        frames, decoded = video._settle(ProgramSource(path, Limits()), 7, list)
        assert decoded.frames == first.decoded.frames
        assert [f.index for f in frames] == [f.index for f in first.frames]
        assert [f.time_s for f in frames] == pytest.approx([f.time_s for f in first.frames], abs=1e-3)
        for a, b in zip(frames, first.frames, strict=True):
            assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 4


def test_the_second_decoder_serves_when_the_first_reads_nothing(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind(PyAvSource):
        def frames(self, *_: object) -> Iterator[Frame]:
            return iter(())

    monkeypatch.setattr(video, "DECODERS", (Blind, ProgramSource))
    assert numbers(sample_frames(clip, 9).frames) == centres(90, 9)
    monkeypatch.setattr(video, "DECODERS", (Blind, Blind))
    with pytest.raises(MediaError, match="90 are declared"):
        sample_frames(clip, 9)


@needs_media
def test_every_awkward_file_is_listed() -> None:
    assert {path.name for path in (MEDIA / "awkward").iterdir()} == set(AWKWARD)


@needs_media
@pytest.mark.parametrize("name", sorted(AWKWARD))
def test_awkward_files_end_as_ok_or_with_a_reason(name: str) -> None:
    path = MEDIA / "awkward" / name
    status, what = AWKWARD[name]
    if status == "ok":
        sample = sample_frames(path, 22)
        assert (sample.decoded.status, sample.decoded.frames) == ("ok", what)
        assert len(sample.frames) == min(22, sample.decoded.frames)
        info = probe(path)
        times = [frame.time_s for frame in sample.frames]
        assert times == sorted(t for t in times if t is not None)
        assert sample.frames[0].rgb.shape == (info.height, info.width, 3)
    else:
        with pytest.raises(MediaError, match=str(what)) as caught:
            sample_frames(path, 22)
        assert caught.value.status == status


@needs_media
def test_probe_of_real_files() -> None:
    turned = probe(MEDIA / "awkward" / "streamio_ios9.mov")
    assert (turned.width, turned.height, turned.rotation_deg) == (720, 1280, 90)
    assert probe(MEDIA / "awkward" / "moviepy_fire2.mp4").rotation_deg == 180
    assert probe(MEDIA / "awkward" / "moviepy_no_duration.webm").duration_s is None
    assert probe(MEDIA / "awkward" / "mp4parse_zero_empty_stsc.mp4").declared_frames == 1040
    late = probe(MEDIA / "faces" / "short_hamilton_clip.mp4")
    assert late.has_audio
    assert late.audio_start_s == pytest.approx(-0.844, abs=0.01)


@pytest.mark.parametrize("name", ["a.mkv", "a.avs2"])
def test_ffmpegs_program_reads_codecs_that_pyav_lacks(tmp_path: Path, name: str) -> None:
    """AVS2, as broadcast in China; without the program these files are unreadable."""
    audio = {"an": None, "f": "rawvideo"} if name == "a.avs2" else {"acodec": "aac"}
    path = write(tmp_path / name, vcodec="libxavs2", seconds=2.0, at_s=1.0, bf=0, **audio)
    with pytest.raises(MediaError, match="codec is unknown"):
        video._settle(PyAvSource(path, Limits()), 7, list)
    info = probe(path)
    assert (info.width, info.height, info.rotation_deg) == (64, 48, 0)
    assert info.has_audio is (name == "a.mkv")
    sample = sample_frames(path, 7)
    assert sample.decoded == Decoded(50, "ok", "read by FFmpeg's program, since the usual decoder cannot")
    assert [frame.index for frame in sample.frames] == centres(50, 7)
    assert [frame.time_s for frame in sample.frames] == pytest.approx([i / 25 for i in centres(50, 7)], abs=0.001)
    assert [frame.index for frame in frames_at_times(path, [0.0, 1.0, 1.5]).frames] == [0, 25, 37]
    with pytest.raises(MediaError):
        sample_frames(path, 7, limits=Limits(max_pixels=64 * 48 - 1))
