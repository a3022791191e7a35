"""JSON, YAML and tables that someone prepared: refused in one line, nothing run, nothing read outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfdetect.config.params import load
from dfdetect.datasets.lists import read_json_file
from dfdetect.datasets.tree import below, stored
from dfdetect.demo.examples import test_clips as clips_to_pick
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.io.schemas import SPLITS, VIDEOS
from dfdetect.io.tables import from_rows, read_json, write_table
from dfdetect.runtime.video_stage import load_videos
from tests.evaluation.saved_models import make_detector, make_info, save_model

TAGS = (
    "!!python/object/apply:os.system ['touch ran']",
    "!!python/object/apply:subprocess.check_output [['touch', 'ran']]",
    "!!python/name:os.system ''",
    "!!python/object/new:type {args: [x, !!python/tuple [], {}]}",
)


@pytest.mark.parametrize("tag", TAGS)
def test_yaml_builds_no_objects(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(f"run: {tag}\n")
    with pytest.raises(UserError, match=r"params\.yaml cannot be read"):
        load(tmp_path / "params.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[NaN", "\x00", ""])
def test_json_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    path.write_text(text)
    for read in (read_json, read_json_file, lambda path: saved_model.read_info(path.parent)):
        with pytest.raises(UserError, match=r"detector\.json"):
            read(path)


def test_a_detectors_name_imports_nothing_else(tmp_path: Path) -> None:
    save_model(tmp_path / "model", "xception")
    path = tmp_path / "model" / saved_model.INFO
    sound = json.loads(path.read_text())
    for name in ("os", "../../evil", "base", "registry", "layers.mamba", "xception; import os", ""):
        path.write_text(json.dumps({**sound, "detector": name}))
        with pytest.raises(UserError, match="there is no detector"):
            saved_model.load(tmp_path / "model")


def test_a_detector_that_names_weights_elsewhere_does_not_have_them_read(tmp_path: Path) -> None:
    detector = make_detector("xception")
    info = make_info(detector, settings={**detector.settings.model_dump(mode="json"), "pretrained": "/etc/hostname"})
    saved_model.save(tmp_path / "model", detector.state_dict(), info, "# made\n")
    _, loaded = saved_model.load(tmp_path / "model")
    assert loaded.settings.model_dump()["pretrained"] is False


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "made"
    (folder / "raw").mkdir(parents=True)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    splits = [{"video_id": "v", "split": "test", "label": 1, "visual_label": 1, "category": "c", "method": "m"}]
    write_table(folder / "splits.parquet", from_rows(splits, SPLITS), SPLITS)
    return folder


@pytest.mark.parametrize("path", ["../../../secret.mp4", "/etc/hostname", "a/../../x.mp4", "\\x2e\\x2e/x.mp4"])
def test_a_table_cannot_lead_out_of_the_dataset(path: str, dataset: Path) -> None:
    row = {"video_id": "v", "path": path, "sha256": "0" * 64, "label": 1, "visual_label": 1, "category": "c"}
    write_table(dataset / "videos.parquet", from_rows([{**row, "method": "m", "status": "ok"}], VIDEOS), VIDEOS)
    with pytest.raises(UserError, match="leads out of"):
        load_videos("made")
    with pytest.raises(UserError, match="leads out of"):
        clips_to_pick(dataset.parent)


@pytest.mark.parametrize("name", ["a.mp4", "..mp4", "a..b/c.mp4", "two\nlines.mp4", "latin-\udcff.mp4", "-i $(x).mp4"])
def test_odd_names_stay_where_they_are(name: str, tmp_path: Path) -> None:
    assert below(tmp_path, stored(name)) == tmp_path / name
