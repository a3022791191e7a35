"""The predict and evaluate stages from artifacts to files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfdetect.data.index import load_videos
from dfdetect.errors import UserError
from dfdetect.inference.saved_model import Threshold, best_threshold
from dfdetect.inference.scoring import Scorer, load_index, prediction_rows
from dfdetect.inference.threshold import decide, read_validation
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import from_rows, read_table, write_table
from tests.evaluation.saved_models import make_detector, make_info, save_model
from tests.evaluation.tables import QUICK, score_and_evaluate
from tests.tables import Clip, clips, write_dataset, write_faces, write_masks, write_sequences, write_splits

FILES = (
    "data/made/predictions.parquet",
    "metrics/made/details/evaluate.json",
    "metrics/made/roc.png",
    "metrics/made/evaluate.json",
    "data/made/examples.parquet",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 4 + 4 + 8 videos, of which one test video has no face, and a saved model."""
    path = tmp_path_factory.mktemp("evaluated")
    made = [*clips(4, 4, 8), Clip("test/faceless.mp4", "test", "FakeVideo-FakeAudio")]
    folder = path / "data" / "made"
    write_splits(folder, made)
    write_faces(folder, made[:-1], frames=3)
    write_masks(folder, made[:-1], frames=3)
    info, detector = save_model(path / "model", "xception", threshold=Threshold(value=0.4, achieved=0.5))
    videos = load_videos(folder, info.target, {"val"})
    scored = Scorer(detector, info, device="cpu").score(load_index(folder, videos, info))
    rows = prediction_rows(videos, scored, info, threshold=0.4)
    write_table(path / "model" / "validation.parquet", from_rows(rows, PREDICTIONS), PREDICTIONS)
    score_and_evaluate("made", QUICK, model=path / "model", root=path)
    return path


def test_every_indexed_test_video_is_there_and_no_other(root: Path) -> None:
    table = read_table(root / FILES[0], PREDICTIONS)
    assert table.column("video_id").to_pylist() == [f"test/clip{i:03d}.mp4" for i in range(8)] + ["test/faceless.mp4"]
    assert table.column("status").to_pylist() == ["ok"] * 8 + ["not_in_coverage"]
    assert table.column("label").to_pylist() == [0, 0, 1, 1] * 2 + [1]
    assert table.column("any_fake").to_pylist() == [0, 1, 1, 1] * 2 + [1]
    for row in table.to_pylist()[:8]:
        assert row["score"] == pytest.approx(np.mean(row["frame_score"]))
        assert len(row["frame_index"]) == len(row["frame_time_s"]) == 3


def test_metrics_say_what_was_done(root: Path) -> None:
    figures = json.loads((root / FILES[1]).read_text())
    assert figures["detector"] == "xception"
    assert figures["target"] == "visual_label"
    assert figures["threshold"] == 0.4
    assert figures["coverage"]["videos"] == 9
    assert figures["coverage"]["evaluated"] == 8
    assert figures["video_any_fake"]["confusion"] != figures["video"]["confusion"]
    assert set(figures["by_category"]) == {
        "FakeVideo-FakeAudio",
        "FakeVideo-RealAudio",
        "RealVideo-FakeAudio",
        "RealVideo-RealAudio",
    }
    assert "s" not in {key.rpartition("_")[2] for key in figures}  # no timing


def test_a_second_run_writes_the_same_bytes(root: Path) -> None:
    plots = sorted((root / "metrics/made/plots").glob("*.csv"))
    paths = [root / name for name in FILES] + plots
    before = [path.read_bytes() for path in paths]
    score_and_evaluate("made", QUICK, model=root / "model", root=root)
    assert [path.read_bytes() for path in paths] == before


def test_dvc_can_read_metrics_and_plots(root: Path) -> None:
    headline, figures = (json.loads((root / name).read_text()) for name in (FILES[3], FILES[1]))
    assert list(headline) == [
        *("auc", "auc_low", "auc_high", "acc", "balanced_acc", "ap", "eer", "frame_auc", "scored", "videos")
    ]
    assert headline["auc"] == figures["video"]["auc"]
    assert headline["frame_auc"] == figures["frame"]["auc"]
    assert (headline["scored"], headline["videos"]) == (8, 9)
    assert headline["auc_low"] is None  # four videos of a class are too few for an interval
    with (root / "metrics/made/plots/roc.csv").open() as file:
        assert set(next(csv.DictReader(file))) == {"fpr", "tpr", "threshold"}


def test_another_combination_gets_its_own_threshold(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(root / "data")
    figures = score_and_evaluate("made", model=root / "model", root=tmp_path, aggregation="max")
    table = read_table(root / FILES[0], PREDICTIONS)
    assert all(row["score"] == max(row["frame_score"]) for row in table.to_pylist()[:8])
    validation = read_validation(root / "model")
    assert validation is not None
    rows = validation.to_pylist()
    labels, highs = [r["label"] for r in rows], [max(r["frame_score"]) for r in rows]
    chosen, _ = best_threshold(np.array(labels), np.array(highs))
    assert figures["threshold"] == pytest.approx(chosen, abs=1e-6)
    assert figures["aggregation"] == "max"
    score_and_evaluate("made", QUICK, model=root / "model", root=root)


def test_another_combination_needs_validation_scores(root: Path, tmp_path: Path) -> None:
    save_model(tmp_path, "xception")
    with pytest.raises(UserError, match=r"threshold was chosen for mean.*validation\.parquet"):
        score_and_evaluate("made", model=tmp_path, root=root, aggregation="median")


def test_sequences_are_scored_with_and_without_silence(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "made"
    made = clips(0, 0, 5)
    write_dataset(folder, made, frames=1)
    write_sequences(folder, made, silent=frozenset({"test/clip001.mp4"}))
    save_model(tmp_path / "model", "av_transformer")
    figures = score_and_evaluate("made", QUICK, model=tmp_path / "model", root=tmp_path)
    table = read_table(folder / "predictions.parquet", PREDICTIONS)
    assert table.column("status").to_pylist() == ["ok", "silent", "ok", "ok", "ok"]
    assert table.column("score").to_pylist() == table.column("score_untrimmed").to_pylist()
    assert table.column("score").to_pylist() != table.column("score_trimmed").to_pylist()
    assert set(figures["leading_silence"]) == {"auc_trimmed", "auc_untrimmed"}
    assert figures["target"] == "label"


@pytest.mark.parametrize("how", ["mean", "max"])
def test_a_sequence_has_one_score_and_no_other_combination(how: str) -> None:
    info = make_info(make_detector("av_transformer"))
    assert decide(info, None, "auto", 5)[1] == info.threshold.value
    with pytest.raises(UserError, match=f"aggregation {how}.*av_transformer.*set it to auto"):
        decide(info, None, how, 5)


def test_no_bundle_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detector\.json is missing"):
        score_and_evaluate("made", QUICK, model=tmp_path / "none", root=tmp_path)


def test_command_line_shows_no_traceback(tmp_path: Path) -> None:
    for package in ("stages", "dfdetect", "synthetic"):
        (tmp_path / package).symlink_to(Path(__file__).parents[2] / package)
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error: params.yaml is missing" in done.stderr
    assert "Traceback" not in done.stderr
