"""What detector.json says, for predictions that no network made."""

from __future__ import annotations

from dfdetect.inference.saved_model import SavedModelInfo, Threshold, TrainingData

RECORDED = TrainingData(dataset="celebdf", synthetic=False)
RENDERED = TrainingData(dataset="sample", synthetic=True)


def info(**changes: object) -> SavedModelInfo:
    """A picture detector's, trained on recorded videos."""
    values = {
        "detector": "xception",
        "settings": {},
        "image_size": 64,
        "inputs": ["image"],
        "target": "visual_label",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "threshold": Threshold(value=0.3, achieved=1.0),
        "preprocess": {"faces": {"frames_per_video": 22}},
        "trained_on": [RECORDED],
        "model_sha256": "0" * 64,
        "packages": {},
    }
    return SavedModelInfo.model_validate({**values, **changes})
