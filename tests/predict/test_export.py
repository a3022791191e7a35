"""An exported detector scores as the original does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from stages.errors import UserError
from stages.predict import export as module
from stages.predict.export import export
from tests.evaluate.bundles import save_bundle

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


@pytest.mark.parametrize("name", ["xception", "addnet", "av_transformer"])
def test_torchscript_gives_the_same_scores_at_any_batch_size(tmp_path: Path, name: str) -> None:
    _, detector = save_bundle(tmp_path / "model", name)
    found = export(tmp_path / "model", tmp_path / "out.pt", "torchscript")
    assert found["largest_difference"] <= module.TOLERANCE  # type: ignore[operator]
    batch = detector.example_batch(3, seed=5)
    again = torch.jit.load(str(tmp_path / "out.pt"))
    with torch.inference_mode():
        inputs = {key: value for key, value in batch.items() if key != "label"}
        expected = detector.score(detector(inputs))
        scores = again(*(batch[key] for key in found["inputs"]))  # type: ignore[attr-defined]
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


def test_a_file_that_scores_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_bundle(tmp_path / "model", "xception")
    wrong = module._torchscript
    monkeypatch.setattr(module, "_torchscript", lambda *args: [scores + 0.01 for scores in wrong(*args)])
    with pytest.raises(UserError, match=r"differs from the original by 0\.01"):
        export(tmp_path / "model", tmp_path / "out.pt", "torchscript")
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.skipif(HAS_ONNX, reason="the packages are installed")
def test_missing_packages_are_named(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", "xception")
    with pytest.raises(UserError, match=r"ONNX export needs .*onnx"):
        export(tmp_path / "model", tmp_path / "out.onnx", "onnx")


@pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript and onnxruntime are an optional extra")
def test_onnx_gives_the_same_scores(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", "xception")
    assert export(tmp_path / "model", tmp_path / "out.onnx", "onnx")["largest_difference"] <= module.TOLERANCE  # type: ignore[operator]
