"""Batches of audio-visual sequences: mouth crops and the stretches of sound that belong to them, aligned in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from dfdetect.data.av_augment import Augment
from dfdetect.data.crops import RawBatch, shared_empty
from dfdetect.data.images import decode, resize
from dfdetect.data.index import UNKNOWN, Videos
from dfdetect.data.sampler import BatchPlan
from dfdetect.io.schemas import MELS, MOUTHS
from dfdetect.io.tables import Shards, read_table

_MEL_COLUMNS = ["hop_s", "start_s", "leading_silence_s", "n_frames", "n_mels", "mel", "status"]


@dataclass(frozen=True)
class SequenceSettings:
    """How a clip becomes one sequence.

    Args:
        frames: mouth crops of a sequence, F.
        chunks: stretches of sound, C; chunk k belongs to the k-th F/C frames.
        chunk_s: length of one stretch (s), centred on its frames.
        image_size: side of the mouth crops (px).
        trim_leading_silence: let no stretch begin before the sound does: fakes of widely used sets begin with a short
            silence that gives them away (arXiv 2412.00175).
    """

    frames: int = 16
    chunks: int = 8
    chunk_s: float = 0.64
    image_size: int = 112
    trim_leading_silence: bool = False


class Tables(Protocol):
    """Rows of one table by video."""

    def read(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one video."""


class HeldTables:
    """Tables in memory, as prediction has them."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self.tables = tables

    def read(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one video."""
        table = self.tables[video_id]
        return table if columns is None else table.select(columns)


@dataclass(frozen=True)
class SequenceIndex:
    """One row a video that has both mouth crops and sound.

    Args:
        videos: what was asked for.
        video: position in `videos` of each row [shape=(N,)].
        mouths, mels: the tables to read from.
        missing: why a video of `videos` has no row here: video_id -> reason.
    """

    videos: Videos
    video: np.ndarray
    mouths: Tables
    mels: Tables
    missing: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.video)

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each row: 0 real, 1 fake, -1 unknown [shape=(N,)]."""
        return self.videos.labels[self.video]

    def of_videos(self, chosen: np.ndarray) -> SequenceIndex:
        """The same index with some videos alone; `chosen` says of each of `videos` whether it stays [shape=(V,)]."""
        return SequenceIndex(self.videos, self.video[chosen[self.video]], self.mouths, self.mels, self.missing)


def load_sequences(folder: Path, videos: Videos, settings: SequenceSettings) -> SequenceIndex:
    """Index the sequences of some videos on disk.

    Args:
        folder: data/<dataset>.
        videos: whose sequences.
        settings: how a clip becomes one.
    Raises:
        UserError: an artifact is missing or damaged.
    """
    mouths, mels = Shards(folder / "mouths", MOUTHS), Shards(folder / "mels", MELS)
    status: dict[str, str] = {}
    for part in mels.parts:
        table = read_table(part, MELS, columns=["video_id", "status"])
        status.update(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
    counts = {video_id: mouths.rows.get(video_id, 0) for video_id in videos.ids}
    return _index(videos, mouths, mels, counts, status, settings)


def hold_sequences(mouths: pa.Table, mels: pa.Table, settings: SequenceSettings) -> SequenceIndex:
    """Index sequences of tables in memory, as prediction makes them; all labels unknown.

    Args:
        mouths: rows of schema.MOUTHS, of any number of videos.
        mels: rows of schema.MELS for them.
        settings: how a clip becomes a sequence.
    """
    ids = list(dict.fromkeys(mels.column("video_id").to_pylist()))
    unknown = np.full(len(ids), UNKNOWN, dtype=np.int64)
    of_mouths, of_mels = _by_video(mouths, ids), _by_video(mels, ids)
    status = dict(zip(mels.column("video_id").to_pylist(), mels.column("status").to_pylist(), strict=True))
    counts = {video_id: table.num_rows for video_id, table in of_mouths.items()}
    videos = Videos(ids, ["test"] * len(ids), unknown, unknown)
    return _index(videos, HeldTables(of_mouths), HeldTables(of_mels), counts, status, settings)


def _by_video(table: pa.Table, ids: list[str]) -> dict[str, pa.Table]:
    column = table.column("video_id")
    return {video_id: table.filter(pa.compute.equal(column, video_id)) for video_id in ids}


def _index(
    videos: Videos,
    mouths: Tables,
    mels: Tables,
    counts: dict[str, int],
    status: dict[str, str],
    settings: SequenceSettings,
) -> SequenceIndex:
    missing = {}
    for video_id in videos.ids:
        sound = status.get(video_id, "no_audio")
        if sound != "ok":
            missing[video_id] = sound
        elif counts[video_id] < settings.frames // 2:
            missing[video_id] = "no_mouth" if counts[video_id] == 0 else "few_mouths"
    kept = [number for number, video_id in enumerate(videos.ids) if video_id not in missing]
    return SequenceIndex(videos, np.array(kept, dtype=np.int64), mouths, mels, missing)


@dataclass(frozen=True)
class _Sequence:
    mouths: np.ndarray  # (F, S, S, 3) uint8
    mels: np.ndarray  # (C, n_mels, T) float32
    frame_time_s: np.ndarray  # (F,)
    chunk_time_s: np.ndarray  # (C,)

    def changed(self, augment: Augment) -> _Sequence:
        mouths, mels = augment(self.mouths, self.mels)
        return replace(self, mouths=mouths, mels=mels)


def cut_chunks(
    mel: np.ndarray, centres_s: np.ndarray, *, hop_s: float, start_s: float, chunk_s: float, not_before_s: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut stretches of equal length out of a spectrogram.

    Args:
        mel: log-mel of the whole track [shape=(n_frames, n_mels)].
        centres_s: where each stretch should be centred, in the video's time [shape=(C,)].
        hop_s: s between mel frames.
        start_s: the track's first sample in the video's time.
        chunk_s: length of a stretch (s).
        not_before_s: a stretch that would begin earlier (video's time) is moved to begin there; None: wherever.
    Returns:
        Stretches [shape=(C, n_mels, T)], padded with the track's lowest value where they leave it, and the centres they
        really have [shape=(C,)].
    """
    length = max(1, round(chunk_s / hop_s))  # T
    first = np.round((centres_s - chunk_s / 2 - start_s) / hop_s).astype(np.int64)
    if not_before_s is not None:
        first = np.maximum(first, int(np.ceil((not_before_s - start_s) / hop_s)))
    chunks = np.full((len(first), length, mel.shape[1]), mel.min() if mel.size else 0.0, dtype=np.float32)
    for chunk, begin in zip(chunks, first, strict=True):
        low, high = max(0, begin), min(len(mel), begin + length)
        if low < high:
            chunk[low - begin : high - begin] = mel[low:high]
    return chunks.transpose(0, 2, 1), start_s + (first + length / 2) * hop_s


