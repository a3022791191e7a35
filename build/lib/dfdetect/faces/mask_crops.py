"""One video's face crops as rows of the masks table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.config.params import MasksParams
from dfdetect.errors import MediaError
from dfdetect.faces.attention_mask import attention_mask, encode_mask
from dfdetect.faces.landmarks import Face, Landmarker, load_landmarker, turn_points
from dfdetect.io.pretrained import fingerprint, locate
from dfdetect.io.schemas import MASKS
from dfdetect.io.tables import from_rows
from dfdetect.media.image import decode_grey
from dfdetect.runtime.video_stage import Result, Video

NO_FACE, MISMATCH = "no_face", "mismatch"


def mask_video(video: Video, faces: pa.Table | None, params: MasksParams) -> Result:
    """Landmarks and attention masks of all face crops of one video.

    Args:
        video: whose crops they are.
        faces: its rows of the faces table.
        params: landmark model, passes, blur, limits.
    Returns:
        One row for each crop. Its status is `ok`; `mismatch`: the landmarks are not where the face detector saw eyes,
        nose and mouth (a full profile, for instance); `no_face`: no keypoints came with the crop, and dlib's own face
        detector sees no face. The mask is then all ones and there are no landmarks. The video's status is ok if any
        row's is.
    Raises:
        MediaError: there are no crops, or one does not decode.
    """
    if faces is None or not faces.num_rows:
        raise MediaError("no face crop", "no_face")
    landmarker = load_landmarker(locate(params.landmarks))
    rows = []
    for crop in faces.select(["frame_index", "keypoints", "crop_box", "turn_deg", "image"]).to_pylist():
        try:
            grey = decode_grey(crop["image"])
        except ValueError as error:
            raise MediaError(f"crop of frame {crop['frame_index']}: {error}", "damaged_crop") from None
        keypoints = None
        if crop["keypoints"] is not None:
            keypoints = crop_keypoints(crop["keypoints"], crop["crop_box"], crop["turn_deg"] or 0, grey.shape[1])
        rows.append(
            {
                "video_id": video.video_id,
                "frame_index": crop["frame_index"],
                **mask_row(grey, *find_landmarks(grey, keypoints, landmarker, params), params),
            }
        )
    counts = Counter(row["status"] for row in rows)
    good = counts["ok"] > 0
    reason = None if good else "no crop has landmarks: " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))
    record = {"status": "ok" if good else "no_landmarks", "reason": reason, "crops": dict(sorted(counts.items()))}
    return Result(from_rows(rows, MASKS), record)


def crop_keypoints(keypoints: list[float], crop_box: list[float] | None, turn_deg: int, image_size: int) -> np.ndarray:
    """A face detector's five points in pixels of the crop.

    Args:
        keypoints: x, y of left eye, right eye, nose, mouth corners in source px [length 10].
        crop_box: x0, y0, x1, y1 of the crop in source px; None: the crop is the source.
        turn_deg: how the crop was turned after it was cut, clockwise.
        image_size: width of the crop (px).
    Returns:
        [float64, shape=(5, 2)].
    """
    points = np.asarray(keypoints, dtype=np.float64).reshape(5, 2)
    if crop_box is not None:
        scale = image_size / (crop_box[2] - crop_box[0])
        points = (points - crop_box[:2]) * scale - 0.5 + 0.5 * scale  # pixels are counted from their centres
    return turn_points(points, turn_deg // 90, image_size, image_size)


def find_landmarks(
    grey: np.ndarray, keypoints: np.ndarray | None, landmarker: Landmarker, params: MasksParams
) -> tuple[Face | None, str]:
    """The landmarks of one crop, or why there are none.

    Args:
        grey: the crop [uint8, shape=(H, W)].
        keypoints: five points in pixels of the crop [shape=(5, 2)]; None lets dlib's own face detector look for a face.
    """
    if keypoints is None:
        found = landmarker.detect(grey, passes=params.max_iterations)
        return (found[0], "ok") if found else (None, NO_FACE)
    face = landmarker.from_keypoints(grey, keypoints, passes=params.max_iterations)
    if face is None:
        return None, NO_FACE
    error = float(np.linalg.norm(face.five - keypoints, axis=1).mean()) / max(face.eye_distance_px, 1.0)
    return (face, "ok") if error <= params.max_keypoint_error else (None, MISMATCH)


def mask_row(grey: np.ndarray, face: Face | None, status: str, params: MasksParams) -> dict[str, Any]:
    """What the masks table says of one crop, video_id and frame_index apart."""
    mask = np.ones(grey.shape, np.float32)
    if face is not None:
        mask = attention_mask(face.points, *grey.shape, blur_ratio=params.blur_ratio)
        if not mask.any():
            face, status, mask = None, MISMATCH, np.ones(grey.shape, np.float32)
    return {
        "landmarks": None if face is None else face.points.astype(np.float32).ravel(),
        "eye_angle_deg": None if face is None else face.eye_angle_deg,
        "mask": encode_mask(mask, compression=params.png_compression),
        "status": status,
    }


def weights_of(params: MasksParams) -> str:
    """A hash of the landmark model."""
    return fingerprint(params.landmarks)


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures for the metrics: crops by status."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.get("crops") or {})
    return {"crops": dict(sorted(total.items()))}
