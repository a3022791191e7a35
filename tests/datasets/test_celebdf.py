from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import CASES, celebdf, entry, touch

LIST = "List_of_testing_videos.txt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The whole set, and the lines of its list."""
    root = tmp_path_factory.mktemp("celebdf")
    return root, celebdf(root)


def test_the_whole_set_has_the_official_counts(whole: tuple[Path, list[str]]) -> None:
    root, lines = whole
    (root / LIST).write_text("\n".join(lines))
    index = build_index("celebdf", entry("celebdf"), root)
    assert len(index.clips) == 6529
    by_split = Counter((clip.official_split, clip.label) for clip in index.clips)
    assert by_split == {("test", 0): 178, ("test", 1): 340, ("train", 0): 712, ("train", 1): 5299}
    assert Counter(clip.category for clip in index.clips) == {
        "Celeb-real": 590,
        "YouTube-real": 300,
        "Celeb-synthesis": 5639,
    }
    assert index.notes["missing"]["count"] == 0
    assert index.notes["list_lines"] == 518
    assert index.notes["absent_parts"] == []


def test_names_say_who_is_seen_and_whose_face_was_put_in(tmp_path: Path) -> None:
    touch(tmp_path, ["Celeb-real/id0_0003.mp4", "Celeb-synthesis/id0_id16_0003.mp4", "YouTube-real/00170.mp4"])
    clips = {clip.video_id: clip for clip in build_index("c", entry("celebdf"), tmp_path).clips}
    fake = clips["Celeb-synthesis/id0_id16_0003.mp4"]
    assert (fake.identity, fake.source_identity, fake.original_id) == ("id0", "id16", "Celeb-real/id0_0003.mp4")
    assert (fake.label, fake.visual_label) == (1, 1)
    assert clips["Celeb-real/id0_0003.mp4"].identity == "id0"
    assert clips["YouTube-real/00170.mp4"].identity is None


def test_without_the_list_there_is_no_official_split(tmp_path: Path) -> None:
    touch(tmp_path, ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"])
    index = build_index("c", entry("celebdf"), tmp_path)
    assert {clip.official_split for clip in index.clips} == {None}
    assert index.notes["lists"]["count"] == 0
    assert index.notes["absent_parts"] == ["YouTube-real"]


def test_an_inverted_list_stops_and_names_the_first_lines(whole: tuple[Path, list[str]]) -> None:
    root, lines = whole
    (root / LIST).write_text("\n".join(f"{1 - int(line[0])}{line[1:]}" for line in lines))
    with pytest.raises(UserError) as error:
        build_index("c", entry("celebdf"), root)
    message = str(error.value)
    assert "List_of_testing_videos.txt" in message
    assert "line 1: Celeb-real/id0_0000.mp4 has the label 0" in message
    assert "the other way round" in message
    assert "... and 513 more" in message


def test_one_wrong_label_is_named_by_its_line(whole: tuple[Path, list[str]]) -> None:
    root, lines = whole
    wrong = [*lines[:200], f"1{lines[200][1:]}", *lines[201:]]
    (root / LIST).write_text("\r\n".join(wrong))
    with pytest.raises(UserError, match=r"line 201: Celeb-synthesis/\S+ has the label 1") as error:
        build_index("c", entry("celebdf"), root)
    assert "the other way round" not in str(error.value)


@pytest.mark.parametrize("line", ["2 Celeb-real/id0_0000.mp4", "real Celeb-real/id0_0000.mp4", "1 Other/a.mp4", "1"])
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    touch(tmp_path, ["Celeb-real/id0_0000.mp4"])
    (tmp_path / LIST).write_text(f"1 Celeb-real/id0_0000.mp4\n{line}\n")
    with pytest.raises(UserError, match="line 2"):
        build_index("c", entry("celebdf"), tmp_path)


def test_missing_videos_and_strange_files_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "Celeb-DF-v2"
    names = ["Celeb-real/id0_0000.MP4", "Celeb-real/notes.txt", "Celeb-real/odd.mp4", "demo/clip.mp4"]
    touch(root, [*names, "Celeb-real/.hidden.mp4", "Celeb-real/__MACOSX/._id0.mp4"])
    lines = ["1 Celeb-real/id0_0000.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4", "1 Celeb-real/id0_0000.mp4"]
    (root / LIST).write_text("\n".join(lines))
    index = build_index("c", entry("celebdf"), tmp_path)
    assert [(clip.path, clip.video_id, clip.official_split) for clip in index.clips] == [
        ("Celeb-DF-v2/Celeb-real/id0_0000.MP4", "Celeb-real/id0_0000.MP4", "test"),
        ("Celeb-DF-v2/Celeb-real/odd.mp4", "Celeb-real/odd.mp4", "train"),
    ]
    assert index.notes["missing"] == {"count": 1, "examples": ["Celeb-synthesis/id0_id1_0000.mp4"]}
    assert index.notes["list_duplicates"]["count"] == 1
    assert index.notes["odd_names"]["examples"] == ["Celeb-real/odd.mp4"]
    assert index.notes["outside"]["examples"] == ["Celeb-DF-v2/demo/clip.mp4"]
    assert index.notes["ignored"]["examples"] == ["Celeb-DF-v2/Celeb-real/notes.txt"]


def test_another_tree_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, ["real/a.mp4"])
    with pytest.raises(UserError, match=r"Celeb-real/.*it holds real/"):
        build_index("c", entry("celebdf"), tmp_path)


