"""The audio track of a media file: decoding, log-mel spectrogram, level and leading silence.

librosa is what the numbers must agree with, and it is not imported: its first use costs seconds a process.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
import soxr
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from dfdetect.media.containers import open_container
from dfdetect.media.samples import Block

# Integer decoders give the same samples on every CPU; libav's float ones differ in the last bits with the instruction
# set (measured: 9e-8, enough to change quiet mel values). Theirs lie within 2e-5 of the float decoder's and take 1.2 to
# 1.7 times as long. Codecs that are not listed are lossless, exact anyway, or have none (Opus, Vorbis).
INTEGER_DECODERS = {"aac": "aac_fixed", "mp3float": "mp3", "mp2float": "mp2", "ac3": "ac3_fixed"}

LOG_FLOOR = 1e-10  # power under which the logarithm is cut: ln(1e-10) = -23.03
LEVEL_FRAME_S = 0.005  # the resolution of leading silence
LEVEL_PERCENTILE = 95.0  # "the track's own level" is this percentile of its 5 ms RMS: loud speech, but no single click
MIN_GAP_S = 0.05  # a hole in the timestamps that is longer is filled with zeros, so that what follows stays in time
MAX_GAP_S = 60.0  # a longer one is a broken timestamp and is left out
MAX_TRACK_S = 4 * 3600.0  # a longer track is refused: it would fill the memory
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 1_000_000  # beyond, a header lies: one second would fill the memory
_MEL_FRAMES_A_BLOCK = 128  # larger blocks spend their time in page faults


class AudioError(Exception):
    """The samples of a file cannot be had; the message says why."""


class NoAudioTrackError(AudioError):
    """The container opens and lists no audio track."""


class UnreadableAudioError(AudioError):
    """The container does not open, or its first audio track yields no sample."""


class TooLongAudioError(UnreadableAudioError):
    """The first audio track is longer than MAX_TRACK_S."""


@dataclass(frozen=True)
class AudioTrack:
    """Mono samples of a file's first audio track.

    Attributes:
        samples: mean of the channels, full scale is 1.0 [float64, shape=(N,)].
        sample_rate_hz: of `samples`, after resampling.
        start_s: time of the first sample minus the time of the first video frame; negative when sound comes first,
            0 when the file has no video.
        broken_packets: packets that the decoder refused, or that hold no sound; zeros stand for what is missing.
    """

    samples: np.ndarray
    sample_rate_hz: int
    start_s: float
    broken_packets: int

    @property
    def duration_s(self) -> float:
        """Length of the track in seconds."""
        return len(self.samples) / self.sample_rate_hz


def decode_audio(path: str | Path, sample_rate_hz: int) -> AudioTrack:
    """Decode the first audio track in process, mono and resampled.

    The same file gives the same samples on any AVX2 CPU: AAC, MP3, MP2 and AC-3 go through libav's integer decoders
    (`INTEGER_DECODERS`; where that yields nothing, as for AAC profiles it lacks, libav's default decoder runs),
    channels are averaged and resampled in float64 (soxr, "VHQ", 28 bits). Rounding the float decoder's output to
    16 bits instead would not help: one sample in 300 lies near enough to a rounding edge to flip.

    Args:
        path: a media file.
        sample_rate_hz: of the result.
    Raises:
        NoAudioTrackError: the file has no audio track, or is a folder of frames.
        UnreadableAudioError: the file does not open, no sample decodes, or the track is longer than MAX_TRACK_S.
    """
    if os.path.isdir(path):
        raise NoAudioTrackError("a folder of frames has no sound")
    if os.path.isfile(path) and not os.path.getsize(path):
        raise UnreadableAudioError("the file is empty")
    for integer in (True, False):
        try:
            return _decode(path, sample_rate_hz, integer=integer)
        except TooLongAudioError:
            raise
        except UnreadableAudioError:
            if not integer:
                raise
    raise AssertionError("unreachable")


def _decode(path: str | Path, sample_rate_hz: int, *, integer: bool) -> AudioTrack:
    try:
        container = open_container(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableAudioError(f"does not open: {_reason(error)}") from error
    with container:
        if not container.streams.audio:
            raise NoAudioTrackError("no audio track")
        reader = _TrackReader(container, container.streams.audio[0], integer=integer)
        samples = _gathered(_resampled(reader.runs(), sample_rate_hz), sample_rate_hz)
        if not len(samples):
            raise UnreadableAudioError(f"no sample of {reader.codec} decodes: {reader.last_error}")
        first_s = reader.first_s
        video_s = _video_start_s(container)
    start_s = 0.0 if first_s is None or video_s is None else first_s - video_s
    return AudioTrack(samples, sample_rate_hz, start_s, reader.broken_packets)


def _gathered(blocks: Iterator[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """All blocks as one array, up to the longest track."""
    kept, count = [np.zeros(0)], 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count > MAX_TRACK_S * sample_rate_hz:
            raise TooLongAudioError(f"the track is longer than {MAX_TRACK_S / 3600:g} h")
    return np.concatenate(kept)


def _reason(error: BaseException) -> str:
    """The library's words without the path, which differs between machines."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _video_start_s(container: InputContainer) -> float | None:
    """Time of the first frame of the first video track that is not a cover picture."""
    for stream in container.streams.video:
        attached = bool(stream.disposition & type(stream.disposition).attached_pic)
        if not attached and stream.start_time is not None and stream.time_base is not None:
            return float(stream.start_time * stream.time_base)
    return None


class _TrackReader:
    """Decodes one track into runs of mono samples, keeping count of what broke."""

    def __init__(self, container: InputContainer, stream: AudioStream, *, integer: bool) -> None:
        self.container = container
        self.stream = stream
        self.broken_packets = 0
        self.last_error = "the track holds no packet"
        self.first_s: float | None = None
        self._next_s = 0.0
        self._tick_s = float(stream.time_base or 0)
        self.context: AudioCodecContext
        own = cast("AudioCodecContext | None", stream.codec_context)
        if own is None:
            raise UnreadableAudioError("the codec of its audio track is unknown")
        self.codec = own.name
        name = INTEGER_DECODERS.get(own.name) if integer else None
        if name is None:
            self.context = own
        else:
            self.context = cast(AudioCodecContext, av.codec.CodecContext.create(name, "r"))
            self.context.extradata = own.extradata
            self.context.sample_rate = own.sample_rate
            if own.layout.nb_channels:
                self.context.layout = own.layout
        self.context.thread_count = 1

    def runs(self) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks of (sample rate in Hz, mono float64 [shape=(n,)]), in order."""
        block: Block | None = None
        for frame in self._frames():
            if not LOWEST_RATE_HZ <= frame.sample_rate <= HIGHEST_RATE_HZ:
                raise UnreadableAudioError(f"it claims {frame.sample_rate} samples a second")
            gap = self._gap_samples(frame)
            kind = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            fits = block is not None and block.kind == kind and block.count + frame.samples <= block.capacity
            if block is not None and (gap or not fits):
                yield block.rate_hz, block.mono()
            if gap:
                yield frame.sample_rate, np.zeros(gap)
            if block is None or block.kind != kind or frame.samples > block.capacity:
                block = Block(kind, frame)
            self.broken_packets += not block.append(frame)
        if block is not None:
            yield block.rate_hz, block.mono()

    def _frames(self) -> Iterator[AudioFrame]:
        try:
            for packet in self.container.demux(self.stream):
                try:
                    yield from self.context.decode(packet)
                except av.error.EOFError:
                    return
                except av.error.FFmpegError as error:
                    self.broken_packets += 1
                    self.last_error = _reason(error)
        except (av.error.FFmpegError, OSError) as error:  # the container ends in the middle: what was read counts
            self.broken_packets += 1
            self.last_error = _reason(error)

    def _gap_samples(self, frame: AudioFrame) -> int:
        """How many samples are missing between the frame before and this one, by their timestamps."""
        length_s = frame.samples / frame.sample_rate
        if frame.pts is None:
            self._next_s += length_s
            return 0
        time_s = frame.pts * self._tick_s
        if self.first_s is None:
            self.first_s = self._next_s = time_s
        gap_s = time_s - self._next_s
        self._next_s = time_s + length_s
        return round(gap_s * frame.sample_rate) if MIN_GAP_S < gap_s <= MAX_GAP_S else 0


def _resampled(runs: Iterator[tuple[int, np.ndarray]], sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Each stretch of one rate through one resampler, block by block."""
    rate_hz, resampler = 0, None
    for run_hz, mono in runs:
        if run_hz != rate_hz:
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0), last=True)
            rate_hz, resampler = run_hz, None
            if run_hz != sample_rate_hz:
                resampler = soxr.ResampleStream(run_hz, sample_rate_hz, 1, dtype="float64", quality="VHQ")
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0), last=True)


