"""Score the videos of an index with a detector; evaluate and predict both go through here.

A score must not depend on what else is in the batch, or a prediction would differ from the evaluation in its last bits.
Kernels are chosen by the batch's shape, so every batch has the same shape and the last one is filled up with zeros;
within one shape no detector mixes samples in evaluation mode.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dfdetect.data.av import SequenceDataset, SequenceIndex, SequenceSettings, load_sequences
from dfdetect.data.batches import LoaderSettings, make_loader, to_inputs
from dfdetect.data.crops import CropDataset, RawBatch
from dfdetect.data.index import UNKNOWN, CropIndex, Videos, load_crops
from dfdetect.data.sampler import EvalSampler
from dfdetect.detectors.base import Detector
from dfdetect.detectors.calibration import apply_anomaly
from dfdetect.errors import UserError
from dfdetect.inference.aggregation import aggregate
from dfdetect.inference.saved_model import Aggregation, SavedModelInfo
from dfdetect.runtime.threads import choose_device, cpu_count

Index = CropIndex | SequenceIndex

# (pictures, sequences) of a batch: 8 keeps a CPU's caches warm and wastes little on the last batch of a short video.
BATCH = {"cpu": (8, 1), "cuda": (64, 32)}
GPU_LOADERS = 8

REASONS = {
    "no_face": "no face was found in any frame looked at",
    "no_mask": "no attention mask could be made",
    "no_audio": "it has no sound",
    "silent": "its sound is silence",
    "no_mouth": "no mouth was found in any frame looked at",
    "few_mouths": "a mouth was found in fewer than half of the frames needed",
    "unreadable_crops": "none of its stored crops can be decoded",
}


@dataclass(frozen=True)
class Scored:
    """What became of one video: a score in [0, 1], or the reason why there is none.

    `frame_score` are the frames' own scores; of an audio-visual detector, those of the moments of its sequence.
    """

    video_id: str
    score: float | None = None
    frame_index: list[int] = field(default_factory=list)
    frame_time_s: list[float | None] = field(default_factory=list)  # None: frames without times
    frame_score: list[float] = field(default_factory=list)
    status: str = "ok"
    reason: str | None = None
    skipped: int = 0  # crops that cannot be decoded


def reads_sequences(info: SavedModelInfo) -> bool:
    """Whether the detector reads sequences of mouth crops and sound rather than single face crops."""
    return "mouths" in info.inputs


def sequence_settings(info: SavedModelInfo, trim: bool | None = None) -> SequenceSettings:
    """How the detector wants its sequences; `trim` overrides whether leading silence is cut."""
    settings = dict(info.evaluation.sequence or {})
    if trim is not None:
        settings["trim_leading_silence"] = trim
    return SequenceSettings(**settings)


def load_index(folder: Path, videos: Videos, info: SavedModelInfo) -> Index:
    """Index what the detector reads of some videos of a dataset on disk.

    Args:
        folder: data/<dataset>.
        videos: which.
        info: of the detector.
    Raises:
        UserError: an artifact is missing or damaged.
    """
    if reads_sequences(info):
        return load_sequences(folder, videos, sequence_settings(info))
    return load_crops(folder, videos, masks="mask" in info.inputs)


class Scorer:
    """A detector on its device, ready to score.

    Args:
        detector: as dfdetect.inference.saved_model.load gives it.
        info: its detector.json.
        device: auto, cpu or cuda.
        batch_size: samples of a batch; None: BATCH. Another size may change the last bits of a score.
    Raises:
        UserError: no such device, or an anomaly detector without a calibration.
    """

    def __init__(
        self, detector: Detector, info: SavedModelInfo, *, device: str = "auto", batch_size: int | None = None
    ) -> None:
        if detector.trains_on == "real" and info.calibration is None:
            raise UserError(
                f"the saved model of {info.detector} lacks the calibration of its anomaly score: train it again."
            )
        self.info = info
        self.device = torch.device(choose_device(device))
        self.batch_size = batch_size or BATCH[self.device.type][reads_sequences(info)]
        self._layout = torch.channels_last if detector.channels_last else torch.contiguous_format
        self.detector = detector.eval().to(memory_format=self._layout).to(self.device)

    def score(
        self,
        index: Index,
        *,
        aggregation: Aggregation = "mean",
        top_k: int = 5,
        trim: bool | None = None,
        label: str | None = None,
    ) -> list[Scored]:
        """Score every video of an index, in its order.

        Args:
            index: crops or sequences, as the detector's inputs ask.
            aggregation, top_k: a video's score from its frames'; a sequence has one score already.
            trim: whether leading silence is cut; None: as the detector was trained.
            label: what the progress bar says; None: no bar.
        Raises:
            UserError: a score is not finite; the message names the video.
        """
        parts = list(self._batches(index, trim, label))
        rows = np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)])
        scores = np.concatenate([np.zeros(0), *(part.scores for part in parts)])
        steps = [step for part in parts for step in part.steps]
        skipped = np.concatenate([np.zeros(0, np.int64), *(part.skipped for part in parts)])
        self._check(index, rows, scores)
        lost = np.bincount(index.video[skipped], minlength=len(index.videos))
        first = np.searchsorted(index.video[rows], np.arange(len(index.videos) + 1))  # rows ascend, and so do videos
        result = []
        for number, video_id in enumerate(index.videos.ids):
            mine = slice(first[number], first[number + 1])
            if mine.start == mine.stop:
                status = "unreadable_crops" if lost[number] else index.missing.get(video_id, "no_face")
                scored = Scored(video_id, status=status, reason=REASONS.get(status))
            elif isinstance(index, SequenceIndex):
                scored = _of_sequence(index, video_id, float(scores[mine][0]), *steps[mine.start])
            else:
                score = aggregate(scores[mine], aggregation, top_k)
                scored = _of_frames(index, video_id, rows[mine], scores[mine], score)
            result.append(replace(scored, skipped=int(lost[number])))
        return result

    def _batches(self, index: Index, trim: bool | None, label: str | None) -> Iterator[_Part]:
        """Scores of the index's rows, batch by batch, in order."""
        dataset: CropDataset | SequenceDataset
        frames = None
        if isinstance(index, SequenceIndex):
            dataset = SequenceDataset(index, sequence_settings(self.info, trim))
        else:
            dataset = CropDataset(index, self.info.image_size)
            frames = self.info.evaluation.frames_per_video
        if len(index) == 0:
            return
        plans = EvalSampler(index.video, frames_per_video=frames, batch_size=self.batch_size)
        gpu = self.device.type == "cuda"
        loaders = LoaderSettings(workers=min(GPU_LOADERS, cpu_count()) if gpu else 0, pin_memory=gpu)
        unit = "video" if isinstance(index, SequenceIndex) else "crop"
        pace: dict[str, Any] = {} if sys.stderr.isatty() else {"mininterval": 10, "ascii": True, "ncols": 100}
        with _reproducible(), tqdm(total=len(plans.rows), desc=label, unit=unit, disable=label is None, **pace) as bar:
            for raw in make_loader(dataset, plans, loaders):
                yield self._forward(raw)
                bar.update(len(raw["rows"]) + len(raw["skipped"]))

    def _forward(self, raw: RawBatch) -> _Part:
        rows, skipped = raw["rows"].numpy(), raw["skipped"].numpy()
        count = len(rows)
        if count == 0:
            return _Part(rows, np.zeros(0), [], skipped)
        pictures = {name: tensor for name, tensor in raw.items() if name != "label"}
        inputs = to_inputs(pictures, self.device, mean=self.info.mean, std=self.info.std)
        with torch.inference_mode():
            output = self.detector({name: self._full(tensor) for name, tensor in inputs.items()})
            scores = self._calibrated(self.detector.score(output)[:count])
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        if "frame_time_s" in raw:
            moments = self._calibrated(-output["step_log_prob"][:count]) if "step_log_prob" in output else None
            times = raw["frame_time_s"].numpy()
            empty = np.zeros(0)
            steps = [(times[i], moments[i]) if moments is not None else (empty, empty) for i in range(count)]
        return _Part(rows, scores, steps, skipped)

    def _full(self, tensor: Tensor) -> Tensor:
        """Fill a batch up to the one shape and memory layout that every batch has."""
        layout = self._layout if tensor.ndim == 4 else torch.contiguous_format
        full = torch.zeros((self.batch_size, *tensor.shape[1:]), dtype=tensor.dtype, device=tensor.device)
        full = full.contiguous(memory_format=layout)
        full[: len(tensor)] = tensor
        return full

    def _calibrated(self, scores: Tensor) -> np.ndarray:
        values = scores.float().cpu().numpy().astype(np.float64)
        return values if self.info.calibration is None else apply_anomaly(values, self.info.calibration)

    def _check(self, index: Index, rows: np.ndarray, scores: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(scores))
        if bad.size:
            row = rows[bad[0]]
            where = f", frame {index.frame_index[row]}" if isinstance(index, CropIndex) else ""
            raise UserError(
                f"{self.info.detector} gave the score {scores[bad[0]]} for {index.videos.ids[index.video[row]]}{where} "
                f"({bad.size} of {scores.size} scores are not finite): its training diverged or its weights are "
                "damaged. Train it again, or restore models/detector with `dvc checkout`."
            )


