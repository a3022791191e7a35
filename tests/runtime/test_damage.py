"""What changed on the disk is told, with the remedy; a full or read-only disk costs nothing that was there."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dfdetect.data.encoded import BinaryColumn
from dfdetect.errors import UserError
from dfdetect.io.schemas import MOUTHS, SPLITS
from dfdetect.io.tables import (
    Shards,
    ShardWriter,
    from_rows,
    read_table,
    sweep,
    write_bytes,
    write_json,
    write_table,
)
from dfdetect.runtime.cache import DamagedEntryError, ResultCache
from tests.small_disk import make_read_only, small_disk

__all__ = ["small_disk"]
FLIPS = 80


def mouths(video_id: str, rows: int, seed: int = 0, size: int = 400) -> pa.Table:
    chance = random.Random(seed)
    return from_rows(
        [
            {"video_id": video_id, "frame_index": i, "time_s": i / 25, "image": chance.randbytes(size)}
            for i in range(rows)
        ],
        MOUTHS,
    )


def publish(folder: Path, count: int = 3, seed: int = 0) -> None:
    with ShardWriter(folder, MOUTHS, shard_bytes=5000) as writer:
        for number in range(count):
            writer.write(mouths(f"v{number}", 4, seed + number))


def flips(path: Path) -> Callable[[int], None]:
    """Flip one bit of a file, a different one each time, with the one before put right."""
    data = path.read_bytes()

    def flip(number: int) -> None:
        place = random.Random(number).randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << number % 8]) + data[place + 1 :])

    return flip


def trouble(read: Callable[[], list[pa.Table]], whole: list[pa.Table]) -> str | None:
    """What a reader says of a file; None where it gives what was written."""
    try:
        found = read()
    except UserError as error:
        return str(error)
    assert all(a.equals(b) for a, b in zip(found, whole, strict=True))
    return None


def test_a_changed_bit_in_a_shard_is_told_or_harmless(tmp_path: Path) -> None:
    publish(tmp_path / "mouths", 2)

    def read() -> list[pa.Table]:
        shards = Shards(tmp_path / "mouths", MOUTHS)
        return [shards.read(name) for name in ("v0", "v1")]

    flip, whole, said = flips(tmp_path / "mouths/part-00000.parquet"), read(), []
    for number in range(FLIPS):
        flip(number)
        said.append(trouble(read, whole))
    told = [each for each in said if each is not None]
    assert len(told) > 0.4 * FLIPS  # the rest hit what nobody reads: statistics, offsets, names of writers
    assert all("part-00000.parquet is damaged" in each and "`dvc repro -f` rebuilds it" in each for each in told)


def test_a_changed_bit_in_a_picture_is_told_where_training_reads_it(tmp_path: Path) -> None:
    publish(tmp_path / "mouths", 1)
    part = tmp_path / "mouths/part-00000.parquet"
    column = BinaryColumn([part], "image")
    data = bytearray(part.read_bytes())
    pictures = [bytes(column.get(0, 0, row)) for row in range(4)]
    place = next(data.index(picture) for picture in pictures if data.count(picture) == 1)  # others: statistics, too
    data[place + 200] ^= 4
    part.write_bytes(data)
    with pytest.raises(UserError, match=r"part-00000.*dvc checkout"):
        BinaryColumn([part], "image").get(0, 0, 2)


def test_a_changed_bit_in_a_table_is_told_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "splits.parquet"
    table = from_rows([{"video_id": f"v{i}", "split": "train", "label": i % 2} for i in range(50)], SPLITS)
    write_table(path, table, SPLITS)
    flip, said = flips(path), []
    for number in range(FLIPS):
        flip(number)
        said.append(trouble(lambda: [read_table(path, SPLITS)], [table]))
    told = [each for each in said if each is not None]
    assert len(told) > FLIPS / 2
    assert all("splits.parquet" in each for each in told)


def test_a_changed_bit_in_the_ledger_is_never_trusted(tmp_path: Path) -> None:
    results, key, record = ResultCache("mouths", MOUTHS, tmp_path), "ab" * 32, {"status": "ok", "reason": None, "n": 4}
    results.write(key, mouths("v0", 4), record)
    (path,) = tmp_path.rglob("*.parquet")
    whole, flip, gone = results.table(key, "v0"), flips(path), 0
    for number in range(FLIPS):
        flip(number)
        try:
            found = results.find(key)
            assert found in (None, record), number
            assert found is None or results.table(key, "v0").equals(whole), number
        except DamagedEntryError:
            pass
        gone += not path.exists()
    assert gone > FLIPS / 2


def test_leftovers_of_killed_writers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".faces.abc.tmp", ".faces.abc.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000.parquet").touch()
    for name in (".videos.parquet.x1.tmp", ".faces2.abc.tmp", ".faces.note", "faces.tmp"):
        (tmp_path / name).touch()
    assert sweep(tmp_path / "faces", tmp_path / "videos.parquet") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [".faces.note", ".faces2.abc.tmp", "faces.tmp"]


WRITERS: dict[str, Callable[[Path], None]] = {
    "table": lambda place: write_table(place / "splits.parquet", mouths("v", 400, size=2000), MOUTHS),
    "json": lambda place: write_json(place / "metrics.json", ["x" * 99] * 9000),
    "results": lambda place: ResultCache("mouths", MOUTHS, place).write("ab" * 32, mouths("v", 400, size=2000), {}),
    "shards": lambda place: publish_much(place / "mouths"),
}


def publish_much(folder: Path) -> None:
    with ShardWriter(folder, MOUTHS) as writer:
        for number in range(20):
            writer.write(mouths(f"v{number}", 20, number, size=2000))


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_told_by_path_and_costs_nothing_that_was_there(what: str, small_disk: Path) -> None:
    publish(small_disk / "mouths")
    before = sorted(small_disk.rglob("*.*"))
    with pytest.raises(UserError, match=r"disk/.* cannot be written: No space left on device. Free space"):
        WRITERS[what](small_disk)
    assert [path for path in sorted(small_disk.rglob("*.*")) if path.suffix] == before
    assert len(Shards(small_disk / "mouths", MOUTHS)) == 3


def test_a_full_disk_does_not_harm_the_trained_detector(small_disk: Path) -> None:
    import torch

    from dfdetect.inference import saved_model
    from tests.inference.test_saved_model import info

    folder = small_disk / "detector"
    saved_model.save(folder, {"w": torch.zeros(10)}, info(), "card")
    with pytest.raises(UserError, match=r"detector cannot be written: .*No space left on device"):
        saved_model.save(folder, {"w": torch.zeros(200_000)}, info(), "card")
    assert [path.name for path in small_disk.iterdir()] == ["detector"]
    assert (folder / "README.md").read_text() == "card"


def test_a_read_only_disk_is_told_by_path(small_disk: Path) -> None:
    make_read_only(small_disk)
    for write in WRITERS.values():
        with pytest.raises(UserError, match=r"disk/.* cannot be written: Read-only file system"):
            write(small_disk)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_what_the_system_says_is_told_by_path(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(tmp_path / "x.json", b"1")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=rf"x\.json cannot be written: {os.strerror(number)}"):
        write_bytes(tmp_path / "x.json", b"2")
    with pytest.raises(UserError, match=rf"mouths cannot be written: {os.strerror(number)}"):
        publish(tmp_path / "mouths")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_bytes() == b"1"
