"""The runner of the per-video stages: only what is new is computed, every video is accounted for, same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dfdetect.config.params import MouthsParams, RuntimeParams
from dfdetect.errors import MediaError, UserError
from dfdetect.io.schemas import COVERAGE, FACES, MOUTHS, VIDEOS
from dfdetect.io.tables import Shards, ShardWriter, from_rows, read_table, write_json, write_table
from dfdetect.runtime.cache import DamagedEntryError, ResultCache, code_hash, make_key
from dfdetect.runtime.video_stage import Result, Video, VideoStage, load_videos, run_stage
from tests.small_disk import small_disk

__all__ = ["small_disk"]

RUNTIME = RuntimeParams(num_workers=2, timeout_s=60)
LOG = Path("work.log")


def work(video: Video, faces: pa.Table | None, params: MouthsParams) -> Result:
    """Rows from the file's text; some texts misbehave. Every call leaves a line in a log."""
    text = video.path.read_text()
    with LOG.open("a") as log:
        log.write(f"{video.video_id}\n")
    if text == "bad":
        raise MediaError("no frame decodes")
    if text == "killed once" and not Path("killed").exists():
        Path(".cache/results/mouths").mkdir(parents=True, exist_ok=True)
        Path(".cache/results/mouths/.half.parquet.x.tmp").touch()  # what it was writing
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "crash" and not Path("healed").exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    rows = [
        {"video_id": video.video_id, "frame_index": i, "time_s": float(params.parts), "image": text.encode() * 50}
        for i in range(faces.num_rows if faces is not None else 3)
    ]
    return Result(from_rows(rows, MOUTHS), {"status": "ok", "reason": None, "n": len(rows)})


