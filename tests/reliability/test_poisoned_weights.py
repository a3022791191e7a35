"""A pickle that runs code when it is opened is refused unopened, wherever weights or checkpoints come in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dfdetect import load_detector
from dfdetect.config.params import PredictParams, validate
from dfdetect.config.recipe import Recipe
from dfdetect.detectors.pretrained import read_weights
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.inference.predict_dataset import predict_dataset
from dfdetect.io.pretrained import load_state
from dfdetect.training.resume import AtomicCheckpointIO, read_checkpoint
from dfdetect.training.setup import build_detector
from tests.evaluation.saved_models import SETTINGS, save_model
from tests.reliability.gauntlet import FACES_OF
from tests.training.conftest import raw_params


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def write_plain(path: Path, bad: Any) -> None:
    path.write_bytes(pickle.dumps(bad))


def write_torch(path: Path, bad: Any) -> None:
    torch.save({"weight": torch.ones(2), "state_dict": bad}, path)


def write_old_torch(path: Path, bad: Any) -> None:
    torch.save({"weight": torch.ones(2), "x": bad}, path, _use_new_zipfile_serialization=False)


WRITERS = {"plain": write_plain, "torch": write_torch, "old_torch": write_old_torch}


def start_from(path: Path) -> None:
    """Training with train.init_checkpoint."""
    raw = raw_params("xception", SETTINGS["xception"])
    raw["train"]["init_checkpoint"] = str(path)
    build_detector(validate(raw), Recipe.model_validate(raw["recipes"]["smoke"]))


def score(path: Path) -> None:
    """The predict and robustness stages."""
    predict_dataset("made", PredictParams(model=path.parent), path.parent)


def predict(path: Path) -> None:
    """predict, the web page and the export."""
    load_detector(path.parent, device="cpu")


def resume(path: Path) -> None:
    """A training that goes on, as Lightning reads its checkpoint."""
    AtomicCheckpointIO().load_checkpoint(path, weights_only=None)


# Where a file comes in -> the names under which it might.
ENTRIES: dict[Callable[[Path], object], tuple[str, ...]] = {
    start_from: ("model.safetensors", "model.pth", "odd"),
    score: ("model.safetensors",),
    predict: ("model.safetensors",),
    resume: ("last.ckpt",),
    read_checkpoint: ("best.ckpt",),
    read_weights: ("backbone.pth", "backbone.safetensors", "odd"),
    load_state: ("face_detector.pth", "face_detector.safetensors", "odd"),
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "model"
    save_model(folder, "xception", preprocess={"faces": FACES_OF.model_dump(mode="json")})
    load_detector(folder, device="cpu")  # as it is, it loads
    return folder


CASES = [(entry, name, how) for entry, names in ENTRIES.items() for name in names for how in WRITERS]


@pytest.mark.parametrize(("entry", "name", "how"), CASES, ids=[f"{e.__name__}-{n}-{how}" for e, n, how in CASES])
def test_a_malicious_pickle_is_refused(
    entry: Callable[[Path], object], name: str, how: str, detector: Path, tmp_path: Path
) -> None:
    for part in (saved_model.INFO, saved_model.CARD):
        (tmp_path / part).write_bytes((detector / part).read_bytes())
    mark, path = tmp_path / "ran", tmp_path / name
    WRITERS[how](path, Malicious(mark))
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        entry(path)
    assert not mark.exists()


@pytest.mark.parametrize("how", WRITERS)
def test_the_pickles_do_run_where_nothing_guards(how: str, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    mark, path = tmp_path / "ran", tmp_path / "w.pth"
    WRITERS[how](path, Malicious(mark))
    if how == "plain":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert mark.exists()
