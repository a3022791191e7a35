"""The summary at the end of `make repro`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dfdetect.config.params import load
from dfdetect.errors import UserError
from dfdetect.io.tables import write_json
from dfdetect.reporting.summary import summary

ROOT = Path(__file__).parents[2]


def figures(auc: float | None) -> dict[str, Any]:
    bounds = None if auc is None else [0.8, 1.0]
    return {
        "coverage": {"real": 10, "fake": 10},
        "caveats": [{"kind": "too_few_videos", "text": "too few test videos (10 real, 10 fake)"}],
        "video": {"auc": auc, "acc": 0.85, "eer": 0.1},
        "ci": {"level": 0.95, "video": {"auc": bounds, "acc": [0.7, 0.95], "eer": [0.0, 0.2]}},
        "undefined": [] if auc else [{"figure": "video.auc", "reason": "there is no fake video"}],
    }


def test_it_shows_each_dataset_with_intervals_and_says_undefined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "metrics/sample/details/evaluate.json", figures(0.9312))
    write_json(tmp_path / "metrics/sample_shift/details/evaluate.json", figures(None))
    text = summary(load(ROOT / "params.yaml"))
    assert "  sample: too few test videos (10 real, 10 fake)\n    AUC 0.931 [0.800, 1.000]" in text
    assert "AUC undefined (there is no fake video)" in text
    assert "metrics/sample/details/evaluate.json" in text
    assert re.search(r"rounds differently on another kind of processor.*`git diff`", text.splitlines()[-1])


def test_a_dataset_that_was_not_evaluated_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"metrics/sample/details/evaluate\.json.*dvc repro"):
        summary(load(ROOT / "params.yaml"))
