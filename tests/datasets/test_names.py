"""What the file names of layout `folder` tell of people, originals and frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfdetect.datasets.layout import Clip
from dfdetect.datasets.registry import build_index
from tests.datasets.trees import entry, touch


def clips(root: Path, names: list[str]) -> dict[str, Clip]:
    """The clips of a folder in which each image is taken for itself."""
    touch(root, names)
    return {clip.video_id: clip for clip in build_index("m", entry("folder", frame_folders=False), root).clips}


@pytest.mark.parametrize(
    ("real", "fake", "people"),
    [
        ("real/519.mp4", "fake/519_515.mp4", ("519", "519", "515")),
        ("real/id0_0007.mp4", "fake/FaceSwap/id0_id16_0007.mp4", ("id0", "id0", "id16")),
        ("real/01__walking.mp4", "fake/01_02__walking__ABC.mp4", ("actor_01", "actor_01", "actor_02")),
        ("real/anna.mp4", "fake/anna.mp4", (None, None, None)),
        ("real/anna b.mp4", "fake/anna b-deepfake 2.avi", (None, None, None)),
        ("real/00109.mp4", "fake/00109_2_id00071_wavtolip.mp4", (None, None, None)),
        ("real/x/519.png", "fake/519_515.png", ("519", "519", "515")),
        ("test/real/519.mp4", "train/fake/519_515.mp4", ("519", "519", "515")),
        ("test/real/anna.mp4", "train/fake/anna_fake.mp4", (None, None, None)),
    ],
)
def test_a_forgery_has_its_original(
    real: str, fake: str, people: tuple[str | None, str | None, str | None], tmp_path: Path
) -> None:
    found = clips(tmp_path, [real, fake])
    assert found[fake].original_id == real
    assert found[real].original_id is None
    assert (found[real].identity, found[fake].identity, found[fake].source_identity) == people


@pytest.mark.parametrize(
    "names",
    [
        ["real/001.mp4", "fake/100.mp4"],  # numbers say nobody's name
        ["real/anna.mp4", "fake/annabel.mp4"],
        ["real/IMG_0001.png", "real/IMG_0002.png", "fake/StyleGAN2/0001.png"],
        ["real/ffhq256/00001.png", "real/ffhq256/00002.png", "fake/StyleGAN2/00007.png"],
        ["test/real/7.mp4", "train/fake/7.mp4"],  # a count, and no name
    ],
)
def test_names_that_tell_nothing(names: list[str], tmp_path: Path) -> None:
    for clip in clips(tmp_path, names).values():
        assert (clip.identity, clip.source_identity, clip.original_id) == (None, None, None)


def test_the_longest_name_wins(tmp_path: Path) -> None:
    found = clips(tmp_path, ["real/anna.mp4", "real/anna_2.mp4", "fake/anna_2_swap.mp4", "fake/anna_3.mp4"])
    assert found["fake/anna_2_swap.mp4"].original_id == "real/anna_2.mp4"
    assert found["fake/anna_3.mp4"].original_id == "real/anna.mp4"


def test_numbering_that_restarts_in_each_split_links_nothing_across(tmp_path: Path) -> None:
    names = [f"{split}/real/clip{n}.mp4" for split in ("train", "test") for n in range(2)]
    names += ["train/real/clip9.mp4", "test/fake/clip0_fake.mp4", "test/fake/clip9_fake.mp4"]
    found = clips(tmp_path, names)
    assert found["test/fake/clip0_fake.mp4"].original_id == "test/real/clip0.mp4"
    assert found["test/fake/clip9_fake.mp4"].original_id is None
    frames = [f"{split}/real/clip{n}/{k:03d}.png" for split in ("train", "test") for n in range(3) for k in range(2)]
    found = clips(tmp_path / "frames", frames)
    assert found["train/real/clip1/000.png"].original_id == "train/real/clip1"
    assert found["test/real/clip1/001.png"].original_id == "test/real/clip1"


@pytest.mark.parametrize(
    ("names", "origin"),
    [
        (["real/clip1_0001.png", "real/clip1_0002.png"], "real/clip1"),
        (["real/day one/a_frame1.jpg", "real/day one/a_frame_12_0.jpg"], "real/day one/a"),
        (["train/real/clip1_0001.png", "test/real/clip1_0002.png"], "real/clip1"),
        (["fake/FaceSwap/519_515_01.png", "fake/FaceSwap/519_515_02.png"], "fake/FaceSwap/519_515"),
        ([f"real/clip{n}/{k}.png" for n in (1, 1, 2, 3) for k in (4, 5)], "real/clip1"),
    ],
)
def test_frames_of_one_clip_have_one_origin(names: list[str], origin: str, tmp_path: Path) -> None:
    found = clips(tmp_path, names)
    assert found[names[0]].original_id == found[names[1]].original_id == origin


def test_frames_of_a_forgery_have_the_clip_of_the_original_s_frames(tmp_path: Path) -> None:
    found = clips(tmp_path, ["real/519_001.png", "real/519_002.png", "fake/519_515_007.png"])
    assert {clip.original_id for clip in found.values()} == {"real/519"}


def test_a_folder_of_frames_in_fake_is_a_clip_and_no_method(tmp_path: Path) -> None:
    names = [f"fake/{a}_{b}/{k:03d}.png" for a, b in (("519", "515"), ("001", "002"), ("003", "004")) for k in range(2)]
    found = clips(tmp_path, ["real/519.mp4", *names])
    first = found["fake/519_515/000.png"]
    assert (first.method, first.identity, first.original_id) == (None, "519", "real/519.mp4")
    assert found["fake/001_002/001.png"].original_id == "fake/001_002"


def test_folders_that_are_videos_have_names_like_files(tmp_path: Path) -> None:
    touch(tmp_path, [f"{name}/{k}.png" for name in ("real/519", "fake/519_515", "fake/StyleGAN") for k in (1, 2)])
    found = {clip.video_id: clip for clip in build_index("m", entry("folder"), tmp_path).clips}
    assert found["fake/519_515"].original_id == "real/519"
    assert found["fake/StyleGAN"].original_id is None
