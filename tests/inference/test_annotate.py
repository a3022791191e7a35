"""Annotated copies: what is drawn where, videos that play with their sound in time, and what becomes of failures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfdetect.datasets.tree import on_disk, stored
from dfdetect.errors import UserError
from dfdetect.inference import annotate as module
from dfdetect.inference.annotate import FAKE, LEAST_PANEL_PX, REAL, AnnotatedCopy, Painter, annotate
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.saved_model import SYNTHETIC_WARNING
from dfdetect.inference.text_drawing import draw_text
from dfdetect.media.audio import decode_audio
from dfdetect.media.frames import Frame, RgbPicture
from tests.inference.infos import RENDERED, info

CASES = Path(__file__).parents[3] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the odd inputs, is not here")


def predict(path: Path | str = "clip.mp4", scores: tuple[float, ...] = (0.1, 0.9)) -> Prediction:
    frames = [
        FrameScore(10 * i, 0.4 * i, score, (20.0 + 40 * i, 20, 60 + 40 * i, 60)) for i, score in enumerate(scores)
    ]
    return Prediction(stored(str(path)), info(), 0.5, float(np.mean(scores)), frames)


def copies(predictions: Iterable[Prediction], folder: Path) -> list[AnnotatedCopy]:
    """Annotate all with one worker."""
    predictions = list(predictions)
    sources = [Path(on_disk(prediction.path)) for prediction in predictions]
    results = list(annotate(predictions, folder, sources=sources, workers=1))
    assert [prediction for prediction, _ in results] == predictions
    return [copy for _, copy in results]


def frame(index: int, width: int = 161, height: int = 121) -> Frame:
    return Frame(index, 0.04 * index, RgbPicture(np.full((height, width, 3), 90, np.uint8)))


def test_the_box_moves_between_scored_frames() -> None:
    painter = Painter(predict())
    assert painter.box_and_score(frame(0)) == ((20.0, 20, 60, 60), 0.1)
    box, score = painter.box_and_score(frame(5))
    assert box == pytest.approx((40, 20, 80, 60))
    assert score == pytest.approx(0.5)
    assert painter.box_and_score(frame(15))[0] == (60.0, 20, 100, 60)  # held for a moment
    assert painter.box_and_score(frame(200)) == (None, None)


def test_the_box_has_the_labels_colour_and_the_picture_stays_whole() -> None:
    painter = Painter(predict())
    first, last = painter.paint(frame(0)), painter.paint(frame(10))
    assert first.shape[0] % 2 == first.shape[1] % 2 == 0
    assert first.shape[0] >= 121 + LEAST_PANEL_PX
    assert tuple(first[59, 20]) == REAL
    assert tuple(first[40, 20]) == (90, 90, 90)  # real: corners only
    assert tuple(last[40, 60]) == FAKE
    assert tuple(first[100, 150]) == (90, 90, 90)


def test_the_timeline_marks_the_moment() -> None:
    painter = Painter(predict())
    panels = [painter.paint(frame(index))[121:].astype(int) for index in (0, 10)]
    changed = np.abs(panels[0] - panels[1]).sum(axis=2) > 0
    assert not changed[:55].any()  # the text above
    assert 0 < changed[65:110].sum(axis=1).max() < 20  # two thin lines in different places
    assert changed[-20:].any()  # a label of the moment


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (3840, 2160), (64, 48)])
def test_the_panel_fits_any_frame(width: int, height: int) -> None:
    panel = Painter(predict()).panel(width, height)
    assert panel.shape[1] == width
    bright = np.argwhere(panel.max(axis=2) > 150)
    assert bright[:, 0].min() < panel.shape[0] / 4  # the label above, the timeline below
    assert bright[:, 0].max() > panel.shape[0] / 2


def test_text_is_cut_at_the_border_and_drawn_inside() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    draw_text(picture, "far too long a text for this", (2, 15), 14, (255, 255, 255))
    assert picture[15:].any()
    assert not picture[:14].any()
    draw_text(picture, "x", (300, 300), 14, (255, 255, 255))


def test_the_panel_says_what_the_detector_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []

    def draw(_: object, text: str, *args: object, **options: object) -> int:
        del args, options
        texts.append(text)
        return 10

    monkeypatch.setattr(module, "draw_text", draw)
    close = Prediction("a.mp4", info(trained_on=[RENDERED]), 0.4992, 0.4991, predict().frames)
    Painter(close).panel(640, 360)
    assert "xception, trained on sample (synthetic)" in texts
    assert {"score 0.4991", "fake from 0.4992"} <= set(texts)
    assert texts.index(SYNTHETIC_WARNING) < texts.index("REAL")


def write_clip(
    path: Path, frames: int = 20, sound: bool = True, layout: str = "mono", flash: int | None = None
) -> None:
    """A clip of 25 frames a second; frame `flash` is white, and a tone of 40 ms begins with it."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = out.add_stream("aac", rate=48000, layout=layout) if sound else None
        for i in range(frames):
            level = 255 if i == flash else 5 * (i % 20)
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), level, np.uint8), format="rgb24")
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        if audio is not None:
            samples = np.zeros((audio.layout.nb_channels, 1920 * frames), np.float32)
            if flash is not None:
                samples[:, 1920 * flash : 1920 * (flash + 1)] = 0.5 * np.sin(np.arange(1920) / 9)
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
            out.mux(audio.encode(block))
            out.mux(audio.encode(None))


