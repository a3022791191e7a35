"""Level crops of the main face's mouth, of steady scale, at even times over the clip."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from dfdetect.config.params import MouthsParams
from dfdetect.errors import MediaError
from dfdetect.faces.landmarks import (
    DETECTOR_POINTS,
    EYE_DISTANCE,
    MOUTH,
    Face,
    Landmarker,
    apply_affine,
    fit_similarity,
    load_landmarker,
    shifted,
)
from dfdetect.faces.mouth_track import Guess, Track, place_of
from dfdetect.io.pretrained import fingerprint, locate
from dfdetect.io.schemas import MOUTHS
from dfdetect.io.tables import from_rows
from dfdetect.media.frames import Frame
from dfdetect.media.image import encode
from dfdetect.media.video import frames_at_times, sample_frames
from dfdetect.runtime.video_stage import Result, Video

GOOD = frozenset({"ok", "too_short"})  # a picture is a video of one frame, and no failure
# The landmarks start from a place between sightings, which may be off by more than a detector's own.
_PASSES = 3
# Of the predictor's box, how much around it is cut from the frame: for the landmarks, and to look for a lost face.
_AROUND, _FAR_AROUND = 0.6, 1.2
# Landmarks that nobody confirms may be this far off the five points, in eye distances.
_MAX_ERROR = 0.35


def crop_mouths(video: Video, faces: pa.Table | None, params: MouthsParams) -> Result:
    """Crop the main face's mouth at the times of `sample_times`.

    In each frame the face is looked for where the track says: dlib's landmarks from the track's five points, confirmed
    by dlib's own face detector; if it does not, the neighbouring sightings' places and the surroundings are tried. An
    unconfirmed face (a turned head) counts where the track is steady and the landmarks agree with it. Otherwise the
    time gets no row: a crop of something else would be worse.

    Args:
        video: the file, and its duration if the probe knows it.
        faces: its rows of the faces table.
        params: times, size, scale.
    Returns:
        Up to parts x frames_per_part rows of the mouths table in the order of time. Status `ok`; `too_short`: fewer
        than two frames decode; `no_mouth`: the face was found at none of the times.
    Raises:
        MediaError: the faces stage saw nobody, or the video does not decode.
    """
    if faces is None or not faces.num_rows:
        raise MediaError("the faces stage found no face", "no_face")
    landmarker = load_landmarker(locate(params.landmarks))
    track = Track.from_faces(faces)
    frames = evenly_timed_frames(video, params.parts, params.frames_per_part)
    if len({frame.index for frame in frames}) < 2:
        return Result(
            MOUTHS.empty_table(), {"status": "too_short", "reason": "fewer than two frames decode", "crops": 0}
        )
    seen: list[tuple[Frame, Face]] = []
    for frame in frames:
        face = find_face(frame, track.at(place_of(frame.index, frame.time_s)) if len(track) else None, landmarker)
        if face is not None:
            seen.append((frame, face))
    scales = smooth_scales([face.scale_px for _, face in seen], params.median_window)
    rows = []
    for (frame, face), scale_px in zip(seen, scales, strict=True):
        crop = cut_mouth(frame, face, scale_px, params)
        image = encode(crop, kind=params.encoding.format, quality=params.encoding.quality)
        row = {"video_id": video.video_id, "frame_index": frame.index, "time_s": frame.time_s, "image": image}
        rows.append(row)
    reason = None if rows else f"the face was found at none of {len(frames)} times"
    record = {"status": "ok" if rows else "no_mouth", "reason": reason, "crops": len(rows), "asked": len(frames)}
    return Result(from_rows(rows, MOUTHS), record)


def sample_times(duration_s: float, parts: int, frames_per_part: int) -> list[float]:
    """The clip in `parts` equal parts, each in `frames_per_part` equal pieces: the middle of every piece.

    Args:
        duration_s: of the clip (s), >= 0.
        parts: 8 in the source: as many as there are stretches of sound.
        frames_per_part: 2 in the source: frame 2k lies at 1/4 of part k and frame 2k + 1 at 3/4.
    Returns:
        s since the first frame, ascending [length parts * frames_per_part].
    """
    count = parts * frames_per_part
    return [(number + 0.5) / count * duration_s for number in range(count)]


def evenly_timed_frames(video: Video, parts: int, frames_per_part: int) -> list[Frame]:
    """The frames nearest to `sample_times` of what really decodes, in one pass from the start.

    The duration that the probe knows is tried first; where the last frame shows it to be wrong by more than a frame, a
    second pass takes the true one. Frames without times (a folder of them) are taken to be evenly spaced.

    Raises:
        MediaError: nothing decodes.
    """
    duration_s = video.duration_s if video.duration_s and math.isfinite(video.duration_s) else 0.0
    for _ in range(2):
        times_s = sample_times(max(duration_s, 0.0), parts, frames_per_part)
        try:
            *frames, last = frames_at_times(video.path, [*times_s, math.inf]).frames
        except MediaError as error:
            if error.status != "no_times":
                raise
            return sample_frames(video.path, len(times_s)).frames
        true_s = (last.time_s or 0.0) * (last.index + 1) / max(last.index, 1)  # the last frame lasts as long as others
        if abs(true_s - duration_s) <= true_s / (last.index + 1):
            break
        duration_s = true_s
    return frames


def find_face(frame: Frame, guess: Guess | None, landmarker: Landmarker) -> Face | None:
    """The main face in one frame, in pixels of the frame; None if it cannot be told.

    Args:
        frame: one frame of the video.
        guess: where the track says; None (nobody looked: cropped pictures) takes the largest face that dlib sees.
        landmarker: the loaded model.
    """
    if guess is None:
        found = landmarker.detect(_grey(frame.rgb), passes=_PASSES)
        return found[0] if found else None
    placements = [fit_similarity(DETECTOR_POINTS, keypoints) for keypoints in guess.candidates]
    unconfirmed: Face | None = None
    for number, placement in enumerate(placements):
        cut = _cut_grey(frame, placement, _AROUND)
        if cut is None:
            continue
        grey, corner = cut
        face = landmarker.from_placement(grey, shifted(placement, -corner), passes=_PASSES)
        if landmarker.confirms(grey, face):
            return face.shifted(corner)
        if number == 0:
            unconfirmed = face.shifted(corner)
    if guess.steady and unconfirmed is not None:
        error = np.linalg.norm(unconfirmed.five - guess.candidates[0], axis=1).mean()
        if error <= _MAX_ERROR * max(unconfirmed.eye_distance_px, 1.0):
            return unconfirmed
    cut = _cut_grey(frame, placements[0], _FAR_AROUND)
    if cut is None:
        return None
    grey, corner = cut
    lost = landmarker.search(grey, shifted(placements[0], -corner), around=_FAR_AROUND, passes=_PASSES)
    return None if lost is None else lost.shifted(corner)


def cut_mouth(frame: Frame, face: Face, scale_px: float, params: MouthsParams) -> np.ndarray:
    """A square around the middle of the mouth, level with the face.

    Args:
        frame: one frame.
        face: its landmarks in pixels of the frame.
        scale_px: the face's size (Face.scale_px, smoothed), so that the crop does not breathe with the landmarks.
        params: side in eye distances, and pixels.
    Returns:
        RGB uint8 [shape=(image_size, image_size, 3)]; what lies outside of the frame repeats its border.
    """
    side_px = params.width_ratio * EYE_DISTANCE * scale_px
    step = side_px / params.image_size
    finer = max(1, math.ceil(step))  # shrinking averages, so sample a finer grid first
    cos, sin = face.placement[0, 0] / face.scale_px, face.placement[1, 0] / face.scale_px
    turn = np.array([[cos, -sin], [sin, cos]]) * (step / finer)
    size = params.image_size * finer
    to_frame = np.hstack([turn, (face.points[MOUTH].mean(0) - turn @ np.full(2, (size - 1) / 2))[:, None]])
    corners = apply_affine(to_frame, np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64))
    box = _clipped(corners.min(0) - 2, corners.max(0) + 2, frame)
    if box is None:  # the mouth has left the picture: its nearest border
        x, y = np.clip(face.points[MOUTH].mean(0).astype(int), 0, (frame.width - 1, frame.height - 1)).tolist()
        box = (x, y, x + 1, y + 1)
    patch = frame.patch(box)
    to_patch = shifted(to_frame, -np.array(box[:2], dtype=np.float64))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop: np.ndarray = cv2.warpAffine(patch, to_patch, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if finer > 1:
        crop = cv2.resize(crop, (params.image_size, params.image_size), interpolation=cv2.INTER_AREA)
    return crop


def smooth_scales(scales: list[float], window: int) -> list[float]:
    """The median of each scale and those around it that are alike: cuts and zooms stay, the landmarks tremble no more.

    Args:
        scales: > 0.
        window: how many neighbours count, itself included (odd); fewer at the ends.
    """
    half = window // 2
    near = [scales[max(0, i - half) : i + half + 1] for i in range(len(scales))]
    alike = [[v for v in values if 0.8 <= v / own <= 1.25] for own, values in zip(scales, near, strict=True)]
    return [float(np.median(values)) for values in alike]


def _cut_grey(frame: Frame, placement: np.ndarray, around: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The predictor's box with `around` of its side about it, as grey, and its corner in the frame (x, y)."""
    low, high = -around, 1.0 + around
    square = apply_affine(placement, np.array([[low, low], [high, low], [low, high], [high, high]]))
    box = _clipped(square.min(0), square.max(0), frame)
    if box is None:
        return None
    return _grey(frame.patch(box)), np.array(box[:2], dtype=np.float64)


def _clipped(low: np.ndarray, high: np.ndarray, frame: Frame) -> tuple[int, int, int, int] | None:
    """Whole pixels inside the frame; None if fewer than two by two are left."""
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    x0, y0 = np.clip(np.floor(low), 0, (frame.width, frame.height)).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(high), 0, (frame.width, frame.height)).astype(int).tolist()
    return (x0, y0, x1, y1) if x1 - x0 >= 2 and y1 - y0 >= 2 else None


def _grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def weights_of(params: MouthsParams) -> str:
    """A hash of the landmark model."""
    return fingerprint(params.landmarks)


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures for the metrics: times asked for, and those without a crop."""
    asked = sum(record.get("asked", 0) for record in records)
    crops = sum(record.get("crops", 0) for record in records)
    return {"crops": crops, "times_without_crop": asked - crops if asked else 0}
