"""One video to its subject's crops: sample, find, follow, cut, encode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from dfdetect.config.params import FacesParams
from dfdetect.faces import identity
from dfdetect.faces.crop import crop_box, cut_square
from dfdetect.faces.detectors import Detections, Finder, FinderSettings, Floats, build_finder, finder_entry, iou
from dfdetect.faces.main_track import choose_subject, find_cuts, follow
from dfdetect.io import pretrained as weights
from dfdetect.io.schemas import FACES
from dfdetect.io.tables import from_rows
from dfdetect.media.frames import Box, Frame, Rgb, RgbPicture
from dfdetect.media.image import encode, phash
from dfdetect.media.video import Decoded, Limits, process_frames
from dfdetect.runtime.video_stage import Result, Video

# Faces of a frame that may be the subject, the largest and surest; the rest are only counted.
MAX_CANDIDATES = 4
# Coordinates are stored in steps of 1/4 px and scores of 1/1000: what processors round differently stays invisible.
COORDINATE_STEPS, SCORE_STEPS = 4.0, 1000.0
SAME_FACE_IOU = 0.3  # of two searches in one frame
THUMBNAIL = (80, 45)  # px, for finding cuts
# Of the frames that are held for one search: eight of 1080p.
MAX_PIXELS = 8 * 1920 * 1080


@dataclass(frozen=True)
class Candidates:
    """The faces of one sampled frame, with crops of those that may be the subject's; the frame itself is gone.

    Args:
        index, time_s: of the frame.
        seen: faces found in it.
        faces: in source px; the first ones have crops.
        squares: the crops' places (px).
        crops: RGB [shape=(S, S, 3) each].
        thumbnail: of the frame.
        shrunk: the frame as it was searched, if smaller faces were not looked for in it.
        factor: source px a px of the shrunk frame, in x and y.
    """

    index: int
    time_s: float | None
    seen: int
    faces: Detections
    squares: list[Box]
    crops: list[Rgb]
    thumbnail: Rgb
    shrunk: Rgb | None
    factor: Floats


def crop_video(video: Video, faces: pa.Table | None, params: FacesParams) -> Result:
    """The subject's face in the sampled frames of one video.

    Args:
        video: its file.
        faces: not used; faces is the first per-video stage.
        params: settings of the stage.
    Returns:
        rows of the faces table, and the video's line of the coverage ledger.
    Raises:
        MediaError: nothing decodes, or a limit is passed.
        UserError: the finder is unknown, or its weights are nowhere.
    """
    del faces
    limits = Limits(max_pixels=params.max_pixels, max_frames=params.max_frames)
    if params.cropped:
        rows, decoded = process_frames(
            video.path, params.frames_per_video, lambda frames: [whole_frame(f, params) for f in frames], limits=limits
        )
        return _result(video, params, decoded, rows, len(rows))
    finder = build_finder(params.face_detector, settings_of(params))
    candidates, decoded = process_frames(
        video.path, params.frames_per_video, lambda frames: list(search(frames, finder, params)), limits=limits
    )
    cuts = find_cuts([each.thumbnail for each in candidates])
    if len(follow([each.faces for each in candidates], cuts)) > 1:  # there may be more than one person
        candidates = look_closer(candidates, finder, params)
    rows = subject_rows(candidates, cuts, params)
    return _result(video, params, decoded, rows, sum(each.seen for each in candidates))


def settings_of(params: FacesParams) -> FinderSettings:
    """What the finder is built with."""
    return FinderSettings(params.score_threshold, params.min_face_ratio, params.nms_threshold, params.device)


def weights_of(params: FacesParams) -> str:
    """Hash of all weights that crops depend on; fetches what is missing.

    Raises:
        UserError: the finder is unknown, or its weights are nowhere.
    """
    if params.cropped:
        return ""
    return weights.fingerprint(*finder_entry(params.face_detector).weights, identity.WEIGHTS)


def search(frames: Iterator[Frame], finder: Finder, params: FacesParams) -> Iterator[Candidates]:
    """Find faces in batches of frames and cut every candidate out, so that the frames need not stay in memory."""
    for batch in batches(frames, finder.batch_size):
        small = [frame.shrunk(params.detect_long_side) for frame in batch]
        for frame, shrunk, found in zip(batch, small, finder.find(small), strict=True):
            if shrunk.shape[:2] == (frame.height, frame.width):  # converted already
                frame = Frame(frame.index, frame.time_s, RgbPicture(shrunk))
            yield _candidates(frame, shrunk, found, params)


def batches(frames: Iterable[Frame], most: int) -> Iterator[list[Frame]]:
    """Frames in lists of at most `most`, and of at most MAX_PIXELS in all unless one frame has more."""
    batch: list[Frame] = []
    pixels = 0
    for frame in frames:
        size = frame.width * frame.height
        if batch and (len(batch) == most or pixels + size > MAX_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(frame)
        pixels += size
    if batch:
        yield batch


def _candidates(frame: Frame, shrunk: Rgb, found: Detections, params: FacesParams) -> Candidates:
    factor = np.array([frame.width / shrunk.shape[1], frame.height / shrunk.shape[0]], np.float32)
    found = rounded(found.scaled(factor))
    sides = np.sqrt(np.prod(np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 0), axis=1))
    good = found.scores >= params.score_threshold
    order = np.argsort(-(found.scores * sides), kind="stable")
    kept = [int(index) for index in order if good[index]][:MAX_CANDIDATES]
    faces = found.take(np.array(kept, np.intp))
    squares = [crop_box(box, frame.width, frame.height, margin_ratio=params.margin) for box in faces.boxes]
    return Candidates(
        index=frame.index,
        time_s=frame.time_s,
        seen=int(good.sum()),
        faces=faces,
        squares=squares,
        crops=[cut_square(frame, square, params.image_size) for square in squares],
        thumbnail=np.asarray(cv2.resize(shrunk, THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8),
        shrunk=None if found.thorough else shrunk,
        factor=factor,
    )


def look_closer(candidates: list[Candidates], finder: Finder, params: FacesParams) -> list[Candidates]:
    """Add the smaller faces of the frames in which only large ones were looked for, without crops.

    They tell who was there beside the subject, and so is not the subject elsewhere.
    """
    hasty = [each for each in candidates if each.shrunk is not None]
    found = finder.find([each.shrunk for each in hasty if each.shrunk is not None], thorough=True)
    closer = {each.index: _with_others(each, more, params) for each, more in zip(hasty, found, strict=True)}
    return [closer.get(each.index, each) for each in candidates]


def _with_others(known: Candidates, found: Detections, params: FacesParams) -> Candidates:
    found = rounded(found.scaled(known.factor))
    new = [
        index
        for index in range(len(found))
        if found.scores[index] >= params.score_threshold
        and iou(found.boxes[index], known.faces.boxes).max(initial=0) < SAME_FACE_IOU
    ]
    others = found.take(np.array(new, np.intp))
    faces = Detections(
        np.concatenate([known.faces.boxes, others.boxes]),
        np.concatenate([known.faces.scores, others.scores]),
        np.concatenate([known.faces.keypoints, others.keypoints]),
    )
    return replace(known, faces=faces, seen=known.seen + len(others), shrunk=None)


def rounded(found: Detections) -> Detections:
    """Coordinates to 1/4 px, scores to 1/1000."""

    def steps(values: Floats, a_unit: float) -> Floats:
        return np.asarray(np.round(values * a_unit) / a_unit, np.float32)

    boxes, keypoints = steps(found.boxes, COORDINATE_STEPS), steps(found.keypoints, COORDINATE_STEPS)
    return Detections(boxes, steps(found.scores, SCORE_STEPS), keypoints, found.thorough)


def subject_rows(candidates: list[Candidates], cuts: list[bool], params: FacesParams) -> list[dict[str, Any]]:
    """Rows of the faces table (without video_id) for the frames in which the subject is seen."""

    @cache
    def describe(place: tuple[int, int]) -> np.ndarray[Any, Any]:
        frame, face = place
        square = np.array(candidates[frame].squares[face], np.float64)
        scale = params.image_size / (square[2] - square[0])
        keypoints = (candidates[frame].faces.keypoints[face] - square[:2]) * scale
        return identity.describe(candidates[frame].crops[face], keypoints)

    def distance(a: tuple[int, int], b: tuple[int, int]) -> float:
        cropped = all(face < len(candidates[frame].crops) for frame, face in (a, b))
        return identity.distance(describe(a), describe(b)) if cropped else math.inf

    chosen = choose_subject([each.faces for each in candidates], cuts, distance)
    pairs = [(each, face) for each, face in zip(candidates, chosen, strict=True) if face is not None]
    return [_row(each, face, params) for each, face in pairs if face < len(each.crops)]


def _row(found: Candidates, face: int, params: FacesParams) -> dict[str, Any]:
    return {
        "frame_index": found.index,
        "time_s": found.time_s,
        "box": found.faces.boxes[face].tolist(),
        "score": float(found.faces.scores[face]),
        "keypoints": found.faces.keypoints[face].ravel().tolist(),
        "crop_box": [float(value) for value in found.squares[face]],
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
        **_stored(cut_square(frame, square, params.image_size), params),
    }


def _result(video: Video, params: FacesParams, decoded: Decoded, rows: list[dict[str, Any]], seen: int) -> Result:
    status, reason = decoded.status, decoded.reason
    if not rows:
        none = "no face was found"
        status, reason = "no_face", none if reason is None else f"{none}; {reason}"
    record = {
        "frames_asked": min(params.frames_per_video, decoded.frames),
        "frames_decoded": decoded.frames,
        "frames_with_face": len(rows),
        "faces_seen": seen,
        "status": status,
        "reason": reason,
    }
    return Result(from_rows([{"video_id": video.video_id, **row} for row in rows], FACES), record)


def summarise(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all videos for the metrics; videos that could not be read count as nothing."""
    names = ("frames_asked", "frames_with_face", "faces_seen")
    listed = list(records)
    return {name: sum(record.get(name) or 0 for record in listed) for name in names}
