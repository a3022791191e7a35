"""What decides an anomaly detector's calibration and threshold: reals alone, unless its settings allow fakes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dfdetect.detectors.calibration import apply_anomaly
from dfdetect.training import result

LABELS = np.array([0] * 20 + [1] * 20)
RAW = np.concatenate([np.linspace(0.0, 1.0, 20), np.linspace(5.0, 6.0, 20)])  # fakes far above the reals


class Info:
    """As much of SavedModelInfo as score_validation touches."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def model_copy(self, *, update: dict[str, Any]) -> Info:
        return Info(**{**self.__dict__, **update})


def calibrated(monkeypatch: pytest.MonkeyPatch, *, allowed: bool) -> Info:
    index = SimpleNamespace(videos=SimpleNamespace(labels=LABELS))
    module: Any = SimpleNamespace(
        anomaly=True,
        detector=SimpleNamespace(calibrates_on_fakes=allowed),
        data=SimpleNamespace(val=SimpleNamespace(index=index)),
    )

    class Scores:
        def __init__(self, _: Any, info: Any, **__: Any) -> None:
            self.calibration = info.calibration

        def score(self, _: Any) -> list[Any]:
            found = apply_anomaly(RAW, self.calibration) if self.calibration else RAW
            return [SimpleNamespace(score=float(value)) for value in found]

    monkeypatch.setattr(result, "raw_scores", lambda *_: (RAW, LABELS))
    monkeypatch.setattr(result, "Scorer", Scores)
    monkeypatch.setattr(result, "prediction_rows", lambda *_, **__: [])
    info, _ = result.score_validation(module, Info(calibration=None, threshold=None), "cpu")
    return info


def test_fakes_decide_nothing_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    info = calibrated(monkeypatch, allowed=False)
    assert info.calibration["method"] == "real_quantile"
    assert info.calibration["n_fake"] == 0
    assert info.threshold.criterion == "real_quantile"
    assert info.calibration["location"] == pytest.approx(0.95, abs=0.01)  # where 95 % of the reals pass


def test_fakes_decide_where_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    info = calibrated(monkeypatch, allowed=True)
    assert info.calibration["method"] == info.threshold.criterion == "balanced_accuracy"
    assert info.calibration["location"] == pytest.approx(3.0)  # the middle of the gap
    assert info.threshold.achieved == 1.0
