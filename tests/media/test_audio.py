"""Sound: decoding to mono samples in the video's time, log-mel equal to librosa's, level and leading silence."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dfdetect.audio.log_mel import frame_levels_dbfs, log_mel
from dfdetect.errors import MediaError
from dfdetect.media.audio import AudioTrack, decode_audio
from tests.sound_files import tone, write_sound

ROOT = Path(__file__).parents[2]
MEDIA = ROOT.parent / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")
# The awkward files with a track that decodes, and its length (s).
SOUNDING = {
    "moviepy_fire2.mp4": 2.417,
    "moviepy_no_duration.webm": 4.86,
    "mp4parse_afconvert-aac-0.5s.mp4": 0.509,
    "streamio_file_with_data_streams.mp4": 10.31,
    "streamio_ios9.mov": 0.488,
    "torchcodec_nasa_13013.mp4": 13.056,
}
MEL = {"sample_rate_hz": 16000, "n_fft": 512, "window_length": 400, "hop_length": 160, "n_mels": 80}


def test_samples_at_their_own_rate_come_back_as_they_are(tmp_path: Path) -> None:
    left, right = tone(16000, 0.5, 300.0), tone(16000, 0.5, 700.0)
    track = decode_audio(write_sound(tmp_path / "a.wav", np.stack([left, right]), 16000), 16000)
    assert track.samples.dtype == np.float64
    assert track.start_s == 0.0
    assert track.broken_packets == 0
    assert np.abs(track.samples - (left.astype(float) + right) / 2).max() <= 1 / 32768


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_every_sample_format_has_full_scale_one(tmp_path: Path, codec: str) -> None:
    wave = tone(16000, 0.3, 500.0, 0.5)
    track = decode_audio(write_sound(tmp_path / "a.wav", wave[None], 16000, codec=codec), 16000)
    assert np.abs(track.samples - wave).max() <= (1 / 128 if codec == "pcm_u8" else 1 / 32768)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_resampling_keeps_pitch_level_and_time(tmp_path: Path, rate: int) -> None:
    track = decode_audio(write_sound(tmp_path / "a.wav", tone(rate, 1.0, 1000.0)[None], rate), 16000)
    assert abs(len(track.samples) - 16000) <= 1
    inner = slice(800, 15000)
    assert np.abs(track.samples[:16000][inner] - tone(16000, 1.0, 1000.0)[inner]).max() < 1e-3


@pytest.mark.parametrize(
    ("codec", "name"),
    [("aac", "a.mp4"), ("libmp3lame", "a.mp3"), ("mp2", "a.mpg"), ("ac3", "a.mkv"), ("libopus", "a.webm")],
)
def test_lossy_codecs_keep_the_tone(tmp_path: Path, codec: str, name: str) -> None:
    rate = 48000
    path = write_sound(tmp_path / name, np.stack([tone(rate, 2.0)] * 2), rate, codec=codec)
    track = decode_audio(path, 16000)
    assert abs(track.duration_s - 2.0) < 0.15
    middle = track.samples[8000:24000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(440, abs=1)


@pytest.mark.parametrize("video_start_s", [0.0, 0.5])
def test_start_is_told_against_the_first_video_frame(tmp_path: Path, video_start_s: float) -> None:
    path = tmp_path / "a.mkv"
    write_sound(path, tone(16000, 2.0)[None], 16000, codec="flac", video_start_s=video_start_s)
    assert decode_audio(path, 16000).start_s == pytest.approx(-video_start_s, abs=0.002)


def test_sound_may_start_after_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_sound(path, tone(16000, 1.0)[None], 16000, codec="flac", starts_s=(0.3,), video_start_s=0.0)
    track = decode_audio(path, 16000)
    assert track.start_s == pytest.approx(0.3, abs=0.002)
    assert track.duration_s == pytest.approx(1.0, abs=0.01)


def test_a_hole_in_the_timestamps_is_filled_with_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_sound(path, tone(16000, 2.0)[None], 16000, codec="pcm_s16le", starts_s=(0.0, 1.5))
    track = decode_audio(path, 16000)
    assert track.duration_s == pytest.approx(2.5, abs=0.01)
    levels = frame_levels_dbfs(track.samples, 16000)
    assert levels[210:290].max() == -np.inf
    assert levels[:190].min() > -20
    assert levels[310:490].min() > -20


def test_no_track_and_no_media_are_told_apart(tmp_path: Path) -> None:
    silent_video = tmp_path / "video.mp4"
    with av.open(str(silent_video), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no audio track"):
        decode_audio(silent_video, 16000)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no media " * 100)
    for name in ("empty.mp4", "text.mp4", "missing.mp4"):
        with pytest.raises(MediaError) as caught:
            decode_audio(tmp_path / name, 16000)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    whole = write_sound(tmp_path / "whole.mkv", tone(16000, 3.0)[None], 16000, codec="flac")
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    track = decode_audio(cut, 16000)
    assert 0.8 < track.duration_s < 2.2
    assert np.abs(track.samples[:8000] - tone(16000, 3.0)[:8000]).max() < 1e-3


def test_float_samples_that_are_no_sound_become_zeros_and_are_told(tmp_path: Path) -> None:
    samples = tone(16000, 1.0)
    samples[3000:3010] = [np.nan, np.inf, -np.inf, 3e38, -1e20, np.nan, 1e5, np.inf, np.nan, np.nan]
    path = write_sound(tmp_path / "a.wav", samples[None], 16000, codec="pcm_f32le")
    track = decode_audio(path, 16000)
    assert np.isfinite(log_mel(track.samples, **MEL)).all()
    assert not track.samples[3000:3010].any()
    np.testing.assert_array_equal(np.delete(track.samples, np.s_[3000:3010]), np.delete(samples, np.s_[3000:3010]))
    assert track.broken_packets == 1
    loud = write_sound(tmp_path / "loud.wav", 900 * tone(16000, 1.0)[None], 16000, codec="pcm_f32le")
    assert decode_audio(loud, 16000).broken_packets == 0  # too loud, and sound all the same


@pytest.mark.parametrize(
    ("at", "lie", "said"),
    [
        (20, b"\x7f\x7f", "codec of its audio track is unknown"),
        (24, (1).to_bytes(4, "little"), "claims 1 samples a second"),
        (24, (2_000_000_000).to_bytes(4, "little"), "claims 2000000000 samples a second"),
    ],
)
def test_a_header_that_lies_is_told(tmp_path: Path, at: int, lie: bytes, said: str) -> None:
    path = write_sound(tmp_path / "a.wav", tone(16000, 0.1)[None], 16000)
    data = path.read_bytes()
    path.write_bytes(data[:at] + lie + data[at + len(lie) :])
    with pytest.raises(MediaError, match=said):
        decode_audio(path, 16000)


def test_titles_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mkv", tone(16000, 0.5)[None], 16000, codec="flac")
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xee\xff"))
    assert decode_audio(path, 16000).duration_s == pytest.approx(0.5, abs=0.01)


def test_a_track_too_long_for_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes of up to a minute are filled with zeros: a few packets may claim hours."""
    path = write_sound(tmp_path / "a.mkv", tone(16000, 0.4)[None], 16000, codec="flac", starts_s=(0.0, 50.0, 100.0))
    assert decode_audio(path, 16000).duration_s == pytest.approx(100.1, abs=0.2)
    monkeypatch.setattr("dfdetect.media.audio.MAX_TRACK_S", 60.0)
    with pytest.raises(MediaError, match="the track is longer than"):
        decode_audio(path, 16000)


