"""Mouth crops: at the right times, of the right face, level, centred and of steady size."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.config.params import ImageEncoding, MouthsParams
from dfdetect.errors import MediaError
from dfdetect.faces.landmarks import EYE_DISTANCE, Face, apply_affine, read_mean_shape
from dfdetect.faces.mouth_crops import (
    crop_mouths,
    cut_mouth,
    evenly_timed_frames,
    sample_times,
    smooth_scales,
    summarise,
)
from dfdetect.faces.mouth_track import Track
from dfdetect.io.pretrained import locate
from dfdetect.io.schemas import FACES, MOUTHS
from dfdetect.io.tables import from_rows
from dfdetect.media.frames import Frame, RgbPicture
from dfdetect.media.image import decode
from dfdetect.media.video import centres
from dfdetect.runtime.video_stage import Video
from tests.drawn_faces import drawn_face

MEDIA = Path(__file__).parents[3] / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")
PARAMS = MouthsParams(encoding=ImageEncoding(format="png"))
FPS, FRAMES, SIZE = 20, 40, 240


def path_of_head(number: int) -> np.ndarray:
    """Where the head stands in frame `number`, relative to the first (px)."""
    return np.round([18 * np.sin(number / 8), 6 * np.cos(number / 5) - 6])


def opening_of(number: int) -> float:
    return 0.5 - 0.5 * np.cos(number / 3)


@functools.cache
def picture_of(number: int) -> np.ndarray:
    """One frame of a talking head that moves about."""
    image = drawn_face(2, size=SIZE, opening=opening_of(number)).image
    x, y = path_of_head(number)
    return cv2.warpAffine(image, np.array([[1, 0, x], [0, 1, y]]), (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "talking.mp4"
    write_video(path, [picture_of(number) for number in range(FRAMES)])
    return path


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def seen(numbers: list[int]) -> pa.Table:
    """Rows of the faces table for the frames in which a detector saw the head."""
    keypoints = drawn_face(2, size=SIZE).keypoints
    rows = [
        {
            "video_id": "v",
            "frame_index": number,
            "time_s": number / FPS,
            "keypoints": (keypoints + path_of_head(number)).ravel().tolist(),
            "image": b"crop",
        }
        for number in numbers
    ]
    return from_rows(rows, FACES)


def video(path: Path, duration_s: float | None = FRAMES / FPS) -> Video:
    return Video("v", path, "x", False, duration_s)


def expected_crop(number: int) -> np.ndarray:
    """The mouth of one frame, cut where the drawing has it."""
    face = drawn_face(2, size=SIZE)
    middle = face.mouth.mean(0) + path_of_head(number)
    side = PARAMS.width_ratio * face.eye_distance
    step = side / PARAMS.image_size
    place = np.array([[step, 0, middle[0] - 55.5 * step], [0, step, middle[1] - 55.5 * step]])
    return cv2.warpAffine(picture_of(number), place, (112, 112), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def likeness(crop: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of two crops, at the best of small shifts: landmarks tremble."""
    found = cv2.matchTemplate(crop, expected[14:98, 14:98], cv2.TM_CCOEFF_NORMED)
    return float(found.max())


def test_crops_show_the_mouth_at_their_times(clip: Path) -> None:
    result = crop_mouths(video(clip), seen(list(range(0, FRAMES, 2))), PARAMS)
    assert result.record == {"status": "ok", "reason": None, "crops": 16, "asked": 16}
    assert result.table.schema.equals(MOUTHS)
    rows = result.table.to_pylist()
    for row, wanted_s in zip(rows, sample_times(FRAMES / FPS, 8, 2), strict=True):
        assert abs(row["time_s"] - wanted_s) <= 0.5 / FPS + 1e-6
        assert row["frame_index"] == round(row["time_s"] * FPS)
        crop = decode(row["image"])
        assert crop.shape == (112, 112, 3)
        assert likeness(crop, expected_crop(row["frame_index"])) > 0.9


def test_the_face_is_followed_between_rare_sightings(clip: Path) -> None:
    """Sightings 20 frames apart, the head up to half a face away from the straight line between them."""
    result = crop_mouths(video(clip), seen([0, 20, 39]), PARAMS)
    assert result.record["crops"] == 16
    for row in result.table.to_pylist():
        assert likeness(decode(row["image"]), expected_crop(row["frame_index"])) > 0.85


def test_times_at_which_the_face_has_gone_get_no_row(tmp_path: Path) -> None:
    path = tmp_path / "leaves.mp4"
    empty = np.full((SIZE, SIZE, 3), 110, np.uint8)
    write_video(path, [picture_of(n) if n < 20 else empty for n in range(FRAMES)])
    result = crop_mouths(video(path), seen(list(range(0, 20, 2))), PARAMS)
    assert result.record["status"] == "ok"
    times_s = result.table.column("time_s").to_pylist()
    assert 7 <= len(times_s) <= 9
    assert max(times_s) < 1.15
    assert summarise([result.record])["times_without_crop"] == 16 - len(times_s)


