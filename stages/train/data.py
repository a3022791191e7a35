"""What a detector trains and validates on, checked before anything is computed. The test split is never opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.detectors.base import Detector
from stages.errors import UserError
from stages.loading.av import SequenceDataset, SequenceIndex, SequenceSettings, load_sequences
from stages.loading.crops import CropDataset
from stages.loading.index import CropIndex, Videos, load_crops, load_videos, missing_counts
from stages.loading.sampler import EvalSampler, SamplerSettings, TrainSampler
from stages.recipe import Recipe

Index = CropIndex | SequenceIndex
_NAMES = {0: "real", 1: "fake"}


@dataclass(frozen=True)
class TrainData:
    """Both halves of a training's data.

    Args:
        train, val: datasets; their `index` says what is in them.
        sampler: settings of the training's sampler.
        val_frames: crops a validation video is judged by; None: all.
        sequence: how clips become sequences, for audio-visual detectors.
        counts: what there is, for metrics/train.json.
    """

    train: CropDataset | SequenceDataset
    val: CropDataset | SequenceDataset
    sampler: SamplerSettings
    val_frames: int | None
    sequence: SequenceSettings | None
    counts: dict[str, Any]

    def train_sampler(self, batch_size: int, rank: int = 0, world: int = 1) -> TrainSampler:
        """The training's batches for one of `world` processes."""
        index = self.train.index
        phash = index.phash if isinstance(index, CropIndex) else np.zeros(len(index), np.uint64)
        settings = SamplerSettings(**{**self.sampler.__dict__, "batch_size": batch_size})
        return TrainSampler(index.video, index.labels, phash, settings, rank=rank, world=world)

    def val_sampler(self, batch_size: int, rank: int = 0, world: int = 1) -> EvalSampler:
        """Validation's batches for one of `world` processes."""
        video = self.val.index.video
        return EvalSampler(video, frames_per_video=self.val_frames, batch_size=batch_size, rank=rank, world=world)


def artifacts(inputs: frozenset[str]) -> list[str]:
    """The stages whose tables a detector with these inputs reads, besides splits."""
    if inputs & {"mouths", "mels"}:
        return ["mouths", "mels"]
    return ["faces", "masks"] if "mask" in inputs else ["faces"]


def sequence_settings(detector: Detector, recipe: Recipe) -> SequenceSettings | None:
    """How clips become sequences for an audio-visual detector; None for detectors of single crops."""
    if not detector.inputs & {"mouths", "mels"}:
        return None
    options = detector.settings
    return SequenceSettings(
        frames=getattr(options, "frames", SequenceSettings.frames),
        chunks=getattr(options, "chunks", SequenceSettings.chunks),
        chunk_s=recipe.chunk_s,
        image_size=detector.image_size,
        trim_leading_silence=recipe.trim_leading_silence,
    )


def open_data(
    folder: Path, detector: Detector, recipe: Recipe, *, seed: int, augment: Callable[[int], Any] | None
) -> TrainData:
    """Index the training and validation videos of one dataset, and check that a detector can be trained on them.

    Args:
        folder: data/<dataset>.
        detector: whose inputs, target and class of samples count.
        recipe: sampling.
        seed: of the sampling.
        augment: seed of a batch -> transform of its pictures; None: resize alone.
    Raises:
        UserError: an artifact is missing, no video has what the detector reads, or a class is missing.
    """
    for name in artifacts(detector.inputs):
        if not (folder / name).is_dir():
            raise UserError(
                f"{detector.name} reads {' and '.join(artifacts(detector.inputs))}, and {folder / name} is not there: "
                f"`dvc repro` makes it, `python -m stages.{name} --dataset {folder.name}` makes it alone."
            )
    sequence = sequence_settings(detector, recipe)
    halves = {split: _open_half(folder, detector, split, sequence) for split in ("train", "val")}
    for split, index in halves.items():
        _check_half(index, split, folder, detector)
    only_real = detector.trains_on == "real"
    train = halves["train"].of_videos(_usable(halves["train"].videos, only_real=only_real))
    val = halves["val"].of_videos(_usable(halves["val"].videos, only_real=False))
    sampler = SamplerSettings(
        frames_per_video=recipe.frames_per_video,
        num_candidates=recipe.num_candidates,
        dedup_threshold=recipe.dedup_threshold,
        balance=recipe.balance,
        max_samples_per_class=recipe.max_samples_per_class,
        drop_last=recipe.drop_last,
        seed=seed,
    )
    return TrainData(
        train=_dataset(train, detector, sequence, augment),
        val=_dataset(val, detector, sequence, None),
        sampler=sampler,
        val_frames=recipe.val_frames_per_video,
        sequence=sequence,
        counts={"train": _count(train), "val": _count(val)},
    )


def _open_half(folder: Path, detector: Detector, split: str, sequence: SequenceSettings | None) -> Index:
    videos = load_videos(folder, detector.target, {split})
    if sequence is not None:
        return load_sequences(folder, videos, sequence)
    return load_crops(folder, videos, masks="mask" in detector.inputs)


def _dataset(
    index: Index, detector: Detector, sequence: SequenceSettings | None, augment: Callable[[int], Any] | None
) -> CropDataset | SequenceDataset:
    if isinstance(index, SequenceIndex):
        if sequence is None:
            raise ValueError("sequences without their settings")
        return SequenceDataset(index, sequence)
    return CropDataset(index, detector.image_size, augment)


def _usable(videos: Videos, *, only_real: bool) -> np.ndarray:
    return videos.labels == 0 if only_real else videos.labels >= 0


def _check_half(index: Index, split: str, folder: Path, detector: Detector) -> None:
    """Stop before training when a half has nothing, or one class alone."""
    if len(index.videos) == 0:
        raise UserError(
            f"{folder / 'splits.parquet'} has no video in `{split}`: see the splits section of params.yaml."
        )
    if len(index) == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in missing_counts(index.missing).items())
        reads = " and ".join(artifacts(detector.inputs))
        raise UserError(
            f"{detector.name} reads {reads}, which none of the {len(index.videos)} `{split}` videos of {folder} has "
            f"({reasons}): train another detector, or use a dataset that has them."
        )
    present = set(np.unique(index.labels).tolist()) - {-1}
    needed = {0} if detector.trains_on == "real" else {0, 1}
    if lacking := needed - present:
        raise UserError(
            f"`{split}` of {folder} has no usable {_NAMES[min(lacking)]} video ({detector.target}): "
            f"{detector.name} needs {' and '.join(_NAMES[c] for c in sorted(needed))} ones in train and val."
        )


def _count(index: Index) -> dict[str, Any]:
    """Videos and samples of each class, and what could not be used."""
    used = np.unique(index.video)
    labels = index.videos.labels
    return {
        "videos": {name: int((labels[used] == label).sum()) for label, name in _NAMES.items()},
        "samples": {name: int((index.labels == label).sum()) for label, name in _NAMES.items()},
        "videos_without_label": int((labels < 0).sum()),
        "videos_without_samples": missing_counts(index.missing),
        "crops_without_mask": index.dropped if isinstance(index, CropIndex) else 0,
    }
