"""What the page says of a file, without a browser: label, confidence, what they rest on, and what they do not cover."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfdetect.config.params import RuntimeParams
from dfdetect.data.index import CropIndex
from dfdetect.demo.precheck import MAX_FRAMES, MAX_MB, MAX_S, precheck
from dfdetect.inference.confidence import Confidence
from dfdetect.inference.prediction import Prediction, format_scores
from dfdetect.media.frames import Rgb
from dfdetect.media.image import decode, is_image
from dfdetect.runtime.executor import run
from dfdetect.runtime.pool import Outcome

if TYPE_CHECKING:
    from dfdetect.inference.predictor import Predictor
    from dfdetect.inference.prepare import Prepared

SHOWN_FACES = 6
PRECHECK_S = 60.0
# What to do about it, by status.
ADVICE = {
    "no_face": "The detector scores faces only. Try a clip in which one looks towards the camera, large and well lit.",
    "no_mask": "The detector needs the face's outline, and it could not be traced in any frame.",
    "no_audio": "This detector compares the mouth with the voice, so it needs a clip with sound.",
    "silent": "This detector compares the mouth with the voice, so it needs a clip in which somebody speaks.",
    "no_mouth": "This detector compares the mouth with the voice, and no mouth was found.",
    "few_mouths": "This detector needs to see the mouth for most of the clip.",
    "too_short": "A single picture, or a clip of a frame or two, is too short for this detector.",
    "too_long": f"Cut the clip to {MAX_S // 60} minutes or less.",
    "too_large": f"The page takes files of up to {MAX_MB} MB.",
    "unreadable": "The file is damaged, or no video or picture that can be decoded here.",
    "crashed": "The file ended the process that read it; it is damaged, or made to do that.",
    "timeout": "Reading it took too long and was stopped. Try a shorter or smaller clip.",
}
# Statuses of files that were not decoded, or not to their end.
UNREAD = {"unreadable", "truncated", "too_large", "too_long", "timeout", "crashed", "out_of_memory", "failed"}


@dataclass(frozen=True)
class Face:
    """One frame's face. `overlay` is the crop under a heatmap; None where the detector has none."""

    time_s: float | None
    score: float | None
    crop: Rgb
    overlay: Rgb | None = None


@dataclass(frozen=True)
class PredictionView:
    """What is shown of a file.

    Fields:
        name: of the file.
        prediction: with the frames' scores.
        confidence: None without a score.
        text: the score, or why there is none, in words.
        faces: those of the highest scores, in the order of time.
        caveats: what the prediction does not cover.
        preview: of a picture, a JPEG.
        readable: whether it was decoded, so that it can be shown.
    """

    name: str
    prediction: Prediction
    confidence: Confidence | None
    text: str
    faces: list[Face] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    preview: bytes | None = None
    readable: bool = False


def predict_file(
    path: Path, predictor: Predictor, *, name: str | None = None, dataset: str | None = None
) -> PredictionView:
    """Score a file for the page.

    Args:
        path: of a video or an image.
        predictor: with a worker process, so that a hostile file cannot end the page.
        name: to be shown; None: the file's own.
        dataset: that the file is of; None: not known, as of an upload.
    """
    name = path.name if name is None else name
    checked = _precheck(path)
    if checked.status != "ok":
        return describe(name, predictor.failure(path.name, checked.status, checked.reason))
    prediction, prepared = predictor.inspect(path)
    if prepared is None or prediction.score is None:
        view = describe(name, prediction)
    else:
        confidence = predictor.confidence(prediction, dataset)
        view = describe(name, prediction, confidence, _faces(predictor, prepared, prediction), is_image(path))
    return replace(view, preview=checked.value, readable=prediction.status not in UNREAD)


