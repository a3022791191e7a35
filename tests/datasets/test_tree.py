from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.datasets import registry
from dfdetect.datasets.registry import build_index
from dfdetect.datasets.tree import on_disk, stored, walk
from dfdetect.errors import UserError
from tests.datasets.trees import entry, touch

ODD = ['it\'s a "clip".mp4', "new\nline.mp4", "percent%20.mp4", "back\\slash.mp4", "\\x41.mp4", "tab\t.mp4", "ünï.mp4"]


@settings(deadline=None)
@given(st.binary(min_size=1).filter(lambda data: b"\0" not in data))
def test_any_path_comes_back_from_its_stored_form(data: bytes) -> None:
    path = os.fsdecode(data)
    text = stored(path)
    assert on_disk(text) == path
    text.encode("utf-8")
    assert not any(ord(char) < 0x20 for char in text)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("C",), exclude_characters="\\\0"), min_size=1))
def test_a_plain_name_is_stored_as_it_is(name: str) -> None:
    assert stored(name) == name


def test_odd_names_are_listed(tmp_path: Path) -> None:
    names = [*ODD, os.fsdecode(b"caf\xe9.mp4")]
    touch(tmp_path / "real", names)
    touch(tmp_path / "fake", ["a.mp4"])
    clips = registry.build_index("odd", entry("folder"), tmp_path).clips
    assert {clip.path for clip in clips} == {f"real/{name}" for name in names} | {"fake/a.mp4"}
    assert all((tmp_path / on_disk(stored(clip.path))).exists() for clip in clips)
    assert "real/caf\\xe9.mp4" in {clip.video_id for clip in clips}
    assert "real/\\x5cx41.mp4" in {clip.video_id for clip in clips}


def test_files_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    touch(tmp_path, ["b.mp4", "a/z.mp4", "a.mp4", "B.mp4", "é.mp4", "a-b/c.mp4"])
    assert walk(tmp_path).files == ("B.mp4", "a-b/c.mp4", "a.mp4", "a/z.mp4", "b.mp4", "é.mp4")


def test_hidden_files_and_debris_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", ".b.mp4", ".git/c.mp4", "__MACOSX/._a.mp4"])
    tree = walk(tmp_path)
    assert tree.files == ("a.mp4",)
    assert sorted(tree.passed_over) == [".b.mp4", ".git/", "__MACOSX/"]


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir/a.mp4/SYNOVIDEO_VIDEO_SCREENSHOT.jpg", "#recycle/a.mp4", "@Recycle/a.mp4", ".@__thumb/a.jpg"),
        *("$RECYCLE.BIN/S-1-5/$R1.mp4", "$Recycle.Bin/a.mp4", "RECYCLER/a.mp4", "System Volume Information/a.mp4"),
        *(".Trash-1000/files/a.mp4", ".Trashes/501/a.mp4", ".AppleDouble/a.mp4", "Thumbs.db", "thumbs.DB", "._a.mp4"),
        *("Network Trash Folder/a.mp4", "lost+found/a.mp4", "desktop.ini", "#snapshot/daily/a.mp4"),
    ],
)
def test_recycle_bins_and_previews_of_network_disks_are_passed_over_and_counted(tmp_path: Path, name: str) -> None:
    touch(tmp_path, ["real/a.mp4", "fake/b.mp4", f"real/{name}", name])
    index = build_index("m", entry("folder"), tmp_path)
    assert [clip.path for clip in index.clips] == ["fake/b.mp4", "real/a.mp4"]
    assert index.notes["passed_over"]["count"] == 2
    assert index.notes["ignored"]["count"] == index.notes["outside"]["count"] == 0


@pytest.mark.parametrize("name", sorted(registry.layouts()))
def test_every_file_is_a_clip_a_frame_a_list_or_counted(tmp_path: Path, name: str) -> None:
    trees = {
        "celebdf": ["Celeb-real/id0_0000.mp4", "YouTube-real/1.mp4", "sub/Celeb-real/id9_0000.mp4"],
        "deepfakebench": ["a/0.png", "b/0.png"],
        "dfdc": ["part/a.mp4", "train_sample_videos/a.mp4", "test_videos/b.mp4"],
        "fakeavceleb": ["RealVideo-RealAudio/African/men/id00001/1.mp4"],
        "faceforensics": ["real/000.mp4", "Deepfakes/000_001.mp4", "FaceSwap/000_001.mp4"],
        "folder": ["real/a.mp4", "fake/f0/1.jpg", "fake/f0/2.jpg"],
    }
    touch(tmp_path, [*trees[name], "loose.mp4", "more/notes.txt", "sheet.xlsx", "preview.jpg", ".hidden", "more.zip"])
    metadata = json.dumps({"a.mp4": {"label": "REAL"}})
    lists = {
        "celebdf": {"List_of_testing_videos.txt": "1 Celeb-real/id0_0000.mp4"},
        "deepfakebench": {"l.json": '{"D": {"real": {"train": {"a": {"label": "real", "frames": ["a/0.png"]}}}}}'},
        "dfdc": {"part/metadata.json": metadata, "train_sample_videos/metadata.json": metadata},
        "fakeavceleb": {},
        "faceforensics": {"splits/test.json": '[["000", "001"]]'},
        "folder": {},
    }
    for path, text in lists[name].items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    index = build_index("x", entry(name, methods=["Deepfakes"] if name == "faceforensics" else None), tmp_path)
    notes = index.notes
    counted = sum(notes[key]["count"] for key in ("outside", "archives", "ignored", "passed_over"))
    counted += notes.get("lists", {}).get("count", 0) + notes.get("duplicates", {}).get("count", 0)
    counted += sum(notes.get("not_selected", {}).values()) + (notes["extra"]["count"] if name == "deepfakebench" else 0)
    files = sum(path.is_file() for path in tmp_path.rglob("*"))
    frames = notes.get("frame_folders", {}).get("count", 0)  # each of two
    assert len(index.clips) + frames + counted == files
    assert notes["archives"]["examples"] == ["more.zip"]
    if name == "folder":
        assert notes["ignored"]["examples"] == ["more/notes.txt", "preview.jpg", "sheet.xlsx"]


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    touch(tmp_path, ["elsewhere/a.mp4"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    (root / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    files = walk(root).files
    assert "linked/a.mp4" in files
    assert "gone.mp4" in files
    assert sum(name.endswith("a.mp4") for name in files) <= 2


@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_root_that_is_no_folder_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=f"{what} (does not exist|is a file)"):
        walk(tmp_path / what)


def test_every_layout_is_found_and_an_unknown_one_is_named() -> None:
    names = {"celebdf", "deepfakebench", "dfdc", "fakeavceleb", "faceforensics", "folder"}
    assert names <= set(registry.layouts())
    with pytest.raises(
        UserError, match=r"no layout `celebdb`\. Did you mean `celebdf`\? Known layouts: celebdf, deepfakebench, dfdc"
    ):
        registry.get("celebdb")


@pytest.mark.parametrize("name", sorted(registry.layouts()))
def test_an_empty_folder_is_an_error_that_says_what_is_expected(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        registry.build_index("x", entry(name), tmp_path)
    assert registry.get(name).HOLDS.split("/")[0].split(" ")[0] in str(error.value)


@pytest.mark.parametrize("name", sorted(registry.layouts()))
def test_official_counts_add_up(name: str) -> None:
    for part in registry.official(name):
        assert not part.splits or sum(part.splits.values()) == part.videos, part