def total(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sum": sum(record.get("n") or 0 for record in records)}


STAGE = VideoStage("mouths", MOUTHS, ("dfdetect/runtime/cache.py",), work, summarise=total)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def index(texts: dict[str, str]) -> None:
    folder = Path("data/set")
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    rows = []
    for name in sorted(texts):
        (folder / "raw" / name).write_text(texts[name])
        digest = hashlib.sha256(texts[name].encode()).hexdigest()
        rows.append({"video_id": name, "path": name, "sha256": digest, "status": "ok"})
    write_table(folder / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)


def digest(folder: str = "data/set/mouths") -> str:
    sha = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def calls() -> list[str]:
    lines = LOG.read_text().split() if LOG.exists() else []
    LOG.unlink(missing_ok=True)
    return sorted(lines)


def params(**changes: Any) -> MouthsParams:
    return MouthsParams(**changes)


def test_only_what_changed_is_computed_and_the_bytes_are_those_of_a_fresh_run() -> None:
    index({"a": "one", "b": "two", "c": "three"})
    run_stage(STAGE, "set", params(), RUNTIME)
    assert calls() == ["a", "b", "c"]
    run_stage(STAGE, "set", params(), RUNTIME)
    assert calls() == []
    index({"a": "one", "b": "changed", "c": "three", "d": "new"})
    run_stage(STAGE, "set", params(), RUNTIME)
    assert calls() == ["b", "d"]
    grown = digest()
    shutil.rmtree(".cache")
    run_stage(STAGE, "set", params(), RuntimeParams(num_workers=1))
    assert calls() == ["a", "b", "c", "d"]
    assert digest() == grown


def test_a_changed_param_or_code_version_computes_all_again() -> None:
    index({"a": "one", "b": "two"})
    run_stage(STAGE, "set", params(), RUNTIME)
    calls()
    run_stage(STAGE, "set", params(parts=4), RUNTIME)
    assert calls() == ["a", "b"]
    assert Shards(Path("data/set/mouths"), MOUTHS).read("a").column("time_s").to_pylist() == [4.0] * 3
    run_stage(STAGE, "set", params(parts=4, max_failed_fraction=0.9), RUNTIME)
    assert calls() == []
    run_stage(VideoStage("mouths", MOUTHS, ("dfdetect/io/tables.py",), work), "set", params(parts=4), RUNTIME)
    assert calls() == ["a", "b"]


def test_files_of_equal_content_share_the_work_but_not_the_id() -> None:
    index({"a": "same", "b": "same"})
    run_stage(STAGE, "set", params(), RuntimeParams(num_workers=1))
    assert calls() == ["a"]
    shards = Shards(Path("data/set/mouths"), MOUTHS)
    assert shards.video_ids == ["a", "b"]
    assert set(shards.read("b").column("video_id").to_pylist()) == {"b"}


def test_every_video_is_accounted_for_and_a_passing_failure_is_tried_again() -> None:
    index({"a": "one", "b": "bad", "c": "crash", "d": "four"})
    metrics = run_stage(STAGE, "set", params(), RUNTIME)
    assert metrics["status"] == {"crashed": 1, "ok": 2, "unreadable": 1}
    assert (metrics["videos"], metrics["failed"], metrics["rows"], metrics["sum"]) == (4, 2, 6, 6)
    assert [(f["video_id"], f["status"]) for f in metrics["failures"]] == [("b", "unreadable"), ("c", "crashed")]
    assert json.loads(Path("metrics/set/mouths.json").read_text()) == metrics
    calls()
    Path("healed").touch()
    assert run_stage(STAGE, "set", params(), RUNTIME)["status"] == {"ok": 3, "unreadable": 1}
    assert calls() == ["c"]


def test_too_many_failures_stop_the_stage_and_keep_what_is_done() -> None:
    index({"a": "one", "b": "bad", "c": "bad2"})
    run_stage(STAGE, "set", params(max_failed_fraction=0.4), RUNTIME)
    before = digest()
    index({"a": "one", "b": "bad", "c": "bad"})
    with pytest.raises(
        UserError, match=r"2 of 3 videos of set failed.*max_failed_fraction = 0.4(?s:.*)b: unreadable: no frame"
    ):
        run_stage(STAGE, "set", params(max_failed_fraction=0.4), RUNTIME)
    assert digest() == before
    listed = json.loads(Path("metrics/set/mouths.json").read_text())["failures"]
    assert [failure["video_id"] for failure in listed] == ["b", "c"]


def faces(counts: dict[str, int], key: str = "k") -> None:
    with ShardWriter(Path("data/set/faces"), FACES) as writer:
        for video_id, count in counts.items():
            rows = [{"video_id": video_id, "frame_index": i, "image": b"x"} for i in range(count)]
            writer.write(from_rows(rows, FACES))
    rows = [
        {"video_id": v, "frames_with_face": n, "status": "ok" if n else "no_face", "key": f"{key}{v}"}
        for v, n in counts.items()
    ]
    write_table(Path("data/set/faces/coverage.parquet"), from_rows(rows, COVERAGE), COVERAGE)


def test_a_room_that_reads_faces_follows_them_and_skips_videos_without() -> None:
    stage = VideoStage("mouths", MOUTHS, ("dfdetect/runtime/cache.py",), work, reads_faces=True)
    index({"a": "one", "b": "two"})
    faces({"a": 2, "b": 0})
    metrics = run_stage(stage, "set", params(), RUNTIME)
    assert (metrics["rows"], metrics["failed"], metrics["status"]) == (2, 0, {"ok": 1, "skipped": 1})
    faces({"a": 5, "b": 0}, key="other")
    assert run_stage(stage, "set", params(), RUNTIME)["rows"] == 5


def test_coverage_has_a_row_for_every_video() -> None:
    index({"a": "one", "b": "bad"})
    run_stage(
        VideoStage("mouths", MOUTHS, ("dfdetect/runtime/cache.py",), work, coverage=True), "set", params(), RUNTIME
    )
    rows = read_table(Path("data/set/mouths/coverage.parquet"), COVERAGE).to_pylist()
    assert [(r["video_id"], r["status"], r["reason"]) for r in rows] == [
        ("a", "ok", None),
        ("b", "unreadable", "no frame decodes"),
    ]
    assert all(r["key"] for r in rows)


def test_a_directory_source_is_read_where_it_is(tmp_path: Path) -> None:
    index({"a": "one"})
    shutil.move("data/set/raw", tmp_path / "elsewhere")
    write_json(Path("data/set/raw/source.json"), {"root": str(tmp_path / "elsewhere")})
    assert load_videos("set")[0].path == tmp_path / "elsewhere" / "a"
    shutil.rmtree(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="mount it"):
        load_videos("set")


def test_a_damaged_ledger_entry_is_removed_and_computed_again() -> None:
    index({"a": "one"})
    run_stage(STAGE, "set", params(), RUNTIME)
    (entry,) = Path(".cache").rglob("*.parquet")
    entry.write_bytes(entry.read_bytes()[:50])
    assert run_stage(STAGE, "set", params(), RUNTIME)["rows"] == 3


def test_a_changed_byte_in_the_ledger_is_computed_again_by_the_same_run_and_times_do_not_matter() -> None:
    index({"a": "one", "b": "two"})
    run_stage(STAGE, "set", params(), RUNTIME)
    before = digest()
    calls()
    (entry,) = (path for path in Path(".cache").rglob("*.parquet") if b"twotwo" in path.read_bytes())
    data = entry.read_bytes()
    place = data.index(b"twotwo")
    entry.write_bytes(data[:place] + b"T" + data[place + 1 :])
    for number, path in enumerate(sorted(path for path in Path().rglob("*") if path.is_file())):
        os.utime(path, (86_400, 86_400) if number % 2 else (4e9, 4e9))  # 1970 and 2096: the clock was wrong
    run_stage(STAGE, "set", params(), RUNTIME)
    assert calls() == ["b"]
    assert digest() == before


def test_a_disk_that_damages_the_ledger_each_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    index({"a": "one"})

    def damaged(results: ResultCache, key: str, _: str) -> pa.Table:
        raise DamagedEntryError(f"{results.folder}/{key}")

    monkeypatch.setattr(ResultCache, "table", damaged)
    with pytest.raises(UserError, match=r"\.cache/results/mouths/\w+ was damaged .* check the disk"):
        run_stage(STAGE, "set", params(), RUNTIME)


def test_a_video_whose_worker_was_killed_is_tried_once_more() -> None:
    index({"a": "one", "b": "killed once", "c": "three"})
    assert run_stage(STAGE, "set", params(), RUNTIME)["status"] == {"ok": 3}
    assert list(Path(".cache").rglob("*.tmp")) == []


@pytest.mark.parametrize("damage", ["gone", "forbidden"])
def test_a_file_that_vanished_stops_the_stage_and_is_not_remembered_as_bad(damage: str) -> None:
    if damage == "forbidden" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    index({"a": "one", "b": "two"})
    path = Path("data/set/raw/b")
    path.rename("aside") if damage == "gone" else path.chmod(0)
    with pytest.raises(UserError, match=r"data/set/raw/b cannot be read \(.*bring it back"):
        run_stage(STAGE, "set", params(), RuntimeParams(num_workers=1))
    assert not Path("data/set/mouths").exists()
    Path("aside").rename(path) if damage == "gone" else path.chmod(0o644)
    assert run_stage(STAGE, "set", params(), RUNTIME)["status"] == {"ok": 2}
    assert calls().count("a") == 1


def test_a_full_disk_under_the_ledger_stops_the_stage(small_disk: Path) -> None:
    Path(".cache").symlink_to(small_disk)
    index({f"v{i:02d}": f"{i}" * 2000 for i in range(10, 20)})
    with pytest.raises(UserError, match=r"\.cache/results/mouths/.* cannot be written: No space left on device"):
        run_stage(STAGE, "set", params(), RuntimeParams(num_workers=1))
    assert not Path("data/set/mouths").exists()


def test_code_counts_but_comments_and_docstrings_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dfdetect.runtime.cache._ROOT", tmp_path)
    hashes = []
    for text in (
        'def f():\n    """One."""\n    return 1\n',
        "def f():  # a word\n\n    return 1\n",
        "def f():\n    return 2\n",
    ):
        (tmp_path / "stage.py").write_text(text)
        hashes.append(code_hash(("stage.py",)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_keys_do_not_depend_on_order() -> None:
    assert make_key({"a": 1, "b": [1, 2]}) == make_key({"b": [1, 2], "a": 1})
    assert make_key({"a": 1}) != make_key({"a": 2})


def test_an_entry_keeps_its_record() -> None:
    results = ResultCache("mouths", MOUTHS)
    results.write("ab" * 32, MOUTHS.empty_table(), {"status": "no_face", "reason": "a wall"})
    assert results.find("ab" * 32) == {"status": "no_face", "reason": "a wall"}
    assert results.find("cd" * 32) is None
    assert results.table("ab" * 32, "x").num_rows == 0


def test_an_entry_of_another_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    results, key = ResultCache("mouths", MOUTHS), "ab" * 32
    write = threading.Timer(0.5, results.write, [key, MOUTHS.empty_table(), {"status": "ok"}])
    write.start()
    results.await_entries([key])
    write.join()
    monkeypatch.setattr("dfdetect.runtime.cache.VISIBLE_S", 0.3)
    with pytest.raises(UserError, match=r"cdcd\.parquet was written by a worker.*must be shared"):
        results.await_entries([key, "cd" * 32])
