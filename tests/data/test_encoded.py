"""Single values of a Parquet column by byte offset equal what pyarrow reads."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfdetect.errors import UserError
from dfdetect.data.encoded import BinaryColumn

SCHEMA = pa.schema([pa.field("video_id", pa.string(), nullable=False), pa.field("image", pa.binary(), nullable=False)])


def write(path: Path, groups: list[list[bytes]], **options: object) -> None:
    with pq.ParquetWriter(path, SCHEMA, **{"compression": "none", "use_dictionary": ["video_id"], **options}) as writer:
        for number, group in enumerate(groups):
            writer.write_table(pa.table({"video_id": [f"v{number}"] * len(group), "image": group}, schema=SCHEMA))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(st.lists(st.binary(max_size=400), min_size=1, max_size=30), min_size=1, max_size=4),
    page=st.sampled_from([64, 1000, 2**20]),
    version=st.sampled_from(["1.0", "2.0"]),
)
def test_equals_pyarrow(tmp_path: Path, groups: list[list[bytes]], page: int, version: str) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, groups, data_page_size=page, data_page_version=version, write_batch_size=1)
    column = BinaryColumn([path], "image")
    for number, group in enumerate(groups):
        assert [bytes(column.get(0, number, row)) for row in range(len(group))] == group


def test_several_parts_and_pickling(tmp_path: Path) -> None:
    parts = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    write(parts[0], [[b"one", b"two"]])
    write(parts[1], [[b"three"], [b"four" * 1000]])
    column = BinaryColumn(parts, "image")
    assert bytes(column.get(1, 1, 0)) == b"four" * 1000
    copy = pickle.loads(pickle.dumps(column))
    assert bytes(copy.get(0, 0, 1)) == b"two"


def test_compressed_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, [[b"x" * 100]], compression="zstd")
    with pytest.raises(UserError, match=r"part-00000.parquet.*compressed"):
        BinaryColumn([path], "image")


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, [[b"y" * 50] * 3])
    data = bytearray(path.read_bytes())
    at = data.index(b"y" * 50) - 4
    data[at : at + 4] = (10**6).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"part-00000.parquet"):
        BinaryColumn([path], "image").get(0, 0, 0)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"part-00000.parquet"):
        BinaryColumn([path], "image")
    with pytest.raises(UserError, match=r"missing"):
        BinaryColumn([tmp_path / "gone.parquet"], "image")
