"""Sequences of mouth crops and sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfdetect.config.recipe import TransformStep
from dfdetect.data.av import SequenceDataset, SequenceSettings, cut_chunks, hold_sequences, load_sequences
from dfdetect.data.av_augment import SequenceAugmentation, SoundChanges
from dfdetect.data.batches import to_inputs
from dfdetect.data.index import load_videos
from dfdetect.data.sampler import BatchPlan
from dfdetect.data.transforms import Augmentation
from dfdetect.io.schemas import MELS, MOUTHS
from dfdetect.io.tables import Shards
from tests.tables import clips, write_sequences, write_splits

SETTINGS = SequenceSettings(image_size=32, chunk_s=0.3)


def test_shapes_and_times(tmp_path: Path) -> None:
    made = clips(train=4, val=0, test=0)
    write_splits(tmp_path, made)
    write_sequences(tmp_path, made)
    index = load_sequences(tmp_path, load_videos(tmp_path, "label", {"train"}), SETTINGS)
    raw = SequenceDataset(index, SETTINGS).__getitems__(BatchPlan((0, 3), 0))
    assert raw["mouths"].shape == (2, 16, 3, 32, 32)
    assert raw["mels"].shape == (2, 8, 80, 30)
    assert raw["label"].tolist() == [0, 1]
    # chunk k is centred on frames 2k and 2k + 1, to within half a mel frame
    centres = raw["frame_time_s"].view(2, 8, 2).mean(dim=2)
    assert (raw["chunk_time_s"] - centres).abs().max() <= 0.0051
    inputs = to_inputs(raw, "cpu", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert inputs["mouths"].shape == (2, 16, 3, 32, 32)
    assert inputs["mouths"].dtype == torch.float32


def test_clips_without_sound_or_mouths_are_left_out_with_a_reason(tmp_path: Path) -> None:
    made = clips(train=4, val=0, test=0)
    write_splits(tmp_path, made)
    write_sequences(tmp_path, made[:3], silent=frozenset({made[1].video_id}))
    index = load_sequences(tmp_path, load_videos(tmp_path, "label", {"train"}), SETTINGS)
    assert index.missing == {made[1].video_id: "silent", made[3].video_id: "no_audio"}
    assert [index.videos.ids[v] for v in index.video] == [made[0].video_id, made[2].video_id]


@pytest.mark.parametrize("frames", [9, 16, 20])
def test_any_number_of_crops_fills_the_sequence_in_order(tmp_path: Path, frames: int) -> None:
    made = clips(train=1, val=0, test=0)
    write_splits(tmp_path, made)
    write_sequences(tmp_path, made, frames=frames)
    index = load_sequences(tmp_path, load_videos(tmp_path, "label", {"train"}), SETTINGS)
    times = SequenceDataset(index, SETTINGS).__getitems__(BatchPlan((0,), 0))["frame_time_s"][0]
    assert (times.diff() >= 0).all()
    assert len(times.unique()) == min(frames, 16)


def test_tables_in_memory_give_the_same_batch(tmp_path: Path) -> None:
    made = clips(train=2, val=0, test=0)
    write_splits(tmp_path, made)
    write_sequences(tmp_path, made)
    stored = load_sequences(tmp_path, load_videos(tmp_path, "label", {"train"}), SETTINGS)
    mouths, mels = Shards(tmp_path / "mouths", MOUTHS), Shards(tmp_path / "mels", MELS)
    held = hold_sequences(mouths.read(made[1].video_id), mels.read(made[1].video_id), SETTINGS)
    ours = SequenceDataset(stored, SETTINGS).__getitems__(BatchPlan((1,), 0))
    theirs = SequenceDataset(held, SETTINGS).__getitems__(BatchPlan((0,), 0))
    for name in ("mouths", "mels", "frame_time_s", "chunk_time_s"):
        assert torch.equal(ours[name], theirs[name])


def test_chunks_are_cut_by_time() -> None:
    mel = np.arange(100, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)  # frame number as its value
    cut = {"hop_s": 0.01, "start_s": 0.2, "chunk_s": 0.1}
    chunks, times = cut_chunks(mel, np.array([0.25, 0.7, 1.2]), not_before_s=None, **cut)
    assert chunks.shape == (3, 4, 10)
    assert chunks[0, 0].tolist() == list(range(10))
    assert chunks[1, 0].tolist() == list(range(45, 55))
    assert chunks[2, 0].tolist() == [95, 96, 97, 98, 99, 0, 0, 0, 0, 0]  # past the end: the lowest value
    np.testing.assert_allclose(times, [0.25, 0.7, 1.2])


def test_trimmed_silence_is_never_seen() -> None:
    mel = np.ones((100, 4), np.float32)
    mel[:30] = -9.0  # 0.3 s of silence
    cut = {"hop_s": 0.01, "start_s": 0.0, "chunk_s": 0.1}
    centres = np.array([0.05, 0.28, 0.7])
    assert cut_chunks(mel, centres, not_before_s=None, **cut)[0].min() == -9.0
    chunks, times = cut_chunks(mel, centres, not_before_s=0.3, **cut)
    assert chunks.min() == 1.0
    np.testing.assert_allclose(times, [0.35, 0.35, 0.7])


def test_a_training_sequence_is_changed_as_one(tmp_path: Path) -> None:
    """The same change of every crop and every stretch of sound of a clip, another one for another clip or batch."""
    made = clips(train=2, val=0, test=0)
    write_splits(tmp_path, made)
    write_sequences(tmp_path, made)
    index = load_sequences(tmp_path, load_videos(tmp_path, "label", {"train"}), SETTINGS)
    steps = [TransformStep(name="HorizontalFlip", params={"p": 0.5})]
    flips = Augmentation(steps, SETTINGS.image_size, where="here", mean=(0.5,) * 3, std=(0.5,) * 3)
    change = SequenceAugmentation(flips, SoundChanges(gain_db=6.0))
    plain = SequenceDataset(index, SETTINGS).__getitems__(BatchPlan((0, 1), 0))
    changed = SequenceDataset(index, SETTINGS, change.seeded)
    flipped, gains = set(), set()
    for seed in range(8):
        batch = changed.__getitems__(BatchPlan((0, 1), seed))
        again = changed.__getitems__(BatchPlan((0, 1), seed))
        assert torch.equal(batch["mouths"], again["mouths"])
        assert torch.equal(batch["mels"], again["mels"])
        for clip in range(2):
            mouths, gain = batch["mouths"][clip], batch["mels"][clip] - plain["mels"][clip]
            mirrored = torch.equal(mouths, plain["mouths"][clip].flip(-1))
            assert mirrored or torch.equal(mouths, plain["mouths"][clip])
            assert gain.max() - gain.min() < 1e-4
            assert abs(float(gain.mean())) <= 6.0 * np.log(10.0) / 10.0
            flipped.add(mirrored)
            gains.add(round(float(gain.mean()), 4))
    assert flipped == {True, False}
    assert len(gains) == 16


def test_hidden_bands_of_mels() -> None:
    mels = np.random.default_rng(0).normal(size=(8, 80, 20)).astype(np.float32)
    before = mels.copy()
    for seed in range(20):
        hidden = SoundChanges(masks=1, mask_width=10)(mels, np.random.default_rng(seed))
        bands = np.flatnonzero((hidden != mels).any(axis=(0, 2)))
        assert len(bands) <= 10
        assert (np.diff(bands) == 1).all()
        assert (hidden[:, bands] == mels.mean()).all()
    assert np.array_equal(mels, before)
