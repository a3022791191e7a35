"""The log-mel spectrogram of mono samples, their level and their leading silence."""

from __future__ import annotations

import functools

import numpy as np

LOG_FLOOR = 1e-10  # power under which the logarithm is cut: ln(1e-10) = -23.03
LEVEL_FRAME_S = 0.005  # the resolution of leading silence
LEVEL_PERCENTILE = 95.0  # "the track's own level" is this percentile of its 5 ms RMS: loud speech, but no single click
_BLOCK_FRAMES = 128  # transformed at once: larger blocks spend their time in page faults


@functools.lru_cache(maxsize=8)
def mel_filter_bank(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """librosa's triangular filters (Slaney's mel scale, equal area), once a process: loading librosa costs seconds.

    Args:
        sample_rate_hz: of the signal.
        n_fft: length of the transform in samples.
        n_mels: number of filters.
        fmin_hz: lower edge of the first filter.
        fmax_hz: upper edge of the last, <= sample_rate_hz / 2.
    Returns:
        Weights [float64, read-only, shape=(n_mels, n_fft // 2 + 1)].
    """
    from librosa.filters import mel

    bank: np.ndarray = mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz, dtype=np.float64)
    bank.setflags(write=False)
    return bank


def log_mel(
    samples: np.ndarray,
    *,
    sample_rate_hz: int,
    n_fft: int,
    window_length: int,
    hop_length: int,
    n_mels: int,
    fmin_hz: float = 0.0,
    fmax_hz: float | None = None,
) -> np.ndarray:
    """Natural logarithm of the mel power spectrogram, cut at 1e-10.

    Equal within 1e-4 to `librosa.power_to_db(librosa.feature.melspectrogram(...).T, amin=1e-10, top_db=None)` in units
    of ln (power 2, centred frames over zero padding, periodic Hann window), which takes 1.4 to 1.9 times as long on
    clips of 3 to 13 s and holds the whole transform at once: 6 GB for the 4 hours that a track may last.

    Values run from -23.03 (silence) to about 6 (a tone of full scale), where float16 errs by at most 0.008, or 0.03 dB:
    the table stores that.

    Args:
        samples: mono, full scale is 1.0 [shape=(N,)], N >= 1.
        sample_rate_hz: of the samples.
        n_fft: samples a transform.
        window_length: samples of the Hann window, centred in the transform, <= n_fft.
        hop_length: samples from one frame to the next.
        n_mels: mel bands.
        fmin_hz: lower edge of the lowest band.
        fmax_hz: upper edge of the highest; None is half the sample rate.
    Returns:
        [float64, shape=(1 + N // hop_length, n_mels)]; frame k is centred on sample k * hop_length.
    Raises:
        ValueError: no samples, or a window longer than the transform.
    """
    if not len(samples):
        raise ValueError("log_mel needs at least one sample")
    if window_length > n_fft:
        raise ValueError(f"window_length {window_length} is longer than n_fft {n_fft}")
    bank = mel_filter_bank(sample_rate_hz, n_fft, n_mels, fmin_hz, sample_rate_hz / 2 if fmax_hz is None else fmax_hz)
    window = np.zeros(n_fft)
    left = (n_fft - window_length) // 2
    window[left : left + window_length] = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window_length) / window_length)
    padded = np.pad(np.asarray(samples, dtype=np.float64), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length][: 1 + len(samples) // hop_length]
    out = np.empty((len(frames), n_mels))
    for first in range(0, len(frames), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        spectrum = np.fft.rfft(frames[block] * window)  # (block, bins)
        power = spectrum.real**2 + spectrum.imag**2
        np.matmul(power, bank.T, out=out[block])  # (block, n_mels)
    np.maximum(out, LOG_FLOOR, out=out)
    return np.log(out, out=out)


def frame_levels_dbfs(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """RMS of each 5 ms, in decibels against a constant of 1.0; digital silence is -inf.

    Args:
        samples: mono [shape=(N,)], N >= 1; a last piece shorter than 5 ms is left out, unless it is all there is.
        sample_rate_hz: of the samples.
    Returns:
        Levels [float64, shape=(K,)], K >= 1.
    """
    length = max(1, round(LEVEL_FRAME_S * sample_rate_hz))
    count = max(1, len(samples) // length)
    pieces = np.asarray(samples[: count * length], dtype=np.float64).reshape(count, -1)
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(np.mean(pieces**2, axis=1))


def peak_level_dbfs(samples: np.ndarray, sample_rate_hz: int) -> float:
    """Level of the loudest 5 ms, in dBFS (-inf for digital silence)."""
    return float(frame_levels_dbfs(samples, sample_rate_hz).max())


def leading_silence_s(samples: np.ndarray, sample_rate_hz: int, *, threshold_db: float) -> float:
    """How long the track stays silent at its start, measured against its own level.

    Silent is a 5 ms piece whose RMS lies more than -threshold_db under the track's level, the 95th percentile of the
    RMS of all its pieces. A quiet recording is therefore not silence, and neither is ambient noise; the digital silence
    that fakes of two widely used sets begin with is (arXiv 2412.00175).

    Args:
        samples: mono [shape=(N,)], N >= 1.
        sample_rate_hz: of the samples.
        threshold_db: below 0, for example -40.
    Returns:
        Seconds, a multiple of 0.005; the whole duration when every piece is digital silence.
    """
    levels = frame_levels_dbfs(samples, sample_rate_hz)
    level = float(np.percentile(levels, LEVEL_PERCENTILE, method="higher"))
    loud = np.flatnonzero(levels >= level + threshold_db) if np.isfinite(level) else np.flatnonzero(np.isfinite(levels))
    return float(loud[0] * LEVEL_FRAME_S) if len(loud) else len(samples) / sample_rate_hz
