"""One clock for frames and audio: what happens at one moment is seen and heard at one time, whatever the container."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.media.audio import decode_audio, place, straight_knots
from dfdetect.media.video import probe, sample_frames
from tests.media.flash_and_beep import beeps_s, flashes_s, remux, run, write

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "sync"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the odd inputs, are not here")
TOLERANCE_S = 0.02
H264 = {"vcodec": "libx264", "acodec": "aac"}


def assert_together(path: Path, *times_s: float) -> None:
    """Flashes and beeps are both at these times, and the probe knows when the audio begins."""
    assert flashes_s(path) == pytest.approx(times_s, abs=TOLERANCE_S)
    assert beeps_s(path) == pytest.approx(times_s, abs=TOLERANCE_S)
    assert probe(path).audio_start_s == pytest.approx(decode_audio(path, 16000).start_s, abs=TOLERANCE_S)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("aac.mp4", H264),
        ("mp3.mp4", {**H264, "acodec": "libmp3lame"}),
        ("ac3.mov", {**H264, "acodec": "ac3"}),
        ("fragments.mp4", {**H264, "movflags": "frag_keyframe+empty_moov"}),
        ("mp3.mkv", {**H264, "acodec": "libmp3lame"}),
        ("aac.ts", H264),
        ("mp2.mpg", {"vcodec": "mpeg2video", "acodec": "mp2"}),
        ("opus.webm", {"vcodec": "libvpx", "acodec": "libopus", "bf": 0}),
        ("aac.flv", H264),
        ("wma.wmv", {"vcodec": "wmv2", "acodec": "wmav2", "bf": 0}),
    ],
)
def test_priming_and_reordering_move_nothing(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    assert_together(write(tmp_path / name, **options), 2.0)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "pcm_s16le"])
def test_an_edit_list_that_begins_within_frame_and_packet(tmp_path: Path, codec: str) -> None:
    whole = write(tmp_path / "whole.mov", **{**H264, "acodec": codec})
    path = tmp_path / "trimmed.mov"
    run(ffmpeg.input(str(whole), ss=0.777).output(str(path), c="copy"))
    assert_together(path, 2.0 - 0.8)  # the first frame that is left is the one of 0.80 s


def test_audio_may_be_shifted_on_purpose(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", **H264)
    late = ffmpeg.input(str(whole), itsoffset=0.4)
    run(ffmpeg.output(ffmpeg.input(str(whole)).video, late.audio, str(tmp_path / "late.mp4"), c="copy"))
    assert beeps_s(tmp_path / "late.mp4") == pytest.approx([2.4], abs=TOLERANCE_S)
    assert flashes_s(tmp_path / "late.mp4") == [2.0]


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_stream_that_begins_between_key_frames(tmp_path: Path, share: float) -> None:
    whole = write(tmp_path / "whole.ts", **{**H264, "g": 50}, seconds=8.0, at_s=6.0, sc_threshold=0)
    data = whole.read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(data[int(len(data) * share) // 188 * 188 :])
    (flash_s,) = flashes_s(path)
    assert flash_s < 6.0
    assert_together(path, flash_s)
    assert decode_audio(path, 16000).start_s < -0.3


@pytest.mark.parametrize("of", [5, 9])
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.webm", {"vcodec": "libvpx", "acodec": "libopus", "bf": 0}), ("a.mkv", {**H264, "bf": 0}), ("a.ts", H264)],
)
def test_lost_packets_leave_holes(tmp_path: Path, name: str, options: dict[str, object], of: int) -> None:
    whole = write(tmp_path / f"whole_{name}", hum=0.05, seconds=8.0, at_s=7.0, **options)
    count = 0

    def keep(packet: av.Packet) -> bool:
        nonlocal count
        count += packet.stream.type == "audio"
        return packet.stream.type == "video" or count % of != 0 or count > 250

    path = remux(whole, tmp_path / name, keep)
    assert_together(path, 7.0)
    assert decode_audio(path, 16000).duration_s == pytest.approx(8.0, abs=0.05)


def test_a_hole_of_minutes(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mkv", seconds=200.0, at_s=195.0, hum=0.05, fps=5, bf=0, **{**H264, "acodec": "mp2"})
    path = remux(
        whole, tmp_path / "a.mkv", lambda p: p.stream.type == "video" or not 3.0 < float(p.pts * p.time_base) < 190.0
    )
    assert_together(path, 195.0)
    assert decode_audio(path, 16000).duration_s == pytest.approx(200.0, abs=0.1)


@pytest.mark.parametrize("rate", [1.02, 0.985])
@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_clock_that_drifts_is_resampled(tmp_path: Path, name: str, rate: float) -> None:
    whole = write(tmp_path / f"whole_{name}", seconds=20.0, at_s=16.0, hum=0.05, bf=0, **H264)
    began: list[int] = []

    def drift(packet: av.Packet) -> bool:
        if packet.stream.type == "audio":
            began.append(packet.pts)
            packet.pts = packet.dts = began[0] + round((packet.pts - began[0]) * rate)
        return True

    path = remux(whole, tmp_path / name, drift)
    assert flashes_s(path) == pytest.approx([16.0], abs=0.001)
    assert beeps_s(path) == pytest.approx([16.0 * rate], abs=TOLERANCE_S)
    assert probe(path).audio_start_s == pytest.approx(decode_audio(path, 16000).start_s, abs=TOLERANCE_S)
    track = decode_audio(path, 16000)
    assert track.duration_s == pytest.approx(20.0 * rate, abs=0.1)
    middle = track.samples[16000:240000]
    assert np.sqrt((middle.reshape(-1, 160) ** 2).mean(axis=1)).min() > 0.02  # no zeros between the packets
    pitch = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * 16000 / len(middle)
    assert pitch == pytest.approx(300 / rate, abs=0.5)


def test_timestamps_that_tremble_leave_the_samples_alone(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ts", hum=0.1, **H264)
    random = np.random.default_rng(0)

    def tremble(packet: av.Packet) -> bool:
        if packet.stream.type == "audio":
            packet.pts = packet.dts = packet.pts + int(random.integers(-180, 180))  # 2 ms
        return True

    path = remux(whole, tmp_path / "a.ts", tremble)
    expected, track = decode_audio(whole, 16000), decode_audio(path, 16000)
    assert np.array_equal(track.samples, expected.samples)
    assert track.start_s == pytest.approx(expected.start_s, abs=0.003)


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.ts", H264), ("a.mpg", {"vcodec": "mpeg2video", "acodec": "mp2"}), ("b.ts", {**H264, "acodec": "mp2"})],
)
def test_recordings_joined_end_to_end_follow_each_other(
    tmp_path: Path, name: str, options: dict[str, object], times: int
) -> None:
    path = write(tmp_path / name, **options)
    path.write_bytes(path.read_bytes() * times)
    assert_together(path, *[2.0 + 4.0 * number for number in range(times)])
    assert sample_frames(path, 5).decoded.frames == 100 * times


def test_a_joined_recording_may_begin_between_key_frames(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ts", **{**H264, "g": 50}, seconds=8.0, at_s=6.0, sc_threshold=0)
    data = whole.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data + data[len(data) * 3 // 10 // 188 * 188 :])
    first, second = flashes_s(path)
    assert first == 6.0
    assert_together(path, first, second)


def test_a_first_recording_without_audio_does_not_shift_the_second(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", **H264)
    mute = remux(path, tmp_path / "mute.ts", lambda packet: packet.stream.type == "video")
    (tmp_path / "joined.ts").write_bytes(mute.read_bytes() + path.read_bytes())
    assert beeps_s(tmp_path / "joined.ts") == pytest.approx([6.0], abs=TOLERANCE_S)
    assert probe(tmp_path / "joined.ts").audio_start_s == pytest.approx(4.0, abs=0.03)


def test_audio_alone_joins_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", **H264)
    audio = remux(path, tmp_path / "b.ts", lambda packet: packet.stream.type == "audio")
    run(ffmpeg.input(str(audio)).output(str(tmp_path / "c.ts"), vn=None, acodec="copy"))
    (tmp_path / "d.ts").write_bytes((tmp_path / "c.ts").read_bytes() * 2)
    first, second = beeps_s(tmp_path / "d.ts")
    assert second - first == pytest.approx(4.0, abs=0.05)


@needs_cases
@pytest.mark.parametrize(
    ("name", "times_s", "audio_s"),
    [
        ("starts_mid_gop.ts", [2.0], 7.1),
        ("opus_every_20th_packet_lost.webm", [10.0], 12.0),
        ("dtx_holes_of_40ms.webm", [10.0], 12.0),
        ("muted_for_70_s.mkv", [80.0], 85.0),
        ("cat_of_two.ts", [1.0, 6.0], 8.0),
    ],
)
def test_odd_files(name: str, times_s: list[float], audio_s: float) -> None:
    assert_together(CASES / name, *times_s)
    assert decode_audio(CASES / name, 16000).duration_s == pytest.approx(audio_s, abs=0.06)


@needs_cases
def test_two_recordings_of_a_face() -> None:
    times = [frame.time_s for frame in sample_frames(CASES / "two_recordings_joined.ts", 80).frames]
    assert times == pytest.approx([index / 25 for index in range(80)])


RATE = 1000


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(10, 60), min_size=1, max_size=40),
    holes=st.lists(st.one_of(st.just(0), st.integers(7, 3000)), min_size=40, max_size=40),
    first=st.integers(-5000, 5000),
)
def test_each_packet_lies_at_its_timestamp_and_zeros_between(lengths: list[int], holes: list[int], first: int) -> None:
    samples = np.arange(1.0, sum(lengths) + 1)
    firsts = np.cumsum([0, *lengths[:-1]])
    starts = first + firsts + np.cumsum([0, *holes[: len(lengths) - 1]])
    placed, start_s = place(samples, starts / RATE, np.array(lengths) / RATE, firsts.astype(float), RATE)
    assert start_s == pytest.approx(first / RATE)
    expected = np.zeros(starts[-1] - first + lengths[-1])
    for start, at, length in zip(starts, firsts, lengths, strict=True):
        expected[start - first :][:length] = samples[at : at + length]
    assert np.array_equal(placed, expected)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.floats(0.95, 1.05), min_size=1, max_size=4), tremble=st.floats(0, 0.003), seed=st.integers(0, 9)
)
def test_drifting_packets_lie_within_a_hundredth(rates: list[float], tremble: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    packets, length = 200 * len(rates), 20
    stamped = np.cumsum(np.repeat(rates, 200)) * length / RATE
    stamped = np.append(0.0, stamped[:-1]) + random.uniform(-tremble, tremble, packets) / 2
    time = np.arange(packets * length) / RATE
    placed, start_s = place(
        np.sin(2 * np.pi * 5 * time), stamped, np.full(packets, length / RATE), np.arange(packets) * float(length), RATE
    )
    crossings = np.flatnonzero((placed[:-1] < 0) & (placed[1:] >= 0)) / RATE + start_s  # one each 10 packets
    away = np.abs(crossings[:, None] - stamped[None, ::10]).min(axis=1)[:-1]  # the last may be the end of the sine
    assert len(away) >= len(stamped) // 10 - 3
    assert away.max(initial=0) < 0.012


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_knots_keep_a_curve_within_its_tolerance(steps: list[float]) -> None:
    x, y = np.arange(len(steps), dtype=float), np.cumsum(steps)
    knots = straight_knots(x, y, 0.3)
    assert knots[0] == 0
    assert knots[-1] == len(x) - 1
    assert all(a < b for a, b in pairwise(knots))
    assert np.abs(np.interp(x, x[knots], y[knots]) - y).max() <= 0.3
