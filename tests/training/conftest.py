"""A folder with params and data in which a training runs in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.tables import clips, write_dataset

RECIPE = {
    "epochs": 3,
    "batch_size": 8,
    "lr": 0.01,
    "accelerator": "cpu",
    "tracker": "none",
    "early_stop": None,
    "num_candidates": None,
}


def raw_params(detector: str = "tiny", settings: dict[str, Any] | None = None, **recipe: Any) -> dict[str, Any]:
    """params.yaml as a mapping, for dataset `made`."""
    return {
        "run": {"datasets": ["made"]},
        "datasets": {"made": {"layout": "folder", "source": {"kind": "directory", "path": None}}},
        "faces": {},
        "masks": {},
        "mouths": {},
        "mels": {},
        "splits": {},
        "train": {"dataset": "made", "detector": detector, "recipe": "smoke", "seed": 1},
        "recipes": {"smoke": {**RECIPE, **recipe}},
        "detectors": {detector: settings or {}},
        "evaluate": {},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with data/made; torch uses one thread."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write_dataset(tmp_path / "data" / "made", clips(train=8, val=8, test=4), frames=6, size=40)
    return tmp_path


@pytest.fixture
def write_params(project: Path) -> Callable[..., Path]:
    """Writes params.yaml into the project."""

    def write(**changes: Any) -> Path:
        path = project / "params.yaml"
        path.write_text(yaml.safe_dump(raw_params(**changes)))
        return path

    return write
