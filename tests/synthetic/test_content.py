"""What generated clips show and say: mouths in or out of step with the sound, forgeries in every frame, faces."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from synthetic.clip import Clip, render_clip
from synthetic.plan import FAKE_BOTH, FAKE_PICTURE, FAKE_SOUND, FAKE_VIDEO, REAL, ClipPlan, make_plan
from synthetic.settings import GenerateSource

FPS = 25.0


def plan_of(
    people: int = 6, clip_s: float = 3.0, seed: int = 7, style: str = "studio", size: int = 192
) -> list[ClipPlan]:
    return make_plan(
        GenerateSource.model_validate(
            {"seed": seed, "identities": people, "clips_per_category": 1, "clip_s": clip_s, "fps": FPS}
            | {"size": size, "style": style, "crf": 22}
        )
    )


def loudness(clip: Clip, frames: int) -> np.ndarray:
    """Root mean square of the sound during each frame."""
    step = clip.sample_rate / FPS
    sound = clip.samples.astype(np.float64)
    return np.array([np.sqrt(np.mean(sound[int(t * step) : int((t + 1) * step)] ** 2)) for t in range(frames)])


def agreement(clip: ClipPlan) -> float:
    """Correlation of the shown mouth's opening with the loudness of the sound."""
    made = render_clip(clip)
    return float(np.corrcoef(made.mouth[:, 0], loudness(made, clip.frames))[0, 1])


def test_sound_drives_the_mouth_of_real_clips_and_not_of_replaced_voices() -> None:
    plan = plan_of()
    real = [agreement(clip) for clip in plan if clip.category == REAL]
    replaced = [agreement(clip) for clip in plan if clip.category == FAKE_SOUND]
    redrawn = [agreement(clip) for clip in plan if clip.category == FAKE_PICTURE and clip.method == "wav2lip"]
    assert min(real) > 0.7
    assert abs(np.mean(replaced)) < 0.35
    assert abs(np.mean(redrawn)) < 0.45
    assert redrawn


def test_sound_is_as_long_as_the_picture_and_neither_clipped_nor_silent() -> None:
    plan = plan_of(people=3)
    for clip in plan:
        made = render_clip(clip)
        assert len(made.samples) == round(clip.frames / FPS * made.sample_rate)
        level = np.sqrt(np.mean((made.samples / 32768) ** 2))
        assert 0.05 < level < 0.3
        assert np.mean(np.abs(made.samples.astype(int)) >= 32767) < 0.01


def test_voices_differ_between_people() -> None:
    """The pitch of a voice, by the peak of its autocorrelation, is near the one that its owner was given."""
    plan = plan_of(people=6)
    errors = []
    for clip in plan:
        if clip.category == REAL:
            made = render_clip(clip)
            sound = made.samples.astype(np.float64)
            loud = sound[: len(sound) // 2048 * 2048].reshape(-1, 2048)
            loud = loud[np.argsort((loud**2).sum(axis=1))[-6:]]
            power = np.abs(np.fft.rfft(loud * np.hanning(2048), 8192, axis=1)) ** 2
            echo = np.fft.irfft(power, axis=1).mean(axis=0)
            low, high = int(made.sample_rate / 300), int(made.sample_rate / 70)
            pitch = made.sample_rate / (low + int(np.argmax(echo[low:high])))
            expected = clip.person.voice.f0_hz
            errors.append(min(abs(pitch / expected - 1), abs(pitch * 2 / expected - 1)))
    assert np.median(errors) < 0.15


def pairs(plan: list[ClipPlan]) -> list[tuple[ClipPlan, ClipPlan]]:
    """Forged pictures with the unforged clip of the same take."""
    unforged = {clip.take_seed: clip for clip in plan if clip.category not in FAKE_VIDEO}
    return [(clip, unforged[clip.take_seed]) for clip in plan if clip.category in FAKE_VIDEO]


def test_every_frame_of_a_forged_picture_is_forged_inside_the_face_alone() -> None:
    plan = plan_of(people=3, clip_s=0.6)
    assert {clip.method for clip, _ in pairs(plan)} >= {"faceswap", "fsgan", "wav2lip"}
    for fake, real in pairs(plan):
        a, b = render_clip(fake), render_clip(real)
        for picture, original, box in zip(a.frames, b.frames, a.face_boxes, strict=True):
            change = np.abs(picture.astype(int) - original.astype(int)).max(axis=2)
            x0, y0, x1, y1 = np.rint(box).astype(int)
            margin = round(0.25 * (x1 - x0))
            outside = change.copy()
            outside[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = 0
            assert outside.max() == 0
            lower = change[(y0 + y1) // 2 : y1, x0:x1]
            assert lower.mean() > 1.5


def test_unforged_pictures_of_one_take_are_the_same_whatever_is_heard() -> None:
    plan = plan_of(people=2, clip_s=0.3)
    replaced = next(clip for clip in plan if clip.category == FAKE_SOUND)
    one, two = render_clip(replaced), render_clip(replace(replaced, category=REAL, method="real", voice_donor=None))
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, two.frames, strict=True))
    assert not np.array_equal(one.samples, two.samples)


def test_faces_lie_in_the_boxes_and_move() -> None:
    plan = plan_of(people=4)
    for clip in plan[::4]:
        made = render_clip(clip)
        boxes = made.face_boxes
        assert boxes.shape == (clip.frames, 4)
        assert (boxes[:, :2] > 0).all()
        assert (boxes[:, 2:] < clip.source.size).all()
        assert np.ptp(boxes[:, 0]) > 1
        first = next(iter(made.frames))
        assert first.shape == (clip.source.size, clip.source.size, 3)
        assert first.dtype == np.uint8


@pytest.mark.parametrize("style", ["studio", "street"])
def test_mtcnn_finds_the_faces_and_landmarks_fall_on_the_drawn_features(style: str) -> None:
    torch = pytest.importorskip("torch")
    facenet = pytest.importorskip("facenet_pytorch")
    torch.set_num_threads(1)
    detector = facenet.MTCNN(keep_all=True, min_face_size=60, device="cpu")
    plan = plan_of(people=5, clip_s=0.3, style=style, size=288)
    looked = found = 0
    for clip in plan:
        if clip.category not in (REAL, FAKE_BOTH):
            continue
        made = render_clip(clip)
        frame = next(iter(made.frames))
        boxes, scores, points = detector.detect(frame, landmarks=True)
        looked += 1
        if boxes is None or scores.max() < 0.9:
            continue
        x0, y0, x1, y1 = made.face_boxes[0]
        best = int(np.argmax(scores))
        eyes_y = points[best][:2, 1].mean()
        mouth_y = points[best][3:, 1].mean()
        found += 1
        assert x0 - 5 < points[best][0, 0] < (x0 + x1) / 2 < points[best][1, 0] < x1 + 5
        face = clip.person.face
        unit = (y1 - y0) / (face.chin_y - face.forehead_y)
        assert abs(eyes_y - (y0 - face.forehead_y * unit)) < 0.2 * unit
        assert abs(mouth_y - (y0 + (face.mouth_y - face.forehead_y) * unit)) < 0.3 * unit
    assert found / looked >= 0.98


def test_drawing_does_not_depend_on_opencv_threads() -> None:
    plan = plan_of(people=2, clip_s=0.3)
    before = cv2.getNumThreads()
    frames = []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            frames.append(np.stack(list(render_clip(plan[2]).frames)))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*frames)
