"""Small datasets in the pipeline's own tables, made in a second: pictures that a detector can learn to tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dfdetect.io.schemas import COVERAGE, FACES, LEAKS, MASKS, MELS, MOUTHS, SPLITS
from dfdetect.io.tables import ShardWriter, from_rows, write_json, write_table

CATEGORIES = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")


@dataclass(frozen=True)
class Clip:
    """One made-up video."""

    video_id: str
    split: str
    category: str

    @property
    def visual_label(self) -> int:
        return int(self.category.startswith("Fake"))

    @property
    def label(self) -> int:
        return int(self.category != CATEGORIES[0])


def clips(train: int = 8, val: int = 8, test: int = 4) -> list[Clip]:
    """Clips of each split, the four categories in turn."""
    counts = {"train": train, "val": val, "test": test}
    return [
        Clip(f"{split}/clip{i:03d}.mp4", split, CATEGORIES[i % 4])
        for split, count in counts.items()
        for i in range(count)
    ]


def picture(clip: Clip, frame: int, size: int) -> np.ndarray:
    """RGB uint8 [shape=(size, size, 3)]: blurred noise; a forged one has a fine grid in its middle."""
    random = np.random.default_rng([sum(clip.video_id.encode()), frame])
    coarse = random.integers(40, 200, (4, 4, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    if clip.visual_label:
        quarter = size // 4
        y, x = np.mgrid[0:size, 0:size]
        inside = (abs(y - size // 2) < quarter) & (abs(x - size // 2) < quarter)
        image[inside & ((y // 4 + x // 4) % 2 == 0)] += 80
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray) -> bytes:
    """JPEG bytes of an RGB or grey picture."""
    data = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", data, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def write_splits(folder: Path, made: list[Clip]) -> None:
    """splits.parquet, and an audit that found nothing; its metrics where `folder` is data/<dataset> of a project."""
    rows = [
        {
            "video_id": clip.video_id,
            "split": clip.split,
            "label": clip.label,
            "visual_label": clip.visual_label,
            "category": clip.category,
            "method": "real" if clip.label == 0 else "made",
            "identity": f"id{i % 5}",
        }
        for i, clip in enumerate(made)
    ]
    write_table(folder / "splits.parquet", from_rows(rows, SPLITS), SPLITS)
    write_table(folder / "leaks.parquet", from_rows([], LEAKS), LEAKS)
    if folder.parent.name == "data":
        metrics = folder.parents[1] / "metrics" / folder.name
        write_json(metrics / "audit.json", {"warnings": []})
        write_json(metrics / "details" / "splits.json", {"splits": {}})


def write_faces(
    folder: Path, made: list[Clip], *, frames: int = 6, size: int = 48, spoiled: frozenset[str] = frozenset()
) -> None:
    """faces/ with `frames` crops a clip; the first crop of a spoiled clip is no picture."""
    with ShardWriter(folder / "faces", FACES, shard_bytes=200_000) as writer:
        for clip in made:
            rows = [
                {
                    "video_id": clip.video_id,
                    "frame_index": 5 * i,
                    "time_s": i / 5,
                    "box": [0.0, 0.0, 9.0, 9.0],
                    "score": 0.99,
                    "keypoints": [0.0] * 10,
                    "crop_box": [0.0, 0.0, 9.0, 9.0],
                    "image": b"no picture" if clip.video_id in spoiled and i == 0 else jpeg(picture(clip, i, size)),
                    "phash": (0x0123456789ABCDEF * (i // 2 + 1)) % 2**64,  # two neighbours are duplicates
                }
                for i in range(frames)
            ]
            writer.write(from_rows(rows, FACES))
    coverage = [{"video_id": clip.video_id, "status": "ok", "key": "k"} for clip in made]
    write_table(folder / "faces" / "coverage.parquet", from_rows(coverage, COVERAGE), COVERAGE)


def write_masks(
    folder: Path, made: list[Clip], *, frames: int = 6, size: int = 48, bare: frozenset[str] = frozenset()
) -> None:
    """masks/: a bright disc and 68 points on an ellipse each; the first crop of a bare clip has no landmarks."""
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = size / 2 + size * np.linspace(0.35, 0.15, 68)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    disc = cv2.circle(np.zeros((size, size), np.uint8), (size // 2, size // 2), size // 4, 255, -1)
    encoded = bytes(cv2.imencode(".png", disc)[1])
    with ShardWriter(folder / "masks", MASKS) as writer:
        for clip in made:
            rows = [
                {
                    "video_id": clip.video_id,
                    "frame_index": 5 * i,
                    "landmarks": None if (lost := i == 0 and clip.video_id in bare) else points.ravel().tolist(),
                    "mask": encoded,
                    "status": "mismatch" if lost else "ok",
                }
                for i in range(frames)
            ]
            writer.write(from_rows(rows, MASKS))


def write_sequences(
    folder: Path, made: list[Clip], *, frames: int = 16, size: int = 32, silent: frozenset[str] = frozenset()
) -> None:
    """mouths/ and mels/: 2 s of sound that starts 0.1 s after the picture."""
    with ShardWriter(folder / "mouths", MOUTHS) as writer:
        for clip in made:
            times = (np.arange(frames) + 0.5) * 2.0 / frames
            rows = [
                {"video_id": clip.video_id, "frame_index": i, "time_s": times[i], "image": jpeg(picture(clip, i, size))}
                for i in range(frames)
            ]
            writer.write(from_rows(rows, MOUTHS))
    with ShardWriter(folder / "mels", MELS) as writer:
        for clip in made:
            row = {"video_id": clip.video_id, "status": "silent" if clip.video_id in silent else "ok"}
            mel = np.random.default_rng(sum(clip.video_id.encode())).normal(size=(190, 80)).astype(np.float16)
            sound = {"sample_rate_hz": 16000, "hop_s": 0.01, "start_s": 0.1, "leading_silence_s": 0.05}
            writer.write(from_rows([{**row, **sound, "n_frames": 190, "n_mels": 80, "mel": mel.ravel()}], MELS))


def write_dataset(folder: Path, made: list[Clip], *, frames: int = 6, size: int = 48) -> None:
    """splits, faces and masks of some clips."""
    write_splits(folder, made)
    write_faces(folder, made, frames=frames, size=size)
    write_masks(folder, made, frames=frames, size=size)
