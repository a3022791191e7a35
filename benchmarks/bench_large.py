"""Measure what a dataset of 20,000 videos costs after its videos are decoded: `make bench-large`.

Its face crops and masks are written, split, indexed for training, read in random batches, and hashed by DVC; each step
in a process of its own. The crops are drawn and small (about 5 kB in place of 28), so that the disk is not filled:
numbers of rows are those of a real dataset, bytes are a fifth. Writes docs/benchmarks-large.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Row, machine, peak_mb, table
from dfdetect.arguments import parser

if TYPE_CHECKING:
    from dfdetect.data.crops import CropDataset
    from dfdetect.data.sampler import BatchPlan

DOCUMENT = Path("docs/benchmarks-large.md")
VIDEOS, CROPS, SIDE = 20_000, 22, 317
DRAWN = 64  # different pictures; every stored copy ends in bytes of its own
BATCH, BATCHES = 32, 200
FOLDER = Path("data/large")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
STAGE = """stages:
  large:
    cmd: "true"
    outs:
      - data/large/faces
      - data/large/masks
      - data/large/videos.parquet
      - data/large/splits.parquet
"""


def video_ids(count: int) -> list[str]:
    """Names in stored order."""
    return [f"part{number // 1000:02d}/clip{number:06d}.mp4" for number in range(count)]


def drawn() -> tuple[list[bytes], list[bytes]]:
    """JPEG crops and PNG masks."""
    import cv2
    import numpy as np

    crops, masks = [], []
    for seed in range(DRAWN):
        coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        crops.append(bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]))
        disc = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (SIDE // 2, SIDE // 2), 40 + seed, 255, -1)
        masks.append(bytes(cv2.imencode(".png", disc)[1]))
    return crops, masks


def write(videos: int, crops: int) -> str:
    """videos.parquet, faces/ and masks/."""
    import hashlib

    import numpy as np

    from dfdetect.io.schemas import COVERAGE, FACES, MASKS
    from dfdetect.io.schemas import VIDEOS as INDEX
    from dfdetect.io.tables import ShardWriter, from_rows, write_json, write_table

    pictures, discs = drawn()
    random = np.random.default_rng(0)
    points = random.uniform(0, SIDE, 136).tolist()
    ids = video_ids(videos)
    index = [
        {
            "video_id": video_id,
            "path": video_id,
            "sha256": hashlib.sha256(video_id.encode()).hexdigest(),
            "label": number % 2,
            "visual_label": number % 2,
            "method": "made" if number % 2 else "real",
            "identity": f"person{number // 40}",
            "status": "ok",
        }
        for number, video_id in enumerate(ids)
    ]
    write_table(FOLDER / "videos.parquet", from_rows(index, INDEX), INDEX)
    write_json(Path("metrics") / FOLDER.name / "download.json", {"layout": {}})
    with ShardWriter(FOLDER / "faces", FACES) as faces, ShardWriter(FOLDER / "masks", MASKS) as masks:
        for number, video_id in enumerate(ids):
            hashes = random.integers(0, 2**64, crops, dtype=np.uint64).tolist()
            found, made = [], []
            for i in range(crops):
                row = number * crops + i
                own = row.to_bytes(8, "big")  # decoders stop before it
                key = {"video_id": video_id, "frame_index": 10 * i}
                box = [0.0, 0.0, float(SIDE), float(SIDE)]
                face = {"time_s": i / 3, "box": box, "score": 1.0, "keypoints": points[:10], "crop_box": box}
                found.append({**key, **face, "image": pictures[row % DRAWN] + own, "phash": hashes[i]})
                made.append({**key, "landmarks": points, "mask": discs[row % DRAWN] + own, "status": "ok"})
            faces.write(from_rows(found, FACES))
            masks.write(from_rows(made, MASKS))
    coverage = [{"video_id": video_id, "status": "ok", "key": "k"} for video_id in ids]
    write_table(FOLDER / "faces" / "coverage.parquet", from_rows(coverage, COVERAGE), COVERAGE)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    return f"{videos * crops:,} crops and masks, {size / 1e9:.2f} GB"


def split() -> str:
    """The splits and audit stages: identity-disjoint splits, and the search for nearly equal crops between them."""
    from dfdetect.config.params import DatasetParams, SplitsParams
    from dfdetect.splits.audit import audit
    from dfdetect.splits.build import build

    start = time.perf_counter()
    for path in [FOLDER / "videos.parquet", *(FOLDER / "faces").iterdir()]:
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    reading_s = time.perf_counter() - start
    entry = DatasetParams.model_validate({"layout": "folder", "source": {"kind": "directory"}})
    start = time.perf_counter()
    metrics = build("large", entry, SplitsParams())
    audit("large", entry, SplitsParams())
    times = (time.perf_counter() - start) / reading_s
    parts = ", ".join(f"{name} {metrics[name]:,}" for name in ("test", "train", "val"))
    return f"{parts}; {times:.1f} x reading the bytes of its tables, crops included"


def _train_data() -> tuple[CropDataset, Iterator[BatchPlan]]:
    """Everything that training holds of the dataset, and an epoch's batches in random order."""
    from dfdetect.data.crops import CropDataset
    from dfdetect.data.index import load_crops, load_videos
    from dfdetect.data.sampler import SamplerSettings, TrainSampler

    index = load_crops(FOLDER, load_videos(FOLDER, "visual_label", {"train"}), masks=True)
    settings = SamplerSettings(dedup_threshold=2, batch_size=BATCH, seed=1)
    return CropDataset(index, 299), iter(TrainSampler(index.video, index.labels, index.phash, settings))