@functools.lru_cache(maxsize=8)
def mel_filter_bank(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Triangular filters, equally spaced on Slaney's mel scale and scaled to equal area.

    Args:
        sample_rate_hz: of the signal.
        n_fft: length of the transform in samples.
        n_mels: number of filters.
        fmin_hz: lower edge of the first filter.
        fmax_hz: upper edge of the last, <= sample_rate_hz / 2.
    Returns:
        Weights [float64, read-only, shape=(n_mels, n_fft // 2 + 1)].
    Source: Slaney's Auditory Toolbox (1998): linear to 1 kHz, then logarithmic with 27 steps to a factor of 6.4;
        the defaults of librosa.filters.mel.
    """
    edges_mel = np.linspace(_hz_to_mel(fmin_hz), _hz_to_mel(fmax_hz), n_mels + 2)
    linear = edges_mel * (200.0 / 3.0)
    edges_hz = np.where(edges_mel < 15.0, linear, 1000.0 * np.exp((edges_mel - 15.0) * (np.log(6.4) / 27.0)))
    bins_hz = np.arange(n_fft // 2 + 1) * (sample_rate_hz / n_fft)
    width = np.diff(edges_hz)
    rising = (bins_hz[None, :] - edges_hz[:-2, None]) / width[:-1, None]  # (n_mels, bins)
    falling = (edges_hz[2:, None] - bins_hz[None, :]) / width[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    bank.setflags(write=False)
    return bank


def _hz_to_mel(hz: float) -> float:
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + np.log(hz / 1000.0) * (27.0 / np.log(6.4))


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

    Equal within 1e-4 to `np.log(np.maximum(librosa.feature.melspectrogram(...).T, 1e-10))` with the same lengths
    (power 2, centred frames over zero padding, periodic Hann window). Values run from -23.03 (silence) to about 6 (a
    tone of full scale), where float16 errs by at most 0.008, or 0.03 dB: the table stores that.

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
    for first in range(0, len(frames), _MEL_FRAMES_A_BLOCK):
        block = slice(first, first + _MEL_FRAMES_A_BLOCK)
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
    RMS of all its pieces. A quiet recording is therefore not silence, and neither is room noise; the digital silence
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
