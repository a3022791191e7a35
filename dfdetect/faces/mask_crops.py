"""One video's face crops as rows of the masks table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.config.params import MasksParams
from dfdetect.errors import MediaError
from dfdetect.faces.attention_mask import attention_mask, encode_mask
from dfdetect.faces.landmarks import Face, Landmarker, load_landmarker
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
        One row a crop. A row's status is `ok`; `mismatch`: the landmarks are not where the detector saw eyes, nose and
        mouth (a full profile, for instance); `no_face`: no keypoints came with the crop, and dlib's own detector sees
        no face. The mask is then all ones and there are no landmarks. The video's status is ok if any row's is.
    Raises:
        MediaError: there are no crops, or one does not decode.
    """
    if faces is None or not faces.num_rows:
        raise MediaError("no face crop", "no_face")
    landmarker = load_landmarker(locate(params.landmarks))
    rows = []
    for crop in faces.select(["frame_index", "keypoints", "crop_box", "image"]).to_pylist():
        try:
            grey = decode_grey(crop["image"])
        except ValueError as error:
            raise MediaError(f"crop of frame {crop['frame_index']}: {error}", "damaged_crop") from None
        keypoints = crop_keypoints(crop["keypoints"], crop["crop_box"], grey.shape[1])
        face, status = find_landmarks(grey, keypoints, landmarker, params)
        rows.append(
            {"video_id": video.video_id, "frame_index": crop["frame_index"], **mask_row(grey, face, params, status)}
        )
    counts = Counter(row["status"] for row in rows)
    good = counts["ok"] > 0
    reason = None if good else "no crop has landmarks: " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))
    record = {"status": "ok" if good else "no_landmarks", "reason": reason, "crops": dict(sorted(counts.items()))}
    return Result(from_rows(rows, MASKS), record)


def crop_keypoints(keypoints: list[float] | None, crop_box: list[float] | None, image_size: int) -> np.ndarray | None:
    """A detector's five points in pixels of the crop.

    Args:
        keypoints: x, y of left eye, right eye, nose, mouth corners in source px [length 10]; None if nobody looked.
        crop_box: x0, y0, x1, y1 of the crop in source px; None: the crop is the source.
        image_size: width of the crop (px).
    Returns:
        [float64, shape=(5, 2)], or None.
    """
    if keypoints is None:
        return None
    points = np.asarray(keypoints, dtype=np.float64).reshape(5, 2)
    if crop_box is None:
        return points
    x0, y0, x1, _ = crop_box
    scale = image_size / (x1 - x0)
    return (points - (x0, y0)) * scale - 0.5 + 0.5 * scale  # pixels are counted from their centres


def find_landmarks(
    grey: np.ndarray, keypoints: np.ndarray | None, landmarker: Landmarker, params: MasksParams
) -> tuple[Face | None, str]:
    """The landmarks of one crop, or why there are none.

    Args:
        grey: the crop [uint8, shape=(H, W)].
        keypoints: five points in pixels of the crop [shape=(5, 2)]; None lets dlib's own detector look for a face.
        landmarker: the loaded model.
        params: passes and the largest disagreement with the keypoints.
    """
    if keypoints is None:
        found = landmarker.detect(grey, passes=params.max_iterations)
        return (found[0], "ok") if found else (None, NO_FACE)
    face = landmarker.from_keypoints(grey, keypoints, passes=params.max_iterations)
    if face is None:
        return None, NO_FACE
    error = float(np.linalg.norm(face.five - keypoints, axis=1).mean()) / max(face.eye_distance_px, 1.0)
    return (face, "ok") if error <= params.max_keypoint_error else (None, MISMATCH)


def mask_row(grey: np.ndarray, face: Face | None, params: MasksParams, status: str) -> dict[str, Any]:
    """What the masks table says of one crop, video_id and frame_index apart."""
    if face is not None:
        mask = attention_mask(face, *grey.shape, blur_ratio=params.blur_ratio)
        if not mask.any():
            face, status = None, MISMATCH
    if face is None:
        mask = np.ones(grey.shape, np.float32)
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
