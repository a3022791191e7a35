from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import FAKEAVCELEB_COUNTS, entry, fakeavceleb, fakeavceleb_small, write_fakeavceleb_list


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """The whole set, and the lines of its list."""
    root = tmp_path_factory.mktemp("fakeavceleb")
    return root, fakeavceleb(root)


@pytest.mark.parametrize(("variant", "newline"), [("v1", "\n"), ("v2", "\r\n")])
def test_the_whole_set_has_the_official_counts(whole: tuple[Path, list[list[str]]], variant: str, newline: str) -> None:
    root, lines = whole
    write_fakeavceleb_list(root / "meta_data.csv", lines, variant, newline)
    index = build_index("f", entry("fakeavceleb"), root)
    assert len(index.clips) == 21544
    assert Counter(clip.category for clip in index.clips) == FAKEAVCELEB_COUNTS
    assert index.notes["list_lines"] == 21566
    assert index.notes["list_duplicates"]["count"] == 22
    assert index.notes["missing"]["count"] == index.notes["extra"]["count"] == 0
    assert len({clip.identity for clip in index.clips}) == 500
    assert all(clip.official_split is None for clip in index.clips)
    assert all(clip.method for clip in index.clips)
    assert sum(clip.original_id is not None for clip in index.clips) == 21044


def test_columns_of_each_category(tmp_path: Path) -> None:
    fakeavceleb_small(tmp_path)
    clips = {clip.category: clip for clip in build_index("f", entry("fakeavceleb"), tmp_path).clips}
    labels = {name: (clip.label, clip.visual_label, clip.method) for name, clip in clips.items()}
    assert labels == {
        "RealVideo-RealAudio": (0, 0, "real"),
        "RealVideo-FakeAudio": (1, 0, "rtvc"),
        "FakeVideo-RealAudio": (1, 1, "faceswap"),
        "FakeVideo-FakeAudio": (1, 1, "wav2lip"),
    }
    assert {clip.identity for clip in clips.values()} == {"id00076"}
    assert clips["RealVideo-RealAudio"].source_identity is None
    assert clips["FakeVideo-FakeAudio"].source_identity == "id00166"
    real = clips["RealVideo-RealAudio"].video_id
    assert real == "RealVideo-RealAudio/African/men/id00076/00109.mp4"
    assert [clip.original_id for clip in clips.values() if clip.label] == [real] * 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [(5, "FakeVideo-RealAudio", "type FakeVideo-RealAudio"), (4, "D", "category D"), (3, "real", "method real")],
)
def test_a_line_that_contradicts_its_folder_stops(tmp_path: Path, column: int, value: str, said: str) -> None:
    lines = fakeavceleb_small(tmp_path)
    lines[1][column] = value
    write_fakeavceleb_list(tmp_path / "meta_data.csv", lines)
    with pytest.raises(UserError, match=f"meta_data.csv.*\n  line 3: RealVideo-FakeAudio/.* is listed with .*{said}"):
        build_index("f", entry("fakeavceleb"), tmp_path)


def test_missing_and_extra_files_are_counted_and_kept(tmp_path: Path) -> None:
    lines = fakeavceleb_small(tmp_path)
    lines[3][8] = "gone.mp4"
    write_fakeavceleb_list(tmp_path / "meta_data.csv", lines)
    index = build_index("f", entry("fakeavceleb"), tmp_path)
    assert index.notes["missing"]["examples"] == ["FakeVideo-FakeAudio/African/men/id00076/gone.mp4"]
    assert index.notes["extra"]["examples"] == ["FakeVideo-FakeAudio/African/men/id00076/00109_10_id00166_w.mp4"]
    extra = next(clip for clip in index.clips if clip.category == "FakeVideo-FakeAudio")
    assert (extra.identity, extra.method, extra.label) == ("id00076", None, 1)


def test_without_the_list_the_folders_speak(tmp_path: Path) -> None:
    fakeavceleb_small(tmp_path)
    (tmp_path / "meta_data.csv").unlink()
    index = build_index("f", entry("fakeavceleb"), tmp_path)
    assert index.notes["lists"]["count"] == 0
    assert {(clip.category, clip.identity) for clip in index.clips} == {
        (name, "id00076") for name in FAKEAVCELEB_COUNTS
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,method\n", "line 1: the header lacks target1"),
        ("source,target1,target2,method,category,type,race,gender,path,\na,b\n", "line 2: 2 columns"),
        (
            "source,target1,target2,method,category,type,race,gender,path,\na,-,-,real,A,x,y,z,f.mp4,Else/where\n",
            "none of",
        ),
    ],
)
def test_a_list_of_another_form_is_named(tmp_path: Path, text: str, said: str) -> None:
    fakeavceleb_small(tmp_path)
    (tmp_path / "meta_data.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        build_index("f", entry("fakeavceleb"), tmp_path)
