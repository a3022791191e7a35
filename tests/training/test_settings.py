"""Every key of a recipe does something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.config.params import TrainParams, load
from dfdetect.config.recipe import Recipe
from dfdetect.data.av_augment import SequenceAugmentation
from dfdetect.detectors import registry
from dfdetect.errors import UserError
from dfdetect.training import batch_size
from dfdetect.training.data import sequence_settings
from dfdetect.training.run import train
from dfdetect.training.setup import augmentation
from tests.training import tiny  # registers the detector

Write = Callable[..., Path]
SMALL = {"image_size": 64, "d_model": 128, "visual_layers": 2, "audio_layers": 2, "density_layers": 2}
FLIPS = [{"name": "HorizontalFlip"}, {"name": "ColorJitter"}]


class Watched(Recipe):
    """A recipe that knows which of its keys were read."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Watched.read.add(name)
        return super().__getattribute__(name)


@pytest.mark.usefixtures("project")
def test_every_key_is_read(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load(write_params(epochs=1, lr_scheduler="step", transforms=FLIPS, early_stop={}))
    recipe = Watched.model_validate(params.recipes["smoke"].model_dump())
    wanted: set[str] = set()

    class WatchedTrain(TrainParams):
        def __getattribute__(self, name: str) -> Any:
            wanted.add(name)
            return super().__getattribute__(name)

    monkeypatch.setattr("dfdetect.training.run.chosen_recipe", lambda _: recipe)
    section = WatchedTrain.model_validate(params.train.model_dump())
    Watched.read.clear()
    wanted.clear()
    train(params.model_copy(update={"train": section}))
    heard = SimpleNamespace(inputs=frozenset({"mouths", "mels"}), settings=SimpleNamespace(), image_size=112)
    sequence_settings(heard, recipe)  # type: ignore[arg-type]
    augmentation(params, recipe, registry.build("av_transformer", SMALL))
    assert set(Recipe.model_fields) - Watched.read == {"overrides"}  # taken by chosen_recipe itself
    assert set(TrainParams.model_fields) <= wanted


def test_overrides_of_one_detector(write_params: Write) -> None:
    path = write_params(epochs=3, overrides={"tiny": {"epochs": 1}, "xception": {"epochs": 2}})
    metrics = train(load(path))
    assert metrics is not None
    assert metrics["epochs"] == 1


def test_transforms_on_the_device(project: Path, write_params: Write) -> None:
    seen = []
    for workers in (0, 2):
        train(load(write_params(epochs=2, gpu_transforms=True, transforms=FLIPS, num_workers=workers)))
        seen.append((project / "models/detector/model.safetensors").read_bytes())
    assert seen[0] == seen[1]
    train(load(write_params(epochs=2)))
    assert (project / "models/detector/model.safetensors").read_bytes() != seen[0]
    with pytest.raises(UserError, match=r"recipes\.smoke\.transforms: gpu_transforms has no CLAHE"):
        train(load(write_params(gpu_transforms=True, transforms=[{"name": "CLAHE"}])))


def test_transforms_of_sequences() -> None:
    params = load(Path(__file__).parents[2] / "params.yaml")
    detector = registry.build("av_transformer", SMALL)
    speech = params.recipes["speech"].for_detector("av_transformer")
    change = augmentation(params, speech, detector)
    assert isinstance(change, SequenceAugmentation)
    mouths = np.zeros((16, 64, 64, 3), np.uint8)
    mouths[:, 20:40, 24:44] = (200, 90, 60)
    mels = np.zeros((16, 80, 20), np.float32)
    seen = []
    for seed in (0, 1, 0):
        changed, heard = change.seeded(seed)(mouths, mels)
        assert changed.shape == mouths.shape
        assert changed.dtype == np.uint8
        assert (changed == changed[:1]).all()  # one change for all crops of the clip
        assert (heard == heard[:1]).all()
        seen.append((changed, heard))
    assert not np.array_equal(seen[0][0], seen[1][0])
    assert all(np.array_equal(one, other) for one, other in zip(seen[0], seen[2], strict=True))
    none = {"transforms": [], "mel_gain_db": 0.0, "mel_masks": 0}
    assert augmentation(params, speech.model_copy(update=none), detector) is None
    on_gpu = speech.model_copy(update={"gpu_transforms": True})
    with pytest.raises(UserError, match=r"av_transformer reads none; set `overrides\.av_transformer\.gpu_transforms"):
        augmentation(params, on_gpu, detector)


def test_compile_runs_the_compiled_detector(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(load(write_params(epochs=1)))
    weights = (project / "models/detector/model.safetensors").read_bytes()
    calls = []

    def compiled(detector: torch.nn.Module) -> Callable[..., Any]:
        def run(batch: Any) -> Any:
            calls.append(len(batch["label"]))
            return detector(batch)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    train(load(write_params(epochs=1, compile=True)))
    assert calls == [8] * 6
    assert (project / "models/detector/model.safetensors").read_bytes() == weights


@given(limit=st.integers(1, 5000), capacity=st.integers(0, 6000))
def test_the_largest_batch_that_fits(limit: int, capacity: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        assert 1 <= size <= limit
        tried.append(size)
        return size <= capacity

    found = batch_size.largest(fits, limit)
    best = min(limit, capacity)
    assert found <= best
    assert best - found <= found // 8
    assert len(tried) < 20


def crowded(monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    """The detector runs out of memory above a batch size."""
    original = tiny.Tiny.forward

    def forward(self: tiny.Tiny, batch: Any) -> Any:
        if len(batch["image"]) > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(self, batch)

    monkeypatch.setattr(tiny.Tiny, "forward", forward)


def test_auto_takes_what_fits_and_keeps_to_it(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded(monkeypatch, 11)
    detector = registry.build("tiny", {})
    before, state = torch.random.get_rng_state(), {n: v.clone() for n, v in detector.state_dict().items()}
    assert batch_size.fits(detector, Recipe(), 11, "cpu")
    assert not batch_size.fits(detector, Recipe(), 12, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())
    monkeypatch.setattr(batch_size, "device_of", lambda _: "cpu-for-the-test")
    monkeypatch.setattr(batch_size, "fits", lambda _, __, size, ___: size <= 11)
    metrics = train(load(write_params(epochs=1, batch_size="auto", eval_batch_size=8)))
    assert metrics is not None
    assert metrics["batch_size"] == 9  # nine tenths of what fits
    recipe = Recipe(batch_size="auto")
    (project / "kept").mkdir()
    (project / "kept/batch_size.json").write_text('{"batch_size": 5}')
    assert batch_size.chosen(detector, recipe, samples=lambda: 100, remembered=project / "kept") == 5


@pytest.mark.usefixtures("project")
def test_auto_is_refused_where_it_means_nothing(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"batch_size: auto measures a GPU's memory.*give a number"):
        train(load(write_params(batch_size="auto")))
    monkeypatch.setattr(batch_size, "device_of", lambda _: "cuda")
    with pytest.raises(UserError, match=r"measures one GPU"):
        train(load(write_params(batch_size="auto", devices=2)))
