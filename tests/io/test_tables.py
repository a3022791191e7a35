"""Atomic files and sharded tables."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfdetect.errors import UserError
from dfdetect.io.schemas import MOUTHS, SPLITS
from dfdetect.io.tables import (
    Shards,
    ShardWriter,
    atomic_path,
    from_rows,
    read_json,
    read_table,
    write_json,
    write_table,
)


def mouths(video_id: str, rows: int, size: int = 100) -> pa.Table:
    return from_rows(
        [
            {
                "video_id": video_id,
                "frame_index": i,
                "time_s": i / 25,
                "image": hashlib.sha256(f"{i}".encode()).digest() * size,
            }
            for i in range(rows)
        ],
        MOUTHS,
    )


def write(folder: Path, tables: list[pa.Table], shard_bytes: int = 10_000) -> None:
    with ShardWriter(folder, MOUTHS, shard_bytes=shard_bytes) as writer:
        for table in tables:
            writer.write(table)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 5), max_size=12))
def test_what_is_written_is_read_back_video_by_video(tmp_path: Path, rows: list[int]) -> None:
    tables = {f"v{i:02d}": mouths(f"v{i:02d}", n) for i, n in enumerate(rows)}
    write(tmp_path / "mouths", list(tables.values()))
    shards = Shards(tmp_path / "mouths", MOUTHS)
    assert shards.video_ids == [v for v, t in tables.items() if t.num_rows]
    for video_id, table in tables.items():
        assert shards.read(video_id).equals(table)
        assert shards.rows.get(video_id, 0) == table.num_rows


def test_large_tables_are_spread_over_several_files_and_survive_pickling(tmp_path: Path) -> None:
    write(tmp_path / "mouths", [mouths(f"v{i}", 2) for i in range(6)])
    shards = Shards(tmp_path / "mouths", MOUTHS)
    assert len(shards.parts) > 1
    shards.read("v0")
    again = pickle.loads(pickle.dumps(shards))
    assert again.read("v5", columns=["frame_index"]).column(0).to_pylist() == [0, 1]


def test_bytes_depend_on_the_rows_alone(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        write(tmp_path / name, [mouths(f"v{i}", 3) for i in range(4)])
        digests.append([hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((tmp_path / name).iterdir())])
    assert digests[0] == digests[1]


def test_a_failed_write_leaves_the_old_artifact_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "mouths", [mouths("old", 1)])
    with pytest.raises(RuntimeError, match="midway"), ShardWriter(tmp_path / "mouths", MOUTHS) as writer:
        writer.write(mouths("new", 1))
        raise RuntimeError("midway")
    assert Shards(tmp_path / "mouths", MOUTHS).video_ids == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["mouths"]


def test_a_failed_atomic_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"auc": float("nan")})
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_table_is_named_with_its_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "splits.parquet"
    write_table(path, from_rows([{"video_id": "a", "split": "train"}], SPLITS), SPLITS)
    data = path.read_bytes()
    path.write_bytes({"truncate": data[: len(data) // 2], "garbage": b"x" * 500, "empty": b""}[damage])
    with pytest.raises(UserError, match=r"splits\.parquet is damaged.*dvc"):
        read_table(path, SPLITS)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mouths", [mouths(f"v{i}", 2) for i in range(6)])
    (tmp_path / "mouths" / "part-00001.parquet").unlink()
    with pytest.raises(UserError, match="part-00001"):
        Shards(tmp_path / "mouths", MOUTHS)


def test_a_table_of_another_version_or_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.parquet"
    old = SPLITS.with_metadata({"table": "splits", "version": "0"})
    pq.write_table(from_rows([{"video_id": "a", "split": "val"}], SPLITS).cast(old), path)
    with pytest.raises(UserError, match="version 1"):
        read_table(path, SPLITS)
    write_table(path, mouths("a", 1), MOUTHS)
    with pytest.raises(UserError, match="not a `splits` table"):
        read_table(path, SPLITS)


def test_unknown_and_missing_columns_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="colour"):
        from_rows([{"video_id": "a", "split": "train", "colour": 1}], SPLITS)
    with pytest.raises(ValueError, match="differ"):
        write_table(tmp_path / "x.parquet", pa.table({"video_id": ["a"]}), SPLITS)


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_table(tmp_path / "none.parquet", SPLITS)
    with pytest.raises(UserError, match="dvc repro"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json"):
        read_json(tmp_path / "bad.json")
    assert json.loads('{"a": 1}') == {"a": 1}