def test_a_face_that_is_never_confirmed_gives_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "nobody.mp4"
    write_video(path, [np.full((SIZE, SIZE, 3), 110, np.uint8)] * FRAMES)
    keypoints = seen([0]).to_pylist()[0]
    jumping = [
        {
            **keypoints,
            "frame_index": n,
            "time_s": n / FPS,
            "keypoints": [v + 60 * (n % 4) for v in keypoints["keypoints"]],
        }
        for n in range(0, FRAMES, 2)
    ]
    result = crop_mouths(video(path), from_rows(jumping, FACES), PARAMS)
    assert result.table.num_rows == 0
    assert result.record["status"] == "no_mouth"
    assert "16 times" in result.record["reason"]


@pytest.mark.parametrize("claimed_s", [None, 0.0, 0.4, 90.0, float("nan"), -1e17])
def test_a_wrong_duration_changes_nothing(clip: Path, claimed_s: float | None) -> None:
    right = [frame.index for frame in evenly_timed_frames(video(clip), 8, 2)]
    assert [frame.index for frame in evenly_timed_frames(video(clip, claimed_s), 8, 2)] == right
    assert len(right) == len(set(right)) == 16


def test_no_faces_and_single_frames(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    cv2.imwrite(str(path), picture_of(0))
    result = crop_mouths(video(path, None), seen([0]), PARAMS)
    assert (result.record["status"], result.table.num_rows) == ("too_short", 0)
    with pytest.raises(MediaError, match="no face"):
        crop_mouths(video(path), FACES.empty_table(), PARAMS)
    (tmp_path / "broken.mp4").write_bytes(b"no media")
    with pytest.raises(MediaError):
        crop_mouths(video(tmp_path / "broken.mp4"), seen([0]), PARAMS)


def test_pictures_without_keypoints_are_searched_by_dlib(clip: Path) -> None:
    nobody_looked = from_rows([{"video_id": "v", "frame_index": 0, "time_s": 0.0, "image": b"crop"}], FACES)
    result = crop_mouths(video(clip), nobody_looked, PARAMS)
    assert result.record["crops"] >= 14
    row = result.table.to_pylist()[3]
    assert likeness(decode(row["image"]), expected_crop(row["frame_index"])) > 0.85


@pytest.mark.parametrize("cropped", [False, True])
def test_a_folder_of_frames_is_taken_to_be_evenly_spaced(tmp_path: Path, cropped: bool) -> None:
    for number in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), cv2.cvtColor(picture_of(number), cv2.COLOR_RGB2BGR))
    sightings = [{**row, "time_s": None} for row in seen([0, 20, 39]).to_pylist()]
    if cropped:
        sightings = [{**row, "keypoints": None} for row in sightings]
    result = crop_mouths(video(tmp_path, None), from_rows(sightings, FACES), PARAMS)
    assert result.record["asked"] == 16
    assert result.record["crops"] == (16 if not cropped else pytest.approx(16, abs=2))
    for row in result.table.to_pylist():
        assert row["time_s"] is None
        assert likeness(decode(row["image"]), expected_crop(row["frame_index"])) > 0.85
    if not cropped:
        assert result.table.column("frame_index").to_pylist() == centres(FRAMES, 16)


