"""A user's own folder, awkward files among them, through every data stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfdetect.config.params import (
    DatasetParams,
    FacesParams,
    MasksParams,
    MelsParams,
    MouthsParams,
    RuntimeParams,
    SplitsParams,
)
from dfdetect.datasets.sources.index import download
from dfdetect.datasets.tree import on_disk
from dfdetect.io.schemas import COVERAGE, MELS, MOUTHS, SPLITS, VIDEOS
from dfdetect.io.tables import Shards, read_json, read_table
from dfdetect.runtime.video_stage import run_stage
from dfdetect.splits.audit import audit
from dfdetect.splits.build import build
from stages.faces import STAGE as FACES_STAGE
from stages.masks import STAGE as MASKS_STAGE
from stages.mels import STAGE as MELS_STAGE
from stages.mouths import STAGE as MOUTHS_STAGE
from tests.pipeline.awkward_files import SIDE, make_awkward_files

MEDIA = Path(__file__).parents[2].parent / "shared" / "media"
FRAMES, MOUTHS_A_CLIP = 6, 8
# Of the recordings: what cannot be used, and why, of the picture and of the sound.
NO_PICTURE = {
    "moviepy_zero_byte_result.webm": "the file is empty",
    "mp4parse_afconvert-aac-0.5s.mp4": "it has no video track",
    "mp4parse_chunk_out_of_range.mp4": "it cannot be opened: ",
    "mp4parse_zero_empty_stsc.mp4": "no frame decodes; 1040 are declared",
    "streamio_broken.mp4": "it cannot be opened: ",
}
NO_SOUND = {
    "moviepy_zero_byte_result.webm": "the file is empty",
    "mp4parse_chunk_out_of_range.mp4": "it cannot be opened: ",
    "streamio_broken.mp4": "it cannot be opened: ",
}


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Speakers, a movie clip and photographs as real/; what is odd in one way or another as fake/."""
    for folder, name in (("speech", "real"), ("faces", "real"), ("awkward", "fake")):
        (tmp_path / "clips" / name).mkdir(parents=True, exist_ok=True)
        for path in (MEDIA / folder).iterdir():
            (tmp_path / "clips" / name / path.name).symlink_to(path)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "clips"


def test_awkward_files_end_as_ok_or_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make_awkward_files(tmp_path / "clips")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    _all_data_stages(tmp_path / "clips", frames=2, mouths=2)
    rows, coverage = _by_id("videos.parquet", VIDEOS), _by_id("faces/coverage.parquet", COVERAGE)
    assert {on_disk(video_id) for video_id in rows} == set(expected)
    assert not list(tmp_path.rglob("ran"))  # no shell ever saw a name
    assert set(coverage) == set(_by_id("splits.parquet", SPLITS)) == set(rows)
    mels, mouths = Shards(Path("data/mine/mels"), MELS), Shards(Path("data/mine/mouths"), MOUTHS)
    sound = {video_id: mels.read(video_id).to_pylist()[0] for video_id in mels.video_ids}
    found = {on_disk(v): (row["status"], sound[v]["status"] if v in sound else None) for v, row in coverage.items()}
    assert found == {path: (each.picture, each.sound) for path, each in expected.items()}
    for video_id, row in coverage.items():
        each = expected[on_disk(video_id)]
        assert (row["reason"] is None) == (each.reason is None), row
        assert (row["reason"] or "").startswith(each.reason or ""), row
        assert str(tmp_path) not in (row["reason"] or "")
        assert bool(row["frames_with_face"]) == (each.picture in ("ok", "truncated")), row
    assert all(row["status"] == "ok" or row["reason"] for row in sound.values())
    stills = {"real/one frame.mp4", "real/photo.jpg"}  # a mouth is followed over time
    assert set(mouths.video_ids) == {v for v, row in coverage.items() if row["frames_with_face"]} - stills
    for stage in ("download", "faces", "masks", "mouths", "mels"):
        assert read_json(Path(f"metrics/mine/{stage}.json"))["videos"] == len(expected), stage
    sizes = {name: (rows[f"real/{name}"]["width"], rows[f"real/{name}"]["rotation_deg"]) for name in SIZES}
    assert sizes == SIZES


SIZES = {"odd size.webm": (SIDE + 1, 0), "rotated.mov": (SIDE, 90), "photo.jpg": (SIDE, 0)}


