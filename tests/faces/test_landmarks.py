"""Landmarks: the predictor finds the features from a detector's five points, however the face is tilted or placed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.faces.landmarks import (
    DETECTOR_POINTS,
    EYE_DISTANCE,
    Landmarker,
    apply_affine,
    canonical_picture,
    fit_similarity,
    five_points,
    load_landmarker,
    read_mean_shape,
)
from dfdetect.io.pretrained import locate
from tests.drawn_faces import DrawnFace, drawn_face

MEDIA = Path(__file__).parents[3] / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")

# Annotated by hand in faces/multiface.jpg: centres of the left and right eye's opening, left and right mouth corner.
ANNOTATED = np.array(
    [
        [(580.5, 87.5), (614.0, 90.5), (574.0, 125.0), (613.0, 128.0)],
        [(246.0, 294.0), (282.0, 285.5), (253.5, 328.0), (290.5, 318.0)],
        [(638.5, 237.5), (675.5, 238.0), (639.0, 268.0), (675.5, 270.0)],
        [(740.5, 509.5), (777.0, 507.0), (743.0, 543.0), (780.0, 541.5)],
        [(878.0, 486.5), (918.0, 486.5), (881.0, 528.0), (919.0, 528.0)],
    ]
)


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return load_landmarker(locate("dlib-68"))


def as_detected(face: DrawnFace, seed: int, error: float = 0.06) -> np.ndarray:
    """The five points with a detector's error, a fraction of the distance between the eyes."""
    return face.keypoints + np.random.default_rng(seed).normal(0, error * face.eye_distance, (5, 2))


@pytest.mark.parametrize("tilt_deg", [-50.0, -20.0, 0.0, 20.0, 50.0])
def test_features_are_found_on_drawn_faces(landmarker: Landmarker, tilt_deg: float) -> None:
    errors, angles = [], []
    for seed in range(6):
        face = drawn_face(seed, tilt_deg=tilt_deg)
        found = landmarker.from_keypoints(face.grey, as_detected(face, seed), passes=2)
        assert found is not None
        truth = np.vstack([face.eyes, face.mouth])
        errors.append(np.linalg.norm(found.five[[0, 1, 3, 4]] - truth, axis=1).mean() / face.eye_distance)
        angles.append(found.eye_angle_deg - tilt_deg)
    assert np.mean(errors) < 0.05
    assert max(errors) < 0.08
    assert np.abs(angles).max() < 4


@needs_media
def test_features_are_found_on_annotated_photographs(landmarker: Landmarker) -> None:
    grey = cv2.imread(str(MEDIA / "faces" / "multiface.jpg"), cv2.IMREAD_GRAYSCALE)
    errors = []
    for seed, points in enumerate(ANNOTATED):
        eyes = np.linalg.norm(points[1] - points[0])
        nose = 0.45 * points[:2].mean(0) + 0.55 * points[2:].mean(0)
        detected = np.vstack([points[:2], nose, points[2:]])
        detected = detected + np.random.default_rng(seed).normal(0, 0.06 * eyes, (5, 2))
        found = landmarker.from_keypoints(grey, detected, passes=2)
        assert found is not None
        assert landmarker.confirms(grey, found)
        errors.append(np.linalg.norm(found.five[[0, 1, 3, 4]] - points, axis=1).mean() / eyes)
    assert np.mean(errors) < 0.05
    assert max(errors) < 0.07


@needs_media
def test_photographs_agree_with_dlibs_own_detector(landmarker: Landmarker) -> None:
    """Where dlib's box fires, its predictor from that box is the reference for all 68 points."""
    import dlib

    detect, predict = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(locate("dlib-68")))
    grey = cv2.imread(str(MEDIA / "faces" / "multiface.jpg"), cv2.IMREAD_GRAYSCALE)
    boxes = detect(grey, 0)
    assert len(boxes) >= 5
    for seed, box in enumerate(boxes):
        reference = np.array([(p.x, p.y) for p in predict(grey, box).parts()], float)
        five = five_points(reference)
        eyes = np.linalg.norm(five[1] - five[0])
        detected = five + np.random.default_rng(seed).normal(0, 0.06 * eyes, (5, 2))
        found = landmarker.from_keypoints(grey, detected, passes=2)
        assert found is not None
        assert np.linalg.norm(found.points - reference, axis=1).mean() / eyes < 0.06


