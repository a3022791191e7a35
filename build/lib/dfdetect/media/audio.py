"""The audio of a media file as mono samples, on the clock of its frames."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame

from dfdetect.errors import MediaError
from dfdetect.media.containers import opened
from dfdetect.media.tracks import Clock, Tracks, recording_of

MAX_TRACK_S = 4 * 3600.0  # a longer track is refused: it would fill the memory
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 1_000_000  # beyond, a header lies: one second would fill the memory
LOUDEST = 1e4  # full scales: a float sample beyond is no audio, and would make an infinite spectrogram

# Timestamps tremble by up to this (they are rounded to 1 ms in Matroska, and phones write them as they come); a packet
# farther from the end of the one before, by this and by a part of its length, has a hole before it. What trembles less
# and adds up is a clock that drifts.
JITTER_S, DRIFT = 0.005, 0.05
SEAM_S = 0.002  # pieces that nearly meet are joined: a gap of so few samples is no silence

# Of a channel in the downmix to one; ITU-R BS.775 leaves the low-frequency channel out.
_DOWNMIX = {"FC": 1.0, "LFE": 0.0, "LFE2": 0.0}
_DOWNMIX |= dict.fromkeys(("FL", "FR", "FLC", "FRC", "BC", "DL", "DR"), 0.5**0.5)
_DOWNMIX |= dict.fromkeys(("BL", "BR", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "WL", "WR"), 0.5)
# What six and eight channels without names are taken for, as FFmpeg does.
_UNNAMED = {6: ["FL", "FR", "FC", "LFE", "BL", "BR"], 8: ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"]}
# Of the energy that channels have without their opposite signs, what is left of opposite channels in their mean.
_CANCELLED = 0.1

# FFmpeg's sample formats: NumPy's name, and full scale.
_FORMATS = {"u8": ("u1", 2.0**7), "s16": ("i2", 2.0**15), "s32": ("i4", 2.0**31), "s64": ("i8", 2.0**63)}
_FORMATS |= {"flt": ("f4", 1.0), "dbl": ("f8", 1.0)}
_MIX_SAMPLES = 16384  # mixed and resampled at once: memory stays flat and the arrays in cache

AudioError = MediaError  # what decode_audio raises


@dataclass(frozen=True)
class AudioTrack:
    """Mono samples of the audio track that `choose_audio_stream` names.

    Attributes:
        samples: full scale is 1.0 [float64, shape=(N,)]; zeros where no packet is.
        sample_rate_hz: of `samples`, after resampling.
        start_s: time of the first sample on the clock of the frames, whose 0 is the first frame that decodes: negative
            when audio comes first, 0 when the file has no video.
        broken_packets: packets that the decoder refused, or that hold what is no audio; zeros stand for them.
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
    """Decode a file's audio in process: mono, resampled (soxr, "VHQ"), each packet where its timestamp says.

    Args:
        path: a media file.
        sample_rate_hz: of the result.
    Raises:
        MediaError: the file has no audio track with a packet in it, or is a folder of frames (no_audio); it does not
            open, no sample decodes, or the track is longer than MAX_TRACK_S (unreadable).
    """
    path = Path(path)
    if os.path.isdir(path):
        raise MediaError("a folder of frames has no audio", "no_audio")
    readers: dict[int, _Reader] = defaultdict(lambda: _Reader(sample_rate_hz))
    with opened(path) as container:
        tracks = Tracks(container)
        for index, frame in tracks.read():
            readers[index].add(frame)
        zero_s = tracks.zero_s
    if tracks.audio is None:
        raise MediaError(tracks.trouble, "unreadable" if tracks.has_audio else "no_audio")
    reader = readers[tracks.audio]
    samples, first_s = reader.finish(tracks.clock)
    start_s = 0.0 if zero_s is None else round(first_s - zero_s, 6)
    broken = reader.broken_packets + tracks.broken_packets[tracks.audio] + len(tracks.errors)
    return AudioTrack(samples, sample_rate_hz, start_s, broken)


