"""Log-mel spectrogram equal to librosa's, level and leading silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.audio.log_mel import frame_levels_dbfs, leading_silence_s, log_mel, mel_filter_bank, peak_level_dbfs
from tests.sound_files import tone

ROOT = Path(__file__).parents[2]
MEL = {"sample_rate_hz": 16000, "n_fft": 512, "window_length": 400, "hop_length": 160, "n_mels": 80}


def librosa_log_mel(samples: np.ndarray, rate: int, n_fft: int, window: int, hop: int, n_mels: int) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=n_fft, win_length=window, hop_length=hop, n_mels=n_mels
    )
    return librosa.power_to_db(mel.T, amin=1e-10, top_db=None) * (np.log(10.0) / 10.0)


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


def test_librosa_makes_the_filters_and_is_loaded_late_and_once() -> None:
    code = """
import sys, numpy as np
from stages.mels import STAGE
from dfdetect.audio.log_mel import log_mel, mel_filter_bank
assert "librosa" not in sys.modules
lengths = dict(sample_rate_hz=16000, n_fft=512, window_length=400, hop_length=160, n_mels=80)
log_mel(np.ones(1600), **lengths)
assert "librosa" in sys.modules
import librosa
def fail(**_): raise AssertionError("the filters are made anew")
librosa.filters.mel = fail
log_mel(np.ones(3200), **lengths)
mel_filter_bank.cache_clear()
try:
    log_mel(np.ones(3200), **lengths)
except AssertionError:
    print("librosa's")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "librosa's", done.stderr
