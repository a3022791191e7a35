"""What the user names, as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfdetect.inference.inputs import expand


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.JPG", "notes.txt", "inner/c.webm", "empty/x.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(tree: Path, *arguments: str) -> list[str]:
    return [str(item.path.relative_to(tree)) for item in expand([tree / argument for argument in arguments])]


def test_a_folder_is_its_media_and_those_below(tree: Path) -> None:
    assert names(tree, "") == ["a.JPG", "b.mp4", "inner/c.webm"]


def test_a_file_is_taken_whatever_its_name_and_only_once(tree: Path) -> None:
    assert names(tree, "notes.txt", "b.mp4", "notes.txt", "") == ["notes.txt", "b.mp4", "a.JPG", "inner/c.webm"]


def test_patterns(tree: Path) -> None:
    assert names(tree, "*.mp4") == ["b.mp4"]
    assert names(tree, "**/*.webm") == ["inner/c.webm"]
    assert names(tree, "inn*") == ["inner/c.webm"]
    (tree / "odd[1].mp4").write_bytes(b"x")
    assert names(tree, "odd[1].mp4") == ["odd[1].mp4"]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [("gone.mp4", "does not exist"), ("*.avi", "no file matches"), ("empty", "holds no video or image")],
)
def test_what_leads_to_no_file_says_why(tree: Path, argument: str, problem: str) -> None:
    (found,) = expand([tree / argument])
    assert problem in (found.problem or "")