def describe(
    name: str,
    prediction: Prediction,
    confidence: Confidence | None = None,
    faces: list[Face] | None = None,
    still: bool = False,
) -> PredictionView:
    """Put a prediction into words.

    Args:
        name: of the file.
        prediction: of it.
        confidence: of a prediction with a score.
        faces: to be shown.
        still: whether the file is a single picture.
    """
    if prediction.score is None:
        reason = prediction.reason or prediction.status
        advice = ADVICE.get(prediction.status)
        text = f"{reason[:1].upper()}{reason[1:].rstrip('.')}." + (f" {advice}" if advice else "")
        return PredictionView(name, prediction, None, text)
    score, threshold = format_scores(prediction.score, prediction.threshold)
    text = f"The score is {score}, from 0 (real) to 1 (fake); this detector calls a file fake from {threshold} on."
    return PredictionView(name, prediction, confidence, text, faces or [], _caveats(prediction, still))


def _caveats(prediction: Prediction, still: bool) -> list[str]:
    info, n_frames = prediction.info, len(prediction.frames)
    caveats = [] if prediction.reason is None else [f"Only a part of it could be read: {prediction.reason}."]
    if still:
        caveats.append("It is a single picture: there is no second frame to confirm the result.")
    elif info.target == "visual_label":
        n_sampled = info.preprocess.get("faces", {}).get("frames_per_video")
        if n_sampled and n_frames < n_sampled:
            caveats.append(
                f"A face was found in {n_frames} of up to {n_sampled} sampled frames; few are weak evidence."
            )
    if info.target == "visual_label":
        caveats.append("The detector sees the picture only: a real picture with a replaced voice counts as real.")
    else:
        caveats.append("The detector compares mouth and voice: a fake of both that agrees may pass as real.")
    caveats.append("One person is evaluated, the one who is in most of the clip; others in it are not.")
    caveats.append("It errs more often on videos that are unlike those it was trained on.")
    return caveats


def page_predictor(model: Path | str) -> Predictor:
    """A predictor with one worker process, which decodes no more of a clip than the page takes."""
    from dfdetect.inference.predictor import Predictor

    predictor = Predictor(model, workers=1)
    faces = predictor.preparation.faces
    faces = faces.model_copy(update={"max_frames": min(faces.max_frames, MAX_FRAMES)})
    predictor.preparation = replace(predictor.preparation, faces=faces)
    return predictor


def _precheck(path: Path) -> Outcome[Path, bytes | None]:
    """Never in this process: a file may crash or hang what reads it."""
    size_mb = path.stat().st_size / 1e6
    if size_mb > MAX_MB:
        return Outcome(path, None, "too_large", f"the file has {size_mb:.0f} MB")
    runtime = RuntimeParams.model_validate({"num_workers": 1})
    (outcome,) = run(precheck, [path], runtime, label="checking", timeout_s=PRECHECK_S)
    return outcome


def _faces(predictor: Predictor, prepared: Prepared, prediction: Prediction) -> list[Face]:
    index = predictor.index([prepared])
    if isinstance(index, CropIndex) and predictor.scorer.detector.trains_on == "both":
        from dfdetect.inference.heatmap import explain

        scored = {frame.frame_index: frame for frame in prediction.frames}
        rows = [row for row in range(len(index)) if int(index.frame_index[row]) in scored]
        rows = sorted(sorted(rows, key=lambda row: -scored[int(index.frame_index[row])].score)[:SHOWN_FACES])
        faces = []
        for row, explained in zip(rows, explain(predictor.scorer, index, rows), strict=True):
            frame = scored[int(index.frame_index[row])]
            if explained:
                crop = explained["picture"]
                faces.append(Face(frame.time_s, frame.score, crop, overlay_heatmap(crop, explained["heat"])))
        return faces
    step = max(1, prepared.faces.num_rows // SHOWN_FACES)
    crops = prepared.faces.select(["time_s", "image"]).to_pylist()[::step][:SHOWN_FACES]
    return [Face(row["time_s"], None, decode(row["image"])) for row in crops]


def overlay_heatmap(crop: Rgb, heatmap: np.ndarray) -> Rgb:
    """A face crop under a heatmap.

    Args:
        crop: RGB uint8 [shape=(S, S, 3)].
        heatmap: in [0, 1] [shape=(S, S)].
    """
    colours = cv2.applyColorMap(np.round(heatmap * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32)
    weight = 0.15 + 0.6 * heatmap[:, :, None]
    return np.round(grey * (1 - weight) + colours * weight).astype(np.uint8)