def test_methods_of_celeb_df_plus_plus_are_its_folders(tmp_path: Path) -> None:
    """As issued: Celeb-synthesis/<kind>/<method>/; what is made from sound is named as its clip."""
    made = [
        *("FaceSwap/Celeb-DF/id0_id1_0000.mp4", "FaceSwap/BlendFace/id0_id1_0000.mp4"),
        *("FaceReenact/DaGAN/id1_id0_0002.MP4", "TalkingFace/EDTalk/id1_0002.mp4", "id0_id1_0001.mp4"),
    ]
    touch(tmp_path, ["Celeb-real/id0_0000.mp4", "Celeb-real/id1_0002.mp4"])
    touch(tmp_path, [f"Celeb-synthesis/{name}" for name in made])
    (tmp_path / LIST).write_text(f"0 Celeb-synthesis/{made[1]}\n1 Celeb-real/id1_0002.mp4\n0 Celeb-synthesis/{made[3]}")
    index = build_index("c", entry("celebdf"), tmp_path)
    clips = {clip.video_id.removeprefix("Celeb-synthesis/"): clip for clip in index.clips}
    methods = {name: (clips[name].method, clips[name].identity, clips[name].original_id) for name in made}
    assert methods == {
        made[0]: ("faceswap", "id0", "Celeb-real/id0_0000.mp4"),
        made[1]: ("BlendFace", "id0", "Celeb-real/id0_0000.mp4"),
        made[2]: ("DaGAN", "id1", "Celeb-real/id1_0002.mp4"),
        made[3]: ("EDTalk", "id1", "Celeb-real/id1_0002.mp4"),
        made[4]: ("faceswap", "id0", None),
    }
    assert {name for name, clip in clips.items() if clip.official_split == "test"} == {
        *(made[1], made[3], "Celeb-real/id1_0002.mp4")
    }
    assert index.notes["odd_names"]["count"] == 0


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
def test_made_case_of_celeb_df_plus_plus() -> None:
    clips = build_index("c", entry("celebdf"), CASES / "trees" / "celebdf_plus_plus").clips
    assert Counter(clip.method for clip in clips) == {
        **{"real": 2, "SimSwap": 1},
        **{"LivePortrait": 1, "SadTalker": 1, "faceswap": 1},
    }
