"""Robustness: the video AUC of corrupted test crops, by kind of corruption and strength."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from dfdetect.config.params import RobustnessParams
from dfdetect.data.av import SequenceIndex, Tables
from dfdetect.data.images import decode, decode_mask
from dfdetect.data.index import CropIndex, Pictures, pick
from dfdetect.data.sampler import evenly
from dfdetect.errors import UserError
from dfdetect.inference.corruptions import CORRUPTIONS, Corruption, Rgb
from dfdetect.inference.saved_model import Aggregation
from dfdetect.inference.scoring import Index, Scorer
from dfdetect.io.tables import write_bytes, write_json

CLEAN = "clean"
DIGITS = 6


def settings(params: RobustnessParams) -> Iterator[tuple[str, float]]:
    """The kinds and strengths that are asked for, in the order of the params."""
    for kind in CORRUPTIONS:
        for strength in getattr(params, kind):
            yield kind, strength


@dataclass(frozen=True)
class Robustness:
    """How well a detector ranks corrupted test crops.

    Args:
        clean: video AUC of the same frames as they are; None if it is undefined.
        mean_auc_drop: `clean` minus the mean of all others; None if it is undefined.
        auc: corruption -> strength -> video AUC.
        undefined: figure and reason of what is None.
    """

    clean: float | None
    mean_auc_drop: float | None
    auc: dict[str, dict[str, float]] = field(default_factory=dict)
    undefined: list[dict[str, str]] = field(default_factory=list)


def robustness(
    scorer: Scorer, index: Index, params: RobustnessParams, *, aggregation: Aggregation, top_k: int, label: str
) -> Robustness:
    """Score the corrupted crops and compare.

    Args:
        scorer: of the detector.
        index: the test split's crops or sequences.
        params: corruptions, strengths, and how many frames of each video are taken.
        aggregation, top_k: how a video's score is made of its frames' scores.
        label: of the progress bars.
    """
    chosen = list(settings(params))
    if not chosen:
        return Robustness(None, None, undefined=[_NONE_CHOSEN])
    few = few_frames(index, params.frames_per_video)

    def auc(corrupted: Index, what: str) -> float | None:
        scored = scorer.score(corrupted, aggregation=aggregation, top_k=top_k, label=f"{label}: {what}")
        pairs = [(label, video.score) for label, video in zip(index.videos.labels, scored, strict=True)]
        known = [(label, score) for label, score in pairs if score is not None and label >= 0]
        if len({label for label, _ in known}) < 2:
            return None
        labels, scores = zip(*known, strict=True)
        return round(float(roc_auc_score(labels, scores)), DIGITS)

    clean = auc(few, CLEAN)
    if clean is None:
        why = "the scored test videos are of one class"
        return Robustness(None, None, undefined=[{"figure": name, "reason": why} for name in (CLEAN, "mean_auc_drop")])
    curves: dict[str, dict[str, float]] = {}
    for kind, strength in chosen:
        value = auc(corrupt(few, CORRUPTIONS[kind], strength), f"{kind} {strength:g}")
        if value is not None:
            curves.setdefault(kind, {})[f"{strength:g}"] = value
    drops = [clean - value for curve in curves.values() for value in curve.values()]
    return Robustness(clean, round(float(np.mean(drops)), DIGITS), curves)


def write_robustness(folder: Path, measured: Robustness) -> None:
    """Write robustness.json, details/robustness.json and plots/robustness.csv of one dataset.

    Args:
        folder: metrics/<dataset>.
        measured: what to write.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, ("corruption", "kind", "strength", "auc"), lineterminator="\n")
    writer.writeheader()
    if measured.auc:
        writer.writerow({"corruption": CLEAN, "kind": CLEAN, "strength": 0, "auc": measured.clean})
        for kind, curve in measured.auc.items():
            for strength, value in curve.items():
                row = {"kind": kind, "strength": strength, "auc": value}
                writer.writerow({"corruption": f"{kind} {strength}", **row})
    write_bytes(folder / "plots" / "robustness.csv", text.getvalue().encode())
    write_json(folder / "details" / "robustness.json", asdict(measured))
    write_json(folder / "robustness.json", {"clean_auc": measured.clean, "mean_auc_drop": measured.mean_auc_drop})


