"""Scoring: every video accounted for, and the same bits whatever is scored beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.data.av import hold_sequences
from dfdetect.data.index import hold_crops, load_videos
from dfdetect.errors import UserError
from dfdetect.inference.aggregation import aggregate
from dfdetect.inference.saved_model import Evaluation
from dfdetect.inference.scoring import BATCH, Index, Scorer, load_index, prediction_rows, sequence_settings
from dfdetect.io.schemas import FACES, MASKS, MELS, MOUTHS, PREDICTIONS
from dfdetect.io.tables import Shards, from_rows
from dfdetect.runtime.threads import choose_device
from tests.evaluation.saved_models import make_detector, make_info
from tests.tables import Clip, clips, write_dataset, write_faces, write_sequences, write_splits

FRAMES = 5  # no multiple of a batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scored")
    write_dataset(path, clips(0, 0, 5), frames=FRAMES)
    write_sequences(path, clips(0, 0, 5), silent=frozenset({"test/clip002.mp4"}))
    return path


@pytest.fixture(scope="module", params=["xception", "addnet", "av_transformer"])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    detector = make_detector(request.param)
    return Scorer(detector, make_info(detector), device="cpu")


def held(folder: Path, video_id: str, scorer: Scorer) -> Index:
    """What predict has: the tables of one video in memory."""
    if "mouths" in scorer.info.inputs:
        tables = [Shards(folder / name, schema).read(video_id) for name, schema in (("mouths", MOUTHS), ("mels", MELS))]
        return hold_sequences(*tables, sequence_settings(scorer.info))
    masks = Shards(folder / "masks", MASKS).read(video_id) if "mask" in scorer.info.inputs else None
    return hold_crops(Shards(folder / "faces", FACES).read(video_id), masks)


def test_a_video_scores_the_same_alone_as_among_others(folder: Path, scorer: Scorer) -> None:
    videos = load_videos(folder, scorer.info.target, {"test"})
    together = scorer.score(load_index(folder, videos, scorer.info))
    assert len({found.score for found in together if found.score is not None}) > 1
    for found in together:
        if found.score is None:
            continue
        (alone,) = scorer.score(held(folder, found.video_id, scorer))
        assert alone == found


def test_frames_are_listed_with_their_times(folder: Path) -> None:
    detector = make_detector("xception")
    info = make_info(detector, evaluation=Evaluation(frames_per_video=2))
    videos = load_videos(folder, "visual_label", {"test"})
    index = load_index(folder, videos, info)
    found = Scorer(detector, info, device="cpu").score(index)
    assert [row.video_id for row in found] == videos.ids
    assert found[0].frame_index == [5, 15]  # the second and the fourth of five
    assert found[0].frame_time_s == [0.2, 0.6]
    assert found[0].score == pytest.approx(np.mean(found[0].frame_score))
    whole = Scorer(detector, make_info(detector), device="cpu").score(index)
    assert [whole[0].frame_score[i] for i in (1, 3)] == pytest.approx(found[0].frame_score)
    assert all(0 <= score <= 1 for row in whole for score in row.frame_score)


def test_frames_without_times_have_none(folder: Path) -> None:
    """As in a folder of frames: a time that is not known is null in the predictions, and no NaN."""
    faces = Shards(folder / "faces", FACES).read("test/clip000.mp4")
    times = pa.nulls(faces.num_rows, FACES.field("time_s").type)
    place = FACES.get_field_index("time_s")
    detector = make_detector("xception")
    info = make_info(detector)
    (found,) = Scorer(detector, info, device="cpu").score(
        hold_crops(faces.set_column(place, FACES.field(place), times))
    )
    assert found.frame_time_s == [None] * FRAMES
    (timed,) = Scorer(detector, info, device="cpu").score(hold_crops(faces))
    assert found.frame_score == timed.frame_score


def test_a_sequence_has_its_moments_as_frames(folder: Path) -> None:
    detector = make_detector("av_transformer")
    info = make_info(detector)
    index = load_index(folder, load_videos(folder, "label", {"test"}), info)
    found = Scorer(detector, info, device="cpu").score(index)
    assert found[2].status == "silent"
    assert found[2].score is None
    assert found[0].frame_index == list(range(16))
    assert len(found[0].frame_score) == 16
    assert min(found[0].frame_score) <= (found[0].score or 0) <= max(found[0].frame_score)


def test_leading_silence_can_be_cut_or_kept(folder: Path) -> None:
    detector = make_detector("av_transformer")
    scorer = Scorer(detector, make_info(detector), device="cpu")
    index = load_index(folder, load_videos(folder, "label", {"test"}), scorer.info)
    cut, kept, default = (scorer.score(index, trim=trim) for trim in (True, False, None))
    assert kept == default
    assert cut[0].score != kept[0].score


def test_every_batch_has_one_shape(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = make_detector("xception")
    seen = []
    forward = type(detector).forward

    def spy(self: object, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append((tuple(batch["image"].shape), batch["image"].stride()))
        return forward(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(type(detector), "forward", spy)
    info = make_info(detector)
    Scorer(detector, info, device="cpu").score(load_index(folder, load_videos(folder, "label", {"test"}), info))
    assert len(seen) == 4  # 25 crops
    assert set(seen) == {((BATCH["cpu"][0], 3, 64, 64), (3 * 64 * 64, 1, 3 * 64, 3))}


def test_videos_without_a_crop_have_a_reason(tmp_path: Path) -> None:
    made = [*clips(0, 0, 3), Clip("test/faceless.mp4", "test", "RealVideo-RealAudio")]
    write_splits(tmp_path, made)
    write_faces(tmp_path, made[:3], frames=1, spoiled=frozenset({"test/clip001.mp4"}))
    detector = make_detector("xception")
    info = make_info(detector)
    found = Scorer(detector, info, device="cpu").score(
        load_index(tmp_path, load_videos(tmp_path, "label", {"test"}), info)
    )
    assert [row.status for row in found] == ["ok", "unreadable_crops", "ok", "not_in_coverage"]
    assert found[1].skipped == 1
    assert found[1].score is None
    assert "decoded" in (found[1].reason or "")


def test_no_video_at_all(tmp_path: Path) -> None:
    write_dataset(tmp_path, clips(2, 0, 0))
    detector = make_detector("xception")
    info = make_info(detector)
    videos = load_videos(tmp_path, "label", {"test"})
    assert Scorer(detector, info, device="cpu").score(load_index(tmp_path, videos, info)) == []


def test_a_score_that_is_no_number_names_the_video(folder: Path) -> None:
    detector = make_detector("xception")
    with torch.no_grad():
        detector.get_parameter("fc.bias").fill_(float("nan"))
    info = make_info(detector)
    index = load_index(folder, load_videos(folder, "label", {"test"}), info)
    with pytest.raises(UserError, match=r"score nan for test/clip000.mp4, frame 0 \(25 of 25"):
        Scorer(detector, info, device="cpu").score(index)


def test_an_anomaly_detector_needs_its_calibration() -> None:
    detector = make_detector("av_transformer")
    with pytest.raises(UserError, match="calibration"):
        Scorer(detector, make_info(detector, calibration=None), device="cpu")


def test_an_absent_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UserError, match=r"faces\.device is cuda, and PyTorch finds no usable GPU"):
        choose_device("cuda", "faces.device")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 40))
def test_video_scores_lie_within_the_frames_scores(scores: list[float], top_k: int) -> None:
    values = np.array(scores)
    found = {how: aggregate(values, how, top_k) for how in ("mean", "median", "max", "top_k")}  # type: ignore[arg-type]
    assert all(values.min() - 1e-12 <= value <= values.max() + 1e-12 for value in found.values())
    assert found["mean"] - 1e-12 <= found["top_k"] <= found["max"] + 1e-12
    assert aggregate(values, "top_k", 1) == found["max"]
    assert aggregate(values, "top_k", len(scores)) == pytest.approx(found["mean"])


def test_rows_fit_the_table(folder: Path) -> None:
    detector = make_detector("xception")
    info = make_info(detector)
    videos = load_videos(folder, "visual_label", {"test"})
    found = Scorer(detector, info, device="cpu").score(load_index(folder, videos, info))
    table = from_rows(prediction_rows(videos, found, info, threshold=0.25), PREDICTIONS)
    assert table.column("label").to_pylist() == [0, 0, 1, 1, 0]
    assert table.column("any_fake").to_pylist() == [0, 1, 1, 1, 0]
    assert table.column("score").to_pylist() == [row.score for row in found]
    assert set(table.column("threshold").to_pylist()) == {0.25}