def frame_times(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times of a video's frames, and how bright the picture above the panel is [shape=(N,) each]."""
    with av.open(str(path)) as video:
        frames = [(frame.time, frame.to_ndarray(format="gray")[:32].mean()) for frame in video.decode(video=0)]
    times, levels = zip(*frames, strict=True)
    return np.array(times, float), np.array(levels)


def tone_times(path: Path) -> np.ndarray:
    """When the loud parts of a file's sound begin (s)."""
    track = decode_audio(path, 16000)
    loud = np.flatnonzero(np.abs(track.samples) > 0.3 * np.abs(track.samples).max())
    begins = loud[np.r_[True, np.diff(loud) > 4000]]
    return track.start_s + begins / 16000


@pytest.mark.parametrize("sound", [True, False])
def test_a_video_keeps_its_frames_times_and_sound(tmp_path: Path, sound: bool) -> None:
    write_clip(tmp_path / "clip.mp4", sound=sound)
    (copy,) = copies([predict(tmp_path / "clip.mp4")], tmp_path / "out")
    assert copy == AnnotatedCopy(str(tmp_path / "out" / "clip_annotated.mp4"))
    with av.open(copy.path or "") as video:
        assert bool(video.streams.audio) is sound
    times, _ = frame_times(Path(copy.path or ""))
    assert len(times) == 20
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip_annotated.mp4"]


def test_two_recordings_in_one_file_stay_in_time(tmp_path: Path) -> None:
    """The clock begins again at the second, and the number of channels changes."""
    write_clip(tmp_path / "a.ts", frames=50, flash=25)
    write_clip(tmp_path / "b.ts", frames=50, flash=25, layout="stereo")
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    (copy,) = copies([predict(joined)], tmp_path / "out")
    times, levels = frame_times(Path(copy.path or copy.reason or ""))
    assert len(times) == 100
    np.testing.assert_allclose(times, np.arange(100) / 25, atol=0.01)
    flashes = times[levels > 200]
    np.testing.assert_allclose(flashes, [1.0, 3.0], atol=0.01)
    np.testing.assert_allclose(tone_times(Path(copy.path or "")), flashes, atol=0.06)


@needs_cases
def test_a_track_whose_channels_change_keeps_its_length(tmp_path: Path) -> None:
    (copy,) = copies([predict(CASES / "tracks" / "mono_then_5.1.ts")], tmp_path)
    track = decode_audio(copy.path or copy.reason or "", 16000)
    assert track.duration_s == pytest.approx(3.1, abs=0.06)
    assert np.abs(track.samples[:16000]).max() > 0.05
    assert np.abs(track.samples[-16000:]).max() > 0.05


@needs_cases
def test_two_recordings_joined_as_a_transport_stream_stay_in_time(tmp_path: Path) -> None:
    (copy,) = copies([predict(CASES / "sync" / "cat_of_two.ts")], tmp_path)
    times, levels = frame_times(Path(copy.path or copy.reason or ""))
    assert len(times) == 200
    assert times[-1] == pytest.approx(7.96, abs=0.06)
    assert times[150] == pytest.approx(6.0, abs=0.06)
    assert levels[150] > 100  # the second flash
    assert tone_times(Path(copy.path or ""))[-1] == pytest.approx(6.0, abs=0.06)


def test_pictures_and_equal_names(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "face.png"), np.full((80, 80, 3), 100, np.uint8))
    out = tmp_path / "out"
    results = copies([predict(tmp_path / folder / "face.png", scores=(0.9,)) for folder in ("a", "b")], out)
    assert results == [AnnotatedCopy(str(out / "face_annotated.jpg")), AnnotatedCopy(str(out / "face_annotated-2.jpg"))]
    assert sorted(path.name for path in out.iterdir()) == ["face_annotated-2.jpg", "face_annotated.jpg"]
    assert cv2.imread(str(out / "face_annotated.jpg")).shape[0] > 80


