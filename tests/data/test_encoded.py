"""Single values of a Parquet column equal what was written, and damage is named."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfdetect.data.encoded import HELD_GROUPS, BinaryColumn
from dfdetect.errors import UserError

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


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, [[b"y" * 50] * 3], write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[data.index((50).to_bytes(4, "little") + b"y" * 50) + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"part-00000.parquet"):
        BinaryColumn([path], "image").get(0, 0, 0)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"part-00000.parquet"):
        BinaryColumn([path], "image")
    with pytest.raises(UserError, match=r"missing"):
        BinaryColumn([tmp_path / "gone.parquet"], "image")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, [[b"x"]])
    with pytest.raises(UserError, match=r"part-00000.parquet has no column `mask`"):
        BinaryColumn([path], "mask")


def test_few_groups_are_held(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write(path, [[f"{number}".encode()] for number in range(HELD_GROUPS + 8)])
    column = BinaryColumn([path], "image")
    for _ in range(2):
        assert [bytes(column.get(0, group, 0)) for group in range(HELD_GROUPS + 8)] == [
            f"{number}".encode() for number in range(HELD_GROUPS + 8)
        ]
    assert len(column._groups) == HELD_GROUPS
