"""Training from stored tables needs torch, timm, lightning, pyarrow, OpenCV and scikit-learn; no other big one.

Its log has no warnings of libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
# torchmetrics itself imports matplotlib and librosa where they are installed; dfdetect.media is what would need librosa
CODE = """
import sys
BLOCKED = {"albumentations", "albucore", "comet_ml", "dlib", "dvc", "dvclive", "face_recognition_models",
           "facenet_pytorch", "ffmpeg", "imageio_ffmpeg", "kaggle", "pebble",
           "retinaface", "scmrepo", "dfdetect.media"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in BLOCKED or name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
from tests.training import tiny
from stages.train import main
main()
print("loaded:", *(BLOCKED & set(sys.modules)))
"""


def test_training_imports_only_what_it_needs(project: Path, write_params: Callable[..., Path]) -> None:
    steps = [{"name": "HorizontalFlip"}, {"name": "ColorJitter"}, {"name": "GaussianBlur"}]
    write_params(
        settings={"masked": True}, epochs=1, gpu_transforms=True, transforms=steps, ema_decay=0.9, early_stop={}
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=project, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
    # no warning of a library beside the training's own lines
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["epoch 1/1"]
    assert (project / "models/detector/model.safetensors").exists()
