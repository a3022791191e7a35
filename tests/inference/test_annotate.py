"""Annotated copies: what is drawn where, and films that play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfdetect.datasets.tree import stored
from dfdetect.inference.annotate import FAKE, LEAST_PANEL_PX, REAL, Painter, annotate_all
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.text_drawing import write_text
from dfdetect.media.frames import Frame, RgbPicture


def made(path: str = "clip.mp4", scores: tuple[float, ...] = (0.1, 0.9)) -> Prediction:
    frames = [
        FrameScore(10 * i, 0.4 * i, score, (20.0 + 40 * i, 20, 60 + 40 * i, 60)) for i, score in enumerate(scores)
    ]
    return Prediction(path, 0.5, "xception", float(np.mean(scores)), frames)


def frame(index: int, width: int = 161, height: int = 121) -> Frame:
    return Frame(index, 0.04 * index, RgbPicture(np.full((height, width, 3), 90, np.uint8)))


def test_the_box_moves_between_judged_frames() -> None:
    painter = Painter(made())
    assert painter.at(frame(0)) == ((20.0, 20, 60, 60), 0.1)
    box, score = painter.at(frame(5))
    assert box == pytest.approx((40, 20, 80, 60))
    assert score == pytest.approx(0.5)
    assert painter.at(frame(15))[0] == (60.0, 20, 100, 60)  # held for a moment
    assert painter.at(frame(200)) == (None, None)


def test_the_box_has_the_verdicts_colour_and_the_picture_stays_whole() -> None:
    painter = Painter(made())
    first, last = painter.paint(frame(0)), painter.paint(frame(10))
    assert first.shape[0] % 2 == first.shape[1] % 2 == 0
    assert first.shape[0] >= 121 + LEAST_PANEL_PX
    assert tuple(first[59, 20]) == REAL
    assert tuple(first[40, 20]) == (90, 90, 90)  # real: corners alone
    assert tuple(last[40, 60]) == FAKE
    assert tuple(first[100, 150]) == (90, 90, 90)


def test_the_timeline_marks_the_moment() -> None:
    painter = Painter(made())
    panels = [painter.paint(frame(index))[121:].astype(int) for index in (0, 10)]
    changed = np.abs(panels[0] - panels[1]).sum(axis=2) > 0
    assert changed.sum(axis=1).max() < 100  # of 162 columns: a label of the moment
    assert 0 < changed[50:80].sum(axis=1).max() < 20  # two thin lines in different places


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (3840, 2160), (64, 48)])
def test_the_panel_fits_any_frame(width: int, height: int) -> None:
    panel = Painter(made()).panel(width, height)
    assert panel.shape[1] == width
    bright = np.argwhere(panel.max(axis=2) > 150)
    assert bright[:, 0].min() < panel.shape[0] / 4  # the verdict above, the timeline below
    assert bright[:, 0].max() > panel.shape[0] / 2


def test_text_is_cut_at_the_border_and_drawn_inside() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    write_text(picture, "far too long a text for this", (2, 15), 14, (255, 255, 255))
    assert picture[15:].any()
    assert not picture[:14].any()
    write_text(picture, "x", (300, 300), 14, (255, 255, 255))


def write_clip(path: Path, frames: int = 20, sound: bool = True) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = out.add_stream("aac", rate=16000) if sound else None
        for i in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 10 * i, np.uint8), format="rgb24")
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 12800), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 16000, 0, Fraction(1, 16000)
            out.mux(audio.encode(samples))
            out.mux(audio.encode(None))


@pytest.mark.parametrize("sound", [True, False])
def test_a_film_keeps_its_frames_times_and_sound(tmp_path: Path, sound: bool) -> None:
    write_clip(tmp_path / "clip.mp4", sound=sound)
    assert annotate_all([made(str(tmp_path / "clip.mp4"))], tmp_path / "out", workers=1) == []
    with av.open(str(tmp_path / "out" / "clip_annotated.mp4")) as film:
        assert bool(film.streams.audio) is sound
        times = [float(picture.time or 0) for picture in film.decode(video=0)]
    assert len(times) == 20
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip_annotated.mp4"]


def test_pictures_and_equal_names(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "face.png"), np.full((80, 80, 3), 100, np.uint8))
    one = [made(str(tmp_path / folder / "face.png"), scores=(0.9,)) for folder in ("a", "b")]
    gone = made(str(tmp_path / "gone.png"), scores=(0.9,))
    (failed,) = annotate_all([*one, gone], tmp_path / "out", workers=1)
    assert failed.path == gone.path
    assert failed.status != "ok"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "face_annotated-2.jpg",
        "face_annotated.jpg",
    ]
    assert cv2.imread(str(tmp_path / "out" / "face_annotated.jpg")).shape[0] > 80


def test_a_copy_never_takes_the_place_of_a_judged_file(tmp_path: Path) -> None:
    for name in ("face.png", "face_annotated.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((80, 80, 3), 100, np.uint8))
    before = (tmp_path / "face_annotated.jpg").read_bytes()
    judged = made(str(tmp_path / "face.png"), scores=(0.9,))
    unscored = Prediction(str(tmp_path / "face_annotated.jpg"), 0.5, "xception", status="no_face", reason="no face")
    assert annotate_all([judged, unscored], tmp_path, workers=1) == []
    assert (tmp_path / "face_annotated.jpg").read_bytes() == before
    assert (tmp_path / "face_annotated-2.jpg").exists()


@pytest.mark.parametrize("name", ["$(touch ran).mp4", "ü" * 125 + "x.mp4", "latin-\udcff.mp4", "-i 'a' %03d.mp4"])
def test_odd_and_long_names_have_copies_too(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / name, frames=2)
    assert annotate_all([made(stored(str(tmp_path / name)))], tmp_path / "out", workers=1) == []
    (copy,) = (tmp_path / "out").iterdir()
    assert copy.name.startswith(name[:6])
    assert copy.name.endswith("_annotated.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out"])
