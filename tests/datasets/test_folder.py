from __future__ import annotations

from pathlib import Path

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import entry, touch


def columns(root: Path) -> dict[str, tuple[int | None, str | None, str | None]]:
    return {c.video_id: (c.label, c.method, c.official_split) for c in build_index("m", entry("folder"), root).clips}


def test_flat_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, ["real/a.mp4", "Fake/b.MOV", "Fake/FaceSwap/c.webm", "real/picture.JPG", "real/notes.txt", "x.mp4"])
    assert columns(tmp_path) == {
        "Fake/FaceSwap/c.webm": (1, "FaceSwap", None),
        "Fake/b.MOV": (1, None, None),
        "real/a.mp4": (0, "real", None),
        "real/picture.JPG": (0, "real", None),
    }
    notes = build_index("m", entry("folder"), tmp_path).notes
    assert notes["images"] == 1
    assert notes["ignored"]["examples"] == ["real/notes.txt"]
    assert notes["outside"]["examples"] == ["x.mp4"]


@pytest.mark.parametrize(
    "names",
    [
        ("train/real", "train/fake", "val/real", "test/fake"),
        ("Train/Real", "Train/Fake", "Validation/Real", "Test/Fake"),
        ("TRAINING/REAL", "TRAINING/FAKE", "valid/REAL", "testing/FAKE"),
    ],
)
def test_split_folders_are_the_official_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, (f"{name}/a.mp4" for name in names))
    found = columns(tmp_path)
    assert [found[f"{name}/a.mp4"][2] for name in names] == ["train", "train", "val", "test"]
    assert [found[f"{name}/a.mp4"][0] for name in names] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["real/a.mp4", "generated/b.mp4", "deepfakes/c.png"], "unknown class folders deepfakes/, generated/"),
        (["train/real/a.mp4", "train/other/b.mp4"], "unknown class folders train/other/"),
        (["train/a.mp4"], "unknown class folders train/"),
        (["a.mp4", "b.txt"], "it holds a.mp4, b.txt"),
        ([], "it holds nothing"),
    ],
)
def test_unknown_folders_are_listed(tmp_path: Path, names: list[str], said: str) -> None:
    touch(tmp_path, names)
    with pytest.raises(UserError, match=f"{said}.*real/ and fake/"):
        build_index("m", entry("folder"), tmp_path)


def test_folders_without_media_do_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, ["real/a.mp4", "fake/b.mp4", "docs/readme.txt"])
    assert len(columns(tmp_path)) == 2