_NONE_CHOSEN = {"figure": "mean_auc_drop", "reason": "params.yaml asks for no corruption under robustness"}


def few_frames(index: Index, count: int) -> Index:
    """Evenly spaced crops of each video; sequences stay whole."""
    if isinstance(index, SequenceIndex):
        return index
    bounds = np.flatnonzero(np.diff(index.video)) + 1
    parts = [part[evenly(part.size, count)] for part in np.split(np.arange(len(index)), bounds)]
    return pick(index, np.concatenate(parts))


def corrupt(index: Index, corruption: Corruption, strength: float) -> Index:
    """The index with corrupted images, made when they are read, one video at a time."""
    if isinstance(index, SequenceIndex):
        return replace(index, mouths=_CorruptedTables(index.mouths, corruption, strength))
    images = _Corrupted(index.images, index, corruption, strength, grey=False)
    masks = index.masks
    if masks is not None and corruption.moves:
        masks = _Corrupted(masks, index, corruption, strength, grey=True)
    return replace(index, images=images, masks=masks)


class _Corrupted:
    """Images of an index, corrupted a video at a time and handed on without further loss."""

    def __init__(
        self, pictures: Pictures, index: CropIndex, corruption: Corruption, strength: float, *, grey: bool
    ) -> None:
        self.pictures, self.video, self.corruption, self.strength = pictures, index.video, corruption, strength
        self.grey = grey
        self._held: tuple[int, dict[int, bytes]] = (-1, {})

    def get(self, row: int) -> bytes:
        """The corrupted image, encoded; empty where the image cannot be decoded."""
        video = int(self.video[row])
        if self._held[0] != video:
            rows = np.flatnonzero(self.video == video).tolist()
            read = decode_mask if self.grey else decode
            pictures = {r: picture for r in rows if (picture := read(self.pictures.get(r))) is not None}
            self._held = (video, dict(zip(pictures, _encoded(pictures, self.corruption, self.strength), strict=True)))
        return self._held[1].get(row, b"")


def _encoded(pictures: dict[int, np.ndarray], corruption: Corruption, strength: float) -> list[bytes]:
    if not pictures:
        return []
    three = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures.values()]
    return [_lossless(crop) for crop in corruption.apply(three, strength)]


def _lossless(crop: Rgb) -> bytes:
    good, data = cv2.imencode(".bmp", crop[..., ::-1])
    if not good:
        raise UserError("a corrupted crop cannot be encoded")
    return data.tobytes()


class _CorruptedTables:
    """The mouths table with corrupted crops."""

    def __init__(self, tables: Tables, corruption: Corruption, strength: float) -> None:
        self.tables, self.corruption, self.strength = tables, corruption, strength
        self._held: tuple[str, list[bytes]] | None = None

    def _images(self, video_id: str) -> list[bytes]:
        if self._held is None or self._held[0] != video_id:
            self._held = (video_id, self._corrupted(video_id))
        return self._held[1]

    def _corrupted(self, video_id: str) -> list[bytes]:
        stored = self.tables.read(video_id, ["image"]).column("image").to_pylist()
        pictures = {n: picture for n, data in enumerate(stored) if (picture := decode(data)) is not None}
        corrupted = dict(zip(pictures, _encoded(pictures, self.corruption, self.strength), strict=True))
        return [corrupted.get(n, data) for n, data in enumerate(stored)]

    def read(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one video."""
        table = self.tables.read(video_id, columns)
        if "image" not in table.column_names:
            return table
        place = table.column_names.index("image")
        return table.set_column(place, table.schema.field("image"), pa.array(self._images(video_id), pa.binary()))
