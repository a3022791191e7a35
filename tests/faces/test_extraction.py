"""Whole videos to face rows: drawn people in real video files, and real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from dfdetect.config.params import FacesParams, ImageEncoding, RuntimeParams
from dfdetect.errors import MediaError
from dfdetect.faces import identity
from dfdetect.faces.extraction import MAX_FOLLOWED, crop_video, summarise, weights_of
from dfdetect.io import pretrained as weights
from dfdetect.io.schemas import FACES, VIDEOS
from dfdetect.io.tables import Shards, from_rows, read_json, write_table
from dfdetect.media.image import decode, encode, phash
from dfdetect.media.video import centres, sample_frames
from dfdetect.runtime.video_stage import Result, Video, run_stage
from stages.faces import STAGE
from tests.drawn_faces import drawn_face
from tests.media.video_files import numbered, write_video

MEDIA = Path(__file__).parents[2].parent / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")
PARAMS = FacesParams(face_detector="mtcnn", frames_per_video=8, image_size=128, device="cpu")
MAIN, OTHER = drawn_face(1), drawn_face(6)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def crop(path: Path, params: FacesParams = PARAMS) -> Result:
    return crop_video(Video("a/b.mp4", path, None, None, None), None, params)


def rows(result: Result) -> list[dict]:
    return result.table.to_pylist()


def picture(index: int, *, main: bool = True, other: bool = True) -> np.ndarray:
    """The main face drifting to the right, and a smaller, other face that stays at the right border."""
    image = np.full((360, 640, 3), (110, 120, 125), np.uint8)
    if other:
        image[200:320, 520:640] = cv2.resize(OTHER.image, (120, 120), interpolation=cv2.INTER_AREA)
    if main:
        x = 20 + 5 * index
        image[40:280, x : x + 240] = cv2.resize(MAIN.image, (240, 240), interpolation=cv2.INTER_AREA)
    return image


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames; the main face is away in 15 to 24."""
    pictures = [picture(i, main=not 15 <= i < 25) for i in range(40)]
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures, options={"movflags": "faststart"})


@pytest.fixture(scope="module")
def result(clip: Path) -> Result:
    return crop(clip)


def test_the_main_face_is_cropped_and_the_other_never(result: Result) -> None:
    assert result.table.schema.equals(FACES)
    seen = [i for i in centres(40, 8) if not 15 <= i < 25]
    assert [row["frame_index"] for row in rows(result)] == seen
    assert result.record == {
        "frames_asked": 8,
        "frames_decoded": 40,
        "frames_with_face": len(seen),
        "faces_seen": len(seen) + 8,
        "status": "ok",
        "reason": None,
    }


def test_a_row_says_where_the_crop_is_from(result: Result, clip: Path) -> None:
    frames = {frame.index: frame for frame in sample_frames(clip, 8).frames}
    for row in rows(result):
        assert row["video_id"] == "a/b.mp4"
        index = row["frame_index"]
        assert row["time_s"] == pytest.approx(index / 25)
        assert 0.9 <= row["score"] <= 1
        truth = MAIN.keypoints * 240 / 320 + (20 + 5 * index, 40)
        found = np.array(row["keypoints"]).reshape(5, 2)
        assert np.abs(found - truth).mean() < 0.12 * np.linalg.norm(truth[1] - truth[0])
        x0, y0, x1, y1 = row["box"]
        assert all(x0 < x < x1 and y0 < y < y1 for x, y in truth)
        a, b, c, d = (int(value) for value in row["crop_box"])
        assert c - a == d - b
        assert (c - a) == pytest.approx(1.6 * max(x1 - x0, y1 - y0), abs=2)
        image = decode(row["image"])
        assert image.shape == (128, 128, 3)
        shown = cv2.resize(frames[index].patch((a, b, c, d)), (128, 128), interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - shown).mean() < 3
        assert (row["phash"] ^ phash(image)).bit_count() <= 4
        for value in [*row["box"], *row["keypoints"]]:
            assert value * 4 == round(value * 4)


def test_the_same_video_gives_the_same_bytes(result: Result, clip: Path) -> None:
    again = crop(clip)
    assert again.table.equals(result.table)
    assert again.record == result.record


