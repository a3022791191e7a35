"""Sound: decoding to mono samples in the video's time, log-mel equal to librosa's, level and leading silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.media.audio import (
    AudioTrack,
    NoAudioTrackError,
    UnreadableAudioError,
    decode_audio,
    frame_levels_dbfs,
    leading_silence_s,
    log_mel,
    mel_filter_bank,
    peak_level_dbfs,
)
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


def librosa_log_mel(samples: np.ndarray, rate: int, n_fft: int, window: int, hop: int, n_mels: int) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=n_fft, win_length=window, hop_length=hop, n_mels=n_mels
    )
    return np.log(np.maximum(mel.T, 1e-10))


def signal(kind: str, length: int, rate: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    time_s = np.arange(length) / rate
    if kind == "noise":
        return random.normal(0, 0.2, length)
    if kind == "sweep":
        return 0.9 * np.sin(2 * np.pi * (50 + 0.4 * rate * time_s / max(time_s[-1], 1e-9) / 2) * time_s)
    if kind == "clicks":
        return (random.uniform(size=length) > 0.999).astype(float)
    return np.where(np.arange(length) < length // 2, 0.0, random.normal(0, 0.01, length))


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["noise", "sweep", "clicks", "half silent"]),
    length=st.integers(600, 12000),
    rate=st.sampled_from([8000, 16000, 22050]),
    sizes=st.sampled_from([(512, 400, 160, 80), (512, 512, 128, 64), (1024, 600, 200, 80), (400, 400, 160, 40)]),
    seed=st.integers(0, 99),
)
def test_log_mel_equals_librosas(kind: str, length: int, rate: int, sizes: tuple[int, ...], seed: int) -> None:
    n_fft, window, hop, n_mels = sizes
    samples = signal(kind, length, rate, seed)
    ours = log_mel(samples, sample_rate_hz=rate, n_fft=n_fft, window_length=window, hop_length=hop, n_mels=n_mels)
    theirs = librosa_log_mel(samples, rate, n_fft, window, hop, n_mels)
    assert ours.shape == theirs.shape == (1 + length // hop, n_mels)
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("edges", [(0.0, 8000.0), (80.0, 7600.0), (300.0, 900.0)])
def test_filter_bank_equals_librosas(edges: tuple[float, float]) -> None:
    ours = mel_filter_bank(16000, 512, 64, *edges)
    theirs = librosa.filters.mel(sr=16000, n_fft=512, n_mels=64, fmin=edges[0], fmax=edges[1])
    assert np.abs(ours - theirs).max() < 1e-7


def test_float16_holds_the_spectrogram_within_a_hundredth() -> None:
    samples = np.concatenate([np.zeros(8000), tone(16000, 1.0, 1000.0, 1.0), signal("noise", 8000, 16000, 1)])
    mel = log_mel(samples, **MEL)
    assert mel.min() == pytest.approx(np.log(1e-10))
    assert 2 < mel.max() < 8
    assert np.abs(mel.astype(np.float16).astype(np.float64) - mel).max() <= 0.0079


def test_a_tone_lies_in_its_band_and_at_its_time() -> None:
    samples = np.concatenate([np.zeros(16000), tone(16000, 1.0, 1000.0)])
    mel = log_mel(samples, **MEL)
    centres_hz = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert abs(centres_hz[mel[150].argmax()] - 1000) < 60
    assert int(np.argmax(mel.max(axis=1) > 0)) in (99, 100)  # frame k is centred on sample 160 k


def test_log_mel_refuses_what_has_no_spectrogram() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        log_mel(np.zeros(0), **MEL)
    with pytest.raises(ValueError, match="longer than n_fft"):
        log_mel(np.ones(100), **{**MEL, "window_length": 600})


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


def test_integer_decoders_give_the_same_samples_without_vector_instructions(tmp_path: Path) -> None:
    libraries = sorted((Path(av.__file__).parents[1] / "av.libs").glob("libavutil*"))
    if not libraries:
        pytest.skip("this build of PyAV does not bundle libavutil")
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 44100)).astype(np.float32)
    paths = [
        write_sound(tmp_path / name, noise, 44100, codec=codec)
        for name, codec in [("a.mp4", "aac"), ("a.mp3", "libmp3lame"), ("a.mkv", "ac3")]
    ]
    code = (
        "import ctypes, hashlib, sys; from dfdetect.media.audio import decode_audio\n"
        f"library = ctypes.CDLL({str(libraries[0])!r})\n"
        "if sys.argv[1] == 'plain': library.av_force_cpu_flags(0)\n"
        "print(library.av_get_cpu_flags() == 0, *[hashlib.sha256(decode_audio(p, 16000).samples).hexdigest() "
        "for p in sys.argv[2:]])"
    )

    def digests(mode: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, mode, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    plain, fast = digests("plain"), digests("fast")
    assert plain[0] == "True"
    assert fast[0] == "False"
    assert plain[1:] == fast[1:]


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
    silent_film = tmp_path / "film.mp4"
    with av.open(str(silent_film), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    with pytest.raises(NoAudioTrackError):
        decode_audio(silent_film, 16000)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no media " * 100)
    for name in ("empty.mp4", "text.mp4", "missing.mp4"):
        with pytest.raises(UnreadableAudioError) as caught:
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
    with pytest.raises(UnreadableAudioError, match=said):
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
    with pytest.raises(UnreadableAudioError, match="the track is longer than"):
        decode_audio(path, 16000)


@settings(max_examples=30, deadline=None)
@given(
    silence=st.integers(0, 200), level=st.floats(1e-4, 1.0), floor=st.sampled_from([0.0, 1e-6]), seed=st.integers(0, 9)
)
def test_leading_silence_does_not_depend_on_loudness(silence: int, level: float, floor: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    quiet, speech = random.normal(0, floor, 80 * silence), random.normal(0, 1.0, 16000)
    samples = level * np.concatenate([quiet, speech])
    assert leading_silence_s(samples, 16000, threshold_db=-40.0) == pytest.approx(0.005 * silence)


def test_room_noise_is_no_leading_silence_and_digital_silence_is() -> None:
    random = np.random.default_rng(0)
    speech = np.concatenate([random.normal(0, 0.004, 8000), random.normal(0, 0.2, 16000)])  # 34 dB under the speech
    assert leading_silence_s(speech, 16000, threshold_db=-40.0) == 0.0
    assert leading_silence_s(np.zeros(8000), 16000, threshold_db=-40.0) == 0.5
    one_click = np.zeros(16000)
    one_click[4000] = 0.5
    assert leading_silence_s(one_click, 16000, threshold_db=-40.0) == 0.25


def test_levels_are_decibels_of_full_scale() -> None:
    assert peak_level_dbfs(np.full(1600, 1.0), 16000) == pytest.approx(0.0)
    assert peak_level_dbfs(np.full(1600, 0.1), 16000) == pytest.approx(-20.0)
    assert peak_level_dbfs(np.zeros(1600), 16000) == -np.inf
    assert frame_levels_dbfs(np.ones(10), 16000).shape == (1,)


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
        with pytest.raises((NoAudioTrackError, UnreadableAudioError)) as caught:
            decode_audio(path, 16000)
        assert str(caught.value)
        assert "/" not in str(caught.value)
