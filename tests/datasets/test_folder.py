from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import CASES, entry, touch


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


@pytest.mark.parametrize("base", ["mine/", "downloads/mine v2/"])
def test_an_archives_own_folders_above_do_not_matter(tmp_path: Path, base: str) -> None:
    touch(tmp_path, [f"{base}real/a.mp4", f"{base}fake/GAN/b.mp4", f"{base}c.mp4", "__MACOSX/x/._a.mp4"])
    index = build_index("m", entry("folder"), tmp_path)
    assert [(clip.video_id, clip.path) for clip in index.clips] == [
        ("fake/GAN/b.mp4", f"{base}fake/GAN/b.mp4"),
        ("real/a.mp4", f"{base}real/a.mp4"),
    ]
    assert index.notes["outside"]["examples"] == [f"{base}c.mp4"]
    assert index.notes["passed_over"]["examples"] == ["__MACOSX/"]
    touch(tmp_path, ["other/real/d.mp4"])
    with pytest.raises(UserError, match="unknown class folders"):
        build_index("m", entry("folder"), tmp_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("train/real/a.mp4", (0, "real", "train")),
        ("real/train/a.mp4", (0, "real", "train")),
        ("Fake/Testing/a.mp4", (1, None, "test")),
        ("fake/GAN/valid/a.mp4", (1, "GAN", "val")),
        ("fake/val/GAN/a.mp4", (1, "GAN", "val")),
        ("set/fake/dev/a.mp4", (1, None, "val")),
    ],
)
def test_split_and_class_in_either_order(tmp_path: Path, path: str, expected: tuple[int, str | None, str]) -> None:
    touch(tmp_path, [path])
    assert list(columns(tmp_path).values()) == [expected]


def test_a_file_cannot_be_in_two_splits(tmp_path: Path) -> None:
    touch(tmp_path, ["real/a.mp4", "train/fake/test/b.mp4"])
    with pytest.raises(UserError, match="unknown class folders train/fake/"):
        columns(tmp_path)


def frames(folder: str, numbers: Iterable[int], form: str = "{:04d}.jpg") -> list[str]:
    return [f"{folder}/{form.format(number)}" for number in numbers]


@pytest.mark.parametrize("form", ["{:04d}.jpg", "{}.png", "frame_{}.PNG", "id0_id1_{}.webp", "img{:03d}_crop.jpg"])
@pytest.mark.parametrize("base", ["", "set/"])
def test_a_folder_of_numbered_images_is_one_video(tmp_path: Path, form: str, base: str) -> None:
    touch(tmp_path, [*frames(f"{base}real/r0", range(998, 1001), form), *frames(f"{base}train/real/r1", [5], form)])
    touch(tmp_path, [*frames(f"{base}fake/GAN/f0", (9, 10), form), *frames(f"{base}fake/f1", (30, 60), form)])
    index = build_index("m", entry("folder"), tmp_path)
    assert {(c.path, c.method, c.official_split) for c in index.clips} == {
        (f"{base}fake/GAN/f0", "GAN", None),
        (f"{base}fake/f1", None, None),
        (f"{base}real/r0", "real", None),
        (f"{base}train/real/r1", "real", "train"),
    }
    assert (index.notes["frame_folders"]["count"], index.notes["images"]) == (4, 0)
    assert index.notes["ignored"]["count"] == 0


def test_single_images_stay_single_and_that_is_told(tmp_path: Path) -> None:
    """Whoever collects images has some that are in no folder of numbered ones; the params decide what this does not."""
    touch(tmp_path, ["real/a.jpg", "real/b.jpg", *frames("fake/GAN", range(3))])
    index = build_index("m", entry("folder"), tmp_path)
    assert [clip.method for clip in index.clips] == ["GAN"] * 3 + ["real"] * 2
    assert index.notes["loose_frames"]["examples"] == ["fake/GAN"]
    index = build_index("m", entry("folder", frame_folders=True), tmp_path)
    assert [clip.path for clip in index.clips] == ["fake/GAN", "real/a.jpg", "real/b.jpg"]
    (tmp_path / "real/a.jpg").unlink()
    (tmp_path / "real/b.jpg").unlink()
    touch(tmp_path, frames("real/r0", range(2)))
    assert len(build_index("m", entry("folder"), tmp_path).clips) == 2
    index = build_index("m", entry("folder", frame_folders=False), tmp_path)
    assert (len(index.clips), index.notes["loose_frames"]["count"]) == (5, 2)


@pytest.mark.parametrize("names", [["a.jpg", "b.jpg"], ["1.jpg", "01.jpg"], ["1.jpg", "2.mp4"], ["a1.jpg", "b2.jpg"]])
def test_other_names_are_no_frames(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, [f"fake/f0/{name}" for name in names])
    assert len(columns(tmp_path)) == 2


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
def test_made_case_of_frames_in_folders() -> None:
    clips = build_index("m", entry("folder"), CASES / "trees" / "frames_in_folders").clips
    assert [clip.path for clip in clips] == [f"{c}/{c[0]}0{n}" for c in ("fake", "real") for n in range(6)]
    assert {clip.method for clip in clips} == {None, "real"}
