"""One video to its main face's crops: sample, detect, follow, cut, encode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dfdetect.config.params import FacesParams
from dfdetect.faces import identity
from dfdetect.faces.crop import crop_box
from dfdetect.faces.detectors import Detections, FaceDetector, Floats, build_face_detector, face_detector_entry
from dfdetect.faces.landmarks import turn_points
from dfdetect.faces.main_track import Place, choose_main_face
from dfdetect.faces.networks import exported
from dfdetect.faces.orientation import is_upright, quarter_turns, turned
from dfdetect.io import pretrained as weights
from dfdetect.io.schemas import FACES
from dfdetect.io.tables import from_rows
from dfdetect.media.frames import Box, Frame, Rgb, RgbPicture
from dfdetect.media.image import encode, phash
from dfdetect.media.video import Decoded, Limits, process_frames
from dfdetect.runtime.video_stage import Result, Video

# Faces of a frame that are followed, the largest and surest; the rest are only counted.
MAX_FOLLOWED = 6
# Coordinates are stored in steps of 1/4 px and scores of 1/1000: what processors round differently stays invisible.
COORDINATE_STEPS, SCORE_STEPS = 4.0, 1000.0
# A video with a face in no more than this share of its frames is looked at in other ways too, in every sixth of them.
FEW_FACES, TRIAL_STEP = 0.25, 6
MAX_TRIAL_PIXELS = 3840 * 2160  # larger frames are kept for these trials as small ones


@dataclass(frozen=True)
class View:
    """How the frames of a video are searched.

    Args:
        turns: quarter turns clockwise beforehand.
        long_side: frames are shrunk to this (px).
        min_face_ratio: smallest face, as a fraction of the frame's longer side.
    """

    turns: int
    long_side: int
    min_face_ratio: float


@dataclass(frozen=True)
class FrameFaces:
    """The faces of one sampled frame with their crops; the frame itself is gone.

    Args:
        index, time_s: of the frame.
        width, height: of the frame as it was searched, turned (px).
        seen: faces in it.
        faces: those that are followed, in px of the turned frame.
        squares: the crops' places (px of the turned frame).
        crops: RGB [shape=(S, S, 3) each].
    """

    index: int
    time_s: float | None
    width: int
    height: int
    seen: int
    faces: Detections
    squares: list[Box]
    crops: list[Rgb]


def crop_video(video: Video, faces: pa.Table | None, params: FacesParams) -> Result:
    """The main face in the sampled frames of one video.

    Args:
        video: its file.
        faces: not used; faces is the first per-video stage.
        params: settings of the stage.
    Returns:
        rows of the faces table, and the video's row of the coverage table.
    Raises:
        MediaError: nothing decodes, or a limit is passed.
        UserError: the face detector is unknown, or its weights are nowhere.
    """
    del faces
    limits = Limits(max_pixels=params.max_pixels, max_frames=params.max_frames)
    if params.cropped:
        rows, decoded = process_frames(
            video.path, params.frames_per_video, lambda frames: [whole_frame(f, params) for f in frames], limits=limits
        )
        return _result(video, params, decoded, rows, [])
    detector = face_detector(params)
    # Faces of twice the smallest size first: that suits nearly every video, and is a quarter of the work.
    view = View(0, params.detect_long_side, 2 * params.min_face_ratio)
    tried: list[View] = []
    while view not in tried:
        tried.append(view)
        (found, trial), decoded = process_frames(
            video.path,
            params.frames_per_video,
            lambda frames, view=view: detect_frames(frames, view, detector, params),  # type: ignore[misc]
            limits=limits,
        )
        view = better_view(view, found, trial, detector, params)
    return _result(video, params, decoded, main_face_rows(found, tried[-1].turns, params), found)


def face_detector(params: FacesParams) -> FaceDetector:
    """The face detector that the params name."""
    return build_face_detector(
        params.face_detector,
        score_threshold=params.score_threshold,
        nms_threshold=params.nms_threshold,
        device=params.device,
    )


def weights_of(params: FacesParams) -> str:
    """Hash of all weights that crops depend on; fetches and exports what is missing, once for all workers.

    Raises:
        UserError: the face detector is unknown, or its weights are nowhere.
    """
    if params.cropped:
        return ""
    names = face_detector_entry(params.face_detector)[2]
    for name in names:
        exported(name)
    return weights.fingerprint(*names, identity.WEIGHTS)


def detect_frames(
    frames: Iterator[Frame], view: View, detector: FaceDetector, params: FacesParams
) -> tuple[list[FrameFaces], list[Frame]]:
    """The faces of all frames, and every sixth of the frames, for trials with other views."""
    found, trial = [], []
    for number, frame in enumerate(frames):
        found.append(detect_frame(turned(frame, view.turns), view, detector, params))
        if number % TRIAL_STEP == 0:
            too_large = frame.width * frame.height > MAX_TRIAL_PIXELS
            trial.append(replace(frame, picture=RgbPicture(frame.shrunk(2 * view.long_side))) if too_large else frame)
    return found, trial


def detect_frame(frame: Frame, view: View, detector: FaceDetector, params: FacesParams) -> FrameFaces:
    """The faces of one frame, and crops of those that are followed."""
    small = frame.shrunk(view.long_side)
    if small.shape[:2] == (frame.height, frame.width):  # converted already
        frame = replace(frame, picture=RgbPicture(small))
    found = detector.detect(small, min_face_px=view.min_face_ratio * max(small.shape[:2]))
    found = rounded(found.mapped(np.array([frame.width / small.shape[1], frame.height / small.shape[0]], np.float32)))
    faces = found.take(np.argsort(-(found.scores * found.sides), kind="stable")[:MAX_FOLLOWED])
    squares = [crop_box(box, frame.width, frame.height, margin_ratio=params.margin) for box in faces.boxes]
    crops = [frame.resized(square, params.image_size, params.image_size) for square in squares]
    return FrameFaces(frame.index, frame.time_s, frame.width, frame.height, len(found), faces, squares, crops)


def rounded(found: Detections) -> Detections:
    """Coordinates to 1/4 px, scores to 1/1000."""

    def steps(values: Floats, per_unit: float) -> Floats:
        return np.asarray(np.round(values * per_unit) / per_unit, np.float32)

    boxes, keypoints = steps(found.boxes, COORDINATE_STEPS), steps(found.keypoints, COORDINATE_STEPS)
    return Detections(boxes, steps(found.scores, SCORE_STEPS), keypoints)


def better_view(
    view: View, found: list[FrameFaces], trial: list[Frame], detector: FaceDetector, params: FacesParams
) -> View:
    """Another way to look at a video that shows its face better than `found`, or the same view if there is none.

    Where faces are seen, they may need a turn. Where hardly any are, they may be smaller than was looked for, or turned
    in a way that the detector does not know: the trial frames tell.
    """
    with_face = [frame.crops[0] for frame in found if frame.crops]
    turns = quarter_turns(with_face)
    if turns or view.turns or len(with_face) > FEW_FACES * len(found):
        return replace(view, turns=(view.turns + turns) % 4)
    best, most = view, sum(map(shows_face, found[::TRIAL_STEP]))
    smaller = View(0, 2 * params.detect_long_side, params.min_face_ratio)
    for other in (smaller, *(replace(view, turns=turns) for turns in (1, 2, 3))):
        seen = (detect_frame(turned(frame, other.turns), other, detector, params) for frame in trial)
        count = sum(map(shows_face, seen))
        if count > most:
            best, most = other, count
    return best


def shows_face(found: FrameFaces) -> bool:
    """Whether the largest face is one, as dlib's face detector sees it too: the more ways to look, the more false faces
    there are.
    """
    return bool(found.crops) and is_upright(found.crops[0])


def main_face_rows(found: list[FrameFaces], turns: int, params: FacesParams) -> list[dict[str, Any]]:
    """Rows of the faces table (without video_id) for the frames in which the main face is seen."""
    looks = [[identity.looks(crop) for crop in frame.crops] for frame in found]

    @cache
    def described(place: Place) -> NDArray[np.float64]:
        frame, face = place
        left, top, right, _ = found[frame].squares[face]
        keypoints = (found[frame].faces.keypoints[face] - (left, top)) * (params.image_size / (right - left))
        return identity.describe(found[frame].crops[face], keypoints)

    chosen = choose_main_face(
        [frame.faces for frame in found],
        lambda a, b: identity.alike(looks[a[0]][a[1]], looks[b[0]][b[1]]),
        lambda a, b: identity.distance(described(a), described(b)),
    )
    return [_row(frame, face, turns, params) for frame, face in zip(found, chosen, strict=True) if face is not None]


def _row(found: FrameFaces, face: int, turns: int, params: FacesParams) -> dict[str, Any]:
    """Coordinates are those of the frame as it is displayed; the crop alone is turned."""

    def back(points: Any) -> NDArray[np.float64]:
        return turn_points(np.asarray(points, np.float64).reshape(-1, 2), -turns, found.width, found.height)

    def box_back(box: Any) -> list[float]:  # edges lie half a pixel before pixels' centres
        corners = back(np.asarray(box, np.float64) - 0.5) + 0.5
        return [*corners.min(0).tolist(), *corners.max(0).tolist()]

    return {
        "frame_index": found.index,
        "time_s": found.time_s,
        "box": box_back(found.faces.boxes[face]),
        "score": float(found.faces.scores[face]),
        "keypoints": back(found.faces.keypoints[face]).ravel().tolist(),
        "crop_box": box_back(found.squares[face]),
        "turn_deg": 90 * turns,
        **_stored(found.crops[face], params),
    }


def _stored(crop: Rgb, params: FacesParams) -> dict[str, Any]:
    image = encode(crop, kind=params.encoding.format, quality=params.encoding.quality)
    return {"image": image, "phash": phash(crop)}


def whole_frame(frame: Frame, params: FacesParams) -> dict[str, Any]:
    """A row for a frame that is a face crop already: its centred square, no detection.

    The longer sides are cut off evenly, so that the face is not stretched.
    """
    side = min(frame.width, frame.height)
    left, top = (frame.width - side) // 2, (frame.height - side) // 2
    square = (left, top, left + side, top + side)
    return {
        "frame_index": frame.index,
        "time_s": frame.time_s,
        "crop_box": [float(value) for value in square],
        "turn_deg": 0,
        **_stored(frame.resized(square, params.image_size, params.image_size), params),
    }


def _result(
    video: Video, params: FacesParams, decoded: Decoded, rows: list[dict[str, Any]], found: list[FrameFaces]
) -> Result:
    status, reason = decoded.status, decoded.reason
    if not rows:
        smallest = params.min_face_ratio * max((max(frame.width, frame.height) for frame in found), default=0)
        none = f"no face was found; faces under {smallest:.0f} px (faces.min_face_ratio) are not looked for"
        status, reason = "no_face", none if reason is None else f"{none}; {reason}"
    record = {
        "frames_asked": min(params.frames_per_video, decoded.frames),
        "frames_decoded": decoded.frames,
        "frames_with_face": len(rows),
        "faces_seen": len(rows) if params.cropped else sum(frame.seen for frame in found),
        "status": status,
        "reason": reason,
    }
    return Result(from_rows([{"video_id": video.video_id, **row} for row in rows], FACES), record)


def summarise(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all videos for the metrics; videos that could not be read count as nothing."""
    names = ("frames_asked", "frames_with_face", "faces_seen")
    listed = list(records)
    return {name: sum(record.get(name) or 0 for record in listed) for name in names}
