from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import dfdc_part, dfdc_test, entry, touch


def test_parts_test_set_and_unlabelled_videos(tmp_path: Path) -> None:
    for part in ("dfdc_train_part_0", "dfdc_train_part_1"):
        dfdc_part(tmp_path, part, originals=20, fakes_each=3)
    dfdc_test(tmp_path)
    touch(tmp_path, (f"test_videos/{n:04d}.mp4" for n in range(400)))
    index = build_index("d", entry("dfdc"), tmp_path)
    counted = Counter((clip.official_split, clip.label, clip.category) for clip in index.clips)
    assert counted == {
        ("train", 0, "real"): 40,
        ("train", 1, "fake"): 120,
        ("test", 0, "real"): 2500,
        ("test", 1, "fake"): 2500,
        ("test", None, "unlabelled"): 400,
    }
    assert index.notes["unlabelled"]["count"] == 400
    assert index.notes["missing"]["count"] == 0
    fake = next(clip for clip in index.clips if clip.path == "dfdc_train_part_1/1fake00072.mp4")
    assert fake.original_id == "dfdc_train_part_1/1real0007.mp4"
    assert fake.identity is None


def test_one_part_may_be_the_root(tmp_path: Path) -> None:
    dfdc_part(tmp_path, "dfdc_train_part_0", originals=2, fakes_each=1)
    clips = build_index("d", entry("dfdc"), tmp_path / "dfdc_train_part_0").clips
    assert [clip.video_id for clip in clips] == [
        "0fake00000.mp4",
        "0fake00010.mp4",
        "0real0000.mp4",
        "0real0001.mp4",
    ]
    assert clips[0].original_id == "0real0000.mp4"


def test_the_sample_is_not_counted_twice(tmp_path: Path) -> None:
    metadata = dfdc_part(tmp_path, "dfdc_train_part_0", originals=4, fakes_each=1)
    some = dict(list(metadata.items())[:4])
    touch(tmp_path / "train_sample_videos", some)
    (tmp_path / "train_sample_videos" / "metadata.json").write_text(json.dumps(some))
    index = build_index("d", entry("dfdc"), tmp_path)
    assert len(index.clips) == 8
    assert index.notes["duplicates"]["count"] == 4
    assert all(clip.path.startswith("dfdc_train_part_0/") for clip in index.clips)


def test_fakes_of_an_absent_original_still_belong_together(tmp_path: Path) -> None:
    dfdc_part(tmp_path, "dfdc_train_part_0", originals=1, fakes_each=2)
    (tmp_path / "dfdc_train_part_0" / "0real0000.mp4").unlink()
    index = build_index("d", entry("dfdc"), tmp_path)
    assert {clip.original_id for clip in index.clips} == {"dfdc_train_part_0/0real0000.mp4"}
    assert index.notes["missing"]["count"] == index.notes["absent_originals"]["count"] == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"label": "MAYBE"}, r"0real0000\.mp4 has the label 'MAYBE', not REAL or FAKE"),
        ({"label": "REAL", "original": "0fake00000.mp4"}, r"0real0000\.mp4 is REAL and has an original"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, said: dict[str, str], message: str) -> None:
    metadata = dfdc_part(tmp_path, "dfdc_train_part_0", originals=1, fakes_each=1)
    metadata["0real0000.mp4"] = dict(said)
    (tmp_path / "dfdc_train_part_0" / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=message):
        build_index("d", entry("dfdc"), tmp_path)


def test_two_lists_that_disagree_stop(tmp_path: Path) -> None:
    dfdc_part(tmp_path, "dfdc_train_part_0", originals=1, fakes_each=1)
    (tmp_path / "dfdc_train_part_0" / "labels.csv").write_text("filename,label\n0real0000.mp4,1\n")
    with pytest.raises(UserError, match=r"line 2: .*0real0000\.mp4 has the label 1, and 0 in another list"):
        build_index("d", entry("dfdc"), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\n", "line 1: the header"),
        ("filename,label\na.mp4,FAKE\n", "line 2"),
        ("filename,label\na\n", "line 2"),
    ],
)
def test_a_label_list_of_another_form_is_named(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, ["test/a.mp4"])
    (tmp_path / "test" / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        build_index("d", entry("dfdc"), tmp_path)


def test_labels_lie_above_the_videos_or_beside_them(tmp_path: Path) -> None:
    touch(tmp_path, ["test/videos/a.mp4", "test/videos/b.mp4"])
    (tmp_path / "test" / "labels.csv").write_text("filename,label\r\na.mp4,1\r\nb.mp4,0\r\ngone.mp4,0\r\n")
    (tmp_path / "test" / "metadata.json").write_text('{"a.mp4": {"augmentations": {}}}')
    index = build_index("d", entry("dfdc"), tmp_path)
    assert {clip.path: clip.label for clip in index.clips} == {"test/videos/a.mp4": 1, "test/videos/b.mp4": 0}
    assert index.notes["missing"]["examples"] == ["test/gone.mp4"]


def test_broken_json_is_named(tmp_path: Path) -> None:
    dfdc_part(tmp_path, "dfdc_train_part_0", originals=1, fakes_each=0)
    path = tmp_path / "dfdc_train_part_0" / "metadata.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UserError, match=r"metadata\.json is not valid JSON.*Fetch the file again"):
        build_index("d", entry("dfdc"), tmp_path)