class SequenceDataset(Dataset[RawBatch]):
    """Whole batches of an index's sequences: `dataset.__getitems__(plan)`.

    Args:
        index: the sequences.
        settings: how a clip becomes one.
        augment: seed of a batch -> change of a sequence's mouths and mels, in training; None: none.

    A RawBatch holds mouths (B, F, 3, S, S) uint8; mels (B, C, n_mels, T) float32; frame_time_s (B, F) and chunk_time_s
    (B, C) float32; label (B,), rows (B,) and skipped (K,) int64.
    """

    def __init__(
        self, index: SequenceIndex, settings: SequenceSettings, augment: Callable[[int], Augment] | None = None
    ) -> None:
        if settings.frames % settings.chunks:
            raise ValueError(f"{settings.frames} frames do not part into {settings.chunks} chunks")
        self.index, self.settings, self.augment = index, settings, augment

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> RawBatch:
        return self.__getitems__(BatchPlan((row,), 0))

    def __getitems__(self, plan: BatchPlan) -> RawBatch:
        """Read and decode one batch; sequences of which no crop can be read are under `skipped`."""
        pairs = [(row, self._read(row)) for row in plan.rows]
        read = [(row, sequence) for row, sequence in pairs if sequence is not None]
        if self.augment is not None:
            change = self.augment(plan.seed)
            read = [(row, sequence.changed(change)) for row, sequence in read]
        side, settings = self.settings.image_size, self.settings
        mouths = shared_empty(len(read), settings.frames, side, side, 3)
        for target, (_, sequence) in zip(mouths, read, strict=True):
            target.copy_(torch.from_numpy(sequence.mouths))
        rows = np.array([row for row, _ in read], dtype=np.int64)

        def stack(name: str) -> torch.Tensor:
            values = [getattr(sequence, name) for _, sequence in read]
            return torch.from_numpy(np.stack(values).astype(np.float32)) if values else torch.zeros(0)

        return {
            "mouths": mouths.permute(0, 1, 4, 2, 3),  # (B, F, 3, S, S)
            "mels": stack("mels"),
            "frame_time_s": stack("frame_time_s"),
            "chunk_time_s": stack("chunk_time_s"),
            "label": torch.from_numpy(self.index.labels[rows]),
            "rows": torch.from_numpy(rows),
            "skipped": torch.tensor([row for row, sequence in pairs if sequence is None], dtype=torch.int64),
        }

    def _read(self, row: int) -> _Sequence | None:
        video_id = self.index.videos.ids[self.index.video[row]]
        table = self.index.mouths.read(video_id, ["time_s", "image"])
        times = table.column("time_s").to_numpy()
        pictures = [decode(image.as_buffer().to_pybytes()) for image in table.column("image")]
        good = [number for number, picture in enumerate(pictures) if picture is not None]
        if len(good) < self.settings.frames // 2:
            return None
        # A missing crop is stood in for by its neighbour, whose own time goes with it.
        picks = [good[(2 * i + 1) * len(good) // (2 * self.settings.frames)] for i in range(self.settings.frames)]
        mouths = np.stack([resize(_present(pictures[i]), self.settings.image_size) for i in picks])
        frame_time_s = times[picks]
        sound = self.index.mels.read(video_id, _MEL_COLUMNS).to_pydict()
        mel = _spectrogram(sound)
        silence = sound["start_s"][0] + sound["leading_silence_s"][0] if self.settings.trim_leading_silence else None
        mels, chunk_time_s = cut_chunks(
            mel,
            frame_time_s.reshape(self.settings.chunks, -1).mean(axis=1),
            hop_s=sound["hop_s"][0],
            start_s=sound["start_s"][0],
            chunk_s=self.settings.chunk_s,
            not_before_s=silence,
        )
        return _Sequence(mouths, mels, frame_time_s, chunk_time_s)

    def describe(self, rows: torch.Tensor) -> list[dict[str, Any]]:
        """Rows in words: video_id."""
        return [{"video_id": self.index.videos.ids[self.index.video[row]]} for row in rows.tolist()]


def _present(picture: np.ndarray | None) -> np.ndarray:
    if picture is None:
        raise ValueError("an unreadable crop was picked")
    return picture


def _spectrogram(sound: dict[str, list[Any]]) -> np.ndarray:
    """The track's log-mel, float32 [shape=(n_frames, n_mels)]."""
    return np.asarray(sound["mel"][0], dtype=np.float32).reshape(sound["n_frames"][0], sound["n_mels"][0])
