"""Make README's pictures from the sample's artifacts and the report: `make pictures`, after `make repro`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks.browser import Browser, address, find_browser
from dfdetect.arguments import parser
from dfdetect.errors import UserError, run_cli
from dfdetect.inference.examples import overlay
from dfdetect.io.schemas import FACES, MASKS, SPLITS
from dfdetect.io.tables import Shards, read_table, write_bytes
from dfdetect.media.image import decode, decode_grey

DATASET = Path("data/sample")
REPORT = Path("metrics/report.html")
OUT = Path("docs/pictures")
MOST_BYTES = 300_000
WIDTH, HEIGHT = 1366, 1040  # of the report's pictures, px
CATEGORIES = ("RealVideo-RealAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
COLUMNS, SIDE = 8, 160
CAPTION = 24  # px


def sheet() -> np.ndarray:
    """One row of crops and one of their attention masks in colours a category, RGB uint8."""
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
            weight = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255
            crops.append(small)
            masked.append(overlay(small, weight))
        caption = np.full((CAPTION, SIDE * COLUMNS, 3), 255, np.uint8)
        cv2.putText(caption, category, (6, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        rows += [caption, np.hstack(crops), np.hstack(masked)]
    return np.vstack(rows)


def report_pictures(program: str) -> dict[str, np.ndarray]:
    """The report's top by day and its gallery of mistakes by night, RGB uint8, by file name."""
    gallery = "[...document.querySelectorAll('h3')].find(h => h.textContent.startsWith('Most confident'))"
    shown = {}
    with Browser(program) as browser:
        for name, dark in (("report-light", False), ("report-dark", True)):
            browser.open(address(REPORT), width=WIDTH, height=HEIGHT, dark=dark)
            top = browser.value(f"{gallery}.getBoundingClientRect().top + scrollY - 40") if dark else 0
            data = np.frombuffer(browser.picture(top=top, height=HEIGHT), np.uint8)
            shown[name] = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    return shown


def write(name: str, picture: np.ndarray) -> None:
    """Write a JPEG into docs/pictures, as good as its size allows."""
    for quality in range(90, 40, -5):
        good, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if good and data.nbytes <= MOST_BYTES:
            break
    write_bytes(OUT / f"{name}.jpg", data.tobytes())
    print(f"{OUT / name}.jpg: {data.nbytes // 1000} kB")


def main() -> None:
    """All pictures; those of the report need a Chromium."""
    parser("benchmarks.pictures", __doc__).parse_args()
    write("crops", sheet())
    program = find_browser()
    if program is None:
        raise UserError("no Chromium on the path for the report's pictures: install one, or name it in $CHROMIUM.")
    if not REPORT.exists():
        raise UserError(f"{REPORT} is missing: run `make repro` first.")
    for name, picture in report_pictures(program).items():
        write(name, picture)


if __name__ == "__main__":
    run_cli(main)