@given(duration_s=st.floats(0, 1e4), parts=st.integers(1, 16), per_part=st.integers(1, 5))
def test_times_part_the_clip_evenly(duration_s: float, parts: int, per_part: int) -> None:
    times_s = sample_times(duration_s, parts, per_part)
    assert len(times_s) == parts * per_part
    assert times_s == sorted(times_s)
    part = [min(int(t * parts / duration_s), parts - 1) if duration_s > 1e-6 else 0 for t in times_s]
    if duration_s > 1e-6:
        assert part == [number // per_part for number in range(len(times_s))]
        assert times_s[0] == pytest.approx(duration_s - times_s[-1])


def marked_frame(face: Face, size: int) -> Frame:
    """A frame with a red dot at each mouth corner and a green one in the middle of all mouth points."""
    image = np.full((size, size, 3), 40, np.uint8)
    dot = max(2, round(face.scale_px / 60))
    for point in face.points[[48, 54]]:
        cv2.circle(image, tuple(np.round(point).astype(int).tolist()), dot, (255, 0, 0), -1)
    middle = np.round(face.points[48:68].mean(0)).astype(int).tolist()
    cv2.circle(image, tuple(middle), dot, (0, 255, 0), -1)
    return Frame(0, 0.0, RgbPicture(image))


@pytest.mark.parametrize("tilt_deg", [-60.0, -15.0, 0.0, 30.0])
@pytest.mark.parametrize("side", [60.0, 180.0, 700.0])
def test_the_crop_is_level_centred_and_to_scale(tilt_deg: float, side: float) -> None:
    shape = read_mean_shape(locate("dlib-68"))
    cos, sin = side * np.cos(np.radians(tilt_deg)), side * np.sin(np.radians(tilt_deg))
    size = int(4 * side)
    placement = np.array([[cos, -sin, size / 2], [sin, cos, size / 2 - side / 2]])
    face = Face(apply_affine(placement, shape), placement)
    crop = cut_mouth(marked_frame(face, size), face, face.scale_px, PARAMS)
    red, green = crop[..., 0].astype(int) - crop[..., 1], crop[..., 1].astype(int) - crop[..., 0]
    left, right = (np.argwhere(half > 60).mean(0) for half in (red[:, :56], red[:, 56:]))
    assert left[0] == pytest.approx(right[0], abs=2.5)
    assert np.argwhere(green > 60).mean(0) == pytest.approx([55.5, 55.5], abs=2.0)
    mouth_width = np.linalg.norm(shape[54] - shape[48]) / (PARAMS.width_ratio * EYE_DISTANCE) * 112
    assert right[1] + 56 - left[1] == pytest.approx(mouth_width, abs=4)


def test_a_mouth_beyond_the_border_repeats_the_border() -> None:
    shape = read_mean_shape(locate("dlib-68"))
    placement = np.array([[100.0, 0.0, 5.0], [0.0, 100.0, 400.0]])
    face = Face(apply_affine(placement, shape), placement)
    frame = Frame(0, 0.0, RgbPicture(np.full((120, 120, 3), 77, np.uint8)))
    assert np.unique(cut_mouth(frame, face, 100.0, PARAMS)).tolist() == [77]


def test_scales_are_smoothed_within_a_shot_and_not_across_a_cut() -> None:
    assert smooth_scales([100, 104, 99, 101, 100], 5)[2] == 100
    assert smooth_scales([100, 130, 100], 1) == [100, 130, 100]
    cut = smooth_scales([50, 51, 50, 120, 121, 119], 5)
    assert max(cut[:3]) <= 51
    assert min(cut[3:]) >= 119
    assert smooth_scales([], 5) == []


def test_a_track_goes_straight_between_sightings() -> None:
    track = Track.from_faces(seen([0, 4, 8]))
    for number in (0, 4, 8):
        assert np.allclose(track.at(number / FPS).candidates[0], track.keypoints[number // 4])
    guess = track.at(1 / FPS)
    assert np.allclose(guess.candidates[0], 0.75 * track.keypoints[0] + 0.25 * track.keypoints[1])
    assert np.array_equal(guess.candidates[1], track.keypoints[0])  # the nearer one
    assert guess.steady
    assert track.at(-0.1).steady
    assert not track.at(9.0).steady
    assert not Track.from_faces(seen([4])).at(0.25).steady
    with pytest.raises(ValueError, match="without sightings"):
        Track.from_faces(FACES.empty_table()).at(0.0)


def test_a_track_is_not_steady_across_a_cut_or_a_gap() -> None:
    near = seen([0, 2, 4, 6])
    assert Track.from_faces(near).at(0.25).steady
    assert not Track.from_faces(seen([0, 2, 4, 16, 18])).at(0.5).steady
    rows = near.to_pylist()
    rows[2]["keypoints"] = [value + 150 for value in rows[2]["keypoints"]]
    assert not Track.from_faces(from_rows(rows, FACES)).at(0.15).steady


@needs_media
def test_a_real_speaker_is_followed_from_two_sightings() -> None:
    """The five points lie between those of the first and the last frame, which differ by up to 4 px."""
    five = [(131.5, 159.5), (180.0, 158.0), (159.5, 189.5), (139.0, 217.5), (180.0, 216.0)]
    points = [value for point in five for value in point]
    rows = [
        {"video_id": "v", "frame_index": n, "time_s": n / 25, "keypoints": points, "image": b"crop"} for n in (0, 74)
    ]
    path = MEDIA / "speech" / "bbaf2n.mpg"
    result = crop_mouths(video(path, 3.0), from_rows(rows, FACES), PARAMS)
    assert result.record["crops"] == 16
    crops = np.stack([decode(image).astype(float) for image in result.table["image"].to_pylist()])
    assert len(crops) == 16
    lips = crops[:, 45:67, 30:82].mean(axis=(1, 2))  # redder than the skin around, in every crop
    skin = crops[:, 85:100, 30:82].mean(axis=(1, 2))
    assert ((lips[:, 0] - lips[:, 1]) > (skin[:, 0] - skin[:, 1])).all()
