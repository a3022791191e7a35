"""Draw README's contact sheet from the sample's artifacts: `python scripts/pictures.py`, after `make repro`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from stages.media.image import decode, decode_grey
from stages.schema import FACES, MASKS, SPLITS
from stages.store import Shards, read_table

DATASET = Path("data/sample")
OUT = Path("docs/pictures/crops.jpg")
CATEGORIES = ("RealVideo-RealAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
COLUMNS, SIDE = 8, 160
CAPTION = 24  # px


def sheet() -> np.ndarray:
    """One row of crops and one of masked crops a category, RGB uint8."""
    faces, masks = Shards(DATASET / "faces", FACES), Shards(DATASET / "masks", MASKS)
    videos = read_table(DATASET / "splits.parquet", SPLITS).to_pylist()
    rows = []
    for category in CATEGORIES:
        named = [row["video_id"] for row in videos if row["category"] == category]
        chosen = [video_id for video_id in named if video_id in faces][:COLUMNS]
        crops, masked = [], []
        for video_id in chosen:
            middle = faces.rows[video_id] // 2
            crop = decode(faces.read(video_id, ["image"]).column(0)[middle].as_py())
            data = masks.read(video_id, ["mask"]).column(0)[middle].as_py()
            mask = decode_grey(data)
            small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            weight = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., None] / 255
            crops.append(small)
            masked.append((small * (0.2 + 0.8 * weight)).astype(np.uint8))
        caption = np.full((CAPTION, SIDE * COLUMNS, 3), 255, np.uint8)
        cv2.putText(caption, category, (6, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        rows += [caption, np.hstack(crops), np.hstack(masked)]
    return np.vstack(rows)


if __name__ == "__main__":
    OUT.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(OUT), cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(OUT)
