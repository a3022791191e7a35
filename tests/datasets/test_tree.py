from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.datasets import registry
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
    assert tree.hidden == 3


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
