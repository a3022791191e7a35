"""Attention masks: bright over the organs, lit over the face, dark outside; they follow the face wherever it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.config.params import MasksParams
from dfdetect.errors import MediaError
from dfdetect.faces.attention_mask import attention_mask, encode_mask
from dfdetect.faces.landmarks import LEFT_EYE, MOUTH, NOSE, RIGHT_EYE, Face, apply_affine, read_mean_shape
from dfdetect.faces.mask_crops import crop_keypoints, mask_video, summarise, weights_of
from dfdetect.io.pretrained import locate
from dfdetect.io.schemas import FACES, MASKS
from dfdetect.io.tables import from_rows
from dfdetect.media.image import decode_grey, encode
from dfdetect.runtime.video_stage import Video
from tests.drawn_faces import drawn_face

PARAMS = MasksParams()
VIDEO = Video("v", Path("v.mp4"), "x", None, None)
BLUR = 2.6 / 317  # the source's blur: a kernel of 15 px, of which OpenCV makes a deviation of 2.6 px


def placed_face(*, side: float = 180.0, tilt_deg: float = 0.0, x: float = 70.0, y: float = 60.0) -> Face:
    """dlib's mean shape in a box of `side` pixels, turned about the box's corner."""
    cos, sin = side * np.cos(np.radians(tilt_deg)), side * np.sin(np.radians(tilt_deg))
    placement = np.array([[cos, -sin, x], [sin, cos, y]])
    return Face(apply_affine(placement, read_mean_shape(locate("dlib-68"))), placement)


def at(mask: np.ndarray, point: np.ndarray) -> float:
    return float(mask[round(point[1]), round(point[0])])


def faces_table(rows: list[dict[str, object]]) -> pa.Table:
    return from_rows([{"video_id": "v", "time_s": 0.0, **row} for row in rows], FACES)


def face_row(index: int, seed: int, *, tilt_deg: float = 0.0, source_scale: float = 2.0) -> dict[str, object]:
    """A drawn face as a crop of a frame `source_scale` times as fine, at (100, 40) in that frame."""
    face = drawn_face(seed, size=317, tilt_deg=tilt_deg)
    keypoints = np.array([100.0, 40.0]) + source_scale * (face.keypoints + 0.5)
    side = 317 * source_scale
    return {
        "frame_index": index,
        "keypoints": keypoints.ravel().tolist(),
        "crop_box": [100.0, 40.0, 100.0 + side, 40.0 + side],
        "image": encode(face.image, quality=95),
    }


@settings(max_examples=25, deadline=None)
@given(
    side=st.floats(80, 200),
    tilt_deg=st.floats(-40, 40),
    x=st.floats(40, 120),
    y=st.floats(20, 100),
    blur=st.sampled_from([0.0, 0.0041, 0.0082]),
)
def test_mask_is_normalised_and_brighter_over_organs(
    side: float, tilt_deg: float, x: float, y: float, blur: float
) -> None:
    face = placed_face(side=side, tilt_deg=tilt_deg, x=x, y=y)
    mask = attention_mask(face.points, 317, 317, blur_ratio=blur)
    assert mask.dtype == np.float32
    assert mask.shape == (317, 317)
    assert mask.min() >= 0
    assert mask.max() == 1
    cheek = 0.5 * (face.points[2] + face.points[31])
    organs = [face.points[organ].mean(0) for organ in (LEFT_EYE, RIGHT_EYE, NOSE, MOUTH)]
    if all((p >= 0).all() and (p < 316).all() for p in [cheek, *organs]):
        assert 0.4 < at(mask, cheek) < 0.65
        assert min(at(mask, organ) for organ in organs) > at(mask, cheek) + 0.12


def test_nothing_outside_of_the_hull() -> None:
    face = placed_face()
    mask = attention_mask(face.points, 317, 317, blur_ratio=BLUR)
    hull = cv2.convexHull(face.points.astype(np.float32))
    distance = np.array(
        [[cv2.pointPolygonTest(hull, (x, y), True) for x in range(0, 317, 6)] for y in range(0, 317, 6)]
    )
    sampled = mask[::6, ::6]
    sigma_px = BLUR * 317
    assert sampled[distance < -3 * sigma_px].max() < 0.01
    assert sampled[distance > 3 * sigma_px].min() > 0.4
    edge = sampled[np.abs(distance) < 1.5]
    assert len(edge)
    assert 0.1 < edge.min() <= edge.max() < 0.45


def test_without_blur_there_are_three_levels() -> None:
    mask = attention_mask(placed_face().points, 317, 317, blur_ratio=0.0)
    assert np.unique(mask).tolist() == [0.0, 0.5, 1.0]


def test_mask_turns_with_the_face() -> None:
    """The source levels the face and then draws; drawing at the face's own angle gives the same mask turned back."""
    tilted = attention_mask(placed_face(side=150, tilt_deg=25, x=120, y=60).points, 317, 317, blur_ratio=BLUR)
    level = attention_mask(placed_face(side=150, x=120, y=60).points, 317, 317, blur_ratio=BLUR)
    turn = cv2.getRotationMatrix2D((120, 60), -25, 1.0)
    turned = cv2.warpAffine(level, turn, (317, 317), flags=cv2.INTER_LINEAR)
    assert np.abs(turned - tilted).mean() < 0.003
    assert np.abs(turned - tilted).max() < 0.1