def load() -> str:
    """Index the training split with its masks, and plan an epoch."""
    import dfdetect.data.crops  # noqa: F401  # what it takes before there is any data

    libraries = peak_mb()
    dataset, plans = _train_data()
    batches = sum(1 for _ in plans)
    return f"{len(dataset):,} crops, {batches:,} batches; {libraries:.0f} MB of it are PyTorch and other libraries"


def read() -> str:
    """Random batches, decoded and resized to 299 px on one thread."""
    from dfdetect.runtime.threads import use_one_thread

    dataset, plans = _train_data()
    use_one_thread()
    start = time.perf_counter()
    crops = sum(len(plan.rows) for plan in islice(plans, BATCHES) if dataset.__getitems__(plan))
    return f"{crops / (time.perf_counter() - start):.0f} crops a second, in batches of {BATCH}"


STEPS: dict[str, tuple[str, Callable[..., str]]] = {
    "write": ("written as Parquet", write),
    "split": ("split and audited", split),
    "load": ("indexed for training", load),
    "read": (f"indexed, and {BATCHES} random batches read", read),
}


def measured(command: list[str], folder: Path) -> tuple[str, str]:
    """Run a command in a folder: its seconds and peak memory in words, and what it printed."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    seconds, busy = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    return f"{seconds:.1f} s ({busy:.1f} s of CPU), {usage.ru_maxrss / 1024:.0f} MB", said.strip()


def measure(folder: Path, videos: int, crops: int) -> list[Row]:
    """All steps, in an empty folder that becomes a DVC repository."""
    rows = []
    for name, (what, _) in STEPS.items():
        sizes = [str(videos), str(crops)] if name == "write" else []
        figure, said = measured([sys.executable, __file__, "--step", name, *sizes], folder)
        rows.append(Row(what, figure, said, ""))
        print(rows[-1], flush=True)
    (folder / "dvc.yaml").write_text(STAGE)
    dvc = str(Path(sys.executable).parent / "dvc")
    measured([dvc, "init", "--no-scm", "-q"], folder)
    again = ("DVC, unchanged: `dvc status`", ["status", "-q"]), ("DVC, unchanged: `dvc repro`", ["repro", "-q"])
    for what, words in (("DVC, hashed and put into its cache", ["commit", "-f", "-q"]), *again):
        figure, _ = measured([dvc, *words], folder)
        rows.append(Row(what, figure, "", "seconds" if "unchanged" in what else ""))
        print(rows[-1], flush=True)
    return rows


def document(rows: list[Row], videos: int, crops: int) -> str:
    """The page."""
    lines = [
        "# A large dataset",
        "",
        f"Written by `make bench-large`: {videos:,} videos of {crops} crops each, drawn; seconds (start-up",
        "included) and peak memory of one round, each step in a process of its own. A crop has about a fifth of a real",
        "one's bytes, so that the disk is not filled; the numbers of rows are those of a real dataset. The memory of",
        "reading counts pages of the files themselves, which the system shares among processes and drops when it must.",
        "",
        machine(),
        "",
        *table(rows),
        "",
    ]
    return "\n".join(lines).replace("| ratio | aim |", "| of it | aim |")


def main() -> None:
    """Measure, write the page; a smaller number of videos is printed alone."""
    arguments = parser("benchmarks.bench_large", __doc__)
    arguments.add_argument("--videos", type=int, default=VIDEOS)
    arguments.add_argument("--crops", type=int, default=CROPS, help="a video")
    arguments.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.step:
        print(STEPS[options.step[0]][1](*map(int, options.step[1:])))
        return
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name), options.videos, options.crops)
    text = document(rows, options.videos, options.crops)
    print(text)
    if (options.videos, options.crops) == (VIDEOS, CROPS):
        DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
