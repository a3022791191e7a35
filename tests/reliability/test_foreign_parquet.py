"""Tables from elsewhere: of another make, or with a footer that lies, they are refused in words and never half read."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dfdetect.errors import UserError
from dfdetect.io.schemas import MOUTHS, PREDICTIONS, SPLITS
from dfdetect.io.tables import Shards, ShardWriter, from_rows, read_table

VIDEOS = ("a", "b", "c")


def rows(video_id: str) -> pa.Table:
    return from_rows(
        [{"video_id": video_id, "frame_index": i, "time_s": i / 25, "image": b"x" * 90} for i in range(3)], MOUTHS
    )


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A whole shard of three videos."""
    with ShardWriter(tmp_path / "mouths", MOUTHS) as writer:
        for video_id in VIDEOS:
            writer.write(rows(video_id))
    return tmp_path / "mouths" / "part-00000.parquet"


def read_all(shard: Path) -> None:
    """Both ways in which tables are read."""
    shards = Shards(shard.parent, MOUTHS)
    for video_id in shards.video_ids:
        assert shards.read(video_id).schema.names == MOUTHS.names
    assert read_table(shard, MOUTHS).schema.names == MOUTHS.names


def test_a_footer_that_is_damaged_is_read_or_refused(shard: Path) -> None:
    """400 files: counts, sizes, offsets, types and statistics that are anything."""
    data, random = shard.read_bytes(), Random("footers")
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused: list[str] = []
    for _ in range(400):
        lie = bytearray(data)
        for _ in range(random.choice([1, 1, 2, 4])):
            place = random.randrange(begin, len(data))
            lie[place] = random.choice([0x00, 0x7F, 0xFF, lie[place] ^ 1 << random.randrange(8)])
        shard.write_bytes(lie)
        try:
            read_all(shard)
        except UserError as error:
            refused.append(str(error))
    assert 40 < len(refused) < 400
    assert all(str(shard) in said for said in refused)


@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_footer_of_a_length_that_cannot_be(shard: Path, length: int) -> None:
    data = shard.read_bytes()
    shard.write_bytes(data[:-8] + length.to_bytes(4, "little") + data[-4:])
    with pytest.raises(UserError, match=r"part-00000\.parquet is damaged.*dvc"):
        read_all(shard)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.int64(), pa.float32(), pa.list_(pa.int32()), pa.decimal128(38, 0), pa.timestamp("ns")]
)
def test_a_column_of_another_type_is_refused(shard: Path, kind: pa.DataType) -> None:
    place = MOUTHS.names.index("frame_index")
    wrong = MOUTHS.set(place, pa.field("frame_index", kind, metadata=MOUTHS.field(place).metadata))
    pq.write_table(wrong.empty_table(), shard)
    for read in (lambda: read_table(shard, MOUTHS), lambda: Shards(shard.parent, MOUTHS)):
        with pytest.raises(UserError, match="has other columns than the `mouths` table"):
            read()


def test_a_table_without_our_name_on_it_is_refused(shard: Path) -> None:
    pq.write_table(rows("a").replace_schema_metadata(None), shard)
    for read in (lambda: read_table(shard, MOUTHS), lambda: Shards(shard.parent, MOUTHS)):
        with pytest.raises(UserError, match="is not a `mouths` table"):
            read()


def test_row_groups_that_are_not_one_video_each_are_refused(shard: Path) -> None:
    both, twice = pa.concat_tables([rows("a"), rows("b")]), pa.concat_tables([rows("a"), rows("a")])
    for table, group, options in (
        (both, 6, {}),
        (twice, 3, {}),
        (twice, 1, {}),
    ):
        pq.write_table(table, shard, row_group_size=group, **options)
        with pytest.raises(UserError, match="does not hold one video of its own"):
            Shards(shard.parent, MOUTHS)


@pytest.mark.parametrize("schema", [SPLITS, PREDICTIONS])
def test_what_is_no_parquet_is_refused(tmp_path: Path, schema: pa.Schema) -> None:
    path = tmp_path / "table.parquet"
    for content in (b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PARE" + bytes(20), b"<html>", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"table\.parquet is damaged"):
            read_table(path, schema)
