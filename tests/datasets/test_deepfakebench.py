from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import entry, touch

CELEB = "Celeb-DF-v2/{}/frames/{}/{:03d}.png"


def frames(folder: str, name: str, count: int = 3) -> list[str]:
    return [CELEB.format(folder, name, number) for number in range(count)]


def write(root: Path, content: dict[str, Any], name: str = "dataset_json/list.json") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


def record(label: str, paths: list[str]) -> dict[str, Any]:
    return {"label": label, "frames": paths}


def celeb(root: Path, spell: Any = lambda path: f"./datasets/rgb/{path}") -> None:
    """As that project lists Celeb-DF: train holds every video, validation is a copy of test."""
    real = {name: frames("Celeb-real", name) for name in ("id0_0000", "id1_0000", "id2_0000")}
    fake = {name: frames("Celeb-synthesis", name) for name in ("id0_id1_0000", "id1_id2_0000", "id2_id0_0000")}
    for group in (real, fake):
        for paths in group.values():
            touch(root, paths)

    def listed(label: str, group: dict[str, list[str]], names: list[str]) -> dict[str, Any]:
        return {name: record(label, [spell(path) for path in group[name]]) for name in names}

    labels = {"CelebDFv2_real": real, "CelebDFv2_fake": fake}
    content: dict[str, Any] = {}
    for label, group in labels.items():
        last = list(group)[-1:]
        content[label] = {
            "train": listed(label, group, list(group)),
            "val": listed(label, group, last),
            "test": listed(label, group, last),
        }
    write(root, {"Celeb-DF-v2": content})


@pytest.mark.parametrize(
    "spell",
    [
        lambda path: path,
        lambda path: f"./datasets/rgb/{path}",
        lambda path: f"/somewhere/else/{path}",
        lambda path: path.replace("/", "\\"),
    ],
)
def test_a_video_in_several_splits_is_taken_once_and_test_goes_first(tmp_path: Path, spell: Any) -> None:
    celeb(tmp_path, spell)
    index = build_index("b", entry("deepfakebench"), tmp_path)
    assert Counter((clip.label, clip.official_split) for clip in index.clips) == {
        (0, "train"): 2,
        (0, "test"): 1,
        (1, "train"): 2,
        (1, "test"): 1,
    }
    assert index.notes["in_several_splits"]["count"] == 2
    assert index.notes["missing"]["count"] == index.notes["frames_missing"] == 0
    fake = next(clip for clip in index.clips if clip.path.endswith("id0_id1_0000"))
    assert (fake.identity, fake.source_identity, fake.category) == ("id0", "id1", "CelebDFv2_fake")
    assert fake.path == "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000"


def test_compression_is_a_level_of_its_own(tmp_path: Path) -> None:
    paths = {c: [f"FF/Deepfakes/{c}/frames/000_003/{n}.png" for n in range(2)] for c in ("c23", "c40")}
    for group in paths.values():
        touch(tmp_path, group)
    test = {c: {"000_003": record("FF-DF", group)} for c, group in paths.items()}
    write(tmp_path, {"FaceForensics++": {"FF-DF": {"test": test, "train": {"c23": {}}, "val": {}}}})
    clips = build_index("b", entry("deepfakebench"), tmp_path).clips
    assert [(clip.compression, clip.label, clip.identity, clip.source_identity) for clip in clips] == [
        ("c23", 1, "000", "003"),
        ("c40", 1, "000", "003"),
    ]


def test_a_record_without_its_name_is_understood(tmp_path: Path) -> None:
    touch(tmp_path, ["DFDC/test/frames/abc/0.png"])
    write(tmp_path, {"DFDC": {"DFDC_Real": {"val": record("DFDC_Real", ["DFDC/test/frames/abc/0.png"])}}})
    (clip,) = build_index("b", entry("deepfakebench"), tmp_path).clips
    assert (clip.path, clip.label, clip.official_split) == ("DFDC/test/frames/abc", 0, "val")


def test_missing_folders_and_frames_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, [*frames("Celeb-real", "id0_0000"), "spare/frames/x/0.png"])
    videos = {
        "id0_0000": record("CelebDFv2_real", frames("Celeb-real", "id0_0000", 5)),
        "id5_0000": record("CelebDFv2_real", frames("Celeb-real", "id5_0000")),
    }
    write(tmp_path, {"Celeb-DF-v2": {"CelebDFv2_real": {"train": videos}}})
    notes = build_index("b", entry("deepfakebench"), tmp_path).notes
    assert notes["frames_missing"] == 2
    assert notes["missing"]["examples"] == ["Celeb-DF-v2/Celeb-real/frames/id5_0000"]
    assert notes["extra"]["examples"] == ["spare/frames/x"]


def test_two_labels_for_one_video_stop(tmp_path: Path) -> None:
    celeb(tmp_path)
    content = json.loads((tmp_path / "dataset_json" / "list.json").read_text())
    content["Celeb-DF-v2"]["CelebDFv2_real"]["val"]["id2_0000"]["label"] = "CelebDFv2_fake"
    write(tmp_path, content)
    with pytest.raises(UserError, match=r"list\.json contradicts.*\n  \S*id2_0000 is both"):
        build_index("b", entry("deepfakebench"), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"D": {"odd": {"train": {"v": record("odd", ["a/b.png"])}}}}, "label `odd`, which says neither"),
        ({"D": {"real": {"train": {}, "extra": {}}}}, "has the split `extra`"),
        ({"D": {"real": {"train": {"v": record("real", ["a/b.png", "c/d.png"])}}}}, "lie in several folders"),
        ({"D": {"real": {"train": {"v": record("real", ["x/y.png"])}}}}, "none of the listed folders"),
        ({"D": 1}, "holds no list"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    touch(tmp_path, ["a/b.png", "c/d.png"])
    write(tmp_path, content)
    with pytest.raises(UserError, match=said):
        build_index("b", entry("deepfakebench"), tmp_path)
