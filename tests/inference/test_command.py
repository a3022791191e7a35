"""The command line: what a terminal, a pipe and a file get, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from dfdetect.inference.prediction import format_scores
from dfdetect.inference.saved_model import SYNTHETIC_WARNING, TrainingData
from tests.evaluation.saved_models import save_model

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# Whole pictures are taken as face crops, so that noise can be scored.
FACES = {"face_detector": "mtcnn", "frames_per_video": 3, "image_size": 96, "cropped": True}
PICTURES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that was trained on rendered heads, and more pictures than a pipe has section for lines."""
    path = tmp_path_factory.mktemp("command")
    rendered = [TrainingData(dataset="sample", synthetic=True)]
    save_model(path / "model", "xception", preprocess={"faces": FACES}, trained_on=rendered)
    (path / "many").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for number in range(PICTURES):
        cv2.imwrite(str(path / "many" / f"{number:03d}.png"), noise)
    (path / "ü.png").write_bytes((path / "many" / "000.png").read_bytes())
    (path / "broken.mp4").write_bytes(b"no video")
    return path


def start(folder: Path, *arguments: str, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dfdetect", "predict", *arguments, "--model", "model", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    return subprocess.Popen(
        [*command, "--workers", "1"],
        cwd=folder,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("end", ["reader", "ctrl-c"])
def test_it_stops_with_its_reader_and_at_ctrl_c_and_takes_its_workers_along(folder: Path, end: str) -> None:
    process = start(folder, "many", "--csv", "out.csv")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["path"] == "many/000.png"
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert workers
    if end == "reader":
        for worker in workers:
            worker.suspend()  # as if the next file took for ever: there is no further line to fail at
        while select.select([process.stdout], [], [], 3)[0]:
            os.read(process.stdout.fileno(), 100_000)
        process.stdout.close()
    else:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == (141 if end == "reader" else 130)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    errors = process.stderr.read()
    assert "Traceback" not in errors
    rows = list(csv.DictReader((folder / "out.csv").open(encoding="utf-8")))
    assert 1 <= len(rows) < PICTURES
    said = re.search(rf"stopped: (\d+) of {PICTURES} files are listed", errors)
    assert said is not None
    assert len(rows) - int(said[1]) in (0, 1)  # it may end between writing and counting


def test_a_terminal_gets_a_line_per_file_and_json_goes_to_a_file(folder: Path) -> None:
    controller, terminal = pty.openpty()
    process = start(folder, "many/000.png", "broken.mp4", "--json", "new/out.json", stdout=terminal)
    _, errors = process.communicate(timeout=300)
    os.close(terminal)
    lines = os.read(controller, 10_000).decode().splitlines()
    assert process.returncode == 3
    records = [json.loads(line) for line in (folder / "new/out.json").read_text(encoding="utf-8").splitlines()]
    assert [record["status"] for record in records] == ["ok", "unreadable"]
    label, (score, threshold) = records[0]["label"], format_scores(records[0]["score"], records[0]["threshold"])
    shown = [line for line in lines if line.startswith(("many/", "broken"))]
    end = f"1 frame  threshold {threshold}, trained on sample (synthetic)"
    assert shown[0] == f"many/000.png  {label}  {score}  {end}"
    assert shown[1].startswith("broken.mp4  not scored  ")
    assert errors.index(SYNTHETIC_WARNING) < errors.index("1 of 2 files scored")


def test_a_copy_that_fails_is_named_with_its_reason(folder: Path) -> None:
    (folder / "seen" / "ü_annotated.jpg").mkdir(parents=True)
    process = start(folder, "ü.png", "many/000.png", "--annotate", "seen")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 3
    failed, written = (json.loads(line) for line in output.splitlines())
    assert failed["status"] == "ok"
    assert failed["annotated"] is None
    assert "_annotated.jpg cannot be written: Is a directory" in failed["annotated_reason"]
    assert "no annotated copy: " in errors
    assert failed["annotated_reason"].encode("ascii", "backslashreplace").decode() in errors
    assert (written["annotated"], written["annotated_reason"]) == ("seen/000_annotated.jpg", None)
    assert sorted(path.name for path in (folder / "seen").iterdir()) == ["000_annotated.jpg", "ü_annotated.jpg"]


@pytest.mark.parametrize("option", ["--json", "--csv", "--annotate"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_scored(folder: Path, option: str) -> None:
    process = start(folder, "many", option, "broken.mp4/out")
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (2, "")
    assert "broken.mp4/out cannot be written: " in errors
    assert "Traceback" not in errors