@dataclass(frozen=True)
class _Part:
    """One batch's rows with their scores; of sequences also the moments' times and scores; rows left out."""

    rows: np.ndarray
    scores: np.ndarray
    steps: list[tuple[np.ndarray, np.ndarray]]
    skipped: np.ndarray


def _of_frames(index: CropIndex, video_id: str, rows: np.ndarray, scores: np.ndarray, score: float) -> Scored:
    times_s = [None if np.isnan(time_s) else time_s for time_s in index.time_s[rows].tolist()]
    return Scored(video_id, score, index.frame_index[rows].tolist(), times_s, scores.tolist())


def _of_sequence(index: SequenceIndex, video_id: str, score: float, times_s: np.ndarray, scores: np.ndarray) -> Scored:
    """The sequence's score, and its moments as frames: each is the mouth crop of that time."""
    table = index.mouths.read(video_id, ["frame_index", "time_s"])
    stored_s = table.column("time_s").to_numpy()
    nearest = np.abs(stored_s[None, :] - times_s[:, None]).argmin(axis=1)
    frames = table.column("frame_index").to_numpy()[nearest]
    return Scored(video_id, score, frames.tolist(), stored_s[nearest].tolist(), scores.tolist())


@contextmanager
def _reproducible() -> Iterator[None]:
    """On a GPU: full float32, and no choice of kernels by timing."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = False, True, False, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before


def prediction_rows(
    videos: Videos,
    scored: Sequence[Scored],
    info: SavedModelInfo,
    *,
    threshold: float,
    variants: Mapping[str, Sequence[Scored]] | None = None,
) -> list[dict[str, Any]]:
    """Rows of schema.PREDICTIONS.

    Args:
        videos: as they were indexed.
        scored: one per video, in their order.
        info: of the detector.
        threshold: a video counts as fake from this score on.
        variants: of sequences: `trimmed` and `untrimmed` scores.
    """
    rows = []
    for number, (video_id, result) in enumerate(zip(videos.ids, scored, strict=True)):
        rows.append(
            {
                "video_id": video_id,
                "label": _known(videos.labels[number]),
                "any_fake": _known(videos.any_fake[number]),
                **{name: values[number] for name, values in videos.columns.items()},
                "score": result.score,
                "frame_index": result.frame_index,
                "frame_time_s": result.frame_time_s,
                "frame_score": result.frame_score,
                **{f"score_{name}": variant[number].score for name, variant in (variants or {}).items()},
                "status": result.status,
                "reason": result.reason,
                "detector": info.detector,
                "threshold": threshold,
            }
        )
    return rows


def _known(label: np.integer) -> int | None:
    return None if label == UNKNOWN else int(label)