def test_a_large_face_gives_the_small_ones_landmarks(landmarker: Landmarker) -> None:
    for seed in range(8):
        face = drawn_face(seed, size=300)
        large = cv2.resize(face.grey, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
        small = landmarker.from_keypoints(face.grey, face.keypoints, passes=2)
        grown = landmarker.from_keypoints(large, face.keypoints * 4 + 1.5, passes=2)
        assert small is not None
        assert grown is not None
        assert np.abs((grown.points - 1.5) / 4 - small.points).mean() < 0.02 * face.eye_distance
        assert grown.scale_px == pytest.approx(4 * small.scale_px, rel=0.02)


def test_passes_repair_a_start_that_is_off(landmarker: Landmarker) -> None:
    def error(seed: int, passes: int) -> float:
        face = drawn_face(seed)
        shift = 0.22 * face.eye_distance * np.array([np.cos(seed), np.sin(seed)])
        found = landmarker.from_keypoints(face.grey, face.keypoints + shift, passes=passes)
        assert found is not None
        return float(np.linalg.norm(found.five[:2] - face.eyes, axis=1).mean() / face.eye_distance)

    once, thrice = (np.mean([error(seed, passes) for seed in range(8)]) for passes in (1, 3))
    assert thrice < 0.05
    assert thrice < once


@pytest.mark.parametrize("points", [np.full((5, 2), np.nan), np.full((5, 2), 20.0), np.full((5, 2), np.inf)])
def test_keypoints_that_are_no_face_give_none(landmarker: Landmarker, points: np.ndarray) -> None:
    assert landmarker.from_keypoints(np.zeros((50, 50), np.uint8), points, passes=2) is None


def test_dlibs_detector_confirms_faces_and_nothing_else(landmarker: Landmarker) -> None:
    faces = [drawn_face(seed, tilt_deg=15.0 * (seed % 3 - 1)) for seed in range(6)]
    found = [landmarker.from_keypoints(face.grey, face.keypoints, passes=2) for face in faces]
    confirmed = [face is not None and landmarker.confirms(f.grey, face) for f, face in zip(faces, found, strict=True)]
    assert sum(confirmed) >= 5
    noise = np.random.default_rng(0).integers(0, 255, (320, 320), dtype=np.uint8)
    nowhere = landmarker.from_keypoints(noise, faces[0].keypoints, passes=2)
    assert nowhere is not None
    assert not landmarker.confirms(noise, nowhere)


def test_a_lost_face_is_searched_for_around(landmarker: Landmarker) -> None:
    face = drawn_face(2, size=480)
    placement = fit_similarity(DETECTOR_POINTS, face.keypoints + 0.9 * face.eye_distance)
    found = landmarker.search(face.grey, placement, around=1.2, passes=2)
    assert found is not None
    assert np.linalg.norm(found.five[:2] - face.eyes, axis=1).mean() / face.eye_distance < 0.06
    assert landmarker.search(np.full((480, 480), 90, np.uint8), placement, around=1.2, passes=2) is None


def test_pictures_without_keypoints_are_searched_whole(landmarker: Landmarker) -> None:
    face = drawn_face(5)
    found = landmarker.detect(face.grey, passes=2)
    assert len(found) == 1
    assert np.linalg.norm(found[0].five[:2] - face.eyes, axis=1).mean() / face.eye_distance < 0.06
    assert landmarker.detect(np.full((200, 200), 90, np.uint8), passes=2) == []


def test_mean_shape_is_a_level_symmetric_face() -> None:
    shape = read_mean_shape(locate("dlib-68"))
    five = five_points(shape)
    assert shape.shape == (68, 2)
    assert five[1, 0] - five[0, 0] == pytest.approx(EYE_DISTANCE, abs=0.001)
    assert abs(five[1, 1] - five[0, 1]) < 0.002
    assert np.abs(shape[:17, 0] + shape[16::-1, 0] - 1.0).max() < 0.01  # the jaw mirrors itself


def test_a_file_that_is_no_predictor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"\x01\x02\x01\x05\x01\x01")
    with pytest.raises(ValueError, match=r"a\.dat"):
        read_mean_shape(tmp_path / "a.dat")
    (tmp_path / "b.dat").write_bytes(b"")
    with pytest.raises(ValueError, match=r"b\.dat"):
        read_mean_shape(tmp_path / "b.dat")


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.1, 50),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    seed=st.integers(0, 99),
)
def test_similarity_is_recovered(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 1, (6, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    truth = np.hstack([turn, [[x], [y]]])
    found = fit_similarity(points, apply_affine(truth, points))
    assert np.allclose(found, truth, rtol=1e-8, atol=1e-8 * scale)


def test_canonical_picture_puts_the_box_in_its_place() -> None:
    grey = np.zeros((200, 200), np.uint8)
    grey[60:140, 50:130] = 200
    picture, to_image = canonical_picture(grey, np.array([[80.0, 0.0, 49.5], [0.0, 80.0, 59.5]]), 40, 10)
    assert picture.shape == (60, 60)
    assert picture[12:48, 12:48].min() == 200
    assert picture[:8].max() == 0
    assert picture[:, 52:].max() == 0
    assert apply_affine(to_image, np.array([[10.0, 10.0], [50.0, 50.0]])).tolist() == [[49.5, 59.5], [129.5, 139.5]]