def test_png_crops_are_lossless(clip: Path) -> None:
    params = PARAMS.model_copy(update={"encoding": ImageEncoding(format="png"), "frames_per_video": 1})
    (row,) = rows(crop(clip, params))
    image = decode(row["image"])
    assert row["phash"] == phash(image)


def test_a_video_without_a_face(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", [numbered(i, 320, 240) for i in range(5)])
    result = crop(path)
    assert result.table.num_rows == 0
    assert result.table.schema.equals(FACES)
    assert (result.record["status"], result.record["frames_asked"]) == ("no_face", 5)
    assert result.record["reason"] == ("no face was found; faces under 10 px (faces.min_face_ratio) are not looked for")


def test_a_truncated_video_is_used_and_marked(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = clip.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    result = crop(path)
    assert result.record["status"] == "truncated"
    assert "40 frames are declared" in result.record["reason"]
    assert result.table.num_rows > 0
    assert result.record["status"] in STAGE.good


def test_an_image_file_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode(picture(0), kind="png"))
    result = crop(path)
    assert [(row["frame_index"], row["time_s"]) for row in rows(result)] == [(0, 0.0)]
    assert result.record["faces_seen"] == 2


def test_limits_become_statuses(clip: Path) -> None:
    for key, value, status in (("max_pixels", 1000, "too_large"), ("max_frames", 10, "too_long")):
        with pytest.raises(MediaError) as caught:
            crop(clip, PARAMS.model_copy(update={key: value}))
        assert caught.value.status == status


def test_cropped_files_are_taken_whole(tmp_path: Path) -> None:
    image = numbered(5, 200, 160)
    path = tmp_path / "face.png"
    path.write_bytes(encode(image, kind="png"))
    params = PARAMS.model_copy(update={"cropped": True, "encoding": ImageEncoding(format="png"), "image_size": 160})
    result = crop(path, params)
    (row,) = rows(result)
    assert row["crop_box"] == [20, 0, 180, 160]
    assert np.array_equal(decode(row["image"]), image[:, 20:180])
    assert (row["box"], row["score"], row["keypoints"]) == (None, None, None)
    assert result.record["status"] == "ok"
    assert weights_of(params) == ""


def test_a_folder_of_cropped_frames_is_taken_whole(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number:03d}.png").write_bytes(encode(numbered(number, 200, 160), kind="png"))
    params = PARAMS.model_copy(update={"cropped": True, "encoding": ImageEncoding(format="png"), "image_size": 160})
    found = rows(crop(tmp_path, params))
    assert [(row["frame_index"], row["time_s"]) for row in found] == [(number, None) for number in range(5)]
    for number, row in enumerate(found):
        assert np.array_equal(decode(row["image"]), numbered(number, 200, 160)[:, 20:180])


def picture_file(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(encode(image, kind="png"))
    return path


def test_a_crowd_is_counted_and_gives_its_largest_face(tmp_path: Path) -> None:
    image = np.full((360, 640, 3), (110, 120, 125), np.uint8)
    for k, side in enumerate([104, 100, 96, 130, 95, 102, 98, 97]):
        x, y = 160 * (k % 4), 180 * (k // 4)
        image[y : y + side, x : x + side] = cv2.resize(MAIN.image, (side, side), interpolation=cv2.INTER_AREA)
    result = crop(picture_file(tmp_path / "crowd.png", image))
    assert result.record["faces_seen"] == 8 > MAX_FOLLOWED
    (row,) = rows(result)
    assert row["box"][0] > 480
    assert row["box"][3] < 180


def test_a_crowd_of_small_faces_gives_its_largest(tmp_path: Path) -> None:
    image = np.full((1080, 1920, 3), (110, 120, 125), np.uint8)
    for k in range(40):
        side = 150 if k == 13 else 110  # the face in the drawing takes two thirds of it
        x, y = 180 * (k % 10), 200 * (k // 10)
        image[y : y + side, x : x + side] = cv2.resize(MAIN.image, (side, side))
    (row,) = rows(crop(picture_file(tmp_path / "crowd.png", image)))
    assert 540 < row["box"][0] < row["box"][2] < 690
    assert 200 < row["box"][1] < row["box"][3] < 350


@pytest.mark.parametrize(("side", "found"), [(220, True), (110, True), (40, False)])
def test_small_faces_of_a_large_frame_are_found_down_to_what_is_asked_for(
    side: int, found: bool, tmp_path: Path
) -> None:
    image = np.full((1080, 1920, 3), (110, 120, 125), np.uint8)
    image[500 : 500 + side, 900 : 900 + side] = cv2.resize(MAIN.image, (side, side), interpolation=cv2.INTER_AREA)
    result = crop(picture_file(tmp_path / "small.png", image))
    assert len(rows(result)) == found
    assert result.record["reason"] == (
        None if found else "no face was found; faces under 60 px (faces.min_face_ratio) are not looked for"
    )


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_pixels_that_are_turned_without_a_tag_give_upright_crops(turns: int, tmp_path: Path) -> None:
    """The crops are those of the upright clip; box and keypoints lie in the turned frame."""
    pictures = [picture(i, other=False) for i in range(12)]
    upright = rows(crop(write_video(tmp_path / "upright.mp4", pictures)))
    turned = [np.ascontiguousarray(np.rot90(image, -turns)) for image in pictures]
    result = crop(write_video(tmp_path / "turned.mp4", turned))
    assert result.record["status"] == "ok"
    assert len(rows(result)) == len(upright) == 8
    for row, straight in zip(rows(result), upright, strict=True):
        assert row["turn_deg"] == (360 - 90 * turns) % 360
        assert straight["turn_deg"] == 0
        alike = [
            np.corrcoef(np.rot90(decode(row["image"]), k).ravel(), decode(straight["image"]).ravel())[0, 1]
            for k in range(4)
        ]
        assert alike[0] > 0.8 > 0.65 > max(alike[1:])
        points = np.array(straight["keypoints"]).reshape(5, 2)
        width, height = 640, 360
        for _ in range(turns):
            points = np.stack([height - 1 - points[:, 1], points[:, 0]], axis=1)
            width, height = height, width
        assert np.abs(np.array(row["keypoints"]).reshape(5, 2) - points).max() < 8
        x0, y0, x1, y1 = row["box"]
        assert all(x0 < x < x1 and y0 < y < y1 for x, y in points)
        a, b, c, d = row["crop_box"]
        assert 0 <= a < c <= width
        assert 0 <= b < d <= height
        assert c - a == d - b


def test_a_turned_picture_is_a_turned_video_of_one_frame(tmp_path: Path) -> None:
    image = np.ascontiguousarray(np.rot90(picture(0, other=False), 2))
    (row,) = rows(crop(picture_file(tmp_path / "x.png", image)))
    assert row["turn_deg"] == 180


def test_weights_belong_to_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_of(PARAMS)
    state = weights.load_state(weights.locate("mtcnn-rnet"))
    torch.save({key: value + 0.01 for key, value in state.items()}, tmp_path / "mtcnn-rnet.pth")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert weights_of(PARAMS) != before


def test_counts_over_videos(result: Result) -> None:
    unreadable = {"status": "unreadable", "reason": "x"}
    assert summarise([result.record, unreadable]) == {
        "frames_asked": 8,
        "frames_with_face": result.record["frames_with_face"],
        "faces_seen": result.record["faces_seen"],
    }


def test_alignment_puts_a_face_upright() -> None:
    face = drawn_face(4, tilt_deg=25)
    chip = identity.align(face.image, face.keypoints.astype(np.float32))
    assert chip.shape == (identity.SIDE, identity.SIDE, 3)
    straight = identity.align(drawn_face(4).image, drawn_face(4).keypoints.astype(np.float32))
    assert np.abs(chip.astype(int) - straight).mean() < 12


@pytest.mark.slow
def test_the_stage_writes_the_same_bytes_for_any_workers(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    names = [f"{k}.mp4" for k in range(3)]
    for k, name in enumerate(names):
        (root / name).write_bytes(clip.read_bytes() + bytes(k))
    (root / "broken.mp4").write_bytes(b"no video")
    seen = []
    for workers in (1, 2):
        home = tmp_path / str(workers)
        table = [
            {"video_id": name, "path": name, "sha256": name, "status": "ok"} for name in sorted([*names, "broken.mp4"])
        ]
        write_table(home / "data/d/videos.parquet", from_rows(table, VIDEOS), VIDEOS)
        (home / "data/d/raw").symlink_to(root, target_is_directory=True)
        monkeypatch.chdir(home)
        metrics = run_stage(STAGE, "d", PARAMS, RuntimeParams(num_workers=workers))
        assert metrics["status"] == {"ok": 3, "unreadable": 1}
        assert len(Shards(Path("data/d/faces"), FACES)) == 3
        files = sorted(path for path in Path("data/d/faces").rglob("*") if path.is_file())
        seen.append([(path.name, path.read_bytes()) for path in files] + [read_json(Path("metrics/d/faces.json"))])
    assert seen[0] == seen[1]


@needs_media
def test_one_person_is_known_from_another() -> None:
    described: dict[str, list[np.ndarray]] = {}
    params = PARAMS.model_copy(update={"frames_per_video": 2, "image_size": 317})
    for name in ("bbaf2n", "brbk7n", "lbax4n", "pwij3p"):
        for row in rows(crop(MEDIA / "speech" / f"{name}.mpg", params)):
            square = np.array(row["crop_box"])
            points = (np.array(row["keypoints"]).reshape(5, 2) - square[:2]) * 317 / (square[2] - square[0])
            described.setdefault(name, []).append(identity.describe(decode(row["image"]), points.astype(np.float32)))
    for a, mine in described.items():
        assert identity.distance(*mine) < 1
        for b, theirs in described.items():
            assert a == b or identity.distance(mine[0], theirs[0]) > 1


@needs_media
def test_the_singer_and_nobody_else() -> None:
    """Shots of the singer, of a man in profile and of the audience: the largest face alone is often another's."""
    params = PARAMS.model_copy(update={"frames_per_video": 22})
    result = crop(MEDIA / "faces" / "short_hamilton_clip.mp4", params)
    singer = {6, 18, *(i for i in centres(275, 22) if 90 <= i < 210)}
    found = {row["frame_index"] for row in rows(result)}
    assert found <= singer
    assert len(found) >= 9


def speaker(name: str) -> list[np.ndarray]:
    return [frame.rgb for frame in sample_frames(MEDIA / "speech" / f"{name}.mpg", 60).frames]


@needs_media
def test_the_main_face_stays_where_two_people_swap_sides_at_a_cut(tmp_path: Path) -> None:
    one, other = speaker("bbaf2n"), speaker("pwij3p")
    frames = [
        np.hstack([a, b] if number < 36 else [b, a]) for number, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    found = rows(crop(write_video(tmp_path / "swap.mp4", frames), PARAMS.model_copy(update={"frames_per_video": 20})))
    left = [row["box"][2] < 360 for row in found]
    assert len(found) == 20
    assert left == [left[0] if row["frame_index"] < 36 else not left[0] for row in found]


@needs_media
def test_another_person_in_the_same_place_after_a_cut_is_not_cropped(tmp_path: Path) -> None:
    frames = [*speaker("brbk7n")[:35], *speaker("sbia1a")[35:]]
    found = rows(crop(write_video(tmp_path / "cut.mp4", frames), PARAMS.model_copy(update={"frames_per_video": 20})))
    assert {row["frame_index"] for row in found} == {i for i in centres(60, 20) if i < 35}


@needs_media
@pytest.mark.parametrize("folder", ["faces", "speech", "awkward"])
def test_real_files_end_as_rows_or_with_a_reason(folder: str) -> None:
    refused = []
    for path in sorted((MEDIA / folder).iterdir()):
        try:
            result = crop(path)
        except MediaError as error:
            refused.append(error.reason)
            continue
        assert isinstance(result.table, pa.Table)
        assert result.record["frames_with_face"] == result.table.num_rows
        if folder == "speech":
            assert (result.record["status"], result.table.num_rows) == ("ok", 8)
        if not result.table.num_rows:
            assert result.record["status"] == "no_face"
    assert all(refused)
    assert len(refused) == (5 if folder == "awkward" else 0)
