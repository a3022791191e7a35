"""What the page says, without a browser."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfdetect.demo import view as module
from dfdetect.demo.command import command
from dfdetect.demo.examples import test_clips as find_clips
from dfdetect.demo.markup import findings, verdict
from dfdetect.demo.precheck import MAX_MB, look
from dfdetect.demo.view import Face, describe, heated, judge, page_predictor
from dfdetect.errors import MediaError
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.saved_model import BundleInfo, Threshold
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.media.image import decode


def info(**changes: object) -> BundleInfo:
    values = {
        "detector": "xception",
        "settings": {},
        "image_size": 64,
        "inputs": ["image"],
        "target": "visual_label",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "threshold": Threshold(value=0.3, achieved=1.0),
        "preprocess": {"faces": {"frames_per_video": 22}},
        "packages": {},
        "train": {"params": {"dataset": "sample"}},
    }
    return BundleInfo.model_validate({**values, **changes})


def made(score: float | None, frames: int = 3, **changes: str) -> Prediction:
    judged = [FrameScore(i, 0.2 * i, score or 0.0, (0, 0, 9, 9)) for i in range(frames if score is not None else 0)]
    return Prediction("clip.mp4", 0.3, "xception", score, judged, **changes)


@pytest.mark.parametrize(
    ("score", "said", "confidence"),
    [
        (0.95, "fake", "high"),
        (0.75, "fake", "moderate"),
        (0.35, "fake", "low"),
        (0.05, "real", "high"),
        (0.25, "real", "moderate"),
    ],
)
def test_the_verdict_is_the_predictions_and_its_confidence_a_word(score: float, said: str, confidence: str) -> None:
    page = describe("a.mp4", made(score), info())
    assert (page.verdict, page.confidence) == (said, confidence)
    assert f"{score:.0%}" in page.sentence
    assert "30%" in page.sentence
    assert any("uncertain" in text for text in page.limits) == (score == 0.35)


def test_limits_say_what_the_detector_does_not_see() -> None:
    picture, heard = info(), info(target="label", inputs=["mouths", "mels"])
    assert any("replaced voice" in text for text in describe("a", made(0.9), picture).limits)
    assert not any("replaced voice" in text for text in describe("a", made(0.9), heard).limits)
    assert any("3 of up to 22" in text for text in describe("a", made(0.9), picture).limits)
    assert not any("of up to" in text for text in describe("a", made(0.9, 22), picture).limits)
    assert any("single picture" in text for text in describe("a", made(0.9, 1), picture, still=True).limits)
    assert any("'sample' alone" in text for text in describe("a", made(0.9), picture).limits)
    continued = info(train={"params": {"dataset": "sample", "init_from": "models/first"}})
    assert any("from the weights of models/first" in text for text in describe("a", made(0.9), continued).limits)


@pytest.mark.parametrize("status", sorted(module.ADVICE))
def test_what_cannot_be_judged_is_said_with_a_remedy_and_no_score(status: str) -> None:
    page = describe("a.mp4", made(None, status=status, reason="no face, anywhere"), info())
    assert page.verdict == "not judged"
    assert page.confidence is None
    assert page.sentence == f"No face, anywhere. {module.ADVICE[status]}"
    assert "Not judged" in verdict(page)
    assert "%" not in verdict(page).rpartition("</style>")[2]
    assert findings(page) == ""


def test_names_cannot_put_markup_into_the_page() -> None:
    page = describe("<img src=x onerror=alert(1)>.mp4", made(0.9), info())
    assert "<img" not in verdict(page)
    assert "&lt;img" in verdict(page)


def test_the_page_asks_for_nothing_outside() -> None:
    grey = np.full((8, 8, 3), 99, np.uint8)
    page = describe("a.mp4", made(0.9), info(), faces=[Face(0.2, 0.9, grey, grey)])
    text = verdict(page) + findings(page)
    assert "http" not in text
    assert "<script" not in text
    assert text.count("data:image/jpeg;base64,") == 2


def test_dots_tell_fake_and_real_frames_apart() -> None:
    frames = [FrameScore(0, 0.0, 0.1, None), FrameScore(9, 0.5, 0.9, None)]
    text = findings(describe("a.mp4", Prediction("a", 0.3, "xception", 0.5, frames), info()))
    assert 'class="dot real" style="left:0.00%;top:90.00%"' in text
    assert 'class="dot fake" style="left:100.00%;top:10.00%"' in text


def test_heat_brightens_where_it_is() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[2, 3] = 1.0
    shown = heated(np.full((8, 8, 3), 60, np.uint8), heat).astype(int).sum(axis=2)
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 3)
    assert (shown[heat == 0] == shown[0, 0]).all()


def test_the_server_listens_to_this_machine_alone_and_sends_no_statistics() -> None:
    flags = dict(flag.removeprefix("--").split("=") for flag in command(8765) if flag.startswith("--"))
    assert flags["server.address"] == "127.0.0.1"
    assert flags["server.port"] == "8765"
    assert flags["browser.gatherUsageStats"] == "false"
    assert flags["server.maxUploadSize"] == str(MAX_MB)


def test_clips_are_of_the_test_split_alone(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    rows = [(f"v{i}", split) for i, split in enumerate(["train", "test", "test", "test", "val", "test"])]
    (folder / "raw").mkdir(parents=True)
    for video_id, _ in rows[:-1]:  # the last one's file is not there
        (folder / "raw" / f"{video_id}.mp4").write_bytes(b"x")
    splits = [{"video_id": video_id, "split": split, "label": 1} for video_id, split in rows]
    write_table(folder / "splits.parquet", from_rows(splits, SPLITS), SPLITS)
    videos = [
        {"video_id": v, "path": f"{v}.mp4", "sha256": v, "label": 1, "has_audio": False, "status": "ok"}
        for v, _ in rows
    ]
    write_table(folder / "videos.parquet", from_rows(videos, VIDEOS), VIDEOS)
    assert {name: path.stem for name, path in find_clips(tmp_path).items()} == {
        "made: fake 1": "v1",
        "made: fake 2": "v2",
    }
    assert find_clips(tmp_path / "nowhere") == {}


def killed(_: Path) -> None:
    """What a hostile file does to its decoder."""
    os.kill(os.getpid(), signal.SIGKILL)


def hung(_: Path) -> None:
    """What a hostile file does to its decoder, too."""
    time.sleep(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    faces = {"detector": "mtcnn", "frames_per_video": 3, "image_size": 96, "cropped": True}
    described = info(preprocess={"faces": faces})
    (folder / "detector.json").write_text(described.model_dump_json())  # nothing here comes as far as the weights
    return folder


@pytest.mark.parametrize(("work", "status"), [(killed, "crashed"), (hung, "timeout")])
def test_a_file_that_crashes_or_hangs_its_reader_is_refused(
    work: object, status: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "look", work)
    monkeypatch.setattr(module, "LOOK_S", 1.0)
    (tmp_path / "a.mp4").write_bytes(b"x")
    page = judge(tmp_path / "a.mp4", page_predictor(model))
    assert page.prediction.status == status
    assert module.ADVICE[status] in page.sentence
    assert not page.readable


def test_a_clip_that_does_not_say_its_length_is_stopped_while_it_is_decoded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuvj420p"
        for _ in range(8):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 96, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    monkeypatch.setattr(module, "MAX_FRAMES", 5)
    page = judge(path, page_predictor(model))
    assert page.prediction.status == "too_long"
    assert not page.readable


def test_pictures_are_shown_as_they_were_decoded_or_not_at_all(tmp_path: Path) -> None:
    deep = np.full((1500, 40, 3), 40_000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    shown = look(tmp_path / "deep.png")
    assert shown is not None
    assert decode(shown).shape == (1200, 32, 3)
    (tmp_path / "broken.png").write_bytes((tmp_path / "deep.png").read_bytes()[:99])
    (tmp_path / "renamed.jpg").write_bytes(b"no picture")
    for name in ("broken.png", "renamed.jpg"):
        with pytest.raises(MediaError):
            look(tmp_path / name)
