"""What can be loaded of a dataset: one row a face crop or a sequence, as arrays; and why some videos have none.

The index of a large dataset is small (a crop costs 52 bytes, with its mask 76, and 8 to 16 more where some are picked),
so it is held in memory; the pictures are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from dfdetect.data.encoded import BinaryColumn
from dfdetect.io.schemas import COVERAGE, FACES, MASKS, SPLITS
from dfdetect.io.tables import Shards, open_parquet, read_table, readable

Target = Literal["label", "visual_label"]
UNKNOWN = -1


class Pictures(Protocol):
    """Encoded pictures by row of the index."""

    def get(self, row: int) -> Any:
        """The bytes of a row's picture, as bytes or uint8 [shape=(length,)]."""


@dataclass(frozen=True)
class Videos:
    """The videos asked for, in the order of splits.parquet.

    Args:
        ids: video_id each.
        splits: train, val or test each.
        labels: of the target asked for: 0 real, 1 fake, -1 unknown [shape=(V,)].
        any_fake: the same of `label` [shape=(V,)].
        columns: category, method, compression and identity, a list each.
    """

    ids: list[str]
    splits: list[str]
    labels: np.ndarray
    any_fake: np.ndarray
    columns: dict[str, list[str | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class CropIndex:
    """Face crops, sorted by video and time within it.

    Args:
        videos: what was asked for.
        video: position in `videos` of each crop [shape=(N,)].
        frame_index: in the source video [shape=(N,)].
        time_s: in the source video [shape=(N,)].
        phash: 64-bit perceptual hash [shape=(N,)].
        images: the encoded crops.
        masks: the encoded attention masks, where the detector asks for them.
        missing: why a video of `videos` has no row here: video_id -> reason.
        dropped: crops left out for want of a mask.
        points, points_row: of an index with forgeries (dfdetect/data/forged.py): landmarks [shape=(K, 68, 2)], and
            which of them a row is forged on, -1: it is no forgery [shape=(N,)].
    """

    videos: Videos
    video: np.ndarray
    frame_index: np.ndarray
    time_s: np.ndarray
    phash: np.ndarray
    images: Pictures
    masks: Pictures | None = None
    missing: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    points: np.ndarray | None = None
    points_row: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.video)

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each crop: 0 real, 1 fake, -1 unknown [shape=(N,)]."""
        return self.videos.labels[self.video]

    def of_videos(self, chosen: np.ndarray) -> CropIndex:
        """The same index with the crops of some videos alone.

        Args:
            chosen: whether each of `videos` stays [shape=(V,)].
        """
        return pick(self, np.flatnonzero(chosen[self.video]))


def pick(index: CropIndex, rows: np.ndarray) -> CropIndex:
    """The same index with some of its rows, in the order given; a row may come twice.

    Args:
        rows: positions in the index [shape=(M,)].
    """
    return replace(
        index,
        video=index.video[rows],
        frame_index=index.frame_index[rows],
        time_s=index.time_s[rows],
        phash=index.phash[rows],
        images=_Chosen(index.images, rows),
        masks=None if index.masks is None else _Chosen(index.masks, rows),
        points_row=None if index.points_row is None else index.points_row[rows],
    )


class StoredPictures:
    """Pictures in a sharded Parquet table, addressed by row of an index."""

    def __init__(self, column: BinaryColumn, places: np.ndarray) -> None:
        self.column, self.places = column, places  # part, row group, row [shape=(N, 3)]

    def get(self, row: int) -> np.ndarray:
        """uint8 [shape=(length,)]."""
        part, group, position = self.places[row]
        return self.column.get(int(part), int(group), int(position))


class _Chosen:
    """Some rows of other pictures."""

    def __init__(self, pictures: Pictures, rows: np.ndarray) -> None:
        self.pictures, self.rows = pictures, rows

    def get(self, row: int) -> Any:
        """The bytes of the row's picture."""
        return self.pictures.get(int(self.rows[row]))


class HeldPictures:
    """Pictures in memory, as prediction has them."""

    def __init__(self, encoded: Sequence[bytes]) -> None:
        self.encoded = encoded

    def get(self, row: int) -> bytes:
        """Encoded bytes."""
        return self.encoded[row]


def load_videos(folder: Path, target: Target, splits: Collection[str], without: Collection[str] = ()) -> Videos:
    """The videos of some splits of one dataset.

    Args:
        folder: data/<dataset>.
        target: which label they are evaluated by.
        splits: names out of train, val, test. Nothing of the others is kept.
        without: video_ids that are left out.
    Raises:
        UserError: splits.parquet is missing or damaged.
    """
    table = read_table(folder / "splits.parquet", SPLITS)
    rows = [row for row in table.to_pylist() if row["split"] in splits and row["video_id"] not in without]
    return Videos(
        ids=[row["video_id"] for row in rows],
        splits=[row["split"] for row in rows],
        labels=_labels(rows, target),
        any_fake=_labels(rows, "label"),
        columns={name: [row[name] for row in rows] for name in ("category", "method", "compression", "identity")},
    )


def _labels(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([UNKNOWN if row[name] is None else row[name] for row in rows], dtype=np.int64)


def load_crops(folder: Path, videos: Videos, *, masks: bool) -> CropIndex:
    """Index the face crops of some videos on disk; reads no picture.

    Args:
        folder: data/<dataset>.
        videos: whose crops.
        masks: also index attention masks; a crop without one is left out and counted.
    Raises:
        UserError: an artifact is missing or damaged.
    """
    shards = Shards(folder / "faces", FACES)
    wanted = {video_id: number for number, video_id in enumerate(videos.ids)}
    keys = _read_keys(shards, wanted, ["frame_index", "time_s", "phash"])
    images = BinaryColumn(shards.parts, "image")
    missing = _missing(folder, videos, shards)
    order = np.lexsort((keys["frame_index"], keys["video"]))
    kept, mask_pictures = order, None
    if masks:
        mask_places, found = _match_masks(folder, wanted, keys)
        kept = order[found[order]]
        mask_shards = Shards(folder / "masks", MASKS)
        mask_pictures = StoredPictures(BinaryColumn(mask_shards.parts, "mask"), mask_places[kept])
        bare = set(np.unique(keys["video"])) - set(np.unique(keys["video"][kept]))
        missing.update({videos.ids[v]: "no_mask" for v in bare})
    return CropIndex(
        videos=videos,
        video=keys["video"][kept],
        frame_index=keys["frame_index"][kept],
        time_s=keys["time_s"][kept],
        phash=keys["phash"][kept],
        images=StoredPictures(images, keys["places"][kept]),
        masks=mask_pictures,
        missing=missing,
        dropped=len(order) - len(kept),
    )


def _read_keys(shards: Shards, wanted: Mapping[str, int], columns: list[str]) -> dict[str, np.ndarray]:
    """Small columns of the wanted videos, with each row's place: part, row group, row [shape=(N, 3)]."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*columns, "video", "places")}
    for part, path in enumerate(shards.parts):
        with readable(path), open_parquet(path) as file:
            table = file.read(columns=["video_id", *columns])
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)]
        groups = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.concatenate([np.arange(size) for size in sizes]) if sizes else np.zeros(0, np.int64)
        ids = table.column("video_id").combine_chunks().dictionary_encode()
        numbers = np.array([wanted.get(video_id, UNKNOWN) for video_id in ids.dictionary.to_pylist()], dtype=np.int64)
        video = numbers[ids.indices.to_numpy()] if len(ids) else np.zeros(0, np.int64)
        keep = video != UNKNOWN
        found["video"].append(video[keep])
        found["places"].append(np.stack([np.full(len(rows), part), groups, rows], axis=1)[keep])
        for name in columns:
            found[name].append(table.column(name).to_numpy()[keep])
    return {name: np.concatenate(values) for name, values in found.items()}


def _match_masks(
    folder: Path, wanted: Mapping[str, int], faces: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """For each face row the place of its mask, and whether there is one."""
    masks = _read_keys(Shards(folder / "masks", MASKS), wanted, ["frame_index"])
    pairs = zip(masks["video"].tolist(), masks["frame_index"].tolist(), strict=True)
    where = {pair: row for row, pair in enumerate(pairs)}
    asked = zip(faces["video"].tolist(), faces["frame_index"].tolist(), strict=True)
    rows = np.array([where.get(pair, UNKNOWN) for pair in asked], dtype=np.int64)
    found = rows != UNKNOWN
    places = masks["places"][rows] if len(masks["places"]) else np.zeros((len(rows), 3), np.int64)
    return places, found


def _missing(folder: Path, videos: Videos, shards: Shards) -> dict[str, str]:
    """Why videos have no crop, in the words of the faces stage."""
    absent = [video_id for video_id in videos.ids if video_id not in shards]
    if not absent:
        return {}
    coverage = read_table(folder / "faces" / "coverage.parquet", COVERAGE, columns=["video_id", "status"])
    status = dict(zip(*(coverage.column(name).to_pylist() for name in ("video_id", "status")), strict=True))
    return {video_id: status.get(video_id, "not_in_coverage") for video_id in absent}


def hold_crops(faces: pa.Table, masks: pa.Table | None = None) -> CropIndex:
    """Index crops that are in memory, as prediction makes them.

    Args:
        faces: rows of schema.FACES, of any number of videos.
        masks: rows of schema.MASKS for them, where the detector asks for masks.
    Returns:
        An index over all labels unknown; crops without a mask are left out and counted.
    """
    rows = faces.select(["video_id", "frame_index", "time_s", "phash", "image"]).to_pylist()
    ids = list(dict.fromkeys(row["video_id"] for row in rows))
    number = {video_id: position for position, video_id in enumerate(ids)}
    found: dict[tuple[str, int], bytes] = {}
    if masks is not None:
        for row in masks.select(["video_id", "frame_index", "mask"]).to_pylist():
            found[row["video_id"], row["frame_index"]] = row["mask"]
    kept = [row for row in rows if masks is None or (row["video_id"], row["frame_index"]) in found]
    kept.sort(key=lambda row: (number[row["video_id"]], row["frame_index"]))
    unknown = np.full(len(ids), UNKNOWN, dtype=np.int64)
    bare = set(ids) - {row["video_id"] for row in kept}
    return CropIndex(
        videos=Videos(ids, ["test"] * len(ids), unknown, unknown),
        video=np.array([number[row["video_id"]] for row in kept], dtype=np.int64),
        frame_index=np.array([row["frame_index"] for row in kept], dtype=np.int32),
        time_s=np.array([row["time_s"] for row in kept], dtype=np.float64),
        phash=np.array([row["phash"] or 0 for row in kept], dtype=np.uint64),
        images=HeldPictures([row["image"] for row in kept]),
        masks=HeldPictures([found[row["video_id"], row["frame_index"]] for row in kept]) if masks is not None else None,
        missing=dict.fromkeys(sorted(bare), "no_mask"),
        dropped=len(rows) - len(kept),
    )


def missing_counts(missing: Mapping[str, str]) -> dict[str, int]:
    """How many videos are missing for each reason, sorted by reason."""
    return dict(sorted(Counter(missing.values()).items()))
