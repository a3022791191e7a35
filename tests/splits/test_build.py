from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dfdetect.config.params import DatasetParams, SplitsParams
from dfdetect.datasets import registry
from dfdetect.errors import UserError
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_json, read_table, write_table
from dfdetect.splits.build import build
from tests.datasets import trees
from tests.splits.tables import Rows, people, row

ROOT = Path(__file__).parents[2]
OUTPUTS = ("data/x/splits.parquet", "data/x/splits.csv", "metrics/x/splits.json", "metrics/x/details/splits.json")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(rows: Rows) -> None:
    write_table(Path("data/x/videos.parquet"), from_rows(rows, VIDEOS), VIDEOS)


def run(entry: DatasetParams | None = None, **params: object) -> dict[str, Any]:
    return build("x", entry or trees.entry("folder"), SplitsParams.model_validate({"val_fraction": 0.1, **params}))


def details() -> dict[str, Any]:
    return dict(read_json(Path("metrics/x/details/splits.json")))


def indexed(layout: str, root: Path, **settings: object) -> DatasetParams:
    """videos.parquet as a layout lists it, without opening the files."""
    entry = trees.entry(layout, **settings)
    columns = ("label", "visual_label", "category", "method", "compression", "identity", "source_identity")
    write(
        [
            row(
                clip.video_id,
                path=clip.path,
                **{n: getattr(clip, n) for n in (*columns, "original_id", "official_split")},
            )
            for clip in registry.build_index("x", entry, root).clips
        ]
    )
    return entry


def table() -> Rows:
    return read_table(Path("data/x/splits.parquet"), SPLITS).to_pylist()


