"""Score any video or image with a trained detector.

from stages.predict import load_detector

detector = load_detector()
found = detector.predict("clip.mp4")
found.label, found.confidence, found.probabilities
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.predict.prediction import Prediction as Prediction
    from stages.predict.predictor import Predictor as Predictor
    from stages.predict.predictor import load_detector as load_detector

__all__ = ["Prediction", "Predictor", "load_detector"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import stages.predict` costs nothing."""
    if name == "Prediction":
        from stages.predict.prediction import Prediction

        return Prediction
    if name in ("Predictor", "load_detector"):
        from stages.predict import predictor

        return getattr(predictor, name)
    raise AttributeError(name)
