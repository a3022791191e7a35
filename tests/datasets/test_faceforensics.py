from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from dfdetect.datasets.faceforensics import YOUTUBE_METHODS
from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import entry, faceforensics, touch

FOUR = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]


@pytest.mark.parametrize("flat", [False, True])
def test_the_whole_set_has_the_official_counts(tmp_path: Path, flat: bool) -> None:
    faceforensics(tmp_path, YOUTUBE_METHODS, flat=flat, masks=not flat)
    index = build_index("f", entry("faceforensics", compression="c23", methods=FOUR), tmp_path)
    by_part = Counter((clip.category, clip.official_split) for clip in index.clips)
    expected = {"train": 720, "val": 140, "test": 140}
    assert by_part == {(part, split): n for part in ("youtube", *FOUR) for split, n in expected.items()}
    assert {clip.compression for clip in index.clips} == {"c23"}
    assert index.notes["missing"]["count"] == index.notes["extra"]["count"] == 0
    assert sum(index.notes["not_selected"].values()) == 1000  # FaceShifter is there and was not asked for
    assert index.notes["outside"]["count"] == (0 if flat else 5000)  # the masks


def test_all_methods_are_taken_when_none_is_named(tmp_path: Path) -> None:
    faceforensics(tmp_path, ["FaceShifter"])
    actors = ["original_sequences/actors/c23/videos/01__exit_phone_room.mp4"]
    fake = "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4"
    touch(tmp_path, [*actors, fake])
    clips = build_index("f", entry("faceforensics"), tmp_path).clips
    assert Counter(clip.category for clip in clips) == {
        "youtube": 1000,
        "FaceShifter": 1000,
        "actors": 1,
        "DeepFakeDetection": 1,
    }
    swapped = next(clip for clip in clips if clip.category == "DeepFakeDetection")
    assert (swapped.identity, swapped.source_identity, swapped.original_id, swapped.official_split) == (
        "actor_01",
        "actor_02",
        actors[0],
        None,
    )


def test_a_fake_shows_its_target(tmp_path: Path) -> None:
    faceforensics(tmp_path, ["Deepfakes"])
    clips = {clip.video_id: clip for clip in build_index("f", entry("faceforensics"), tmp_path).clips}
    fake = clips["manipulated_sequences/Deepfakes/c23/videos/000_037.mp4"]
    assert (fake.identity, fake.source_identity) == ("000", "037")
    assert fake.original_id == "original_sequences/youtube/c23/videos/000.mp4"
    assert (fake.method, fake.label, clips[fake.original_id].method) == ("Deepfakes", 1, "real")


def test_each_compression_is_its_own_clip(tmp_path: Path) -> None:
    for compression in ("c23", "c40", "raw"):
        touch(tmp_path, [f"original_sequences/youtube/{compression}/videos/000.mp4"])
    assert len(build_index("f", entry("faceforensics"), tmp_path).clips) == 3
    (raw,) = build_index("f", entry("faceforensics", compression="raw"), tmp_path).clips
    assert raw.compression == "c0"
    assert raw.path == "original_sequences/youtube/raw/videos/000.mp4"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": ["DeepFake"]}, "no method `DeepFake`; it has Deepfakes, Face2Face"),
        ({"compression": "c24"}, "no compression `c24`; it has c0, raw, c23, c40"),
        ({"compression": "c40"}, "there is Deepfakes/c23, youtube/c23"),
    ],
)
def test_a_selection_that_cannot_be_is_named(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    faceforensics(tmp_path, ["Deepfakes"])
    with pytest.raises(UserError, match=said):
        build_index("f", entry("faceforensics", **settings), tmp_path)


def test_missing_parts_are_reported(tmp_path: Path) -> None:
    faceforensics(tmp_path, ["Deepfakes"])
    (tmp_path / "manipulated_sequences/Deepfakes/c23/videos/000_037.mp4").unlink()
    touch(tmp_path, ["manipulated_sequences/Deepfakes/c23/videos/000_999.mp4"])
    notes = build_index("f", entry("faceforensics", methods=FOUR), tmp_path).notes
    assert notes["absent_parts"] == ["Face2Face", "FaceSwap", "NeuralTextures"]
    assert notes["missing"]["examples"] == ["Deepfakes/c23/000_037"]
    assert notes["extra"]["examples"] == ["Deepfakes/c23/000_999"]


def test_a_video_in_two_lists_stops(tmp_path: Path) -> None:
    faceforensics(tmp_path, ["Deepfakes"])
    pairs = json.loads((tmp_path / "splits" / "test.json").read_text())
    (tmp_path / "splits" / "val.json").write_text(json.dumps(pairs))
    with pytest.raises(UserError, match=r"val\.json contradicts .*\n  pair 1: \d{3} is in test\.json too"):
        build_index("f", entry("faceforensics"), tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1}', '[["001"]]', '[["001", "a"]]', '[["001", "002"]'])
def test_a_list_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    faceforensics(tmp_path, ["Deepfakes"])
    (tmp_path / "splits" / "val.json").write_text(text)
    with pytest.raises(UserError, match=r"splits/val\.json"):
        build_index("f", entry("faceforensics"), tmp_path)
