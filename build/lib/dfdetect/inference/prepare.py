"""From a file to what the detector reads, by the stages' own functions and with the params it was trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from dfdetect.config.params import FacesParams, MasksParams, MelsParams, MouthsParams, VideoStageParams, describe
from dfdetect.errors import MediaError, UserError
from dfdetect.inference.saved_model import SavedModelInfo
from dfdetect.media.video import probe
from dfdetect.runtime.video_stage import Result, Video

ParamsOf = TypeVar("ParamsOf", bound=VideoStageParams)


@dataclass(frozen=True)
class Preparation:
    """The data stages' params; None where the detector does not need the stage."""

    faces: FacesParams
    masks: MasksParams | None = None
    mouths: MouthsParams | None = None
    mels: MelsParams | None = None


@dataclass(frozen=True)
class Task:
    """One file for a worker; `key` stands for it in the tables."""

    key: str
    path: Path
    preparation: Preparation


@dataclass(frozen=True)
class Prepared:
    """The data stages' rows of one file.

    Fields:
        faces_seen: face detections over all sampled frames, other people's included.
        status, reason: ok, or truncated and why: only a part of the file decodes.
    """

    faces: pa.Table
    faces_seen: int
    status: str
    reason: str | None
    masks: pa.Table | None = None
    mouths: pa.Table | None = None
    mels: pa.Table | None = None

    @property
    def size(self) -> int:
        """Crops to be scored, or 1 for a sequence."""
        return self.faces.num_rows if self.mouths is None else 1


def preparation(info: SavedModelInfo) -> Preparation:
    """The params that made the detector's training data.

    Raises:
        UserError: detector.json lacks a stage's params, or holds unknown ones.
    """
    masks = "mask" in info.inputs
    sequences = "mouths" in info.inputs
    return Preparation(
        faces=_params(info, "faces", FacesParams),
        masks=_params(info, "masks", MasksParams) if masks else None,
        mouths=_params(info, "mouths", MouthsParams) if sequences else None,
        mels=_params(info, "mels", MelsParams) if sequences else None,
    )


def _params(info: SavedModelInfo, stage: str, params_class: type[ParamsOf]) -> ParamsOf:
    if stage not in info.preprocess:
        raise UserError(f"detector.json has no preprocess.{stage}, which {info.detector} needs: train it again.")
    try:
        return params_class.model_validate(info.preprocess[stage])
    except ValidationError as error:
        raise UserError(describe(error, "detector.json", f"preprocess.{stage}")) from None


def prepare(task: Task) -> Prepared:
    """Find faces, and make masks or mouths and mels where they are needed. Runs in a worker.

    Raises:
        MediaError: the file cannot be used; status and reason as the stage's result cache has them.
    """
    from dfdetect.faces.extraction import crop_video

    params = task.preparation
    video = Video(task.key, task.path, None, None, _duration_s(task.path))
    result = crop_video(video, None, params.faces)
    faces, record = _rows(result), result.record
    masks = mouths = mels = None
    if params.masks is not None:
        from dfdetect.faces.mask_crops import mask_video

        masks = mask_video(video, faces, params.masks).table
    if params.mouths is not None and params.mels is not None:
        from dfdetect.audio.mels import mel_video
        from dfdetect.faces.mouth_crops import crop_mouths

        mouths = _rows(crop_mouths(video, faces, params.mouths))
        result = mel_video(video, params.mels)
        if result.record["status"] != "ok":
            raise _refusal(result.record)
        mels = result.table
    return Prepared(faces, record["faces_seen"], record["status"], record["reason"], masks, mouths, mels)


def _rows(result: Result) -> pa.Table:
    if result.table.num_rows == 0:
        raise _refusal(result.record)
    return result.table


def _refusal(record: dict[str, Any]) -> MediaError:
    return MediaError(record.get("reason") or record["status"], record["status"])


def _duration_s(path: Path) -> float | None:
    """As the download stage has it in videos.parquet: what the file does not say, or says as infinite, is None."""
    try:
        duration_s = probe(path).duration_s
    except MediaError:
        return None
    return duration_s if duration_s is not None and math.isfinite(duration_s) else None
