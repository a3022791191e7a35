"""Pictures for the page: what the detector was given, and its most confident predictions."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfdetect.data.av import SequenceIndex
from dfdetect.data.index import CropIndex, load_videos
from dfdetect.inference.heatmap import explain
from dfdetect.inference.scoring import Scorer, load_index
from dfdetect.io.schemas import FACES, MASKS
from dfdetect.io.tables import Shards
from dfdetect.reporting.gather import DatasetFacts

SIDE_PX = 160
QUALITY = 82
# Of the heat and of the mask, how much of the picture below shows through.
PICTURE_SHARE = 0.55


@dataclass(frozen=True)
class Example:
    """One video with its pictures as data addresses: name -> picture."""

    row: dict[str, Any]
    pictures: dict[str, str]


def as_data(picture: np.ndarray) -> str:
    """RGB [shape=(H, W, 3)] as a JPEG inside an address."""
    small = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise ValueError("a picture cannot be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def laid_over(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A map in [0, 1] in colours over a picture."""
    colours = cv2.applyColorMap(np.round(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.round(PICTURE_SHARE * picture + (1 - PICTURE_SHARE) * colours).astype(np.uint8)


def sample_crops(folder: Path, facts: DatasetFacts) -> list[Example]:
    """The middle crop of the first scored test video of each category, plain and under its attention mask."""
    shards = Shards(folder / "faces", FACES)
    masks = Shards(folder / "masks", MASKS) if (folder / "masks").is_dir() else None
    seen: set[object] = set()
    found = []
    for row in facts.table.to_pylist():
        if row["category"] in seen or row["video_id"] not in shards:
            continue
        seen.add(row["category"])
        table = shards.read(row["video_id"], ["frame_index", "image"])
        middle = table.num_rows // 2
        picture = _decoded(table.column("image")[middle].as_py())
        if picture is None:
            continue
        pictures = {"crop": as_data(picture)}
        mask = _mask(masks, row["video_id"], table.column("frame_index")[middle].as_py())
        if mask is not None:
            mask = cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            pictures["mask"] = as_data(laid_over(picture, mask / 255.0))
        found.append(Example(row, pictures))
    return found


def _mask(masks: Shards | None, video_id: str, frame: int) -> np.ndarray | None:
    if masks is None:
        return None
    rows = masks.read(video_id, ["frame_index", "mask"]).to_pylist()
    stored = next((row["mask"] for row in rows if row["frame_index"] == frame), None)
    return None if stored is None else cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE)


def _decoded(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def most_confident(facts: DatasetFacts, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The wrong and the right predictions furthest from the threshold."""
    threshold = float(facts.figures["threshold"])
    scored = [row for row in facts.judged.rows if row["frame_score"]]
    ordered = sorted(scored, key=lambda row: (-abs(row["score"] - threshold), row["video_id"]))
    right = [(row["score"] >= threshold) == (row["label"] == 1) for row in ordered]
    wrong = [row for row, good in zip(ordered, right, strict=True) if not good]
    return wrong[:count], [row for row, good in zip(ordered, right, strict=True) if good][:count]


def explained(folder: Path, facts: DatasetFacts, scorer: Scorer, rows: list[dict[str, Any]]) -> list[Example]:
    """Each video's most confident frame, with heat and residual; of sequence detectors the mouth of that moment."""
    index = load_index(folder, load_videos(folder, scorer.info.target, {"test"}), scorer.info)
    frames = [_most_confident_frame(row, float(facts.figures["threshold"])) for row in rows]
    if not isinstance(index, CropIndex):
        return [Example(row, _mouth(index, row["video_id"], frame)) for row, frame in zip(rows, frames, strict=True)]
    chosen = []
    for row, frame in zip(rows, frames, strict=True):
        video = index.videos.ids.index(str(row["video_id"]))
        chosen.append(int(np.flatnonzero((index.video == video) & (index.frame_index == frame))[0]))
    examples = []
    for row, shown in zip(rows, explain(scorer, index, chosen), strict=True):
        pictures = {}
        if shown:
            pictures["crop"] = as_data(shown["picture"])
            pictures |= {
                name: as_data(laid_over(shown["picture"], shown[name]))
                for name in ("heat", "residual")
                if name in shown
            }
        examples.append(Example(row, pictures))
    return examples


def _most_confident_frame(row: dict[str, Any], threshold: float) -> int:
    """The frame whose score is furthest on the predicted side."""
    scores = np.array(row["frame_score"])
    return int(row["frame_index"][int(scores.argmax() if row["score"] >= threshold else scores.argmin())])


def _mouth(index: SequenceIndex, video_id: str, frame: int) -> dict[str, str]:
    rows = index.mouths.read(video_id, ["frame_index", "image"]).to_pylist()
    picture = next((_decoded(row["image"]) for row in rows if row["frame_index"] == frame), None)
    return {} if picture is None else {"mouth": as_data(picture)}
