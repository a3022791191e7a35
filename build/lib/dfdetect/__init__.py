"""Train, evaluate and use deepfake detectors.

from dfdetect import load_detector

detector = load_detector("models/detector")
prediction = detector.predict("clip.mp4")
prediction.label, prediction.score

Importing this package loads nothing heavy and changes no setting of the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfdetect.inference.prediction import Prediction as Prediction
    from dfdetect.inference.predictor import Predictor as Predictor
    from dfdetect.inference.predictor import load_detector as load_detector

_HOMES = {
    "Prediction": "dfdetect.inference.prediction",
    "Predictor": "dfdetect.inference.predictor",
    "load_detector": "dfdetect.inference.predictor",
}
__all__ = ["Prediction", "Predictor", "load_detector"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import dfdetect` costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