def test_a_face_outside_of_the_crop_gives_nothing() -> None:
    assert not attention_mask(placed_face(x=2000).points, 317, 317, blur_ratio=BLUR).any()


@pytest.mark.parametrize("compression", [0, 1, 6])
def test_encoded_mask_keeps_its_pixels_and_is_small(compression: int) -> None:
    mask = attention_mask(placed_face().points, 317, 317, blur_ratio=BLUR)
    data = encode_mask(mask, compression=compression)
    assert np.array_equal(decode_grey(data), np.round(mask * 255).astype(np.uint8))
    if compression:
        assert len(data) < 12_000


def test_a_videos_crops_become_rows() -> None:
    table = faces_table([face_row(3, 0, tilt_deg=12.0), face_row(9, 1, tilt_deg=-20.0)])
    result = mask_video(VIDEO, table, PARAMS)
    assert result.record == {"status": "ok", "reason": None, "crops": {"ok": 2}}
    assert result.table.schema.equals(MASKS)
    rows = result.table.to_pylist()
    assert [row["frame_index"] for row in rows] == [3, 9]
    for row, seed, tilt_deg in zip(rows, (0, 1), (12.0, -20.0), strict=True):
        face = drawn_face(seed, size=317, tilt_deg=tilt_deg)
        points = np.array(row["landmarks"]).reshape(68, 2)
        eyes = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
        assert np.linalg.norm(eyes - face.eyes, axis=1).max() / face.eye_distance < 0.08
        assert row["eye_angle_deg"] == pytest.approx(tilt_deg, abs=4)
        mask = decode_grey(row["mask"])
        assert mask.shape == (317, 317)
        assert mask.max() == 255
        assert min(at(mask, eye) for eye in face.eyes) > 150
        assert mask[:20].max() == 0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_crop_that_was_turned_gets_the_mask_of_the_upright_one(turns: int) -> None:
    """Its keypoints and place are those in the frame, which lies."""
    row = face_row(0, 4, tilt_deg=8.0)
    left, top, right, bottom = np.array(row["crop_box"], float)
    middle = 0.5 * np.array([left + right - 1, top + bottom - 1])
    points = np.array(row["keypoints"]).reshape(5, 2) - middle
    for _ in range(turns):  # the frame is turned counterclockwise about the crop's middle, the crop clockwise again
        points = np.stack([points[:, 1], -points[:, 0]], axis=1)
    points += middle
    lying = {**row, "frame_index": 1, "keypoints": points.ravel().tolist(), "turn_deg": 90 * turns}
    upright, turned = mask_video(VIDEO, faces_table([row, lying]), PARAMS).table.to_pylist()
    assert turned["status"] == upright["status"] == "ok"
    assert np.abs(np.array(turned["landmarks"]) - upright["landmarks"]).max() < 0.05


