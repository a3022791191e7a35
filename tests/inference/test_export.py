"""An exported detector scores as the original does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector
from dfdetect.errors import UserError
from dfdetect.inference import portable as module
from dfdetect.inference import saved_model
from dfdetect.inference.portable import export
from tests.evaluation.saved_models import make_info, save_model

TABLE = Path(__file__).parents[2] / "docs" / "export.md"


def save_small(folder: Path, name: str) -> Detector:
    """A small detector whose scores differ from picture to picture, as a trained one's do."""
    torch.manual_seed(0)
    detector = registry.build(name, registry.settings_class(name).small).eval()
    if detector.trains_on == "both":
        last = [module for module in detector.modules() if isinstance(module, torch.nn.Linear)][-1]
        inputs = detector.example_batch(8, seed=9)
        with torch.no_grad():
            logits = detector(inputs)["logits"]
            last.weight /= logits.std(dim=0).mean()
            last.bias.copy_(-(detector(inputs)["logits"] - last.bias).mean(dim=0))
    saved_model.save(folder, detector.state_dict(), make_info(detector), "# made\n")
    return detector


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
@pytest.mark.parametrize("name", registry.names())
def test_the_file_gives_the_same_scores_at_any_batch_size(tmp_path: Path, name: str, kind: str) -> None:
    detector = save_small(tmp_path / "model", name)
    found = export(tmp_path / "model", tmp_path / "file", kind)
    assert found["largest_difference"] <= module.TOLERANCE  # type: ignore[operator]
    batch = detector.example_batch(5, seed=5)
    inputs = {key: batch[key] for key in found["inputs"]}  # type: ignore[attr-defined]
    with torch.inference_mode():
        expected = detector.score(detector(inputs))
        if kind == "torchscript":
            scores = torch.jit.load(str(tmp_path / "file"))(*inputs.values())
        else:
            import onnxruntime

            session = onnxruntime.InferenceSession(str(tmp_path / "file"))
            feed = {each.name: inputs[each.name].numpy() for each in session.get_inputs()}
            scores = torch.from_numpy(session.run(None, feed)[0])
    assert expected.std() > 0.05  # or equality would say nothing
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


def test_the_table_lists_every_detector_with_its_inputs() -> None:
    rows = [line.split("|")[1:-1] for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}
    assert sorted(found) == list(registry.names())
    for name, (inputs, *supported) in found.items():
        detector = registry.build(name, registry.settings_class(name).small)
        names = [key for key in module.INPUTS if key in detector.example_batch(1)]
        assert inputs == ", ".join(f"`{key}`" for key in names)
        assert supported == ["yes", "yes"]  # the test above


def test_a_file_that_scores_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "model", "xception")
    wrong = module._torchscript
    monkeypatch.setattr(module, "_torchscript", lambda *args: [scores + 0.01 for scores in wrong(*args)])
    with pytest.raises(UserError, match=r"differs from the original by 0\.01"):
        export(tmp_path / "model", tmp_path / "out.pt", "torchscript")
    assert not (tmp_path / "out.pt").exists()
