"""Pictures that show what a detector was given and what decided its most confident predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from dfdetect.data.av import SequenceIndex
from dfdetect.data.index import CropIndex
from dfdetect.inference.heatmap import explain
from dfdetect.inference.scoring import Index, Scorer
from dfdetect.io.schemas import EXAMPLES, FACES, MASKS
from dfdetect.io.tables import Shards, from_rows

SIDE_PX = 160
QUALITY = 82
# How much of the image shows through a heatmap or a mask.
IMAGE_FRACTION = 0.55

Row = dict[str, Any]
Images = dict[str, np.ndarray]  # name -> RGB uint8 [shape=(H, W, 3)]


def make_examples(folder: Path, predictions: pa.Table, scorer: Scorer, index: Index, count: int) -> pa.Table:
    """Images of one crop per category, and of the most confident mistakes and successes.

    Args:
        folder: data/<dataset>.
        predictions: of schemas.PREDICTIONS.
        scorer: of the detector.
        index: what was scored.
        count: mistakes, and as many successes.
    Returns:
        Rows of schemas.EXAMPLES, in the order in which they are shown.
    """
    rows = predictions.to_pylist()
    wrong, right = most_confident(rows, count)
    shown = [("sample", row, images) for row, images in _samples(folder, rows)]
    explained = _explained(scorer, index, [*wrong, *right])
    kinds = ["mistake"] * len(wrong) + ["success"] * len(right)
    shown += [(kind, row, images) for kind, (row, images) in zip(kinds, explained, strict=True)]
    return from_rows(
        [
            {"video_id": row["video_id"], "kind": kind, "position": position, "name": name, "image": _encoded(image)}
            for position, (kind, row, images) in enumerate(shown)
            for name, image in images.items()
        ],
        EXAMPLES,
    )


def most_confident(rows: Iterable[Row], count: int) -> tuple[list[Row], list[Row]]:
    """The wrong and the right predictions furthest from the threshold.

    Args:
        rows: of schemas.PREDICTIONS; those without a label or a score are passed over.
        count: of each.
    """
    scored = [row for row in rows if row["label"] is not None and row["score"] is not None and row["frame_score"]]
    ordered = sorted(scored, key=lambda row: (-abs(row["score"] - row["threshold"]), row["video_id"]))
    right = [(row["score"] >= row["threshold"]) == (row["label"] == 1) for row in ordered]
    wrong = [row for row, good in zip(ordered, right, strict=True) if not good]
    return wrong[:count], [row for row, good in zip(ordered, right, strict=True) if good][:count]


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """A map in [0, 1] [shape=(H, W)] in colours over an RGB image [shape=(H, W, 3)]."""
    colours = cv2.applyColorMap(np.round(heatmap * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.round(IMAGE_FRACTION * image + (1 - IMAGE_FRACTION) * colours).astype(np.uint8)


def _encoded(image: np.ndarray) -> bytes:
    small = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise ValueError("an image cannot be encoded")
    return bytes(data)


def _decoded(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def _samples(folder: Path, rows: list[Row]) -> list[tuple[Row, Images]]:
    """The middle crop of the first test video of each category, plain and under its attention mask."""
    shards = Shards(folder / "faces", FACES)
    masks = Shards(folder / "masks", MASKS) if (folder / "masks").is_dir() else None
    seen: set[object] = set()
    samples = []
    for row in rows:
        if row["category"] in seen or row["video_id"] not in shards:
            continue
        seen.add(row["category"])
        table = shards.read(row["video_id"], ["frame_index", "image"])
        middle = table.num_rows // 2
        crop = _decoded(table.column("image")[middle].as_py())
        if crop is None:
            continue
        images = {"crop": crop}
        mask = _mask(masks, row["video_id"], table.column("frame_index")[middle].as_py())
        if mask is not None:
            mask = cv2.resize(mask, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            images["mask"] = overlay(crop, mask / 255.0)
        samples.append((row, images))
    return samples


def _mask(masks: Shards | None, video_id: str, frame: int) -> np.ndarray | None:
    if masks is None:
        return None
    rows = masks.read(video_id, ["frame_index", "mask"]).to_pylist()
    stored = next((row["mask"] for row in rows if row["frame_index"] == frame), None)
    return None if stored is None else cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE)


def _explained(scorer: Scorer, index: Index, rows: list[Row]) -> list[tuple[Row, Images]]:
    """Each video's most confident frame, with heatmap and residual; of sequence detectors the mouth of that moment."""
    frames = [_most_confident_frame(row) for row in rows]
    if not isinstance(index, CropIndex):
        return [(row, _mouth(index, row["video_id"], frame)) for row, frame in zip(rows, frames, strict=True)]
    places = {video_id: position for position, video_id in enumerate(index.videos.ids)}
    chosen = [
        int(np.flatnonzero((index.video == places[row["video_id"]]) & (index.frame_index == frame))[0])
        for row, frame in zip(rows, frames, strict=True)
    ]
    examples = []
    for row, maps in zip(rows, explain(scorer, index, chosen), strict=True):
        images = {"crop": maps["picture"]} if maps else {}
        images |= {name: overlay(maps["picture"], maps[name]) for name in ("heat", "residual") if name in maps}
        examples.append((row, images))
    return examples


def _most_confident_frame(row: Row) -> int:
    """The frame whose score is furthest on the predicted side."""
    scores = np.array(row["frame_score"])
    return int(row["frame_index"][int(scores.argmax() if row["score"] >= row["threshold"] else scores.argmin())])


def _mouth(index: SequenceIndex, video_id: str, frame: int) -> Images:
    rows = index.mouths.read(video_id, ["frame_index", "image"]).to_pylist()
    image = next((_decoded(row["image"]) for row in rows if row["frame_index"] == frame), None)
    return {} if image is None else {"mouth": image}
