"""Measure the input path of the recipe `full` against the plain way: a part of `make bench`.

Plain: cv2.imdecode, albumentations with Resize and Normalize, a tensor, a DataLoader over single samples. Ours: the
same steps from Parquet through dfdetect.data, normalised once a batch. Both in turn, in the same run, on drawn crops.
`--stored 299` measures crops that need no resizing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import albumentations
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Row, in_turn, ratio, spread, table
from dfdetect.arguments import parser
from dfdetect.config.recipe import TransformStep
from dfdetect.data.batches import LoaderSettings, make_loader, to_inputs
from dfdetect.data.crops import CropDataset
from dfdetect.data.index import load_crops, load_videos
from dfdetect.data.sampler import EvalSampler
from dfdetect.data.transforms import Augmentation
from dfdetect.io.schemas import COVERAGE, FACES, SPLITS
from dfdetect.io.tables import ShardWriter, from_rows, write_table
from dfdetect.runtime.threads import one_thread, tune_allocator

SIDE, STORED, VIDEOS, CROPS, BATCH, ROUNDS = 299, 317, 20, 22, 32, 5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEPS = [
    ("HorizontalFlip", {"p": 0.5}),
    ("ColorJitter", {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.05}),
    ("GaussianBlur", {"blur_limit": [3, 7], "p": 0.2}),
]


def crop(seed: int, side: int) -> bytes:
    """A JPEG of the size of a face crop's (28 kB at 317 px), encoded as the pipeline stores them (95 %, 4:4:4)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", image, options)[1])


def write_crops(folder: Path, *, side: int = STORED, videos: int = VIDEOS, crops: int = CROPS) -> list[bytes]:
    """A dataset of drawn crops in Parquet, half of the videos labelled fake; returns the same crops as bytes."""
    ids = [f"video{number:03d}" for number in range(videos)]
    encoded = [crop(number, side) for number in range(videos * crops)]
    hashes = np.random.default_rng(0).integers(0, 2**64, (videos, crops), dtype=np.uint64).tolist()  # all unlike
    labels = [{"video_id": v, "split": "train", "label": n % 2, "visual_label": n % 2} for n, v in enumerate(ids)]
    write_table(folder / "splits.parquet", from_rows(labels, SPLITS), SPLITS)
    with ShardWriter(folder / "faces", FACES) as writer:
        for number, video_id in enumerate(ids):
            rows = [
                {"video_id": video_id, "frame_index": i, "phash": hash_, "image": encoded[number * crops + i]}
                for i, hash_ in enumerate(hashes[number])
            ]
            writer.write(from_rows(rows, FACES))
    coverage = [{"video_id": video_id, "status": "ok"} for video_id in ids]
    write_table(folder / "faces" / "coverage.parquet", from_rows(coverage, COVERAGE), COVERAGE)
    return encoded


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """One sample at a time, normalised by albumentations."""

    def __init__(self, encoded: list[bytes]) -> None:
        self.encoded = encoded
        made = [getattr(albumentations, name)(**params) for name, params in STEPS]
        first, last = albumentations.Resize(SIDE, SIDE), albumentations.Normalize(MEAN, STD)
        self.compose = albumentations.Compose([first, *made, last])

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        data = np.frombuffer(self.encoded[number], np.uint8)
        image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(self.compose(image=image)["image"].transpose(2, 0, 1).copy()), number % 2


def plain_way(encoded: list[bytes], workers: int) -> Callable[[], int]:
    """An epoch of the plain way."""
    loader = DataLoader(Plain(encoded), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return lambda: sum(len(image) for image, _ in loader)


def our_way(folder: Path, workers: int) -> Callable[[], int]:
    """An epoch from Parquet to normalised batches."""
    index = load_crops(folder, load_videos(folder, "visual_label", {"train"}), masks=False)
    steps = [TransformStep(name=name, params=params) for name, params in STEPS]
    augmentation = Augmentation(steps, SIDE, where="bench", mean=MEAN, std=STD)
    dataset = CropDataset(index, SIDE, augmentation.seeded)
    plans = EvalSampler(index.video, frames_per_video=None, batch_size=BATCH)
    loader = make_loader(dataset, plans, LoaderSettings(workers=workers, persistent=True))
    return lambda: sum(len(to_inputs(raw, "cpu", mean=MEAN, std=STD)["image"]) for raw in loader)


def bench_loading(stored: int = STORED, rounds: int = ROUNDS) -> list[Row]:
    """Crops a second of ours, and its ratio to the plain way, round by round, in the process itself and with 2 workers.

    Args:
        stored: side of the stored crops (px).
        rounds: that count; one more goes before.
    """
    tune_allocator()  # as the train stage does; both ways gain by it
    rows = []
    with one_thread(), tempfile.TemporaryDirectory() as name:
        encoded = write_crops(Path(name), side=stored)
        for workers in (0, 2):
            ours, plain = in_turn(our_way(Path(name), workers), plain_way(encoded, workers), rounds)
            speeds = spread([len(encoded) / seconds for seconds in ours], "crops a second")
            what = f"loading for training, {stored} px stored, {workers} workers"
            rows.append(Row(what, speeds, ratio(plain, ours) + " the plain way", "1.6 x"))
    return rows


def main() -> None:
    """Print it for another size."""
    arguments = parser("benchmarks.bench_loading", __doc__)
    arguments.add_argument("--stored", type=int, default=STORED, help="side of the stored crops (px)")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    options = arguments.parse_args()
    print(*table(bench_loading(options.stored, options.rounds)), sep="\n")


if __name__ == "__main__":
    main()
