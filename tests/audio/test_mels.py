"""The mels stage: one row a video, whatever its sound is like."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dfdetect.audio.log_mel import log_mel
from dfdetect.audio.mels import mel_video, summarise
from dfdetect.config.params import MelsParams, RuntimeParams
from dfdetect.io.schemas import MELS, VIDEOS
from dfdetect.io.tables import Shards, from_rows, read_json, write_table
from dfdetect.media.audio import decode_audio
from dfdetect.runtime.video_stage import Video, run_stage
from stages.mels import STAGE
from tests.sound_files import tone, write_sound

PARAMS = MelsParams()


def row_of(path: Path, params: MelsParams = PARAMS) -> dict[str, object]:
    result = mel_video(Video("v", path, "x", None, None), params)
    assert result.table.schema.equals(MELS)
    (row,) = result.table.to_pylist()
    assert {name: row[name] for name in ("status", "reason")} == {
        name: result.record[name] for name in ("status", "reason")
    }
    return row


def test_a_sounding_track(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(4000, np.float32), tone(16000, 1.0)])
    path = write_sound(tmp_path / "a.mkv", samples[None], 16000, codec="flac", video_start_s=0.2)
    row = row_of(path)
    assert (row["status"], row["reason"]) == ("ok", None)
    assert row["hop_s"] == 0.01
    assert row["sample_rate_hz"] == 16000
    assert row["start_s"] == pytest.approx(-0.2, abs=0.002)
    assert row["leading_silence_s"] == pytest.approx(0.25)
    mel = np.array(row["mel"], np.float64).reshape(row["n_frames"], row["n_mels"])
    expected = log_mel(
        decode_audio(path, 16000).samples, sample_rate_hz=16000, n_fft=512, window_length=400, hop_length=160, n_mels=80
    )
    assert mel.shape == expected.shape == (126, 80)
    assert np.abs(mel - expected).max() <= 0.0079  # half a step of float16


def test_params_reach_the_spectrogram(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(16000, 1.0)[None], 16000)
    row = row_of(path, MelsParams(sample_rate=8000, n_fft=256, window_length=256, hop_length=100, n_mels=40))
    assert (row["n_frames"], row["n_mels"], row["hop_s"], row["sample_rate_hz"]) == (81, 40, 0.0125, 8000)
    narrow = row_of(path, MelsParams(fmin_hz=2000, fmax_hz=4000))
    assert np.mean(narrow["mel"]) < np.mean(row_of(path)["mel"]) - 2  # the tone of 440 Hz is outside


def test_a_silent_track_is_not_a_missing_one(tmp_path: Path) -> None:
    hiss = np.random.default_rng(0).normal(0, 1e-4, (1, 16000)).astype(np.float32)  # -80 dBFS
    path = write_sound(tmp_path / "a.wav", hiss, 16000, codec="pcm_s32le")
    row = row_of(path)
    assert row["status"] == "silent"
    assert "-70 dBFS" in str(row["reason"])
    assert row["leading_silence_s"] == 1.0
    assert row["n_frames"] == 101
    assert len(row["mel"]) == 101 * 80
    assert row_of(path, MelsParams(silent_dbfs=-90))["status"] == "ok"


@pytest.mark.parametrize(("content", "reason"), [(b"", "the file is empty"), (b"no media", "it cannot be opened: ")])
def test_what_cannot_be_read_has_a_reason_and_no_spectrogram(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    row = row_of(path)
    assert row["status"] == "unreadable"
    assert str(row["reason"]).startswith(reason)
    assert row["mel"] is None
    assert row["n_frames"] is None


def test_an_image_has_no_audio(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((32, 32, 3), np.uint8))
    row = row_of(path)
    assert (row["status"], row["mel"]) == ("no_audio", None)


def test_a_folder_of_frames_has_no_audio(tmp_path: Path) -> None:
    row = row_of(tmp_path)
    assert (row["status"], row["reason"]) == ("no_audio", "a folder of frames has no audio")


def test_metrics_count_sound_and_leave_out_the_rest(tmp_path: Path) -> None:
    ok = mel_video(
        Video("a", write_sound(tmp_path / "a.wav", tone(16000, 2.0)[None], 16000), "x", True, None), PARAMS
    ).record
    metrics = summarise([ok, {"status": "no_audio"}, {"status": "crashed"}])
    assert metrics["audio_s"] == pytest.approx(2.01)
    assert metrics["leading_silence_s"] == {"min": 0.0, "median": 0.0, "max": 0.0}
    assert summarise([])["start_s"] is None


def test_the_stage_accounts_for_every_video_and_repeats_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "data" / "set" / "raw"
    raw.mkdir(parents=True)
    write_sound(raw / "speech.wav", tone(16000, 0.5)[None], 16000)
    write_sound(raw / "mute.wav", np.zeros((1, 8000), np.float32), 16000)
    (raw / "broken.mp4").write_bytes(b"no media")
    monkeypatch.chdir(tmp_path)
    names = ("speech.wav", "mute.wav", "broken.mp4")
    rows = [
        {"video_id": n, "path": n, "sha256": hashlib.sha256((raw / n).read_bytes()).hexdigest(), "status": "ok"}
        for n in names
    ]
    write_table(tmp_path / "data" / "set" / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)
    runtime = RuntimeParams(num_workers=1, timeout_s=60)
    metrics = run_stage(STAGE, "set", MelsParams(), runtime)
    assert metrics["status"] == {"ok": 1, "silent": 1, "unreadable": 1}
    assert metrics["failed"] == 1
    assert [f["video_id"] for f in read_json(Path("metrics/set/mels.json"))["failures"]] == ["broken.mp4"]
    shards = Shards(Path("data/set/mels"), MELS)
    assert {n: shards.read(n).column("status").to_pylist() for n in names} == {
        "speech.wav": ["ok"],
        "mute.wav": ["silent"],
        "broken.mp4": ["unreadable"],
    }
    before = {part.name: part.read_bytes() for part in Path("data/set/mels").iterdir()}
    assert run_stage(STAGE, "set", MelsParams(), runtime) == metrics
    assert {part.name: part.read_bytes() for part in Path("data/set/mels").iterdir()} == before