def test_every_video_has_one_row_in_the_order_of_videos_parquet() -> None:
    rows = people(16)
    write(rows)
    metrics = run()
    assert [item["video_id"] for item in table()] == [item["video_id"] for item in rows]
    assert metrics == {"videos": 64, "train": 40, "val": 8, "test": 16, "warnings": [], "notes": metrics["notes"]}
    assert {**read_json(Path("metrics/x/splits.json")), "notes": metrics["notes"]} == metrics
    with Path("data/x/splits.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(item["video_id"], item["split"]) for item in listed] == [(i["video_id"], i["split"]) for i in table()]


def test_the_bytes_are_the_same_from_run_to_run() -> None:
    write(people(16))
    contents = []
    for _ in range(2):
        run()
        contents.append([Path(name).read_bytes() for name in OUTPUTS])
    assert contents[0] == contents[1]


def test_without_videos_parquet_the_message_says_what_to_run() -> None:
    with pytest.raises(UserError, match=r"data/x/videos\.parquet"):
        run()


def test_celebdf_official_split_and_its_known_overlap(tmp_path: Path) -> None:
    trees.celebdf(tmp_path / "set")
    metrics = run(indexed("celebdf", tmp_path / "set"))
    found = details()
    assert found["splits"]["test"]["label"] == {"0": 178, "1": 340}
    others = [found["splits"][name]["label"] for name in ("train", "val")]
    assert [sum(other[label] for other in others) for label in ("0", "1")] == [712, 5299]
    assert all(part["whole"] for part in found["official"])
    (told,) = [each for each in metrics["warnings"] if " identities in test " in each]
    assert told.startswith("all 59 identities in test are also in train or val (5193 train videos, ")
    assert told.endswith("; this overlap is the official split's own")
    assert not any("identities in val are also in train" in each for each in metrics["warnings"])


def test_faceforensics_official_split_has_no_leak(tmp_path: Path) -> None:
    methods = ["Deepfakes", "NeuralTextures"]
    trees.faceforensics(tmp_path / "set", methods)
    metrics = run(indexed("faceforensics", tmp_path / "set", compression="c23", methods=methods))
    for split, count in (("train", 720), ("val", 140), ("test", 140)):
        assert details()["splits"][split]["category"] == dict.fromkeys((*methods, "youtube"), count)
    assert details()["policy"] == {"test": "official", "val": "official"}
    assert metrics["warnings"] == []


def test_fakeavceleb_shares(tmp_path: Path) -> None:
    trees.fakeavceleb(tmp_path / "set")
    run(indexed("fakeavceleb", tmp_path / "set"))
    for split, share, identities in (("test", 0.2, 100), ("val", 0.08, 40), ("train", 0.72, 360)):
        part = details()["splits"][split]
        assert part["identities"] == pytest.approx(identities, abs=2)
        for category, count in trees.FAKEAVCELEB_COUNTS.items():
            assert abs(part["category"][category] - share * count) <= max(2, 0.025 * share * count)


def test_dfdc_goes_by_original(tmp_path: Path) -> None:
    for part in ("dfdc_train_part_0", "dfdc_train_part_1"):
        trees.dfdc_part(tmp_path / "set", part, originals=30, fakes_each=4)
    trees.dfdc_test(tmp_path / "set", each=2500)
    metrics = run(indexed("dfdc", tmp_path / "set"))
    assert details()["splits"]["test"]["label"] == {"0": 2500, "1": 2500}
    assert details()["splits"]["val"]["label"] == {"0": 6, "1": 24}
    assert metrics["warnings"] == []


FF_NAMES = [f"real/{n:03d}.mp4" for n in range(20)] + [f"fake/{n:03d}_{n ^ 1:03d}.mp4" for n in range(20)]
CELEB_NAMES = [f"real/id{n}_0000.mp4" for n in range(12)]
CELEB_NAMES += [f"fake/id{n}_id{(n + k) % 12}_0000.mp4" for n in range(12) for k in (1, 2)]
OTHER_NAMES = [f"real/{name}.mp4" for name in "abcdefghij"] + [f"fake/{name}_deepfake.mp4" for name in "abcdefghij"]
FRAME_NAMES = [f"real/clip{n}_{k:04d}.png" for n in range(10) for k in range(5)]
FRAME_NAMES += [f"fake/FaceSwap/clip{n}_x{n}_{k:04d}.png" for n in range(10) for k in range(5)]


@pytest.mark.parametrize(
    "names", [FF_NAMES, CELEB_NAMES, OTHER_NAMES, FRAME_NAMES], ids=["ff", "celeb", "own", "frames"]
)
def test_originals_and_forgeries_of_own_folders_stay_together(names: list[str], tmp_path: Path) -> None:
    trees.touch(tmp_path / "set", names)
    metrics = run(indexed("folder", tmp_path / "set"))
    told = [warning for warning in metrics["warnings"] if "source identity" not in warning]
    assert told == []  # of Celeb-DF's names everybody lends everybody a face
    assert all(metrics[split] for split in ("train", "val", "test"))
    (note,) = metrics["notes"]
    assert f"the names of {len(names) - (10 if names is OTHER_NAMES else 0)} of {len(names)} videos look as if" in note


@pytest.mark.parametrize(
    ("test", "train", "told"),
    [
        ("real/519.mp4", "fake/519_515.mp4", "all 1 originals in test, or forgeries of them, are also in train"),
        ("real/519.mp4", "fake/519_515.mp4", "all 1 identities in test are also in train"),
        ("real/id0_0000.mp4", "fake/id0_id1_0000.mp4", "all 1 originals in test"),
        ("real/id1_0000.mp4", "fake/id0_id1_0000.mp4", "all 1 people in test are also in train by a swapped face"),
        ("fake/519_515.mp4", "real/519.mp4", "all 1 originals in test"),
        ("real/anna.mp4", "fake/anna_deepfake.mp4", "all 1 originals in test"),
        ("real/clip1_0001.png", "real/clip1_0002.png", "all 1 videos with frames in test also have frames in train"),
        ("fake/FaceSwap/519_515_01.png", "fake/FaceSwap/519_515_02.png", "all 1 videos with frames in test"),
    ],
)
def test_what_crosses_the_splits_that_folders_give_is_told(test: str, train: str, told: str, tmp_path: Path) -> None:
    trees.touch(tmp_path / "set", [f"test/{test}", f"train/{train}"])
    metrics = run(indexed("folder", tmp_path / "set"))
    (warning,) = [each for each in metrics["warnings"] if each.startswith(told)]
    assert "going by file names (1 train videos and 1 test videos" in warning
    assert warning.endswith("; this overlap is the folders' own")
    assert metrics["notes"]


def test_a_list_that_gives_other_official_counts_stops(tmp_path: Path) -> None:
    lines = trees.celebdf(tmp_path / "set")
    (tmp_path / "set" / "List_of_testing_videos.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(
        UserError, match=r"all 5639 videos with category Celeb-synthesis, method faceswap .*'test': 339"
    ):
        run(indexed("celebdf", tmp_path / "set"))


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, stages.splits, stages.audit\n"
        "from dfdetect.datasets import registry\nregistry.layouts()\n"
        "print(sorted({'torch', 'cv2', 'dlib', 'librosa', 'av', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
