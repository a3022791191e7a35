"""Corrupted crops: what each kind does, and what is measured with it."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dfdetect.config.params import RobustnessParams
from dfdetect.data.images import decode, decode_mask
from dfdetect.data.index import load_videos
from dfdetect.inference.corruptions import CORRUPTIONS, noise, shift
from dfdetect.inference.robustness import corrupt, few_frames, robustness, settings, write_robustness
from dfdetect.inference.scoring import Scorer, load_index
from tests.evaluation.saved_models import make_detector, make_info
from tests.tables import clips, write_dataset, write_faces, write_sequences

# From weak to strong.
STRENGTHS = {
    "jpeg": (90, 50, 10),
    "h264": (18, 32, 45),
    "blur": (0.5, 2, 5),
    "noise": (2, 10, 40),
    "downscale": (1.5, 3, 8),
    "brightness": (0.9, 0.6, 0.3),
    "contrast": (0.9, 0.6, 0.3),
    "shift": (0.03, 0.1, 0.3),
}


def crops() -> list[np.ndarray]:
    """Detail of every size, so that each kind of corruption has something to destroy."""
    rng = np.random.default_rng(0)
    small = rng.integers(40, 215, (3, 49, 49, 3), dtype=np.uint8)
    return list(np.repeat(np.repeat(small, 2, 1), 2, 2)[:, :97, :97])


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_a_stronger_corruption_changes_more(kind: str) -> None:
    clean = crops()
    errors = []
    for strength in STRENGTHS[kind]:
        corrupted = CORRUPTIONS[kind].apply(clean, strength)
        again = CORRUPTIONS[kind].apply(clean, strength)
        assert all(np.array_equal(a, b) for a, b in zip(corrupted, again, strict=True))
        assert all(crop.shape == (97, 97, 3) and crop.dtype == np.uint8 for crop in corrupted)
        errors.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(corrupted, clean, strict=True)]))
    assert 0 < errors[0] < errors[1] or kind == "shift"
    assert errors[1] < errors[2] or kind == "shift"
    assert min(errors) > 0


def test_noise_has_its_deviation_and_shift_its_place() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert noise(grey, 10).std() == pytest.approx(10, rel=0.05)
    crop = crops()[0]
    np.testing.assert_array_equal(shift(crop, 0.1)[10:, 10:], crop[:-10, :-10])


def test_every_param_is_a_kind_and_every_kind_a_param() -> None:
    assert set(RobustnessParams.model_fields) - {"frames_per_video"} == set(CORRUPTIONS)
    with pytest.raises(ValidationError):
        RobustnessParams(jpeg=[0])
    params = RobustnessParams(blur=[1, 2], jpeg=[50])
    assert list(settings(params)) == [("jpeg", 50), ("blur", 1), ("blur", 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corrupted")
    write_dataset(path, clips(0, 0, 4), frames=5)
    write_faces(path, clips(0, 0, 4), frames=5, spoiled=frozenset({"test/clip001.mp4"}))
    write_sequences(path, clips(0, 0, 4))
    return path


def test_a_shift_moves_the_mask_along(folder: Path) -> None:
    info = make_info(make_detector("addnet"))
    index = load_index(folder, load_videos(folder, info.target, {"test"}), info)
    moved, blurred = (corrupt(index, CORRUPTIONS[kind], 0.25) for kind in ("shift", "blur"))
    before = decode_mask(index.masks.get(7))
    np.testing.assert_array_equal(decode_mask(moved.masks.get(7))[12:, 12:], before[:-12, :-12])
    np.testing.assert_array_equal(decode_mask(blurred.masks.get(7)), before)
    assert not np.array_equal(decode(moved.images.get(7)), decode(index.images.get(7)))
    assert decode(moved.images.get(5)) is None  # what could not be read before cannot be read now


@pytest.mark.parametrize("name", ["addnet", "av_transformer"])
def test_a_corrupted_index_travels_to_a_worker_process(folder: Path, name: str) -> None:
    info = make_info(make_detector(name))
    index = load_index(folder, load_videos(folder, info.target, {"test"}), info)
    for kind in CORRUPTIONS:
        corrupted = corrupt(index, CORRUPTIONS[kind], 20)
        there = pickle.loads(pickle.dumps(corrupted))
        if name == "addnet":
            assert there.images.get(0) == corrupted.images.get(0)
        else:
            video_id = index.videos.ids[0]
            assert there.mouths.read(video_id).equals(corrupted.mouths.read(video_id))


def test_few_frames_are_spread_over_each_video(folder: Path) -> None:
    info = make_info(make_detector("xception"))
    index = few_frames(load_index(folder, load_videos(folder, info.target, {"test"}), info), 2)
    assert index.frame_index.tolist() == [5, 15] * 4
    assert index.video.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("name", ["xception", "av_transformer"])
def test_what_is_measured(folder: Path, tmp_path: Path, name: str) -> None:
    detector = make_detector(name)
    info = make_info(detector)
    scorer = Scorer(detector, info, device="cpu")
    index = load_index(folder, load_videos(folder, info.target, {"test"}), info)
    asked = RobustnessParams(frames_per_video=1, jpeg=[20], blur=[4.0])
    measured = robustness(scorer, index, asked, aggregation="mean", top_k=5, label="made")
    assert list(measured.auc) == ["jpeg", "blur"]
    values = [measured.auc["jpeg"]["20"], measured.auc["blur"]["4"]]
    assert measured.clean is not None
    assert measured.mean_auc_drop == pytest.approx(measured.clean - np.mean(values), abs=1e-6)
    write_robustness(tmp_path, measured)
    assert json.loads((tmp_path / "details/robustness.json").read_text()) == asdict(measured)
    headline = {"clean_auc": measured.clean, "mean_auc_drop": measured.mean_auc_drop}
    assert json.loads((tmp_path / "robustness.json").read_text()) == headline
    lines = (tmp_path / "plots" / "robustness.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["corruption", "clean", "jpeg 20", "blur 4"]


def test_nothing_asked_is_nothing_done_and_said(folder: Path, tmp_path: Path) -> None:
    info = make_info(make_detector("xception"))
    scorer = Scorer(make_detector("xception"), info, device="cpu")
    index = load_index(folder, load_videos(folder, info.target, {"test"}), info)
    measured = robustness(scorer, index, RobustnessParams(), aggregation="mean", top_k=5, label="made")
    assert (measured.clean, measured.mean_auc_drop, measured.auc) == (None, None, {})
    write_robustness(tmp_path, measured)
    assert "asks for no corruption" in (tmp_path / "details/robustness.json").read_text()


def test_one_class_has_a_reason(tmp_path: Path) -> None:
    write_dataset(tmp_path, clips(0, 0, 1), frames=2)
    info = make_info(make_detector("xception"))
    scorer = Scorer(make_detector("xception"), info, device="cpu")
    index = load_index(tmp_path, load_videos(tmp_path, info.target, {"test"}), info)
    measured = robustness(scorer, index, RobustnessParams(jpeg=[50]), aggregation="mean", top_k=5, label="made")
    assert measured.clean is None
    assert measured.undefined[0] == {"figure": "clean", "reason": "the scored test videos are of one class"}
