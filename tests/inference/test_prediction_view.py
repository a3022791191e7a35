"""What the page says, without a browser."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dfdetect.demo import view as module
from dfdetect.demo.command import command
from dfdetect.demo.examples import test_clips as find_clips
from dfdetect.demo.markup import evidence, verdict
from dfdetect.demo.precheck import MAX_MB, precheck
from dfdetect.demo.view import Face, describe, overlay_heatmap, page_predictor, predict_file
from dfdetect.errors import MediaError
from dfdetect.inference.confidence import Confidence
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.saved_model import SYNTHETIC_WARNING
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.media.image import decode
from tests.inference.infos import RENDERED, info

INFO, SYNTHETIC = info(), info(trained_on=[RENDERED])


def predict(score: float | None, n_frames: int = 3, **changes: Any) -> Prediction:
    frames = [FrameScore(i, 0.2 * i, score or 0.0, (0, 0, 9, 9)) for i in range(n_frames if score is not None else 0)]
    details = changes.pop("info", INFO)
    return Prediction("clip.mp4", details, 0.3, score, frames, **changes)


def visible(html: str) -> str:
    """What is read, without the style."""
    return html.rpartition("</style>")[2]


def test_the_score_stands_beside_the_threshold_with_enough_digits() -> None:
    assert "score is 0.95" in describe("a.mp4", predict(0.95)).text
    close = describe("a.mp4", predict(0.29996)).text
    assert "score is 0.29996" in close
    assert "from 0.30000 on" in close


def test_confidence_is_a_word_only_where_there_is_ground_for_one() -> None:
    known = verdict(describe("a.mp4", predict(0.95), Confidence("high", "of the 30 validation videos, 30 were fake")))
    assert "high confidence" in known
    assert "of the 30 validation videos, 30 were fake" in known
    unknown = verdict(describe("a.mp4", predict(0.01), Confidence(None, "validation had 5 real and 9 fake videos")))
    assert "Real" in unknown
    assert "high" not in visible(unknown)
    assert "cannot be told: validation had 5 real and 9 fake videos" in unknown


def test_what_it_was_trained_on_stands_beside_the_label_and_a_warning_above_it() -> None:
    recorded = verdict(describe("a.mp4", predict(0.95), Confidence(None, "x")))
    assert "xception, trained on celebdf" in recorded
    assert SYNTHETIC_WARNING not in recorded
    for prediction in (predict(0.95, info=SYNTHETIC), predict(None, info=SYNTHETIC, status="no_face")):
        text = visible(verdict(describe("a.mp4", prediction, Confidence(None, "x"))))
        assert "trained on sample (synthetic)" in text
        assert text.index(SYNTHETIC_WARNING) < min(text.index(word) for word in ("Fake", "Not scored") if word in text)


def test_caveats_say_what_the_detector_does_not_see() -> None:
    heard = info(target="label", inputs=["mouths", "mels"])

    def caveats(*args: Any, still: bool = False, **changes: Any) -> str:
        return " ".join(describe("a", predict(*args, **changes), still=still).caveats)

    assert "replaced voice" in caveats(0.9)
    assert "replaced voice" not in caveats(0.9, info=heard)
    assert "3 of up to 22" in caveats(0.9)
    assert "of up to" not in caveats(0.9, 22)
    assert "single picture" in caveats(0.9, 1, still=True)
    assert "Only a part of it could be read: it breaks off" in caveats(0.9, status="truncated", reason="it breaks off")


@pytest.mark.parametrize("status", sorted(module.ADVICE))
def test_what_cannot_be_scored_is_said_with_a_remedy_and_no_score(status: str) -> None:
    view = describe("a.mp4", predict(None, status=status, reason="no face, anywhere"))
    assert view.confidence is None
    assert view.text == f"No face, anywhere. {module.ADVICE[status]}"
    text = visible(verdict(view))
    assert "Not scored" in text
    assert "confidence" not in text
    assert evidence(view) == ""


def test_names_cannot_put_markup_into_the_page() -> None:
    hostile = info(trained_on=[{"dataset": "<img src=y>", "synthetic": False}])
    text = verdict(describe("<img src=x onerror=alert(1)>.mp4", predict(0.9, info=hostile), Confidence(None, "<img>")))
    assert "<img" not in text
    assert text.count("&lt;img") == 3


def test_the_page_asks_for_nothing_outside() -> None:
    grey = np.full((8, 8, 3), 99, np.uint8)
    view = describe("a.mp4", predict(0.9), faces=[Face(0.2, 0.9, grey, grey)])
    text = verdict(view) + evidence(view)
    assert "http" not in text
    assert "<script" not in text
    assert text.count("data:image/jpeg;base64,") == 2


def test_dots_tell_fake_and_real_frames_apart() -> None:
    frames = [FrameScore(0, 0.0, 0.1, None), FrameScore(9, 0.5, 0.9, None)]
    text = evidence(describe("a.mp4", Prediction("a", INFO, 0.3, 0.5, frames)))
    assert 'class="dot real" style="left:0.00%;top:90.00%"' in text
    assert 'class="dot fake" style="left:100.00%;top:10.00%"' in text


def test_a_heatmap_brightens_where_it_is_hot() -> None:
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 3] = 1.0
    shown = overlay_heatmap(np.full((8, 8, 3), 60, np.uint8), heatmap).astype(int).sum(axis=2)
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 3)
    assert (shown[heatmap == 0] == shown[0, 0]).all()


def test_the_server_listens_to_this_machine_only_and_sends_no_statistics() -> None:
    flags = dict(flag.removeprefix("--").split("=") for flag in command(8765) if flag.startswith("--"))
    assert flags["server.address"] == "127.0.0.1"
    assert flags["server.port"] == "8765"
    assert flags["browser.gatherUsageStats"] == "false"
    assert flags["server.maxUploadSize"] == str(MAX_MB)


def test_clips_are_of_the_test_split_only(tmp_path: Path) -> None:
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
    assert {name: (clip.path.stem, clip.dataset) for name, clip in find_clips(tmp_path).items()} == {
        "made: fake 1": ("v1", "made"),
        "made: fake 2": ("v2", "made"),
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
    faces = {"face_detector": "mtcnn", "frames_per_video": 3, "image_size": 96, "cropped": True}
    described = info(preprocess={"faces": faces})
    (folder / "detector.json").write_text(described.model_dump_json())  # nothing here comes as far as the weights
    return folder


@pytest.mark.parametrize(("work", "status"), [(killed, "crashed"), (hung, "timeout")])
def test_a_file_that_crashes_or_hangs_its_reader_is_refused(
    work: object, status: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "precheck", work)
    monkeypatch.setattr(module, "PRECHECK_S", 1.0)
    (tmp_path / "a.mp4").write_bytes(b"x")
    view = predict_file(tmp_path / "a.mp4", page_predictor(model))
    assert view.prediction.status == status
    assert module.ADVICE[status] in view.text
    assert not view.readable


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
    view = predict_file(path, page_predictor(model))
    assert view.prediction.status == "too_long"
    assert not view.readable


def test_pictures_are_shown_as_they_were_decoded_or_not_at_all(tmp_path: Path) -> None:
    deep = np.full((1500, 40, 3), 40_000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    shown = precheck(tmp_path / "deep.png")
    assert shown is not None
    assert decode(shown).shape == (1200, 32, 3)
    (tmp_path / "broken.png").write_bytes((tmp_path / "deep.png").read_bytes()[:99])
    (tmp_path / "renamed.jpg").write_bytes(b"no picture")
    for name in ("broken.png", "renamed.jpg"):
        with pytest.raises(MediaError):
            precheck(tmp_path / name)