def test_mirrored_faces_get_mirrored_masks() -> None:
    face = drawn_face(4, size=317)
    mirrored = face.keypoints[[1, 0, 2, 4, 3]] * np.array([-1.0, 1.0]) + np.array([316.0, 0.0])
    rows = [
        {"frame_index": i, "keypoints": points.ravel().tolist(), "crop_box": None, "image": encode(image, kind="png")}
        for i, (points, image) in enumerate([(face.keypoints, face.image), (mirrored, face.image[:, ::-1].copy())])
    ]
    plain, flipped = (
        decode_grey(m).astype(float) for m in mask_video(VIDEO, faces_table(rows), PARAMS).table["mask"].to_pylist()
    )
    assert np.abs(plain[:, ::-1] - flipped).mean() < 4
    assert np.corrcoef(plain[:, ::-1].ravel(), flipped.ravel())[0, 1] > 0.985


def test_crops_without_keypoints_are_searched_by_dlib() -> None:
    face = drawn_face(1, size=317)
    blank = np.full((317, 317, 3), 120, np.uint8)
    rows = [{"frame_index": i, "image": encode(image)} for i, image in enumerate([face.image, blank])]
    result = mask_video(VIDEO, faces_table(rows), PARAMS)
    assert result.record == {"status": "ok", "reason": None, "crops": {"no_face": 1, "ok": 1}}
    first, second = result.table.to_pylist()
    points = np.array(first["landmarks"]).reshape(68, 2)
    assert np.linalg.norm(points[36:42].mean(0) - face.eyes[0]) / face.eye_distance < 0.08
    assert (second["status"], second["landmarks"], second["eye_angle_deg"]) == ("no_face", None, None)
    assert decode_grey(second["mask"]).min() == 255


def test_landmarks_that_disagree_with_the_detector_are_not_believed() -> None:
    row = face_row(0, 2)
    points = np.array(row["keypoints"]).reshape(5, 2)
    points[2] += 200.0  # a nose beside the face
    result = mask_video(VIDEO, faces_table([{**row, "keypoints": points.ravel().tolist()}]), PARAMS)
    assert result.record["status"] == "no_landmarks"
    assert "mismatch" in result.record["reason"]
    (only,) = result.table.to_pylist()
    assert (only["status"], only["landmarks"]) == ("mismatch", None)
    assert decode_grey(only["mask"]).min() == 255


def test_a_damaged_crop_is_named() -> None:
    with pytest.raises(MediaError, match="frame 7"):
        mask_video(VIDEO, faces_table([{**face_row(7, 0), "image": b"no image"}]), PARAMS)
    with pytest.raises(MediaError, match="no face crop"):
        mask_video(VIDEO, FACES.empty_table(), PARAMS)


def test_the_same_crops_give_the_same_bytes() -> None:
    table = faces_table([face_row(0, 5), face_row(1, 6, tilt_deg=5.0)])
    assert mask_video(VIDEO, table, PARAMS).table.equals(mask_video(VIDEO, table, PARAMS).table)


def test_keypoints_go_from_source_to_crop_pixels() -> None:
    source = [10.0, 20.0, 60.0, 20.0, 35.0, 45.0, 15.0, 70.0, 55.0, 70.0]
    box = [10.0, 20.0, 110.0, 120.0]
    assert crop_keypoints(source, None, 0, 50).tolist()[0] == [10.0, 20.0]
    points = crop_keypoints(source, box, 0, 50)
    assert points[1] - points[0] == pytest.approx([25.0, 0.0])
    assert points[0] == pytest.approx([-0.25, -0.25])  # the corner pixel's centre, at half the size


def test_metrics_and_weights() -> None:
    records = [
        {"status": "ok", "crops": {"ok": 2, "no_face": 1}},
        {"status": "ok", "crops": {"ok": 3}},
        {"status": "skipped"},
    ]
    assert summarise(records) == {"crops": {"no_face": 1, "ok": 5}}
    assert len(weights_of(PARAMS)) == 64
