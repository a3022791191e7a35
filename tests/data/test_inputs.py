"""What DVC is told that a detector reads."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import pytest

from dfdetect.config.params import load
from dfdetect.data.inputs import tables_read, write_inputs
from dfdetect.detectors import registry
from dfdetect.training.data import artifacts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", registry.names())
def test_the_settings_name_the_tables_that_training_reads(name: str) -> None:
    module = importlib.import_module(f"dfdetect.detectors.{name}")
    (detector,) = (value for value in vars(module).values() if getattr(value, "name", None) == name)
    assert sorted(artifacts(detector.inputs)) == sorted(registry.settings_class(name).reads)


def test_only_what_is_read_changes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/set"
    for name in ("faces", "mels"):
        (folder / name).mkdir(parents=True)
        (folder / name / "part-00000.parquet").write_bytes(name.encode())
    for name in ("splits.parquet", "leaks.parquet"):
        (folder / name).write_bytes(b"rows")
    params = load(ROOT / "params.yaml")
    params = params.model_copy(update={"train": params.train.model_copy(update={"detector": "xception"})})
    assert tables_read(params) == ["faces"]
    hashes = write_inputs("set", params)
    assert hashes["splits.parquet"] == hashlib.sha256(b"rows").hexdigest()
    before = (folder / "inputs.json").read_bytes()
    (folder / "mels/part-00000.parquet").write_bytes(b"other")
    write_inputs("set", params)
    assert (folder / "inputs.json").read_bytes() == before
    (folder / "faces/part-00000.parquet").write_bytes(b"other")
    write_inputs("set", params)
    assert (folder / "inputs.json").read_bytes() != before
