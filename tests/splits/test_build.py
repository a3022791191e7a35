from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dfdetect.config.params import DatasetParams, SplitsParams
from dfdetect.datasets import registry
from dfdetect.errors import UserError
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_table, write_json, write_table
from dfdetect.splits.build import build
from tests.datasets import trees
from tests.splits.tables import Rows, people, row

ROOT = Path(__file__).parents[2]
OUTPUTS = ("data/x/splits.parquet", "data/x/splits.csv", "metrics/x/splits.json", "metrics/x/audit.md")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(rows: Rows) -> None:
    write_table(Path("data/x/videos.parquet"), from_rows(rows, VIDEOS), VIDEOS)


def run(entry: DatasetParams | None = None, **params: object) -> dict[str, object]:
    return build("x", entry or trees.entry("folder"), SplitsParams.model_validate(params))


def indexed(layout: str, root: Path, **settings: object) -> DatasetParams:
    """videos.parquet as a layout lists it, without opening the files."""
    entry = trees.entry(layout, **settings)
    columns = ("label", "visual_label", "category", "method", "compression", "identity", "source_identity")
    write(
        [
            row(clip.video_id, **{n: getattr(clip, n) for n in (*columns, "original_id", "official_split")})
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
    assert {name: metrics["splits"][name]["videos"] for name in ("train", "val", "test")} == {  # type: ignore[index]
        "train": 40, "val": 8, "test": 16,
    }  # fmt: skip
    assert json.loads(Path("metrics/x/splits.json").read_text()) == metrics
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


def test_the_audit_can_be_read() -> None:
    write(people(16))
    run()
    text = Path("metrics/x/audit.md").read_text()
    assert "| videos | 40 | 8 | 16 |" in text
    assert "| category A | 10 | 2 | 4 |" in text
    assert "| identities in both | 0 | 0 | 0 |" in text
    assert "| share of the latter's identities | 0.0% | 0.0% | 0.0% |" in text
    assert "| real | 10 | 2 | 4 |" in text
    assert "| picture fake | 30 | 6 | 12 |" in text
    assert "None" not in text
    assert "Frames are not compared: the faces stage has not run." in text


def test_the_audit_says_what_a_layout_found_in_words() -> None:
    write(people(16))
    notes = {"missing": {"count": 2, "examples": ["a.mp4", "b.mp4"]}, "absent_parts": [], "list": None, "odd": 3}
    write_json(Path("metrics/x/download.json"), {"layout": notes})
    run()
    text = Path("metrics/x/audit.md").read_text()
    assert "| named by a list, not here | 2 | `a.mp4`, `b.mp4` |" in text
    assert "| parts that are not here | none |  |" in text
    assert "| list read | none |  |" in text
    assert "| odd | 3 |  |" in text


def test_leaking_videos_are_excluded_and_counted() -> None:
    rows = people(16)
    for item in rows:
        item["sha256"] = item["category"] + item["identity"][-1]  # the ten's digit is left out: files come twice
    write(rows)
    metrics = run(on_leak="drop")
    counted = Counter(item["split"] for item in table())
    assert counted["excluded"] == metrics["leaks"]["videos"] > 0  # type: ignore[index]
    assert counted["test"] == 16
    assert sum(counted.values()) == 64
    of: dict[str, set[str]] = {}
    for item, source in zip(table(), rows, strict=True):
        if item["split"] != "excluded":
            of.setdefault(source["sha256"], set()).add(item["split"])
    assert all(len(splits) == 1 for splits in of.values())
    assert "| videos |" in Path("metrics/x/audit.md").read_text()


def test_fail_stops_before_a_split_is_written_and_leaves_the_figures() -> None:
    rows = people(16)
    for item in rows:
        item["sha256"] = "same"
    write(rows)
    with pytest.raises(UserError, match="videos leak into another split"):
        run(on_leak="fail")
    assert not Path("data/x/splits.parquet").exists()
    assert json.loads(Path("metrics/x/splits.json").read_text())["duplicate_files"]["groups_across_splits"] == 1


def test_without_videos_parquet_the_message_says_what_to_run() -> None:
    with pytest.raises(UserError, match=r"data/x/videos\.parquet"):
        run()


def test_celebdf_official_counts(tmp_path: Path) -> None:
    trees.celebdf(tmp_path / "set")
    metrics = run(indexed("celebdf", tmp_path / "set"))
    assert metrics["splits"]["test"]["label"] == {"0": 178, "1": 340}  # type: ignore[index]
    others = [metrics["splits"][name]["label"] for name in ("train", "val")]  # type: ignore[index]
    assert [sum(other[label] for other in others) for label in ("0", "1")] == [712, 5299]
    assert all(part["whole"] for part in metrics["official"])  # type: ignore[attr-defined]
    assert metrics["people"]["train-test"]["identities"] > 0  # type: ignore[index]
    assert metrics["people"]["train-val"]["identities"] == 0  # type: ignore[index]


def test_faceforensics_official_counts(tmp_path: Path) -> None:
    methods = ["Deepfakes", "NeuralTextures"]
    trees.faceforensics(tmp_path / "set", methods)
    metrics = run(indexed("faceforensics", tmp_path / "set", compression="c23", methods=methods))
    for split, count in (("train", 720), ("val", 140), ("test", 140)):
        assert metrics["splits"][split]["category"] == dict.fromkeys((*methods, "youtube"), count)  # type: ignore[index]
    assert metrics["policy"] == {"test": "official", "val": "official"}
    assert metrics["people"]["train-test"]["identities"] == 0  # type: ignore[index]


def test_fakeavceleb_shares(tmp_path: Path) -> None:
    trees.fakeavceleb(tmp_path / "set")
    metrics = run(indexed("fakeavceleb", tmp_path / "set"))
    for split, share, identities in (("test", 0.2, 100), ("val", 0.08, 40), ("train", 0.72, 360)):
        part = metrics["splits"][split]  # type: ignore[index]
        assert part["identities"] == identities
        for category, count in trees.FAKEAVCELEB_COUNTS.items():
            assert abs(part["category"][category] - share * count) <= max(1, 0.025 * share * count)


def test_dfdc_goes_by_original(tmp_path: Path) -> None:
    for part in ("dfdc_train_part_0", "dfdc_train_part_1"):
        trees.dfdc_part(tmp_path / "set", part, originals=30, fakes_each=4)
    trees.dfdc_test(tmp_path / "set", each=2500)
    metrics = run(indexed("dfdc", tmp_path / "set"))
    assert metrics["splits"]["test"]["label"] == {"0": 2500, "1": 2500}  # type: ignore[index]
    assert metrics["people"]["train-val"]["originals"] == 0  # type: ignore[index]
    assert metrics["splits"]["val"]["label"] == {"0": 6, "1": 24}  # type: ignore[index]


def test_a_list_that_gives_other_official_counts_stops(tmp_path: Path) -> None:
    lines = trees.celebdf(tmp_path / "set")
    (tmp_path / "set" / "List_of_testing_videos.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match=r"all 5639 videos with category Celeb-synthesis .*'test': 339"):
        run(indexed("celebdf", tmp_path / "set"))


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, stages.splits, dfdetect.splits.build\n"
        "from dfdetect.datasets import registry\nregistry.layouts()\n"
        "print(sorted({'torch', 'cv2', 'dlib', 'librosa', 'av', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
