"""Lists as other programs save them: every encoding, line end and separator gives what the official file gives."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path

import pytest

from dfdetect.datasets.layout import Clip
from dfdetect.datasets.lists import Lookup, read_csv, read_json_file, read_text
from dfdetect.datasets.registry import build_index
from dfdetect.errors import UserError
from tests.datasets.trees import CASES, entry, fakeavceleb_small, touch

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
LINE_ENDS = ("\n", "\r\n", "\r")

CELEB = ["Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "YouTube-real/00001.mp4"]
CELEB += ["Celeb-synthesis/id0_id1_0000.mp4", "Celeb-synthesis/id1_id0_0000.mp4"]
CELEB_TEST = {CELEB[0]: 1, CELEB[2]: 1, CELEB[3]: 0}


def celeb_test(root: Path, lines: list[str], encoding: str = "utf-8", end: str = "\n") -> set[str]:
    touch(root, CELEB)
    (root / "List_of_testing_videos.txt").write_bytes((end.join(lines) + end).encode(encoding))
    return {clip.video_id for clip in build_index("c", entry("celebdf"), root).clips if clip.official_split == "test"}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", LINE_ENDS)
def test_the_official_test_set_is_there_whatever_saved_its_list(tmp_path: Path, encoding: str, end: str) -> None:
    lines = [f"{label} {name}" for name, label in CELEB_TEST.items()]
    assert celeb_test(tmp_path, lines, encoding, end) == set(CELEB_TEST)


@pytest.mark.parametrize(
    "form",
    ["{0}\t{1}", "{0};{1}", "{0},{1}", '"{0}","{1}"', "{0}   {1}  ", '"{0} {1}"', "{0} ./{1}", "{0} Celeb-DF-v2/{1}"],
)
def test_a_line_of_the_test_list_may_be_separated_quoted_or_prefixed(tmp_path: Path, form: str) -> None:
    lines = [form.format(label, name) for name, label in CELEB_TEST.items()]
    assert celeb_test(tmp_path, lines) == set(CELEB_TEST)
    windows = [form.format(label, name.replace("/", "\\")) for name, label in CELEB_TEST.items()]
    assert celeb_test(tmp_path, windows) == set(CELEB_TEST)


@pytest.mark.parametrize("content", [b"", b"\r\r\n \n"])
def test_an_empty_test_list_is_an_error(tmp_path: Path, content: bytes) -> None:
    touch(tmp_path, CELEB)
    (tmp_path / "List_of_testing_videos.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"List_of_testing_videos\.txt is empty"):
        build_index("c", entry("celebdf"), tmp_path)


def test_the_test_list_is_found_in_another_folder_and_letter_case(tmp_path: Path) -> None:
    touch(tmp_path, [f"set/{name}" for name in CELEB])
    touch(tmp_path, ["set/lists/list_of_Testing_videos.TXT"], b"1 Celeb-real/id0_0000.mp4\n")
    index = build_index("c", entry("celebdf"), tmp_path)
    assert [clip.video_id for clip in index.clips if clip.official_split == "test"] == [CELEB[0]]
    assert index.notes["lists"]["examples"] == ["set/lists/list_of_Testing_videos.TXT"]


def test_what_begins_in_an_encoding_and_is_not_names_it(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("1 Celeb-real".encode("utf-16") + b"\x00")
    with pytest.raises(UserError, match=r"list\.txt begins as utf-16 and is not .*: save it as UTF-8"):
        read_text(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_csv_may_have_any_usual_separator(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    rows = [["filename", "label", "note"], ["a b.mp4", "1", 'said "x"'], ["c.mp4", "0", f"one{delimiter}cell"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    for first in ("", f"sep={delimiter}\n" if delimiter != "," else ""):  # Excel's own line
        (tmp_path / "x.csv").write_bytes((first + text.getvalue()).replace("\n", end).encode(encoding))
        assert [cells for _, cells in read_csv(tmp_path / "x.csv")] == rows


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_fakeavceleb_with_another_separator(tmp_path: Path, delimiter: str, variant: str) -> None:
    def columns() -> list[Clip]:
        return build_index("f", entry("fakeavceleb"), tmp_path).clips

    fakeavceleb_small(tmp_path, variant)
    official = columns()
    rows = [cells for _, cells in read_csv(tmp_path / "meta_data.csv")]
    with (tmp_path / "meta_data.csv").open("w", newline="", encoding="utf-16") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\r").writerows(rows)
    assert columns() == official
    assert [clip.method for clip in official] == ["wav2lip", "faceswap", "rtvc", "real"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_lists_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.json").write_bytes(json.dumps({"é.mp4": 1}, ensure_ascii=False).encode(encoding))
    assert read_json_file(tmp_path / "x.json") == {"é.mp4": 1}


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
def test_accents_match_in_either_spelling(tmp_path: Path, disk: str) -> None:
    """macOS stores e and its accent apart; lists made elsewhere have them as one letter."""
    listed = {"NFC": "NFD", "NFD": "NFC"}[disk]
    touch(tmp_path, [unicodedata.normalize(disk, f"test/Zoë {n} ÅNGSTRÖM.MP4") for n in range(2)])
    lines = [unicodedata.normalize(listed, f"Zoë {n} ångström.mp4,{n}") for n in range(2)]
    (tmp_path / "test" / "labels.csv").write_text("\n".join(["filename,label", *lines]))
    index = build_index("d", entry("dfdc"), tmp_path)
    assert [clip.label for clip in index.clips] == [0, 1]
    assert index.notes["missing"]["count"] == index.notes["unlabelled"]["count"] == 0

    touch(tmp_path / "bench", [unicodedata.normalize(disk, f"set/frames/Zoë/{n}é.png") for n in range(3)])
    frames = [unicodedata.normalize(listed, f"set/frames/Zoë/{n}é.png") for n in range(3)]
    (tmp_path / "bench" / "list.json").write_text(
        json.dumps({"D": {"real": {"train": {"Zoë": {"label": "real", "frames": frames}}}}})
    )
    index = build_index("b", entry("deepfakebench"), tmp_path / "bench")
    assert [clip.path for clip in index.clips] == [unicodedata.normalize(disk, "set/frames/Zoë")]
    assert index.notes["frames_missing"] == 0


def test_an_exact_name_goes_before_a_similar_one() -> None:
    lookup = Lookup(["B.mp4", "a.mp4", "A.mp4"])
    assert [lookup.find(name) for name in ("A.mp4", "a.mp4", "b.MP4", "c.mp4")] == ["A.mp4", "a.mp4", "B.mp4", None]


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
@pytest.mark.parametrize("name", ["celebdf_utf16", "celebdf_old_mac"])
def test_made_cases_of_the_test_list(name: str) -> None:
    clips = build_index("c", entry("celebdf"), CASES / "trees" / name).clips
    assert sorted(clip.official_split or "" for clip in clips) == ["test"] * 3 + ["train"] * 2


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
def test_made_case_of_semicolons() -> None:
    clips = build_index("f", entry("fakeavceleb"), CASES / "trees" / "fakeavceleb_semicolons").clips
    assert [(clip.identity, clip.label) for clip in clips] == [("id00001", 1), ("id00001", 0)]
