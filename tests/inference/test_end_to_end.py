"""Predict sees what evaluate saw: on a test video both give the same score to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dfdetect import load_detector
from dfdetect.config.params import Params, validate
from dfdetect.inference.saved_model import Evaluation
from dfdetect.io.schemas import PREDICTIONS, VIDEOS
from dfdetect.io.tables import read_table
from tests.evaluation.saved_models import save_model
from tests.evaluation.tables import QUICK, score_and_evaluate

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
DETECTORS = ("xception", "addnet", "av_transformer")
# Three people of whom one is in each split; clips of 0.8 s.
SOURCE = {
    "kind": "generate",
    "seed": 3,
    "identities": 3,
    "clips_per_category": 1,
    "clip_s": 0.8,
    "fps": 20,
    "size": 200,
    "style": "studio",
    "crf": 23,
}
RAW = {
    "run": {"datasets": ["tiny"]},
    "runtime": {"num_workers": 1},
    "datasets": {"tiny": {"layout": "fakeavceleb", "face_detector": "mtcnn", "source": SOURCE}},
    "faces": {"frames_per_video": 5, "image_size": 96},
    "masks": {},
    "mouths": {"image_size": 64},
    "mels": {},
    "splits": {},
    "train": {"dataset": "tiny", "detector": "xception", "recipe": "none"},
    "recipes": {},
    "detectors": {},
}


# All data stages in one process: each would import the same libraries anew.
STAGES = """
import runpy, sys
for stage in ("download", "splits", "faces", "audit", "masks", "mouths", "mels"):
    sys.argv = [stage, "--dataset", "tiny"]
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
"""


@pytest.fixture(scope="module")
def params() -> Params:
    return validate(RAW)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """A project whose data stages have run, and a saved model per detector."""
    path = tmp_path_factory.mktemp("project")
    for package in ("stages", "dfdetect", "synthetic"):
        (path / package).symlink_to(ROOT / package)
    (path / "params.yaml").write_text(json.dumps(RAW))  # JSON is YAML
    done = subprocess.run([sys.executable, "-c", STAGES], cwd=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sections = {"faces": params.faces_of("tiny"), "masks": params.masks, "mouths": params.mouths, "mels": params.mels}
    preprocess = {name: section.model_dump(mode="json") for name, section in sections.items()}
    for name in DETECTORS:
        changes = {"evaluation": Evaluation(frames_per_video=4)} if name == "xception" else {}
        save_model(path / name, name, preprocess=preprocess, **changes)
    return path


@pytest.fixture(params=DETECTORS)
def scores(request: pytest.FixtureRequest, project: Path) -> tuple[str, dict[str, float]]:
    """A detector, and by path the scores that evaluate gave."""
    score_and_evaluate("tiny", QUICK, model=project / request.param, root=project)
    table = read_table(project / "data/tiny/predictions.parquet", PREDICTIONS)
    videos = read_table(project / "data/tiny/videos.parquet", VIDEOS)
    paths = dict(zip(videos.column("video_id").to_pylist(), videos.column("path").to_pylist(), strict=True))
    raw = project / "data/tiny/raw"
    return request.param, {str(raw / paths[row["video_id"]]): row["score"] for row in table.to_pylist()}


def test_predict_gives_the_evaluated_score_to_the_last_bit(scores: tuple[str, dict[str, float]], project: Path) -> None:
    name, expected = scores
    assert len(expected) == 4
    detector = load_detector(project / name)
    together = {prediction.path: prediction.score for prediction in detector.predict_batch(expected)}
    assert together == expected
    path, score = next(iter(expected.items()))
    assert detector.predict(path).score == score


def test_the_command_agrees_and_lists_what_cannot_be_scored(project: Path) -> None:
    score_and_evaluate("tiny", QUICK, model=project / "xception", root=project)
    table = read_table(project / "data/tiny/predictions.parquet", PREDICTIONS)
    expected = {row["video_id"].rpartition("/")[2]: row for row in table.to_pylist()}
    row = table.to_pylist()[0]
    clip = next((project / "data/tiny/raw").glob(f"**/{row['video_id'].partition('/')[2]}"))
    (project / "broken.mp4").write_bytes(b"no video")
    command = [sys.executable, "-m", "dfdetect", "predict", str(clip), "broken.mp4", "gone.mp4", "--model", "xception"]
    command += ["--csv", "out.csv", "--annotate", "seen", "--workers", "1"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["ok", "unreadable", "missing"]
    assert all(line["trained_on"][0]["dataset"] == "made" for line in lines)
    assert len({line["model_sha256"] for line in lines}) == 1
    assert lines[0]["faces_seen"] >= len(lines[0]["frames"])
    assert lines[0]["score"] == expected[clip.name]["score"]
    assert [frame["score"] for frame in lines[0]["frames"]] == expected[clip.name]["frame_score"]
    assert all(len(frame["box"]) == 4 for frame in lines[0]["frames"])
    assert "does not exist" in lines[2]["reason"]
    assert (project / "out.csv").read_text().count("\n") == 4
    assert lines[0]["annotated"] == f"seen/{clip.stem}_annotated.mp4"
    assert (project / lines[0]["annotated"]).stat().st_size > 1000
    assert [line["annotated_reason"] for line in lines] == [None, "the file has no score", "the file has no score"]
    assert "1 of 3 files scored" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.mp4", "--model", "nowhere"], "detector.json is missing"),
        (["x.mp4", "--model", "xception", "--threshold", "2"], "not a number between 0 and 1"),
        (["x.mp4", "--model", "xception", "--threshold", "abc"], "'abc' is not a number between 0 and 1"),
        (["x.mp4", "--model", "xception", "--workers", "two"], "'two' is not a whole number of 1 or more"),
        (["x.mp4", "--model", "xception", "--aggregation", "max"], "validation.parquet"),
        ([], "required"),
    ],
)
def test_bad_usage_is_exit_code_2_and_no_traceback(project: Path, arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "dfdetect", "predict", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
