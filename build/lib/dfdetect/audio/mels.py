"""One video's audio as a row of the mels table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.audio.log_mel import leading_silence_s, log_mel, peak_level_dbfs
from dfdetect.config.params import MelsParams
from dfdetect.errors import MediaError
from dfdetect.io.schemas import MELS
from dfdetect.io.tables import from_rows
from dfdetect.media.audio import AudioTrack, decode_audio
from dfdetect.runtime.video_stage import Result, Video

GOOD = frozenset({"ok", "no_audio", "silent"})  # a clip without audio is not a failure


def mel_video(video: Video, params: MelsParams) -> Result:
    """Decode the audio track and compute its log-mel spectrogram.

    Args:
        video: what to read.
        params: lengths, rates and thresholds.
    Returns:
        One row of the mels table. Status `ok`; `silent`: there is a track and it holds nothing over
        params.silent_dbfs, its spectrogram is stored all the same; `no_audio`: no track holds a packet; `unreadable`:
        the file does not open, is encrypted, or no sample decodes. The last two have no spectrogram and the reason in
        words.
    """
    try:
        track = decode_audio(video.path, params.sample_rate)
    except MediaError as error:
        return _result({"video_id": video.video_id, "status": error.status, "reason": error.reason})
    return _result({"video_id": video.video_id, **mel_row(track, params)})


def work(video: Video, faces: pa.Table | None, params: MelsParams) -> Result:
    """`mel_video` as the per-video runner calls it; audio needs no faces."""
    del faces
    return mel_video(video, params)


def mel_row(track: AudioTrack, params: MelsParams) -> dict[str, Any]:
    """What the mels table says of one decoded track, video_id apart.

    Args:
        track: mono samples at params.sample_rate.
        params: lengths, rates and thresholds.
    """
    mel = log_mel(
        track.samples,
        sample_rate_hz=track.sample_rate_hz,
        n_fft=params.n_fft,
        window_length=params.window_length,
        hop_length=params.hop_length,
        n_mels=params.n_mels,
        fmin_hz=params.fmin_hz,
        fmax_hz=params.fmax_hz,
    ).astype(np.float16)  # (n_frames, n_mels)
    silent = peak_level_dbfs(track.samples, track.sample_rate_hz) < params.silent_dbfs
    broken = f"{track.broken_packets} packets do not decode; zeros stand for them" if track.broken_packets else None
    silence = leading_silence_s(track.samples, track.sample_rate_hz, threshold_db=params.leading_silence_db)
    return {
        "sample_rate_hz": track.sample_rate_hz,
        "hop_s": params.hop_length / track.sample_rate_hz,
        "start_s": track.start_s,
        "leading_silence_s": track.duration_s if silent else silence,
        "n_frames": mel.shape[0],
        "n_mels": mel.shape[1],
        "mel": mel.ravel(),
        "status": "silent" if silent else "ok",
        "reason": f"nothing in the track is louder than {params.silent_dbfs:g} dBFS" if silent else broken,
    }


def _result(row: dict[str, Any]) -> Result:
    kept = ("status", "reason", "start_s", "leading_silence_s", "n_frames", "hop_s")
    return Result(from_rows([row], MELS), {name: row.get(name) for name in kept})


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures for the metrics: how much audio there is, and when it begins."""
    audible = [record for record in records if record.get("status") == "ok"]
    silence = np.array([record["leading_silence_s"] for record in audible])
    start = np.array([record["start_s"] for record in audible])
    return {
        "audio_s": round(float(sum(r["n_frames"] * r["hop_s"] for r in audible)), 3),
        "leading_silence_s": _spread(silence),
        "start_s": _spread(start),
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    return {
        "min": round(float(values.min()), 4),
        "median": round(float(np.median(values)), 4),
        "max": round(float(values.max()), 4),
    }
