"""What the page says of a file, without a browser: the verdict, what it rests on, and what it does not cover."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfdetect.config.params import EngineParams
from dfdetect.data.index import CropIndex
from dfdetect.demo.precheck import MAX_FRAMES, MAX_MB, MAX_S, look
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.saved_model import BundleInfo
from dfdetect.media.frames import Rgb
from dfdetect.media.image import decode, is_image
from dfdetect.runtime.executor import run
from dfdetect.runtime.pool import Outcome

if TYPE_CHECKING:
    from dfdetect.inference.predictor import Predictor
    from dfdetect.inference.prepare import Prepared

FACES = 6
LOOK_S = 60.0
# A probability from which on the verdict is called so.
CONFIDENCE = ((0.9, "high"), (0.7, "moderate"), (0.0, "low"))
# What to do about it, by status.
ADVICE = {
    "no_face": "The detector judges faces alone. Try a clip in which one looks towards the camera, large and well lit.",
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
    """One frame's face. `heat` is the picture under a heat map; None where the detector has none."""

    time_s: float | None
    score: float | None
    picture: Rgb
    heat: Rgb | None = None


@dataclass(frozen=True)
class Page:
    """What is shown of a file.

    Fields:
        name: of the file.
        verdict: `fake`, `real`, or `not judged`.
        confidence: high, moderate or low; None without a verdict.
        sentence: the verdict, or why there is none, in words.
        prediction: with the frames' scores.
        faces: the highest scores, in the order of time.
        limits: what the verdict does not cover.
        preview: of a picture, a JPEG.
        readable: whether it was decoded, so that it can be shown.
    """

    name: str
    verdict: str
    confidence: str | None
    sentence: str
    prediction: Prediction
    faces: list[Face] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    preview: bytes | None = None
    readable: bool = False


def judge(path: Path, predictor: Predictor, *, name: str | None = None) -> Page:
    """Judge a file for the page.

    Args:
        path: of a video or an image.
        predictor: with a worker process, so that a hostile file cannot end the page.
        name: to be shown; None: the file's own.
    """
    name = path.name if name is None else name
    first = _first_look(path)
    if first.status != "ok":
        refused = Prediction(
            path.name, predictor.threshold, predictor.info.detector, status=first.status, reason=first.reason
        )
        return describe(name, refused, predictor.info)
    prediction, prepared = predictor.inspect(path)
    faces = [] if prepared is None or prediction.score is None else _faces(predictor, prepared, prediction)
    page = describe(name, prediction, predictor.info, faces=faces, still=is_image(path))
    return replace(page, preview=first.value, readable=prediction.status not in UNREAD)


def describe(
    name: str, prediction: Prediction, info: BundleInfo, *, faces: list[Face] | None = None, still: bool = False
) -> Page:
    """Put a prediction into words.

    Args:
        name: of the file.
        prediction: of it.
        info: the detector's.
        faces: to be shown.
        still: whether the file is a single picture.
    """
    score, confidence = prediction.score, prediction.confidence
    if score is None or confidence is None:
        reason = prediction.reason or prediction.status
        advice = ADVICE.get(prediction.status)
        sentence = f"{reason[:1].upper()}{reason[1:].rstrip('.')}." + (f" {advice}" if advice else "")
        return Page(name, "not judged", None, sentence, prediction)
    word = next(word for least, word in CONFIDENCE if confidence >= least)
    sentence = (
        f"The probability of fake is {score:.0%}; this detector calls a file fake from {prediction.threshold:.0%} on."
    )
    limits = _limits(prediction, info, still)
    return Page(name, prediction.label or "", word, sentence, prediction, faces or [], limits)


def _limits(prediction: Prediction, info: BundleInfo, still: bool) -> list[str]:
    score, frames = prediction.score or 0.0, len(prediction.frames)
    found = []
    if min(0.5, prediction.threshold) <= score < max(0.5, prediction.threshold):
        found.append("The score lies between the threshold and one half: an uncertain verdict.")
    if still:
        found.append("It is a single picture: there is no second frame to confirm the verdict.")
    elif info.target == "visual_label":
        asked = info.preprocess.get("faces", {}).get("frames_per_video")
        if asked and frames < asked:
            found.append(
                f"A face was found in {frames} of up to {asked} frames that are looked at; few are weak evidence."
            )
    if info.target == "visual_label":
        found.append("The detector sees the picture alone: a real picture with a replaced voice counts as real.")
    else:
        found.append("The detector compares mouth and voice: a forgery of both that agrees may pass as real.")
    found.append("One person is judged, the one who is in most of the clip; others in it are not.")
    trained_on = info.train.get("params", {}).get("dataset")
    if trained_on:
        start = info.train["params"].get("init_from")
        first = f", from the weights of {start}," if start else " alone"
        found.append(f"It was trained on the dataset {trained_on!r}{first} and errs more often on anything unlike it.")
    return found


def page_predictor(model: Path | str) -> Predictor:
    """A predictor with one worker process, which decodes no more of a clip than the page takes."""
    from dfdetect.inference.predictor import Predictor

    predictor = Predictor(model, workers=1)
    faces = predictor.preparation.faces
    faces = faces.model_copy(update={"max_frames": min(faces.max_frames, MAX_FRAMES)})
    predictor.preparation = replace(predictor.preparation, faces=faces)
    return predictor


def _first_look(path: Path) -> Outcome[Path, bytes | None]:
    """Never in this process: a file may crash or hang what reads it."""
    size_mb = path.stat().st_size / 1e6
    if size_mb > MAX_MB:
        return Outcome(path, None, "too_large", f"the file has {size_mb:.0f} MB")
    (outcome,) = run(look, [path], EngineParams.model_validate({"workers": 1}), label="looking", timeout_s=LOOK_S)
    return outcome


def _faces(predictor: Predictor, prepared: Prepared, prediction: Prediction) -> list[Face]:
    index = predictor.index([prepared])
    if isinstance(index, CropIndex) and predictor.scorer.detector.trains_on == "both":
        from dfdetect.inference.heatmap import explain

        by_frame: dict[int, FrameScore] = {frame.frame_index: frame for frame in prediction.frames}
        rows = [row for row in range(len(index)) if int(index.frame_index[row]) in by_frame]
        rows = sorted(sorted(rows, key=lambda row: -by_frame[int(index.frame_index[row])].score)[:FACES])
        faces = []
        for row, shown in zip(rows, explain(predictor.scorer, index, rows), strict=True):
            frame = by_frame[int(index.frame_index[row])]
            if shown:
                picture = shown["picture"]
                faces.append(Face(frame.time_s, frame.score, picture, heated(picture, shown["heat"])))
        return faces
    step = max(1, prepared.faces.num_rows // FACES)
    stored = prepared.faces.select(["time_s", "image"]).to_pylist()[::step][:FACES]
    return [Face(row["time_s"], None, decode(row["image"])) for row in stored]


def heated(picture: Rgb, heat: np.ndarray) -> Rgb:
    """A picture under its heat map.

    Args:
        picture: RGB uint8 [shape=(S, S, 3)].
        heat: in [0, 1] [shape=(S, S)].
    """
    colours = cv2.applyColorMap(np.round(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32)
    weight = 0.15 + 0.6 * heat[:, :, None]
    return np.round(grey * (1 - weight) + colours * weight).astype(np.uint8)