def test_a_copy_never_takes_the_place_of_a_source(tmp_path: Path) -> None:
    for name in ("face.png", "face_annotated.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((80, 80, 3), 100, np.uint8))
    before = (tmp_path / "face_annotated.jpg").read_bytes()
    scored = predict(tmp_path / "face.png", scores=(0.9,))
    unscored = Prediction(str(tmp_path / "face_annotated.jpg"), info(), 0.5, status="no_face", reason="no face")
    assert copies([scored, unscored], tmp_path) == [
        AnnotatedCopy(str(tmp_path / "face_annotated-2.jpg")),
        AnnotatedCopy(None, "the file has no score"),
    ]
    assert (tmp_path / "face_annotated.jpg").read_bytes() == before


@pytest.mark.parametrize("name", ["$(touch ran).mp4", "ü" * 125 + "x.mp4", "latin-\udcff.mp4", "-i 'a' %03d.mp4"])
def test_odd_and_long_names_have_copies_too(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / name, frames=2)
    (result,) = copies([predict(tmp_path / name)], tmp_path / "out")
    (copy,) = (tmp_path / "out").iterdir()
    assert on_disk(result.path or "") == str(copy)
    assert copy.name.startswith(name[:6])
    assert copy.name.endswith("_annotated.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out"])


def write_half_and_die(task: module._Task) -> None:
    """What a hostile file does to its decoder."""
    task.target.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def write_half_and_fail(task: module._Task) -> None:
    task.target.write_bytes(b"half")
    raise ValueError("the encoder refuses")


@pytest.mark.parametrize(
    ("work", "reason"), [(write_half_and_die, "signal SIGKILL"), (write_half_and_fail, "the encoder refuses")]
)
def test_a_copy_that_fails_has_a_reason_and_leaves_nothing(
    work: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_write_copy", work)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip_annotated.mp4").write_bytes(b"an earlier one")
    (copy,) = copies([predict(tmp_path / "clip.mp4")], tmp_path / "out")
    assert copy.path is None
    assert reason in (copy.reason or "")
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"an earlier one"]


def test_a_source_that_is_gone_and_a_place_that_is_taken_have_reasons(tmp_path: Path) -> None:
    write_clip(tmp_path / "b.mp4", frames=2)
    (tmp_path / "out" / "b_annotated.mp4").mkdir(parents=True)
    gone, taken = copies([predict(tmp_path / "gone.mp4"), predict(tmp_path / "b.mp4")], tmp_path / "out")
    assert gone == AnnotatedCopy(None, "the file is missing")
    assert "b_annotated.mp4 cannot be written: Is a directory" in (taken.reason or "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b_annotated.mp4"]


def test_a_folder_that_cannot_be_written_stops_before_anything_is_scored(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")

    def predictions() -> Iterable[Prediction]:
        raise AssertionError("it began to score")
        yield

    with pytest.raises(UserError, match="out cannot be written"):
        list(annotate(predictions(), tmp_path / "out", sources=[], workers=1))