def test_duration_is_samples_over_rate() -> None:
    assert AudioTrack(np.zeros(8000), 16000, 0.0, 0).duration_s == 0.5


@needs_media
def test_a_real_clip_whose_sound_comes_first() -> None:
    track = decode_audio(MEDIA / "faces" / "short_hamilton_clip.mp4", 16000)
    assert track.start_s == pytest.approx(-0.844, abs=0.001)
    assert track.duration_s == pytest.approx(10.0, abs=0.05)


@needs_media
def test_real_speech_agrees_with_libavs_own_resampler() -> None:
    path = MEDIA / "speech" / "bbaf2n.mpg"
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="dbl", layout="mono", rate=16000)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        theirs = np.concatenate([part.to_ndarray()[0] for part in [*frames, *resampler.resample(None)]])
    ours = decode_audio(path, 16000).samples
    length = min(len(ours), len(theirs))
    assert abs(len(ours) - len(theirs)) < 50
    scale = float(ours[:length] @ theirs[:length] / (theirs[:length] @ theirs[:length]))  # its mono is louder by design
    assert np.corrcoef(ours[:length], theirs[:length])[0, 1] > 0.999
    assert 0.6 < scale < 1.1


@needs_media
@pytest.mark.parametrize("path", sorted((MEDIA / "awkward").glob("*")) if MEDIA.is_dir() else [], ids=lambda p: p.name)
def test_awkward_files_give_sound_or_a_reason(path: Path) -> None:
    if path.name in SOUNDING:
        track = decode_audio(path, 16000)
        assert track.duration_s == pytest.approx(SOUNDING[path.name], abs=0.01)
        assert np.isfinite(track.samples).all()
        assert abs(track.start_s) < 0.1
    else:
        with pytest.raises(MediaError) as caught:
            decode_audio(path, 16000)
        assert str(caught.value)
        assert "/" not in str(caught.value)
