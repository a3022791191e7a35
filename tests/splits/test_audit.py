"""The audit stage: every leak is a warning in the metrics, on the terminal and on the page; what drop and fail do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dfdetect.config.params import DatasetParams, LeakKind, SplitsParams
from dfdetect.errors import UserError
from dfdetect.io.schemas import FACES, LEAKS, SPLITS, VIDEOS
from dfdetect.io.tables import ShardWriter, from_rows, read_json, read_table, write_json, write_table
from dfdetect.splits.audit import audit
from dfdetect.splits.build import build
from dfdetect.splits.leaks import KINDS
from stages import audit as stage
from tests.datasets import trees
from tests.splits.tables import Rows, row
from tests.splits.test_leaks import PLANTED

# kind -> columns of a train and a test video, and the hash of their only frame
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {**PLANTED, "frame": ({"hash": 1}, {"hash": 3})}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry(layout: str = "dfdc") -> DatasetParams:
    return trees.entry(layout)


def made(kind: str) -> None:
    """A dataset, split by its official lists, in which one train video shares one thing with one test video."""
    rows: Rows = []
    hashes = {}
    for split in ("train", "val", "test"):
        for n in range(4):
            name = f"{split}{n}"
            rows.append(row(name, n % 2, official_split=split))
            hashes[name] = (len(rows) * 0x9E3779B97F4A7C15) % 2**64
    first, second = CASES[kind]
    for name, columns in (("train3", first), ("test3", second)):
        hashes[name] = columns.get("hash", hashes[name])
        (target,) = [item for item in rows if item["video_id"] == name]
        target.update({key: value for key, value in columns.items() if key != "hash"})
        if target["original_id"] == "t":
            target["original_id"] = "test3"
    write(rows, hashes)


def write(rows: Rows, hashes: dict[str, int]) -> None:
    write_table(Path("data/x/videos.parquet"), from_rows(rows, VIDEOS), VIDEOS)
    write_json(Path("metrics/x/download.json"), {"layout": {"missing": {"count": 2, "examples": ["a.mp4", "b.mp4"]}}})
    with ShardWriter(Path("data/x/faces"), FACES) as writer:
        for name, phash in hashes.items():
            writer.write(from_rows([{"video_id": name, "frame_index": 0, "image": b"x", "phash": phash}], FACES))


def run(kinds: tuple[LeakKind, ...] = KINDS, **params: Any) -> dict[str, Any]:
    settings = SplitsParams.model_validate({"leak_kinds": list(kinds), **params})
    build("x", entry(), settings)
    return audit("x", entry(), settings)


def leaks() -> Rows:
    return read_table(Path("data/x/leaks.parquet"), LEAKS).to_pylist()


@pytest.mark.parametrize("kind", CASES)
def test_a_leak_of_any_kind_is_a_warning(kind: str) -> None:
    made(kind)
    metrics = run()
    assert metrics[kind] == metrics["leaking_videos"] == 1
    assert metrics["dropped_videos"] == 0
    assert any("train3 and test3" in warning for warning in metrics["warnings"])
    assert read_json(Path("metrics/x/audit.json")) == metrics
    told = {(item["video_id"], item["other_id"], item["dropped"]) for item in leaks() if item["kind"] == kind}
    assert told == {("train3", "test3", False)}
    page = Path("metrics/x/audit.md").read_text()
    assert all(warning in page for warning in metrics["warnings"])
    assert f"### {kind}: test with train" in page


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind != "frame"])
def test_splits_warns_before_any_face_is_found(kind: str) -> None:
    made(kind)
    metrics = build("x", entry(), SplitsParams())
    assert any("train3 and test3" in warning for warning in metrics["warnings"])
    assert read_json(Path("metrics/x/splits.json"))["warnings"] == metrics["warnings"]


@pytest.mark.parametrize("kind", CASES)
def test_drop_leaves_the_train_video_out_whatever_the_kind(kind: str) -> None:
    made(kind)
    metrics = run(on_leak="drop")
    assert metrics["dropped_videos"] == 1
    assert {item["video_id"] for item in leaks() if item["dropped"]} == {"train3"}
    assert "1 train videos are left out as leaks (splits.on_leak: drop)" in metrics["warnings"]
    rows = read_table(Path("data/x/splits.parquet"), SPLITS).to_pylist()
    assert {item["video_id"]: item["split"] for item in rows}["test3"] == "test"


@pytest.mark.parametrize("kind", CASES)
def test_fail_stops_whatever_the_kind_and_leaves_the_figures(kind: str) -> None:
    made(kind)
    with pytest.raises(UserError, match=rf"datasets\.x: 1 train videos leak (.|\n)*\n  train3: {kind} .*test3"):
        run(on_leak="fail")
    assert read_json(Path("metrics/x/audit.json"))[kind] == 1
    assert {item["video_id"] for item in leaks()} == {"train3"}


@pytest.mark.parametrize("policy", ["drop", "fail"])
def test_kinds_that_are_not_named_are_only_told(policy: str) -> None:
    made("identity")
    metrics = run(kinds=("file", "frame"), on_leak=policy)
    assert (metrics["identity"], metrics["dropped_videos"]) == (1, 0)
    assert len(metrics["warnings"]) == 1


def test_without_leaks_nothing_is_told_dropped_or_stopped() -> None:
    made("frame")
    for policy in ("report", "drop", "fail"):
        metrics = run(on_leak=policy, near_duplicate_bits=0)
        assert (metrics["leaking_videos"], metrics["warnings"], leaks()) == (0, [], [])


def test_a_validation_video_gives_way_to_test() -> None:
    rows = [row(f"{split}{n}", n % 2, official_split=split) for split in ("train", "val", "test") for n in range(2)]
    rows[2]["sha256"] = rows[4]["sha256"] = "same"
    write(rows, {})
    metrics = run(on_leak="drop")
    assert [(item["video_id"], item["dropped"]) for item in leaks()] == [("val0", True)]
    assert "1 val videos are left out as leaks (splits.on_leak: drop)" in metrics["warnings"]


def test_the_terminal_has_every_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("original")
    build("x", entry(), SplitsParams())
    params = SimpleNamespace(dataset=lambda _: entry(), splits=SplitsParams())
    monkeypatch.setattr(stage, "chosen_datasets", lambda *_: (params, ["x"]))
    stage.main()
    out = capsys.readouterr().out
    assert "audit x: 1 videos leak, 0 of them left out" in out
    assert "audit x: warning: 1 of 4 originals in test, or forgeries of them, are also in train" in out


def test_the_page_can_be_read() -> None:
    made("file")
    run()
    page = Path("metrics/x/audit.md").read_text()
    for line in (
        "Test: official. Validation: official.",
        "| videos | 4 | 4 | 4 |",
        "| share of fakes | 50.0% | 50.0% | 50.0% |",
        "| picture fake | 2 | 2 | 2 |",
        "| named by a list, not here | 2 | `a.mp4`, `b.mp4` |",
        "|  | test with train and val | val with train |",
        "| file | 1 of 4 | 0 |",
        "| frame | 0 | 0 |",
        "| `train3` | `test3` | `same` |",
    ):
        assert line in page, line
    assert "None" not in page


def test_the_bytes_are_the_same_from_run_to_run() -> None:
    made("identity")
    contents = []
    for _ in range(2):
        run()
        contents.append(
            [Path(name).read_bytes() for name in ("data/x/leaks.parquet", "metrics/x/audit.json", "metrics/x/audit.md")]
        )
    assert contents[0] == contents[1]


def test_what_is_missing_is_named() -> None:
    made("file")
    with pytest.raises(UserError, match=r"data/x/splits\.parquet"):
        audit("x", entry(), SplitsParams())
    build("x", entry(), SplitsParams())
    Path("data/x/faces").rename("data/x/elsewhere")
    with pytest.raises(UserError, match="data/x/faces is missing"):
        audit("x", entry(), SplitsParams())


def test_splits_of_other_videos_are_refused() -> None:
    made("file")
    build("x", entry(), SplitsParams())
    write([row("another")], {})
    with pytest.raises(UserError, match=r"does not name the videos of videos\.parquet"):
        audit("x", entry(), SplitsParams())