@pytest.mark.slow
@pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media, the real test media, is not here")
def test_every_file_ends_as_ok_or_with_a_reason(clips: Path) -> None:
    _all_data_stages(clips, frames=FRAMES, mouths=MOUTHS_A_CLIP)
    rows = _by_id("videos.parquet", VIDEOS)
    assert set(rows) == {str(path.relative_to(clips)) for path in clips.rglob("*.*")}
    coverage, splits = _by_id("faces/coverage.parquet", COVERAGE), _by_id("splits.parquet", SPLITS)
    assert set(coverage) == set(splits) == set(rows)
    for table in (rows, coverage):
        assert all(row["status"] == "ok" or row["reason"] for row in table.values())
    _check_reasons(coverage, NO_PICTURE)
    mels = Shards(Path("data/mine/mels"), MELS)
    assert set(mels.video_ids) == set(rows)
    sound = {video_id: mels.read(video_id).to_pylist()[0] for video_id in mels.video_ids}
    _check_reasons(sound, NO_SOUND)
    assert all(row["status"] == "ok" or row["reason"] for row in sound.values())
    assert sound["fake/moviepy_no_duration.webm"]["status"] == "silent"
    assert sound["fake/mp4parse_afconvert-aac-0.5s.mp4"]["status"] == "ok"  # sound without a picture
    assert sound["real/multiface.jpg"]["status"] == "no_audio"
    assert sound["fake/mp4parse_zero_empty_stsc.mp4"]["status"] == "no_audio"  # its table lists no sample
    assert coverage["real/ternaus_no_face.jpg"]["reason"].startswith("no face was found")
    _check_speakers(rows, coverage, sound)


def _all_data_stages(clips: Path, *, frames: int, mouths: int) -> None:
    source = {"kind": "directory", "path": str(clips)}
    entry = DatasetParams.model_validate({"layout": "folder", "face_detector": "mtcnn", "source": source})
    runtime, all_may_fail = RuntimeParams(num_workers=1), {"max_failed_fraction": 1.0}
    download("mine", entry, runtime)
    faces = FacesParams(face_detector="mtcnn", frames_per_video=frames, image_size=128, device="cpu", **all_may_fail)
    run_stage(FACES_STAGE, "mine", faces, runtime)
    run_stage(MASKS_STAGE, "mine", MasksParams(), runtime)
    run_stage(MOUTHS_STAGE, "mine", MouthsParams(parts=mouths, frames_per_part=1), runtime)
    run_stage(MELS_STAGE, "mine", MelsParams(), runtime)
    build("mine", entry, SplitsParams())
    audit("mine", entry, SplitsParams())


def _by_id(name: str, schema: Any) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in read_table(Path("data/mine", name), schema).to_pylist()}


def _check_reasons(rows: dict[str, dict[str, Any]], reasons: dict[str, str]) -> None:
    """Those files, and no others, are unreadable; the reasons say why and name no folder of this machine."""
    unreadable = {video_id: str(row["reason"]) for video_id, row in rows.items() if row["status"] == "unreadable"}
    assert set(unreadable) == {f"fake/{name}" for name in reasons}
    for name, reason in reasons.items():
        assert unreadable[f"fake/{name}"].startswith(reason), name
        assert str(MEDIA) not in unreadable[f"fake/{name}"]


def _check_speakers(
    rows: dict[str, dict[str, Any]], coverage: dict[str, dict[str, Any]], sound: dict[str, dict[str, Any]]
) -> None:
    """Recordings of people who talk are whole at every stage, and each is a row of the metrics."""
    speakers = [video_id for video_id in rows if video_id.endswith(".mpg")]
    assert len(speakers) == 6
    for video_id in speakers:
        assert (rows[video_id]["width"], rows[video_id]["height"], rows[video_id]["fps"]) == (360, 288, 25.0)
        assert (coverage[video_id]["status"], coverage[video_id]["frames_with_face"]) == ("ok", FRAMES)
        assert sound[video_id]["status"] == "ok"
        assert 280 <= sound[video_id]["n_frames"] <= 310  # 3 s in steps of 10 ms
    metrics = {stage: read_json(Path(f"metrics/mine/{stage}.json")) for stage in ("faces", "masks", "mouths", "mels")}
    assert {stage: each["videos"] for stage, each in metrics.items()} == dict.fromkeys(metrics, len(rows))
    shown = sum(row["status"] == "ok" for row in coverage.values())
    assert metrics["masks"]["status"] == {"ok": shown, "skipped": len(rows) - shown}
    assert metrics["mouths"]["status"]["skipped"] == len(rows) - shown
    assert metrics["mouths"]["status"]["too_short"] == 2  # the photographs that show a face
    assert all(failure["reason"] for failure in metrics["mouths"]["failures"])
    mouths = Shards(Path("data/mine/mouths"), MOUTHS)
    assert {mouths.read(video_id).num_rows for video_id in speakers} == {MOUTHS_A_CLIP}
    assert metrics["masks"]["crops"]["ok"] >= 0.9 * metrics["faces"]["frames_with_face"]
