"""What a detector trains and validates on, checked before anything is computed. No test row is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfdetect.config.recipe import Fakes, Recipe
from dfdetect.data.av import SequenceDataset, SequenceIndex, SequenceSettings, load_sequences
from dfdetect.data.crops import CropDataset
from dfdetect.data.forged import Landmarks, add_forgeries, load_landmarks
from dfdetect.data.index import CropIndex, Videos, load_crops, load_videos, missing_counts
from dfdetect.data.sampler import EvalSampler, SamplerSettings, TrainSampler
from dfdetect.detectors.base import Detector
from dfdetect.errors import UserError
from dfdetect.io.schemas import LEAKS
from dfdetect.io.tables import read_json, read_table

Index = CropIndex | SequenceIndex
_NAMES = {0: "real", 1: "fake"}


@dataclass(frozen=True)
class TrainData:
    """Both halves of a training's data.

    Args:
        train, val: datasets; their `index` says what is in them.
        sampler: settings of the training's sampler.
        val_frames: crops a validation video is evaluated by; None: all.
        sequence: how clips become sequences, for audio-visual detectors.
        counts: what there is, for metrics/train.json.
        warnings: of the audit of the splits, for the model card.
    """

    train: CropDataset | SequenceDataset
    val: CropDataset | SequenceDataset
    sampler: SamplerSettings
    val_frames: int | None
    sequence: SequenceSettings | None
    counts: dict[str, Any]
    warnings: list[str]

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


def artifacts(inputs: frozenset[str], fakes: Fakes = "dataset") -> list[str]:
    """The stages whose tables a detector with these inputs reads, besides splits; self-blending needs landmarks."""
    if inputs & {"mouths", "mels"}:
        return ["mouths", "mels"]
    return ["faces", "masks"] if "mask" in inputs or fakes != "dataset" else ["faces"]


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
    folder: Path,
    detector: Detector,
    recipe: Recipe,
    *,
    seed: int,
    augment: Callable[[int], Any] | None,
    fakes: Fakes = "dataset",
) -> TrainData:
    """Index the training and validation videos of one dataset, and check that a detector can be trained on them.

    Args:
        folder: data/<dataset>.
        detector: whose inputs, target and class of samples count.
        recipe: sampling.
        seed: of the sampling.
        augment: seed of a batch -> transform of its pictures; None: resize alone.
        fakes: dataset: its own; self_blended: forged real crops in their place, half of each batch; both: these and
            the dataset's. Validation takes the dataset's fakes where there are any, else forgeries that never change.
    Raises:
        UserError: an artifact is missing, no video has what the detector reads, or a class is missing.
    """
    tables = artifacts(detector.inputs, fakes)
    for name in tables:
        if not (folder / name).is_dir():
            raise UserError(
                f"{detector.name} reads {' and '.join(tables)}, and {folder / name} is "
                f"not there: `dvc repro` makes it, `python -m stages.{name} --dataset {folder.name}` makes it alone."
            )
    sequence = sequence_settings(detector, recipe)
    if fakes != "dataset" and (sequence is not None or detector.trains_on == "real"):
        raise UserError(
            f"train.fakes is {fakes}, and {detector.name} is trained on no fakes of pictures: set it to dataset."
        )
    leaks = read_table(folder / "leaks.parquet", LEAKS, columns=["video_id", "dropped"]).to_pylist()
    dropped = {row["video_id"] for row in leaks if row["dropped"]}
    hint = f" {len(dropped)} videos are dropped as leaks: splits.on_leak, splits.leak_kinds." if dropped else ""
    halves = {split: _open_half(folder, detector, split, dropped, sequence) for split in ("train", "val")}
    counts: dict[str, Any] = {}
    for split, index in halves.items():
        _check_filled(index, split, folder, detector, hint)
        index = index.of_videos(_usable(index.videos, split, detector, fakes))
        counts[split] = _count(index)
        lacks_fakes = not (index.labels == 1).any()
        if isinstance(index, CropIndex) and fakes != "dataset" and (split == "train" or lacks_fakes):
            landmarks = load_landmarks(folder, index)
            _check_landmarks(index, landmarks, split, folder)
            counts[split]["self_blended"] = _count_landmarks(index, landmarks)
            if fakes == "self_blended" or not lacks_fakes or split == "val":
                index = add_forgeries(index, landmarks)
        _check_classes(index, split, folder, detector, hint)
        halves[split] = index
    sampler = SamplerSettings(
        frames_per_video=recipe.frames_per_video,
        num_candidates=recipe.num_candidates,
        dedup_threshold=recipe.dedup_threshold,
        class_balance=recipe.class_balance,
        max_samples_per_class=recipe.max_samples_per_class,
        halves=fakes == "self_blended",
        drop_last=recipe.drop_last,
        seed=seed,
    )
    return TrainData(
        train=_dataset(halves["train"], detector, sequence, augment),
        val=_dataset(halves["val"], detector, sequence, None),
        sampler=sampler,
        val_frames=recipe.val_frames_per_video,
        sequence=sequence,
        counts=counts,
        warnings=read_json(Path("metrics") / folder.name / "audit.json")["warnings"],
    )


def _open_half(
    folder: Path, detector: Detector, split: str, dropped: set[str], sequence: SequenceSettings | None
) -> Index:
    videos = load_videos(folder, detector.target, {split}, without=dropped)
    if sequence is not None:
        return load_sequences(folder, videos, sequence)
    return load_crops(folder, videos, masks="mask" in detector.inputs)


def _dataset(
    index: Index, detector: Detector, sequence: SequenceSettings | None, augment: Callable[[int], Any] | None
) -> CropDataset | SequenceDataset:
    if isinstance(index, SequenceIndex):
        if sequence is None:
            raise ValueError("sequences without their settings")
        return SequenceDataset(index, sequence, augment)
    return CropDataset(index, detector.image_size, augment)


def _usable(videos: Videos, split: str, detector: Detector, fakes: Fakes) -> np.ndarray:
    """Which videos are used: the labelled ones; in train the real ones alone, where no given fake counts."""
    if split == "train" and (detector.trains_on == "real" or fakes == "self_blended"):
        return videos.labels == 0
    return videos.labels >= 0


def _check_filled(index: Index, split: str, folder: Path, detector: Detector, hint: str) -> None:
    """Stop before training when a half has nothing."""
    if len(index.videos) == 0:
        raise UserError(
            f"{folder / 'splits.parquet'} has no video in `{split}`: see the splits section of params.yaml.{hint}"
        )
    if len(index) == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in missing_counts(index.missing).items())
        reads = " and ".join(artifacts(detector.inputs))
        raise UserError(
            f"{detector.name} reads {reads}, which none of the {len(index.videos)} `{split}` videos of {folder} has "
            f"({reasons}): train another detector, or use a dataset that has them."
        )


def _check_classes(index: Index, split: str, folder: Path, detector: Detector, dropped: str) -> None:
    """Stop before training when a half has one class alone."""
    needed = {0} if detector.trains_on == "real" else {0, 1}
    if lacking := needed - set(np.unique(index.labels).tolist()):
        hint = " Without fakes, train on forgeries of the real crops: train.fakes: self_blended."
        raise UserError(
            f"`{split}` of {folder} has no usable {_NAMES[min(lacking)]} video ({detector.target}): "
            f"{detector.name} needs {' and '.join(_NAMES[c] for c in sorted(needed))} ones in train and val."
            f"{hint if lacking == {1} else ''}{dropped}"
        )


def _check_landmarks(index: CropIndex, landmarks: Landmarks, split: str, folder: Path) -> None:
    """Stop before training when no real crop can be forged."""
    real = index.labels == 0
    if real.any() and not (landmarks.row[real] >= 0).any():
        raise UserError(
            f"train.fakes: none of the {int(real.sum())} real `{split}` crops of {folder} has landmarks in its "
            "masks table, so none can be forged: see the statuses in its masks.json."
        )


def _count_landmarks(index: CropIndex, landmarks: Landmarks) -> dict[str, int]:
    """Real crops that forgeries are made of, and those that are not for want of landmarks."""
    real = index.labels == 0
    forged = int((real & (landmarks.row >= 0)).sum())
    return {"samples": forged, "crops_without_landmarks": int(real.sum()) - forged}


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