class _Reader:
    """Gathers decoded frames as mono samples of one rate, and what their timestamps say."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.broken_packets = 0
        self._blocks: list[np.ndarray] = []  # mono, resampled
        self._count = 0  # samples in them
        self._packets: list[tuple[float, float, float, int]] = []  # time (s), length (s), first sample, recording
        self._format: tuple[int, str, str] | None = None  # of the run of frames that are alike
        self._resampler: soxr.ResampleStream | None = None
        self._run_start = self._run_samples = 0
        self._pending: list[AudioFrame] = []
        self._pending_samples = 0

    def add(self, frame: AudioFrame) -> None:
        """Take a frame, in the order of decoding."""
        if not frame.samples:
            return
        if not LOWEST_RATE_HZ <= frame.sample_rate <= HIGHEST_RATE_HZ:
            raise MediaError(f"its audio claims {frame.sample_rate} samples a second")
        format_ = (frame.sample_rate, frame.layout.name, frame.format.name)
        if format_ != self._format:
            self._end_run()
            self._begin_run(format_, frame)
        time_s, length_s = frame.time, frame.samples / frame.sample_rate
        if time_s is None:
            time_s = sum(self._packets[-1][:2]) if self._packets else 0.0
        first = self._run_start + self._run_samples * self.rate_hz / frame.sample_rate
        self._packets.append((time_s, length_s, first, recording_of(frame)))
        self._pending += self._convert(frame) if self._convert else [frame]
        self._run_samples += frame.samples
        self._pending_samples += frame.samples
        if self._pending_samples >= _MIX_SAMPLES:
            self._mix()

    def finish(self, clock: Clock) -> tuple[np.ndarray, float]:
        """All samples in their places, and the time of the first (s, in the container, recordings joined).

        Raises:
            MediaError: there is no sample, or the track is too long.
        """
        self._end_run()
        if not self._count:
            raise MediaError("its audio track gives no sample")
        times_s, lengths_s, firsts, numbers = (np.array(column) for column in zip(*self._packets, strict=True))
        offsets_s = np.array(clock.offsets_s)
        times_s = times_s + offsets_s[np.minimum(numbers, len(offsets_s) - 1)]
        return place(np.concatenate(self._blocks), times_s, lengths_s, firsts, self.rate_hz)

    def _begin_run(self, format_: tuple[int, str, str], frame: AudioFrame) -> None:
        self._format, self._run_start, self._run_samples = format_, self._count, 0
        self._weights = downmix_weights([channel.name for channel in frame.layout.channels])  # (C,)
        self._signs = np.ones_like(self._weights)
        self._convert: Callable[[AudioFrame], list[AudioFrame]] | None = None
        # PyAV lists the planes of more than eight channels wrongly: they are interleaved first.
        if frame.format.is_planar and len(self._weights) > 8:
            self._convert = av.AudioResampler("dbl", frame.layout, frame.sample_rate).resample
        self._resampler = None
        if frame.sample_rate != self.rate_hz:
            self._resampler = soxr.ResampleStream(frame.sample_rate, self.rate_hz, 1, dtype="float64", quality="VHQ")

    def _end_run(self) -> None:
        self._mix()
        if self._resampler is not None:
            self._keep(self._resampler.resample_chunk(np.zeros(0), last=True))

    def _mix(self) -> None:
        """Turn the pending frames into one block of mono samples."""
        if not self._pending:
            return
        dtype, full_scale = _FORMATS[self._pending[0].format.name.removesuffix("p")]
        parts = [_channels(frame, dtype, len(self._weights)) for frame in self._pending]
        block = np.empty((len(self._weights), sum(frame.samples for frame in self._pending)))  # (C, n)
        for row, channel in zip(block, zip(*parts, strict=True), strict=True):
            np.concatenate(channel, out=row)
        self._pending, self._pending_samples = [], 0
        if dtype == "u1":
            block -= full_scale
        elif full_scale == 1.0 and not np.abs(block).max() <= LOUDEST:  # or not a number
            self.broken_packets += sum(not (np.abs(part) <= LOUDEST).all() for part in map(np.array, parts))
            block[~(np.abs(block) <= LOUDEST)] = 0.0
        mix = self._weights * self._signs
        if len(mix) > 1:
            products = block @ block.T  # (C, C)
            energy = mix @ products @ mix
            if energy < _CANCELLED * (np.abs(mix) @ np.sqrt(np.diag(products))) ** 2:  # of channels that agree
                other = self._weights * opposite_signs(self._weights, products)
                if energy < _CANCELLED * (other @ products @ other):
                    mix, self._signs = other, np.where(other < 0, -1.0, 1.0)
        mono = (mix / full_scale) @ block
        self._keep(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def _keep(self, mono: np.ndarray) -> None:
        self._blocks.append(mono)
        self._count += len(mono)
        if self._count > MAX_TRACK_S * self.rate_hz:
            raise MediaError(f"the track is longer than {MAX_TRACK_S / 3600:g} h")


def _channels(frame: AudioFrame, dtype: str, count: int) -> list[np.ndarray]:
    """The samples of each channel, where the decoder put them (AudioFrame.to_ndarray costs three times this)."""
    if frame.format.is_planar:
        return [np.frombuffer(plane, dtype, frame.samples) for plane in frame.planes[:count]]  # type: ignore[call-overload]
    packed = np.frombuffer(frame.planes[0], dtype, frame.samples * count)  # type: ignore[call-overload]
    return list(packed.reshape(-1, count).T)


def downmix_weights(channels: Sequence[str]) -> np.ndarray:
    """How much of each channel goes into the mono sum.

    Args:
        channels: FFmpeg's names, such as FL, FR, FC, LFE, BL, BR.
    Returns:
        Weights of sum 1, so that full scale stays 1.0 [shape=(C,)]; equal ones where a name says no direction.
    Source: ITU-R BS.775-3: centre 1, left and right and a single surround 0.71, two surrounds 0.5 each.
    """
    names = _UNNAMED.get(len(channels), channels) if set(channels) == {"NONE"} else channels
    weights = np.array([_DOWNMIX.get(name, np.nan) for name in names])
    if np.isnan(weights).any() or not weights.any():
        weights = np.ones(len(channels))
    return weights / weights.sum()


def opposite_signs(weights: np.ndarray, products: np.ndarray) -> np.ndarray:
    """-1 for the channels that are the opposite of the loudest one, else 1.

    Args:
        weights: of the channels in the downmix [shape=(C,)].
        products: sums of the products of each two channels' samples [shape=(C, C)].
    Returns:
        [shape=(C,)].
    """
    energy = np.diag(products)
    loudest = int(np.argmax(weights**2 * energy))
    return np.where(products[loudest] < -0.5 * np.sqrt(energy * energy[loudest]), -1.0, 1.0)


def place(
    samples: np.ndarray, times_s: np.ndarray, lengths_s: np.ndarray, firsts: np.ndarray, rate_hz: int
) -> tuple[np.ndarray, float]:
    """Put decoded samples where the timestamps of their packets say.

    Packets that follow each other make a piece. Zeros fill the holes between pieces; where pieces overlap, the earlier
    one stays. A piece whose timestamps run faster or slower than its samples is resampled to them.

    Args:
        samples: all that decoded, end to end [shape=(N,)].
        times_s: of the packets' starts, by their timestamps [shape=(K,)].
        lengths_s: of the packets' samples [shape=(K,)].
        firsts: index of each packet's first sample, with fractions [shape=(K,)].
        rate_hz: of the samples.
    Returns:
        The samples in their places [shape=(M,)], and the time of the first (s).
    Raises:
        MediaError: the track would be longer than MAX_TRACK_S.
    """
    gaps_s = times_s[1:] - times_s[:-1] - lengths_s[:-1]
    holes = np.flatnonzero(np.abs(gaps_s) > np.maximum(JITTER_S, DRIFT * lengths_s[:-1])) + 1
    edges = np.append(firsts, len(samples))
    pieces: list[tuple[float, np.ndarray]] = []  # time of the first sample (s), samples
    for a, b in pairwise([0, *holes.tolist(), len(times_s)]):
        decoded_s = edges[a : b + 1] / rate_hz
        stamped_s = np.append(times_s[a:b], times_s[b - 1] + lengths_s[b - 1])
        late_s = stamped_s - decoded_s
        if np.ptp(late_s) <= 2 * JITTER_S:
            first, last = round(edges[a]), round(edges[b])
            pieces.append((float(edges[a] / rate_hz + np.median(late_s)), samples[first:last]))
            continue
        for i, j in pairwise(straight_knots(decoded_s, stamped_s, JITTER_S)):
            part = samples[round(edges[a + i]) : round(edges[a + j])]
            length = round((stamped_s[j] - stamped_s[i]) * rate_hz)
            if len(part) and length > 0:
                pieces.append((float(stamped_s[i]), soxr.resample(part, len(part), length, quality="VHQ")))
    start_s = pieces[0][0]
    ends_s = max(time_s + len(part) / rate_hz for time_s, part in pieces)
    if ends_s - start_s > MAX_TRACK_S:
        raise MediaError(f"the track is longer than {MAX_TRACK_S / 3600:g} h")
    if len(pieces) == 1:
        return pieces[0][1], start_s
    placed, end = np.zeros(round((ends_s - start_s) * rate_hz)), 0
    for time_s, part in pieces:
        at = round((time_s - start_s) * rate_hz)
        at = end if abs(at - end) <= SEAM_S * rate_hz else at
        part = part[max(0, end - at) :][: len(placed) - max(at, end)]
        placed[max(at, end) : max(at, end) + len(part)] = part
        end = max(end, at + len(part))
    return placed, start_s


def straight_knots(x: np.ndarray, y: np.ndarray, tolerance: float) -> list[int]:
    """Points between which a rising curve is straight.

    Args:
        x, y: the curve [shape=(K,)].
        tolerance: how far in y it may lie from the lines between the points.
    Returns:
        Indices from 0 to K - 1, ascending.
    Source: Ramer-Douglas-Peucker, with distances along y.
    """
    knots, parts = {0, len(x) - 1}, [(0, len(x) - 1)]
    while parts:
        a, b = parts.pop()
        away = np.abs(np.interp(x[a : b + 1], x[[a, b]], y[[a, b]]) - y[a : b + 1])
        farthest = a + int(away.argmax())
        if away.max() > tolerance and a < farthest < b:
            knots.add(farthest)
            parts += [(a, farthest), (farthest, b)]
    return sorted(knots)
